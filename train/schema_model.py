"""The MODEL block: networks, who is frozen, and the losses between them (PaddleVideo's layout)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

STRICT = ConfigDict(
    extra="forbid", strict=True, frozen=True, allow_inf_nan=False, protected_namespaces=()
)
"""No unknown keys, no silent conversion of types, no change after loading."""

GROUND_TRUTH, STUDENT = "GroundTruth", "Student"

Positive = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
PartialShare = Annotated[float, Field(ge=0, lt=1)]
Segments = Annotated[int, Field(ge=2, le=1024)]


def _rising(ramp: list[float] | None) -> list[float] | None:
    if ramp is not None and ramp[0] > ramp[1]:
        raise ValueError(f"must rise: {ramp[0]} is above {ramp[1]}")
    return ramp


Ramp = Annotated[
    Annotated[list[Share], Field(min_length=2, max_length=2)] | None, AfterValidator(_rising)
]
Pair = Annotated[list[str], Field(min_length=2, max_length=2)]


class PPTSMv2Backbone(BaseModel):
    """The student of the recipe: PP-LCNetV2 with one temporal shift; it ends in logits."""

    model_config = STRICT

    name: Literal["PPTSM_v2"]
    num_seg: Segments = 8
    """Frames a clip; the shift moves 1/num_seg of the channels each way."""
    class_num: Positive = 400
    """Width of the logits."""
    scale: Annotated[float, Field(gt=0, le=8)] = 1.0
    """Multiplier of every width but the last convolution's; 1 is the public network."""
    depths: Annotated[list[Positive], Field(min_length=4, max_length=4)] = [2, 2, 6, 2]
    """Blocks in each of the four stages."""
    use_temporal_att: bool = False
    """A gate a frame before the third stage."""
    dropout_prob: PartialShare = 0.2
    """Dropout before the classifier."""
    class_expand: Positive = 1280
    """Width of the last convolution."""
    use_last_conv: bool = True
    """The wide 1x1 convolution before the classifier."""
    pretrained: str | None = None
    """Checkpoint to start from; none, or empty, starts from random weights."""


class ResNetTweaksTSMBackbone(BaseModel):
    """The teacher of the recipe: ResNet-vd with a temporal shift in every block."""

    model_config = STRICT

    name: Literal["ResNetTweaksTSM"]
    depth: Literal[18, 34, 50, 101, 152]
    """Layers of the ResNet."""
    num_seg: Segments = 8
    """Frames a clip."""
    width: Annotated[float, Field(ge=0.125, le=8)] = 1.0
    """Multiplier of every width, for small machines; 1 is the public network."""
    pretrained: str | None = None
    """Checkpoint to start from; none, or empty, starts from random weights."""

    @property
    def features(self) -> int:
        """Channels handed to the head."""
        return int(512 * self.width) * (4 if self.depth >= 50 else 1)


Backbone = Annotated[PPTSMv2Backbone | ResNetTweaksTSMBackbone, Field(discriminator="name")]


class MoViNetHead(BaseModel):
    """No layer at all: for backbones that end in logits."""

    model_config = STRICT

    name: Literal["MoViNetHead"]
    ls_eps: PartialShare = 0.0
    """Label smoothing of the training loss of a Recognizer2D."""


class PPTSMHead(BaseModel):
    """Pooling, dropout, mean over frames, one linear layer."""

    model_config = STRICT

    name: Literal["ppTSMHead"]
    num_classes: Positive
    """Width of the logits."""
    in_channels: Positive
    """Channels of the backbone: 2048 from depth 50 on, 512 below, times its width."""
    drop_ratio: PartialShare = 0.8
    """Dropout before the linear layer."""
    std: Annotated[float, Field(gt=0)] = 0.01
    """Standard deviation of its initial weights."""
    num_seg: Segments = 8
    """Frames a clip, as the backbone's."""
    ls_eps: PartialShare = 0.0
    """Label smoothing of the training loss of a Recognizer2D."""


Head = Annotated[MoViNetHead | PPTSMHead, Field(discriminator="name")]


class Network(BaseModel):
    """One network of a distillation."""

    model_config = STRICT

    backbone: Backbone
    head: Head


class LabelLoss(BaseModel):
    """Cross-entropy of one network to the labels; both names mean the same."""

    model_config = STRICT

    name: Literal["DistillationCELoss", "CrossEntropyLoss"]
    model_name_pairs: Pair
    """A network and GroundTruth."""
    loss_weight: Annotated[float, Field(ge=0)] = 1.0
    """Factor of the term."""
    ramp: Ramp = None
    """Shares of the run between which the factor rises linearly from 0; none: at once."""


class MutualLoss(BaseModel):
    """Symmetric KL divergence between two networks, both of which learn from it."""

    model_config = STRICT

    name: Literal["DistillationDMLLoss"]
    model_name_pairs: Pair
    """Two networks."""
    loss_weight: Annotated[float, Field(ge=0)] = 1.0
    """Factor of the term."""
    ramp: Ramp = None
    """Shares of the run between which the factor rises linearly from 0; none: at once."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Divides the logits; the term is multiplied by its square."""


Loss = Annotated[LabelLoss | MutualLoss, Field(discriminator="name")]


class LossLists(BaseModel):
    """The terms that are added up, in training and in validation."""

    model_config = STRICT

    Train: Annotated[list[Loss], Field(min_length=1)]
    Val: Annotated[list[Loss], Field(min_length=1)]


class Recognizer2D(BaseModel):
    """One network that learns from the labels."""

    model_config = STRICT

    framework: Literal["Recognizer2D"]
    backbone: Backbone
    head: Head


class RecognizerDistillation(BaseModel):
    """Several networks that also learn from each other; ``Student`` is the one deployed."""

    model_config = STRICT

    framework: Literal["RecognizerDistillation"]
    models: Annotated[list[dict[str, Network]], Field(min_length=1)]
    """One mapping a network: its name, then its backbone and head."""
    loss: LossLists
    freeze_params_list: list[bool] = []
    """For each network, true where it does not learn; empty: all learn."""

    @field_validator("models")
    @classmethod
    def _one_name_each(cls, models: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for index, entry in enumerate(models):
            if len(entry) != 1:
                names = ", ".join(entry) or "none"
                raise ValueError(f"entry {index} must hold one name, it holds {names}")
        return models


Model = Annotated[Recognizer2D | RecognizerDistillation, Field(discriminator="framework")]


class ModelOnly(BaseModel):
    """A config of which only the MODEL block counts."""

    model_config = STRICT

    MODEL: Model
