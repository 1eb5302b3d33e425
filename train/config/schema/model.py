"""The MODEL block: networks, what they start from, and who learns (PaddleVideo's layout)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator

from train.config.schema.any_loss import Loss
from train.config.schema.common import (
    Block,
    Means,
    PartialShare,
    Positive,
    Segments,
    Side,
    Spreads,
)
from train.config.schema.losses import Layers

GROUND_TRUTH, STUDENT = "GroundTruth", "Student"
CONNECTORS = "connectors"
"""What keys of the losses' own parameters begin with; no network may have this name."""


def _digits(value: Any) -> Any:
    return int(value) if isinstance(value, str) and value.isascii() and value.isdecimal() else value


ClassCount = Annotated[Positive, BeforeValidator(_digits)]
"""How many classes; also as text, which is what `${VARIABLE}` gives."""


class PPTSMv2Backbone(Block):
    """The student of the recipe: PP-LCNetV2 with one temporal shift; it ends in logits."""

    name: Literal["PPTSM_v2"]
    num_seg: Segments = 8
    """Frames a clip; the shift moves 1/num_seg of the channels each way."""
    class_num: ClassCount = 400
    """Width of the logits; left out: as many as DATASET.classes names, or 400 without it."""
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
    """Checkpoint to start from, `imagenet` or `embedded`; none, or empty: random weights."""


class PPTSMMobileNetV2Backbone(Block):
    """A student for small devices: MobileNetV2 with shifts in time; it ends in logits."""

    name: Literal["PPTSM_MobileNetV2"]
    num_seg: Segments = 8
    """Frames a clip; each shift moves 1/num_seg of the channels each way."""
    class_num: ClassCount = 400
    """Width of the logits; left out: as many as DATASET.classes names, or 400 without it."""
    scale: Annotated[float, Field(ge=0.125, le=8)] = 1.0
    """Multiplier of every width but, below 1, the last convolution's; 1 is the public network."""
    pretrained: str | None = None
    """Checkpoint to start from, or `imagenet`; none, or empty, starts from random weights."""


class PPTSMMobileNetV3Backbone(Block):
    """A student for small devices: MobileNetV3 with shifts in time; it ends in logits."""

    name: Literal["PPTSM_MobileNetV3"]
    num_seg: Segments = 8
    """Frames a clip; each shift moves 1/num_seg of the channels each way."""
    class_num: ClassCount = 400
    """Width of the logits; left out: as many as DATASET.classes names, or 400 without it."""
    size: Literal["large", "small"] = "large"
    """MobileNetV3-Large, the public network, or MobileNetV3-Small."""
    scale: Annotated[float, Field(gt=0, le=8)] = 1.0
    """Multiplier of every width but the last convolution's; 1 is the public network."""
    dropout_prob: PartialShare = 0.2
    """Dropout before the classifier."""
    class_expand: Positive = 1280
    """Width of the last convolution."""
    pretrained: str | None = None
    """Checkpoint to start from, or `imagenet`; none, or empty, starts from random weights."""


class ResNetTweaksTSMBackbone(Block):
    """The teacher of the recipe: ResNet-vd with a temporal shift in every block."""

    name: Literal["ResNetTweaksTSM"]
    depth: Literal[18, 34, 50, 101, 152]
    """Layers of the ResNet."""
    num_seg: Segments = 8
    """Frames a clip."""
    width: Annotated[float, Field(ge=0.125, le=8)] = 1.0
    """Multiplier of every width, for small machines; 1 is the public network."""
    pretrained: str | None = None
    """Checkpoint to start from, `imagenet` or `embedded`; none, or empty: random weights."""

    @property
    def features(self) -> int:
        """Channels handed to the head."""
        return int(512 * self.width) * (4 if self.depth >= 50 else 1)


LogitsBackbone = PPTSMv2Backbone | PPTSMMobileNetV2Backbone | PPTSMMobileNetV3Backbone
"""Backbones that end in logits, and say how wide these are."""

AnyBackbone = LogitsBackbone | ResNetTweaksTSMBackbone

Backbone = Annotated[AnyBackbone, Field(discriminator="name")]


class MoViNetHeadOptions(Block):
    """No layer at all: for backbones that end in logits."""

    name: Literal["MoViNetHead"]
    ls_eps: PartialShare = 0.0
    """Label smoothing of the training loss of a Recognizer2D."""


class PPTSMHeadOptions(Block):
    """Pooling, dropout, mean over frames, one linear layer."""

    name: Literal["ppTSMHead"]
    num_classes: ClassCount
    """Width of the logits; left out: as many as DATASET.classes names."""
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


Plugins = list[str]
"""Modules of the user's own that register losses and augmentations, as `import` names them."""

Head = Annotated[MoViNetHeadOptions | PPTSMHeadOptions, Field(discriminator="name")]


class Input(Block):
    """What a network was trained on, where the clips of this config are something else."""

    mean: Means | None = None
    """Of its normalisation; none: the pipeline's."""
    std: Spreads | None = None
    size: Side | None = None
    """Height and width that the clips are resized to; none: they stay as they are."""


class Network(Block):
    """One network of a distillation."""

    backbone: Backbone
    head: Head
    pretrained: str | None = None
    """Checkpoint of a whole network that it starts from, such as a run's best.pdparams."""
    pretrained_role: str | None = None
    """Whose weights to take from a file of several; none: the same name's, else the Student's."""
    trainable: Layers | None = None
    """The layers that learn, by path, where `*` stands for anything; none: all of them."""
    input: Input | None = None
    """What it wants to see; none: what the Student sees."""
    amp: Literal["float16", "bfloat16"] | None = None
    """Precision of a frozen network's forward pass on a GPU; none: that of the run."""


class AveragedNetwork(Block):
    """A network that is the moving average of another one, and takes no gradient."""

    of: str
    """The network of `models` that it follows; it learns."""
    decay: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """Share of the average that a step leaves, at most."""


class LossLists(Block):
    """The terms that are added up, in training and in validation."""

    Train: Annotated[list[Loss], Field(min_length=1)]
    Val: Annotated[list[Loss], Field(min_length=1)]


class Recognizer2D(Block):
    """One network that learns from the labels."""

    framework: Literal["Recognizer2D"]
    backbone: Backbone
    head: Head
    pretrained: str | None = None
    """Checkpoint of a whole network that it starts from, such as a run's best.pdparams."""
    pretrained_role: str | None = None
    """Whose weights to take from a file of several; none: the Student's."""
    trainable: Layers | None = None
    """The layers that learn, by path, where `*` stands for anything; none: all of them."""
    plugins: Plugins = []
    """Loaded from Python's path before anything else of the config is checked."""


class RecognizerDistillation(Block):
    """Several networks that also learn from each other; `Student` is the one deployed."""

    framework: Literal["RecognizerDistillation"]
    models: Annotated[list[dict[str, Network]], Field(min_length=1)]
    """One mapping a network: its name, then its backbone and head."""
    loss: LossLists
    averages: dict[str, AveragedNetwork] = {}
    """By name; terms read them as second network of a pair."""
    freeze_params_list: list[bool] = []
    """For each network, true where it does not learn; empty: all learn."""
    update: Literal["together", "alternating"] = "together"
    """One step for all networks, or one after the other, each seeing what the last one became."""
    plugins: Plugins = []
    """Loaded from Python's path before anything else of the config is checked."""

    @field_validator("models")
    @classmethod
    def _one_name_each(cls, models: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for index, entry in enumerate(models):
            if len(entry) != 1:
                names = ", ".join(entry) or "none"
                raise ValueError(f"entry {index} must hold one name, it holds {names}")
        return models


Model = Annotated[Recognizer2D | RecognizerDistillation, Field(discriminator="framework")]


class ModelOnly(Block):
    """A config of which only the MODEL block counts."""

    MODEL: Model
