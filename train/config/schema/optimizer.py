"""The OPTIMIZER block: the update rule, and how its learning rate changes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from train.config.schema.common import Block, Positive, Rate


def _number_to(block: str, key: str) -> BeforeValidator:
    """Let a plain number stand for `{"name": block, key: number}`."""

    def widen(value: Any) -> Any:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return {"name": block, key: value}
        return value

    return BeforeValidator(widen)


class CustomWarmupCosineDecay(Block):
    """Linear warm-up to the cosine of the whole run, then along it."""

    name: Literal["CustomWarmupCosineDecay"]
    cosine_base_lr: Rate
    """Rate at the start of the cosine."""
    warmup_epochs: Rate = 0
    warmup_start_lr: Rate = 0.0
    max_epoch: Positive | None = None
    """Epoch at which the cosine reaches 0; none: the run's epochs."""
    iter_step: bool = True
    """Change the rate with every step; false: with every epoch."""


class CosineAnnealingDecay(Block):
    """A cosine from `learning_rate` to `eta_min`."""

    name: Literal["CosineAnnealingDecay"]
    learning_rate: Rate
    T_max: Positive | None = None
    """Epoch at which the cosine ends; none: the run's epochs."""
    eta_min: Rate = 0.0
    iter_step: bool = False
    """Change the rate with every step; false: with every epoch."""


class Constant(Block):
    """The same rate throughout; a plain number says the same."""

    name: Literal["Constant"]
    learning_rate: Rate


LearningRate = Annotated[
    CustomWarmupCosineDecay | CosineAnnealingDecay | Constant,
    Field(discriminator="name"),
    _number_to("Constant", "learning_rate"),
]


class WeightDecay(Block):
    """How strongly weights shrink; a plain number says the same."""

    name: Literal["L2"] = "L2"
    value: Rate


class GradClip(Block):
    """Scale the gradient down to a global norm; a plain number says the same."""

    name: Literal["ClipGradByGlobalNorm"] = "ClipGradByGlobalNorm"
    value: Annotated[float, Field(gt=0)]


Decay = Annotated[WeightDecay | None, _number_to("L2", "value")]
Clip = Annotated[GradClip | None, _number_to("ClipGradByGlobalNorm", "value")]


class Momentum(Block):
    """Stochastic gradient descent with momentum."""

    name: Literal["Momentum"]
    learning_rate: LearningRate
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    use_nesterov: bool = False
    weight_decay: Decay = None
    grad_clip: Clip = None


class AdamW(Block):
    """Adam with decoupled weight decay."""

    name: Literal["AdamW"]
    learning_rate: LearningRate
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    epsilon: Annotated[float, Field(gt=0)] = 1e-8
    weight_decay: Decay = None
    no_weight_decay_name: str = ""
    """Words, separated by spaces: parameters whose names hold one of them do not decay."""
    grad_clip: Clip = None


Optimizer = Annotated[Momentum | AdamW, Field(discriminator="name")]
