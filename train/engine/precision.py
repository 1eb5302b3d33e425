"""A step's arithmetic: mixed precision, where the device has it, and gradient clipping."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import chain
from typing import Any

import paddle
from paddle import Tensor
from paddle.optimizer import Optimizer

from train.config.load import Config
from train.distill.recognizers import Recognizer

PATIENCE = 2000
"""Steps without an overflow after which the factor doubles, as in Paddle's scaler."""


class Precision:
    """How a step computes: the forward context, and backward with scaling and clipping.

    Args:
        dtype: `float16` or `bfloat16` for mixed precision, None for float32.
        level: Paddle's level of mixed precision, `O1` or `O2`.
        clip: largest norm of a network's gradient, or None.
    """

    def __init__(self, dtype: str | None, *, level: str = "O1", clip: float | None = None) -> None:
        self.dtype, self.level, self.clip = dtype, level, clip
        # bfloat16 has the range of float32: its gradients need no scaling.
        self.scale = LossScale() if dtype == "float16" else None

    def autocast(self) -> AbstractContextManager[Any]:
        """The context of the forward pass."""
        if self.dtype is None:
            return nullcontext()
        return paddle.amp.auto_cast(level=self.level, dtype=self.dtype)

    @property
    def weights(self) -> str:
        """The type of the networks' weights in a step."""
        return self.dtype if self.dtype is not None and self.level == "O2" else "float32"

    def prepare(self, recognizer: Recognizer, optimizer: Optimizer) -> None:
        """Level O2: let the weights be of the low precision, beside a float32 master of each.

        Connectors and attention belong to losses, which compute in float32, and a network with a
        precision of its own is cast as it runs: both stay as they are. So do averages, which would
        not move in half precision.
        """
        if self.weights == "float32":
            return
        apart = {*recognizer.precisions, *recognizer.averages}
        # No save_dtype: with it, state_dict() would be of copies, and what is written there lost.
        paddle.amp.decorate(
            [network for role, network in recognizer.networks.items() if role not in apart],
            optimizer,
            level="O2",
            dtype=self.weights,
            master_weight=True,
        )

    def state(self) -> dict[str, Any]:
        """What a checkpoint needs of it, plain data; nothing in float32."""
        if self.dtype is None:
            return {}
        return {
            "weights": self.weights,
            "scale": {} if self.scale is None else dict(vars(self.scale)),
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state`."""
        if self.scale is not None:
            vars(self.scale).update(state.get("scale", {}))

    def backward(self, loss: Tensor) -> None:
        """Add the gradient of a scalar to what is there."""
        (loss if self.scale is None else loss * self.scale.factor).backward()

    def update(self, optimizer: Optimizer, groups: Sequence[Sequence[Tensor]]) -> bool:
        """Clipping, optimiser step, gradients cleared.

        In float16 a step whose gradients overflow is left out, and the next loss scaled less.

        Args:
            optimizer: of all parameters.
            groups: the parameters of each network. Each is clipped to its own norm: a student
                in a pair must not slow down because its teacher's gradient is large.

        Returns:
            False where gradients overflow though the loss is not scaled up at all.
        """
        finite, possible = True, True
        if self.scale is not None:
            finite = self.scale.unscale([p.grad for p in chain(*groups) if p.grad is not None])
            possible = self.scale.adapt(finite=finite)
        if finite:
            for parameters in groups:
                _clip(parameters, self.clip)
            optimizer.step()
        # No gradient, not one of 0, which would still decay: next time another network may learn.
        optimizer.clear_grad(set_to_zero=False)
        return possible


def _clip(parameters: Sequence[Tensor], largest: float | None) -> None:
    """Shorten the gradient of `parameters`, taken as one vector, to a norm of `largest`."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    if not gradients or largest is None:
        return
    if all(gradient.dtype == paddle.float32 for gradient in gradients):
        paddle.nn.utils.clip_grad_norm_(parameters, largest)
        return
    # Paddle's takes gradients of one type; at level O2 those of batch norms are of another.
    with paddle.no_grad():
        norms = [paddle.linalg.norm(gradient.astype("float32")) for gradient in gradients]
        factor = largest / (float(paddle.linalg.norm(paddle.stack(norms))) + 1e-6)
        for gradient in gradients if factor < 1 else ():
            gradient.scale_(factor)


def build_precision(cfg: Config, *, note: Callable[[str], None]) -> Precision:
    """The precision and clipping of a config; on a CPU float32, and `note` is told so."""
    block = cfg.optimizer["grad_clip"]
    clip = None if block is None else float(block["value"])
    if not cfg.amp.enabled:
        return Precision(None, clip=clip)
    if not on_gpu():
        note("amp is on in the config, but there is no GPU: training in float32")
        return Precision(None, clip=clip)
    return Precision(cfg.amp.dtype, level=cfg.amp.level, clip=clip)


def on_gpu() -> bool:
    """Whether there is a GPU to train on."""
    return bool(paddle.device.get_device().startswith("gpu"))


class LossScale:
    """A factor on the loss, without which small gradients would be 0 in float16.

    It is halved where gradients overflow, and doubled after `PATIENCE` steps without. As Paddle's
    `GradScaler`, which cannot be used here: where a gradient overflows, as the first ones are meant
    to, its message converts a tensor in a way that NumPy has not allowed since 2.4.

    Attributes:
        factor: of the loss, a power of 2, which costs no precision.
        steps: how many in a row have not overflowed since the factor changed.
    """

    def __init__(self) -> None:
        self.factor, self.steps = 2.0**16, 0

    @paddle.no_grad()
    def unscale(self, gradients: Sequence[Tensor]) -> bool:
        """Divide gradients by the factor; whether all of them are finite.

        Processes that have added up their gradients all come to the same answer.
        """
        for gradient in gradients:
            gradient.scale_(1.0 / self.factor)
        finite = [paddle.isfinite(gradient).all() for gradient in gradients]
        return not finite or bool(paddle.stack(finite).all())

    def adapt(self, *, finite: bool) -> bool:
        """Take in how a step went; False if the factor cannot become smaller any more."""
        if not finite:
            self.factor, self.steps = self.factor / 2, 0
            return self.factor >= 1
        self.steps += 1
        if self.steps == PATIENCE:
            self.factor, self.steps = self.factor * 2, 0
        return True
