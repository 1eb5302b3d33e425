"""The terms of `MODEL.loss`: who learns what from whom. Names are PaddleVideo's and PaddleClas's.

Every term has a weight, which may rise and fall. Where only one of two networks learns, it stands
first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, Field

from train.config.schema.common import Block, PartialShare, Positive, Share
from train.plugins.registry import LOSSES, LossSchema, register

Model = TypeVar("Model", bound=type[BaseModel])


def _rising(ramp: list[float] | None) -> list[float] | None:
    if ramp is not None and ramp[0] > ramp[1]:
        raise ValueError(f"its shares must rise: {ramp[0]} is above {ramp[1]}")
    return ramp


def _pairs(value: list[Any]) -> list[Any]:
    for pair in [value] if all(isinstance(name, str) for name in value) else value:
        names = isinstance(pair, list) and all(isinstance(name, str) for name in pair)
        if not names or len(pair) != 2:
            raise ValueError("must be two names, or a list of such pairs")
    return value


def _some_layers(value: str | list[str]) -> str | list[str]:
    if not value:
        raise ValueError("must be the path of a layer, or a list of such")
    return value


Weight = Annotated[float, Field(ge=0)]
"""Factor of a term."""
Ramp = Annotated[
    Annotated[list[Share], Field(min_length=2, max_length=2)] | None, AfterValidator(_rising)
]
"""Shares of the run between which a factor changes linearly.

`ramp` rises from 0, none: at once. `decay` falls to `floor`, a share of the factor; none: never.
"""
Pairs = Annotated[list[Any], AfterValidator(_pairs)]
"""`[Student, Teacher]`, or a list of such pairs, each of which is a term of its own."""
Temperature = Annotated[float, Field(gt=0)]
"""Divides the logits; the term is multiplied by its square."""
Standardize = bool
"""Make each clip's logits Z-scores before the temperature (Sun et al.)."""
Layers = Annotated[str | list[str], AfterValidator(_some_layers)]
"""Layers by path, `backbone.stages.3`: their outputs, or with `:input` their inputs."""


def _loss(**facts: bool) -> Callable[[Model], Model]:
    """Register the block of a loss under the names that it has; `facts` are `LossSchema`'s."""

    def add(block: Model) -> Model:
        for name in get_args(block.__pydantic_fields__["name"].annotation):
            register("loss", name, block.__module__)
            LOSSES[name] = LossSchema(block, **facts)
        return block

    return add


class LossBlock(Block):
    """What every term says; the losses add settings of their own."""

    name: str
    model_name_pairs: Pairs
    loss_weight: Weight = 1.0
    ramp: Ramp = None
    decay: Ramp = None
    floor: Share = 0.0


@_loss(both_learn=True, labels=True)
class LabelLoss(LossBlock):
    """Cross-entropy of one network to the labels; both names mean the same."""

    name: Literal["DistillationCELoss", "CrossEntropyLoss"]
    model_name_pairs: Pairs
    """A network and GroundTruth."""
    label_smoothing: PartialShare = 0.0
    """Share of the target spread evenly over all classes; Recognizer2D: head.ls_eps."""


@_loss(both_learn=True)
class MutualLoss(LossBlock):
    """Symmetric KL divergence between two networks, both of which learn from it."""

    name: Literal["DistillationDMLLoss"]
    temperature: Temperature = 1.0
    standardize: Standardize = False
    act: Literal["softmax"] = "softmax"
    """PaddleVideo's key; its other values are no probabilities of classes."""
    eps: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Added to the probabilities within the logarithms; 1e-12 is PaddleVideo's default."""


@_loss(both_learn=True)
class EnsembleLoss(LossBlock):
    """KL divergence of two networks from one target made of both, who learn from it (KDCL)."""

    name: Literal["DistillationEnsembleLoss"]
    temperature: Temperature = 1.0
    ensemble: Literal["minlogit", "naive", "mean"] = "minlogit"
    """Smallest logits against the label's, those of the better network, or their mean."""


@_loss()
class KLDivLoss(LossBlock):
    """The first network learns the second's probabilities (Hinton et al.)."""

    name: Literal["DistillationKLDivLoss"]
    temperature: Temperature = 4.0
    standardize: Standardize = False


@_loss()
class JSDivLoss(LossBlock):
    """As DistillationKLDivLoss, by the Jensen-Shannon divergence, which is bounded."""

    name: Literal["DistillationJSDivLoss"]
    temperature: Temperature = 1.0


@_loss()
class DKDLoss(LossBlock):
    """Distillation of the label's class and of the others, weighed apart (Zhao et al.)."""

    name: Literal["DistillationDKDLoss"]
    temperature: Temperature = 1.0
    standardize: Standardize = False
    alpha: Weight = 1.0
    """Factor of the label's part."""
    beta: Weight = 1.0
    """Factor of the others' part."""
    use_target_as_gt: bool = False
    """The teacher's best class in place of the labels."""


@_loss()
class DISTLoss(LossBlock):
    """Correlations with the teacher, over classes and over clips (Huang et al.)."""

    name: Literal["DistillationDISTLoss"]
    temperature: Temperature = 1.0
    beta: Weight = 1.0
    """Factor of the part over classes."""
    gamma: Weight = 1.0
    """Factor of the part over clips."""


@_loss()
class RKDLoss(LossBlock):
    """Distances and angles between the clips of a batch (Park et al.)."""

    name: Literal["DistillationRKDLoss"]
    s_key: str | None = None
    """The first network's layer, averaged over space and frames; none: the logits."""
    t_key: str | None = None
    """The second network's."""
    distance_weight: Weight = 25.0
    angle_weight: Weight = 50.0


@_loss(both_learn=True, layers=True)
class DistanceLoss(LossBlock):
    """Plain distance of features, from which both networks learn (PaddleClas's UDML)."""

    name: Literal["DistillationDistanceLoss"]
    mode: Literal["l1", "l2", "smooth_l1"] = "l2"
    s_key: Layers
    t_key: Layers
    connector: bool | None = None
    """Map the first's channels to the second's; none: unless both are built and tapped alike."""


@_loss(layers=True)
class OverHaulLoss(LossBlock):
    """Margin ReLU of the teacher, connector of the student, partial L2 (Heo et al.)."""

    name: Literal["DistillationOverHaulLoss"]
    s_key: Layers
    """Layers of the first network, before the ReLU."""
    t_key: Layers
    """Layers of the second network, before the ReLU."""
    t_norm: Layers | None = None
    """The batch norms that the margins come from; none: `t_key` are batch norms themselves."""
    connector: bool | None = None
    """Map the first's channels to the second's; none: unless both are built and tapped alike."""


@_loss(layers=True)
class AFDLoss(LossBlock):
    """Attention over all pairs of layers (Ji et al.); both names mean the same."""

    name: Literal["DistillationAFDLoss", "AFDLoss"]
    s_key: Layers
    t_key: Layers
    qk_dim: Positive = 128
    """Length of queries and keys."""


def pairs_of(names: list[Any]) -> list[tuple[str, str]]:
    """`model_name_pairs` as a list of pairs."""
    flat = bool(names) and isinstance(names[0], str)
    return [(a, b) for a, b in ([names] if flat else names)]


def layers_of(keys: str | list[str] | None) -> list[str]:
    """`s_key` and its like as a list."""
    return [] if keys is None else [keys] if isinstance(keys, str) else list(keys)
