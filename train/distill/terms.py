"""One summand of a loss: a function of what the networks said and of the labels.

A term may look into layers and may bring parameters of its own, connectors and attention, which
learn with the student and stay behind when it is exported. `train.distill.build_terms` makes
terms from a config.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from paddle import Tensor, nn

from train.distributed.shards import Shards
from train.losses import Target

Tap = tuple[str, str]
"""A network's role and the path of one of its layers."""


class Outputs(dict[str, Tensor]):
    """Logits `[N, classes]` by role.

    Attributes:
        features: what was tapped, by role and path.
        shards: what other processes see of the batch; None: there are no others.
    """

    def __init__(
        self,
        logits: Mapping[str, Tensor],
        features: Mapping[Tap, Tensor] | None = None,
        shards: Shards | None = None,
    ) -> None:
        super().__init__(logits)
        self.features = dict(features or {})
        self.shards = shards

    @property
    def clips(self) -> int:
        """Clips of the batch, over all processes."""
        return int(next(iter(self.values())).shape[0]) if self.shards is None else self.shards.total

    def whole(self, rows: Tensor) -> Tensor:
        """`[n, D]`, a row a clip, to `[N, D]` of all processes, for losses between clips.

        Gradients are those of the whole batch, see `train.distributed.shards.Shards.whole`.
        """
        return rows if self.shards is None else self.shards.whole(rows)

    def seen_by(self, role: str) -> Outputs:
        """The same, with no way for a gradient into any network but one."""

        def view(owner: str, value: Tensor) -> Tensor:
            return value if owner == role else value.detach()

        return Outputs(
            {owner: view(owner, value) for owner, value in self.items()},
            {tap: view(tap[0], value) for tap, value in self.features.items()},
            self.shards,
        )


Compute = Callable[[Outputs, Target], Tensor]


@dataclass(frozen=True)
class Term:
    """One summand of the loss.

    Attributes:
        name: how logs call it, `Student-Teacher.DML`.
        compute: from every network's outputs and the labels to a scalar.
        weight: factor after the ramp and before the decay.
        ramp: shares of the run between which the factor rises linearly from 0, or None.
        decay: shares of the run between which it falls linearly, or None.
        floor: share of the weight that is left after the decay.
        learners: the networks that it teaches.
        reads: the networks whose logits it looks at.
        taps: the layers that it looks at.
        least: clips that a batch must have for it, over all processes.
        layer: what it learns itself, or None.
    """

    name: str
    compute: Compute
    weight: float = 1.0
    ramp: tuple[float, float] | None = None
    decay: tuple[float, float] | None = None
    floor: float = 0.0
    learners: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    taps: tuple[Tap, ...] = ()
    least: int = 1
    layer: nn.Layer | None = None

    def counts(self, clips: int, progress: float) -> bool:
        """Whether it is computed for a batch of so many clips, after a share of the run."""
        return clips >= self.least and self.factor(progress) > 0

    def factor(self, progress: float) -> float:
        """The term's factor after a share `progress` (0..1) of the run."""
        factor = self.weight
        if self.ramp is not None:
            factor *= _passed(self.ramp, progress)
        if self.decay is not None:
            factor *= 1 - (1 - self.floor) * _passed(self.decay, progress)
        return factor

    def at_end(self) -> Term:
        """The same with the factor that it has at the end of a run, from beginning to end."""
        return dataclasses.replace(self, weight=self.factor(1.0), ramp=None, decay=None, floor=0.0)


def _passed(shares: tuple[float, float], progress: float) -> float:
    """How much of the way between two shares of the run is over, 0..1."""
    start, end = shares
    if end <= start:
        return float(progress >= start)
    return min(1.0, max(0.0, (progress - start) / (end - start)))
