"""Cross-validation of small sets: every clip is a test clip once.

Folds are grouped (no group of clips stands in two of a fold's lists) and stratified (every fold
has its share of every class, as far as groups allow). The validation clips of a fold are chosen in
the same way from what it does not test.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from infer.system.errors import ClipDuetError, listed
from train.data.grouped_split import Counts, Penalty, grouped_split, held_by

VAL_SHARE = 0.15
"""Of the clips that a fold does not test, those that choose its best epoch."""


class FoldsError(ClipDuetError):
    """The clips cannot be split into folds as asked."""


@dataclass(frozen=True)
class Fold:
    """The places of a fold's clips, int64 [n] each, in the order of the clips."""

    train: npt.NDArray[np.int64]
    valid: npt.NDArray[np.int64]
    test: npt.NDArray[np.int64]


def make_folds(
    labels: Sequence[int],
    groups: Sequence[str],
    *,
    folds: int,
    seed: int = 0,
    val_share: float = VAL_SHARE,
) -> list[Fold]:
    """Split clips into folds; the same for the same seed.

    Args:
        labels: class of each clip.
        groups: what each clip belongs to.
        folds: how many, at least two.
        seed: decides among groups that are alike.
        val_share: of the clips that a fold does not test.

    Raises:
        FoldsError: too few groups, or a class that a fold would test and not train.
    """
    truth = np.asarray(labels)
    names, group = np.unique(np.asarray(groups), return_inverse=True)
    classes, place = np.unique(truth, return_inverse=True)
    counts = np.zeros((len(names), len(classes)), np.int64)
    np.add.at(counts, (group, place), 1)
    if folds < 2:
        raise FoldsError(f"{folds} folds: cross-validation takes at least 2")
    if len(names) < max(3, folds):
        raise FoldsError(
            f"the clips are of {len(names)} groups, too few for {folds} folds with clips for "
            f"training, validation and test: ask for fewer folds (at most {len(names)}, of 3 "
            "groups or more)"
        )
    alone = [str(label) for label, of_it in zip(classes, counts.T, strict=True) if _one(of_it)]
    if alone:
        raise FoldsError(
            listed(
                "these classes have clips of one group only, so that the fold that tests one "
                "cannot train it; name smaller groups, or leave them out",
                alone,
            )
        )
    tests = grouped_split(counts, [1 / folds] * folds, seed=seed, penalty=_unlearnt)
    _check(held_by(counts, tests, folds), _unlearnt, "folds")
    found = []
    for fold in range(folds):
        rest = np.flatnonzero(tests != fold)
        parts = grouped_split(
            counts[rest], [val_share, 1 - val_share], seed=seed + 1 + fold, penalty=_untrained
        )
        _check(held_by(counts[rest], parts, 2), _untrained, f"validation clips of fold {fold + 1}")
        valid = rest[parts == 0]
        is_test, is_valid = tests[group] == fold, np.isin(group, valid)
        found.append(
            Fold(*(np.flatnonzero(one) for one in (~is_test & ~is_valid, is_valid, is_test)))
        )
    return found


def _one(of_it: Counts) -> bool:
    return int((of_it > 0).sum()) == 1


def _check(held: Counts, penalty: Penalty, what: str) -> None:
    if penalty(held):
        raise FoldsError(
            f"the {what} cannot be chosen so that every class is trained in every fold: too few "
            "groups; ask for other --folds, or make smaller groups"
        )


def _unlearnt(held: Counts) -> int:
    """Parts without a clip, and classes that lie in one part as a whole."""
    return int((held.sum(axis=1) == 0).sum() + (held == held.sum(axis=0)).any(axis=0).sum())


def _untrained(held: Counts) -> int:
    """Of validation (0) and training (1): parts without a clip, classes that are not trained."""
    return int((held.sum(axis=1) == 0).sum() + (held[1] == 0).sum())
