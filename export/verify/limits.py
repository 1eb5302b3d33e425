"""What rounding explains: how far a file's logits may be from the trained network's."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Tolerance:
    """How far rounding may move logits, as shares of the largest |logit| of all verified clips.

    Attributes:
        typical: largest allowed root mean square, over the clips, of each clip's largest
            difference. An answer may differ where the reference's best two logits are at most
            twice as far apart.
        largest: largest allowed difference on any clip.
        bug: beyond this share no rounding is the cause; None: it may always be.
        remedy: what to do about a difference that is rounding's.
    """

    typical: float
    largest: float
    bug: float | None
    remedy: str


FLOAT32 = Tolerance(
    1e-4,
    1e-4,
    1e-3,
    "Rounding of float32 is the cause where large values cancel each other: train the network "
    "longer, or with a lower learning rate",
)
"""Sums in another order differ by about 1e-6; a wrong node, slope or padding by far more than
1e-3."""

FLOAT16 = Tolerance(
    0.01,
    0.05,
    None,
    "Rounding to float16 costs this network too much: train it longer or with weight decay, or "
    "export without it: --no-fp16",
)
"""float16 has 11 bits: a rounding is up to 5e-4 of a value, in every layer. Networks of up to 55
convolutions and random weights differ by 0.001 of the largest logit, single clips by more."""

INT8_BATCHES = Tolerance(
    0.05,
    0.25,
    None,
    "8 bits cost this network too much: see docs/precisions.md, or export without them: --no-int8",
)
"""A quantised network against itself on another batch: where a sum in another order falls on the
other side of a rounding, that is one step of 256 in one of many activations."""
