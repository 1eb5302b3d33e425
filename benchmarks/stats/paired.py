"""How sure are we: intervals and tests for classifiers that answered the same clips.

Everything is paired over clips. Answers are bool vectors [clips], or [pairs, clips] where several
trained pairs of models answered the same clips; the latter are resampled over pairs and clips
(`benchmarks.stats.resample`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.stats.resample import (
    LEVEL,
    RESAMPLES,
    Bootstrap,
    Floats,
    Groups,
    Interval,
    Resampled,
    resample,
)
from train.evaluation.shares import wilson_of_share

__all__ = [
    "LEVEL",
    "RESAMPLES",
    "Bootstrap",
    "Groups",
    "Interval",
    "Paired",
    "Resampled",
    "crossed_bootstrap",
    "mcnemar_exact",
    "paired_bootstrap",
    "paired_contrast",
    "paired_difference",
    "resampled",
    "wilson",
]  # fmt: skip


@dataclass(frozen=True)
class Paired:
    """b minus a on the same clips, with everything needed to say whether it is real.

    `only_a` and `only_b` count the clips that only one of the two got right; `p` is McNemar's
    exact two-sided p-value of these two counts.
    """

    clips: int
    only_a: int
    only_b: int
    difference: Interval
    p: float

    @property
    def distinguishable(self) -> bool:
        """True where the interval *and* the exact test exclude zero.

        The bootstrap is a little narrow when few clips differ, so one of the two alone is not
        enough to claim anything.
        """
        return self.difference.excludes_zero and self.p < 1 - self.difference.level

    def to_dict(self) -> dict[str, Any]:
        """The difference as plain data, ready for JSON."""
        return {
            **self.difference.to_dict(),
            "clips": self.clips,
            "only_first": self.only_a,
            "only_second": self.only_b,
            "p": self.p,
            "distinguishable": self.distinguishable,
        }


def wilson(successes: int, trials: int, *, level: float = LEVEL) -> Interval:
    """Wilson's score interval of a share (Wilson 1927).

    Raises:
        ValueError: no trials, or a count outside 0..trials.
    """
    if trials < 1 or not 0 <= successes <= trials:
        raise ValueError(f"{successes} of {trials} is not a share: give 0 <= successes <= trials")
    share = successes / trials
    return Interval(share, *wilson_of_share(share, trials, level=level), level)


def mcnemar_exact(only_a: int, only_b: int) -> float:
    """Exact two-sided p-value that a coin explains `only_a` against `only_b` (McNemar 1947).

    Clips on which both agree say nothing and are left out; with none left p is 1.
    """
    if only_a < 0 or only_b < 0:
        raise ValueError(f"discordant counts must not be negative, got {only_a} and {only_b}")
    from scipy.stats import binomtest

    total = only_a + only_b
    return float(binomtest(only_a, total).pvalue) if total else 1.0


def resampled(
    answers: Sequence[npt.ArrayLike],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = LEVEL,
    groups: Groups | None = None,
) -> Resampled:
    """The accuracies of k classifiers on the same clips, and in every resample.

    Args:
        answers: k bool vectors [clips] or tables [pairs, clips].
        resamples: how many.
        seed: of the draws.
        level: of intervals.
        groups: of clips that are drawn together.

    Raises:
        ValueError: shapes that differ, no clip, or answers that are not right or wrong.
    """
    return resample(_table(answers), resamples=resamples, seed=seed, level=level, groups=groups)


def paired_bootstrap(
    a_correct: npt.ArrayLike,
    b_correct: npt.ArrayLike,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = LEVEL,
    groups: Groups | None = None,
) -> Interval:
    """Accuracy of b minus accuracy of a, percentile interval over resampled clips.

    Args:
        a_correct: bool [clips].
        b_correct: bool [clips], the same clips in the same order.
        resamples: how many.
        seed: of the draws.
        level: of intervals.
        groups: of clips that are drawn together.
    """
    return paired_contrast(
        [a_correct, b_correct],
        [-1.0, 1.0],
        resamples=resamples,
        seed=seed,
        level=level,
        groups=groups,
    )


def paired_contrast(
    answers: Sequence[npt.ArrayLike],
    weights: Sequence[float],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = LEVEL,
    groups: Groups | None = None,
) -> Interval:
    """A weighted sum of accuracies over the same clips, with its bootstrap interval.

    A non-inferiority test is one of these: "at least X of the gain is left" holds when
    (student - baseline) - X (reference student - reference baseline) lies above zero.

    Args:
        answers: k bool vectors [clips].
        weights: k numbers.
        resamples: how many.
        seed: of the draws.
        level: of intervals.
        groups: of clips that are drawn together.
    """
    return resampled(answers, resamples=resamples, seed=seed, level=level, groups=groups).contrast(
        weights
    )


def paired_difference(
    a_correct: npt.ArrayLike,
    b_correct: npt.ArrayLike,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = LEVEL,
    groups: Groups | None = None,
) -> Paired:
    """Interval and exact test of b against a on the same clips, bool [clips] each."""
    table = _table([a_correct, b_correct])
    if table.shape[1] != 1:
        raise ValueError(f"McNemar's test is about one pair of models, got {table.shape[1]}")
    a, b = table[:, 0].astype(bool)
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    difference = paired_bootstrap(a, b, resamples=resamples, seed=seed, level=level, groups=groups)
    return Paired(len(a), only_a, only_b, difference, mcnemar_exact(only_a, only_b))


def crossed_bootstrap(
    differences: npt.ArrayLike,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = LEVEL,
    groups: Groups | None = None,
) -> Interval:
    """Mean of a seeds x clips table, resampling seeds and clips independently.

    With few seeds also look at `benchmarks.stats.student_t.t_interval` of the per-seed means.

    Args:
        differences: [seeds, clips], for example b_correct - a_correct in {-1, 0, 1}.
        resamples: how many.
        seed: of the draws.
        level: of intervals.
        groups: of clips that are drawn together.
    """
    table = np.asarray(differences, dtype=np.float64)
    if table.ndim != 2 or not table.size:
        raise ValueError(f"differences must be [seeds, clips] and not empty, got {table.shape}")
    return resample(
        table[None], resamples=resamples, seed=seed, level=level, groups=groups
    ).contrast([1.0])


def _table(answers: Sequence[npt.ArrayLike]) -> Floats:
    """[k, pairs, clips] of zeros and ones."""
    vectors = [np.asarray(answer) for answer in answers]
    shapes = sorted({vector.shape for vector in vectors})
    if len(shapes) != 1 or len(shapes[0]) not in (1, 2) or 0 in shapes[0]:
        raise ValueError(
            f"paired answers must be vectors of one length, at least one clip; got shapes {shapes}"
        )
    table = np.stack(vectors).astype(np.float64)
    if not np.isin(table, (0.0, 1.0)).all():
        raise ValueError("answers must be right or wrong (bool, or 0 and 1) for every clip")
    return table if table.ndim == 3 else table[:, None]
