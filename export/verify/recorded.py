"""Does the trained network answer as it did when its run validated it?

A checkpoint that was damaged or exchanged, clips that changed, another decoder: each may leave a
network that exports, and another accuracy than training recorded beside the checkpoint.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from export.verify.limits import FLOAT16, FLOAT32
from train.data.fingerprint import fingerprint
from train.data.lists import Sample
from train.data.unreadable import sample_tail
from train.evaluation.evaluate import Evaluation

LEVEL = 0.001
"""Chance to warn of a part of the list that merely is easier, or harder, than the whole."""

SHARES = {None: FLOAT32.typical, "float16": FLOAT16.typical, "bfloat16": 0.05}
"""How far a training's logits may be from float32's, as shares of the largest, by the type of its
mixed precision. A GPU multiplies float32 with as few bits as float16 has (TF32)."""


@dataclass(frozen=True)
class Recorded:
    """What training recorded of a list, and what was measured.

    Attributes:
        listed: clips of the list.
        right: of them, those that the network answered right in training.
        measured: clips of the list that it was asked about now, some or all.
        measured_right: of those, the ones that it answers right.
        unclear: of those, the ones whose answer rounding may turn.
        explained: rounding, and for a part of the list its choice, explain the difference.
    """

    listed: int
    right: int
    measured: int
    measured_right: int
    unclear: int
    explained: bool

    def to_dict(self) -> dict[str, Any]:
        """What `bundle.json` says of it."""
        return asdict(self)

    def warning(self, list_file: str) -> str:
        """What to tell of one that nothing explains."""
        part = "" if self.measured == self.listed else f", of which {self.measured} were looked at"
        return (
            f"warning: the accuracy is not the one that training recorded for this checkpoint and "
            f"{list_file}\n"
            f"  in training {self.right} of {self.listed} clips were right "
            f"({self.right / self.listed:.4f}), now {self.measured_right} of {self.measured} "
            f"({self.measured_right / self.measured:.4f}){part}; rounding may turn "
            f"{self.unclear} answers\n"
            "  Weights or clips were changed or damaged, or the clips are read by another decoder "
            "than in training. Compare the checkpoint with its original; if it is the same, "
            "validate it again."
        )


def recorded_of(
    record: Mapping[str, Any], whole: Sequence[Sample], found: Evaluation
) -> Recorded | None:
    """Compare what training recorded with what was measured.

    Args:
        record: what the run recorded of the checkpoint (`export.assemble.describe.record_of`).
        whole: the validation list.
        found: the trained network on some of its clips, or all.

    Returns:
        None where the run recorded nothing of this very list.
    """
    told = record.get("validation")
    if not isinstance(told, Mapping) or told.get("clips") != _identity(whole):
        return None
    device, dtype = told.get("device"), told.get("amp")
    share = SHARES.get(dtype, max(SHARES.values()))
    if device != "cpu":
        share = max(share, FLOAT16.typical)
    unclear = _unclear(found, share=share) + abs(len(found.failed) - int(told.get("failed", 0)))
    listed, right = len(whole), round(float(record["top1"]) * len(whole))
    measured, now = len(found.paths), int(found.correct.sum())
    if measured == listed:
        explained = abs(now - right) <= unclear
    else:
        low, high = now - unclear, now + unclear
        # So many right answers, or more; and so many wrong ones.
        chances = (
            sample_tail(low, measured, right, listed),
            sample_tail(measured - high, measured, listed - right, listed),
        )
        explained = min(chances) >= LEVEL / 2
    return Recorded(listed, right, measured, now, unclear, explained)


def _identity(samples: Sequence[Sample]) -> str | None:
    try:
        return fingerprint(samples)
    except OSError:  # a clip that is not there any more
        return None


def _unclear(found: Evaluation, *, share: float) -> int:
    """Clips where the label and the best other class are as near as rounding may move them."""
    read = found.decoded
    logits, labels = found.logits[read].astype(np.float64), found.labels[read]
    if not len(logits) or logits.shape[1] < 2:
        return 0
    rows = np.arange(len(labels))
    own = logits[rows, labels]
    logits[rows, labels] = -np.inf
    margin = 2 * share * float(np.abs(found.logits[read]).max())
    return int((np.abs(own - logits.max(axis=1)) <= margin).sum())
