"""The moving average of a run's weights, which often answers better than the last ones.

Polyak and Juditsky's averaging in the exponential form of TensorFlow's: the decay begins small,
`(1 + step) / (10 + step)`, so that the random start is soon forgotten.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager

import paddle
from paddle import Tensor, nn

from train.distill.averages import decay_after, follow


class Average:
    """A float32 copy of a layer's state that follows it slowly.

    Args:
        layer: parameters and statistics of its batch norms are averaged.
        decay: share of the old average that stays after a step, at most.
        still: keys of the state that no gradient changes. An average of equal numbers is another
            number, by rounding.
    """

    def __init__(self, layer: nn.Layer, decay: float, *, still: Collection[str] = ()) -> None:
        self._layer, self._decay = layer, decay
        self._values = {
            key: value.detach().astype("float32").clone()
            for key, value in self._own().items()
            if value.is_floating_point() and key not in still
        }

    def _own(self) -> dict[str, Tensor]:
        """The layer's tensors themselves; with hooks they may be copies in another type."""
        return self._layer.state_dict(use_hook=False)

    def update(self, step: int) -> None:
        """Take in the layer as it is after `step` steps."""
        follow(self._values, self._own(), decay=decay_after(step, most=self._decay))

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The layer holds the average for the body, and then what it held before."""
        own = self._own()
        before = {key: own[key].clone() for key in self._values}
        _fill(own, self._values)
        try:
            yield
        finally:
            _fill(own, before)

    def statistics(self) -> list[Tensor]:
        """The averages of what batch norms know of their inputs."""
        names = ("_mean", "_variance")
        return [value for key, value in self._values.items() if key.split(".")[-1] in names]

    def state_dict(self) -> dict[str, Tensor]:
        """The average by the layer's keys."""
        return dict(self._values)

    def set_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a stored average of the same layer, which may hold what is still too."""
        _fill(self._values, {key: state[key] for key in self._values})


@paddle.no_grad()
def _fill(own: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
    for key, value in values.items():
        paddle.assign(value.astype(own[key].dtype), own[key])
