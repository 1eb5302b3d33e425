"""Which values each tensor of a network takes, and which range of them 8 bits should span.

Calibration clips go through the fp32 file once, with the tensors as outputs. Of each its extremes
and a histogram are kept; a range follows from them in one of three ways:

- `minmax`: everything that was seen.
- `percentile`: all but one value in 100,000; a few outliers would make every step coarser.
- `entropy`: the range whose 8-bit version loses the least information about the histogram
  (Kullback-Leibler divergence; Migacz, "8-bit Inference with TensorRT", GTC 2017). Flat pictures
  make spikes in a histogram, which any wider step would smear: left alone, it would cut off
  whole per cents of them. One value in 1,000 is the most that it may.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from export.network.captured_output import ConversionError
from export.network.watched import watch
from infer.system.errors import ClipDuetError

if TYPE_CHECKING:
    import onnx

Calibrator = Literal["minmax", "entropy", "percentile"]
Range = tuple[float, float]

HALF = 4096
"""Bins on either side of zero. Their width doubles when a value lies beyond the last, so that at
least half of them are within the values seen."""
AT_ONCE = 1 << 18
"""Values of one tensor and clip that are counted. Of more, every n-th is, beginning elsewhere with
each clip, so that in the end every place was looked at; extremes are those of all."""
LEFT_OUT = 1e-5
"""Share of the values that `percentile` leaves out, half of it at either end."""
LEVELS, STRIDE, CUT_OFF = 128, 16, 1e-3
"""`entropy`: levels of 8 bits on one side of zero, bins between the ranges it tries, and the
largest share of values other than zero that it cuts off."""


@dataclass
class Histogram:
    """Values of one tensor, seen bit by bit.

    Attributes:
        limit: the bins reach from `-limit` to `limit`; 0 before the first value.
        counts: int64 `[2 * HALF]`.
        least: the smallest value.
        most: the largest value.
        turns: how often values were added.
    """

    limit: float = 0.0
    counts: np.ndarray = field(default_factory=lambda: np.zeros(2 * HALF, np.int64))
    least: float = np.inf
    most: float = -np.inf
    turns: int = 0

    def add(self, values: np.ndarray) -> None:
        """Count more values, finite floats of any shape."""
        low, high = float(values.min()), float(values.max())
        self.least, self.most = min(self.least, low), max(self.most, high)
        largest = max(-low, high)
        step = -(-values.size // AT_ONCE)
        values = values.ravel()[self.turns % step :: step]
        self.turns += 1
        if not self.limit:
            self.limit = float(2.0 ** np.ceil(np.log2(largest))) if largest else 0.0
        if not self.limit:  # nothing but zeros so far
            self.counts[HALF] += values.size
            return
        while largest > self.limit:
            pairs = self.counts.reshape(-1, 2).sum(axis=1)
            self.counts[:] = 0
            self.counts[HALF // 2 : HALF // 2 * 3] = pairs
            self.limit *= 2
        places = values * np.float32(HALF / self.limit)
        places += HALF
        bins = np.minimum(places, 2 * HALF - 1).astype(np.int32)
        self.counts += np.bincount(bins, minlength=2 * HALF)

    def range(self, calibrator: Calibrator) -> Range:
        """The least and the largest value that 8 bits should express, by a calibrator.

        Raises:
            ClipDuetError: unknown calibrator.
        """
        if calibrator == "minmax":
            return self.least, self.most
        if calibrator == "percentile":
            return self._percentile()
        if calibrator == "entropy":
            limit = self._entropy()
            return max(self.least, -limit), min(self.most, limit)
        raise ClipDuetError(
            f"calibrator is {calibrator!r}; allowed: {', '.join(get_args(Calibrator))}"
        )

    def _percentile(self) -> Range:
        seen = np.cumsum(self.counts)
        tail = LEFT_OUT / 2 * seen[-1]
        width = self.limit / HALF
        first = int(np.searchsorted(seen, tail, side="right"))
        last = int(np.searchsorted(seen, seen[-1] - tail, side="left"))
        low, high = (first - HALF) * width, (last + 1 - HALF) * width
        return max(self.least, low), min(self.most, high)

    def _entropy(self) -> float:
        """The magnitude beyond which values are cut off."""
        counts = (self.counts[HALF:] + self.counts[HALF - 1 :: -1]).astype(np.float64)
        # Behind a ReLU most values are 0, which every range expresses: they decide nothing.
        counts[0] = counts[1]
        used = int(np.flatnonzero(counts)[-1]) + 1 if counts.any() else 0
        width = self.limit / HALF
        if used <= LEVELS:
            return used * width
        within = np.cumsum(counts)
        least = int(np.searchsorted(within, (1 - CUT_OFF) * within[-1])) + 1
        ends = [*range(max(LEVELS, least), used, STRIDE), used]
        losses = [_divergence(counts, end) for end in ends]
        return ends[int(np.argmin(losses))] * width


def _divergence(counts: np.ndarray, end: int) -> float:
    """Information lost when values beyond bin `end` are cut off and the rest has `LEVELS`."""
    kept = counts[:end].copy()
    outside = counts[end:].sum()
    level = np.arange(end) * LEVELS // end
    filled = kept > 0
    inside = np.bincount(level, weights=kept, minlength=LEVELS)
    members = np.bincount(level, weights=filled, minlength=LEVELS)
    rounded = np.where(filled, inside[level] / np.maximum(members[level], 1), 0.0)
    kept[-1] += outside  # they become the largest value that there is
    here = (kept > 0) & (rounded > 0)
    lost = kept[(kept > 0) & (rounded == 0)].sum()
    p, q = kept / kept.sum(), rounded / max(rounded.sum(), 1.0)
    divergence = float((p[here] * np.log(p[here] / q[here])).sum())
    # Values where the rounded histogram has none would be infinitely far; a large step instead.
    return divergence + 10.0 * float(lost) / float(kept.sum())


def collect(
    model: onnx.ModelProto,
    clips: Iterable[np.ndarray],
    tensors: Sequence[str],
    *,
    threads: int | None = None,
) -> dict[str, Histogram]:
    """Run clips and count the values of tensors.

    Args:
        model: takes uint8 `[batch, T, H, W, 3]`.
        clips: uint8 `[T, H, W, 3]` each; one at a time is in memory.
        tensors: names of float32 tensors of the graph.
        threads: of ONNX Runtime; None: all cores.

    Raises:
        ConversionError: a tensor holds NaN or infinity (says which).
    """
    run = watch(model, tensors, threads=threads)
    found = {name: Histogram() for name in tensors}
    for clip in clips:
        for name, value in zip(tensors, run(clip), strict=True):
            if not (np.isfinite(value.min()) and np.isfinite(value.max())):
                raise ConversionError(f"{name} is not finite on a calibration clip")
            found[name].add(value)
    return found
