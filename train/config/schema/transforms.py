"""The transforms of PIPELINE and MIX: how frames become pixels (PaddleVideo's layout).

Where PaddleVideo offers a setting that would change pixels and that is not offered here, only the
value that gives what is offered is allowed: nothing that changes results is silently ignored.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, Field, model_validator

from train.config.schema.common import STRICT, Means, Positive, Share, Side, Spreads
from train.plugins.registry import STEPS, StepSchema, register

Options = TypeVar("Options", bound=type[BaseModel])


def _step(name: str) -> Callable[[Options], Options]:
    """Register the settings of a transform."""

    def add(options: Options) -> Options:
        register("augmentation", name, options.__module__)
        STEPS[name] = StepSchema(options)
        return options

    return add


@_step("Scale")
class ScaleOptions(BaseModel):
    """Resize so that the short side is `short_size`."""

    model_config = STRICT

    short_size: Side
    fixed_ratio: bool = True
    """Squash to 4:3, as the recipe does; false keeps the proportions."""
    keep_ratio: bool | None = None
    """With fixed_ratio false: false squashes to a square."""
    do_round: bool = False
    """Round sizes instead of cutting the fraction off."""
    square_pixels: bool = False
    """Scale from the shape in which frames are shown, where their pixels are no squares."""
    backend: Literal["pillow", "cv2"] = "pillow"
    """PaddleVideo's: pillow filters what it shrinks, cv2 does not."""
    resize: Literal["area", "bilinear", "pil"] | None = None
    """The filter here; none: area for pillow, bilinear for cv2. pil is PaddleVideo's to the bit."""

    @model_validator(mode="after")
    def _one_ratio(self) -> ScaleOptions:
        if self.fixed_ratio and self.keep_ratio:
            raise ValueError("fixed_ratio and keep_ratio cannot both be true")
        return self

    @property
    def filter(self) -> str:
        """The resize of `infer.clips.spec.PreprocessSpec`."""
        return self.resize or ("bilinear" if self.backend == "cv2" else "area")


@_step("CenterCrop")
class CenterCropOptions(BaseModel):
    """Cut the middle."""

    model_config = STRICT

    target_size: Side
    do_round: Literal[True] = True
    """Half pixels of the corner are rounded, not cut off."""


@_step("RandomCrop")
class RandomCropOptions(BaseModel):
    """Cut a square anywhere."""

    model_config = STRICT

    target_size: Side


@_step("MultiScaleCrop")
class MultiScaleCropOptions(BaseModel):
    """Cut a box of a drawn size at a drawn place and resize it to a square."""

    model_config = STRICT

    target_size: Side
    scales: Annotated[list[Annotated[float, Field(gt=0, le=1)]], Field(min_length=1)] | None = None
    """Sides of the box as shares of the short side; none: 1, 0.875, 0.75, 0.66."""
    max_distort: Annotated[int, Field(ge=0)] = 1
    """How many steps of `scales` the two sides may be apart."""
    fix_crop: bool = True
    """Places on a grid; false: anywhere."""
    allow_duplication: bool = False
    """Keep grid places that coincide."""
    more_fix_crop: bool = True
    """A finer grid."""
    backend: Literal["pillow"] = "pillow"
    """PaddleVideo's: a resize that filters what it shrinks."""
    resize: Literal["area", "bilinear", "pil"] | None = None
    """The filter here; none: area."""


@_step("RandomFlip")
class RandomFlipOptions(BaseModel):
    """Mirror left and right; see `DATASET.label_flip`."""

    model_config = STRICT

    p: Share = 0.5


@_step("ColorJitter")
class ColorJitterOptions(BaseModel):
    """Factors drawn from 1 - x to 1 + x, one draw a clip."""

    model_config = STRICT

    brightness: Annotated[float, Field(ge=0)] = 0.0
    contrast: Annotated[float, Field(ge=0)] = 0.0
    saturation: Annotated[float, Field(ge=0)] = 0.0


@_step("ChannelShuffle")
class ChannelShuffleOptions(BaseModel):
    """Permute the colour channels."""

    model_config = STRICT

    p: Share = 0.5


@_step("RandomShift")
class RandomShiftOptions(BaseModel):
    """Move the picture by up to `pixels` each way."""

    model_config = STRICT

    pixels: Annotated[int, Field(ge=0)]


@_step("RandAugment")
class RandAugmentOptions(BaseModel):
    """A few operations of fourteen, one draw a clip."""

    model_config = STRICT

    num_layers: Positive = 2
    """Operations a clip."""
    magnitude: Annotated[float, Field(ge=0, le=10)] = 5.0
    """Strength of each."""
    prob: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Share of the clips that are augmented."""


@_step("AutoAugment")
class AutoAugmentOptions(BaseModel):
    """One of the 25 pairs of operations that were found for ImageNet, one draw a clip."""

    model_config = STRICT

    prob: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Share of the clips that are augmented."""


@_step("GroupFullResSample")
class GroupFullResSampleOptions(BaseModel):
    """Crops at the left, at the right and in the middle; their scores are averaged."""

    model_config = STRICT

    crop_size: Side
    # Mirrored clips may belong to another class.
    flip: Literal[False] = False


@_step("Image2Array")
class Image2ArrayOptions(BaseModel):
    """Frames to an array [time, channel, height, width]: a node of the network here."""

    model_config = STRICT

    transpose: Literal[True] = True
    data_format: Literal["tchw"] = "tchw"


@_step("Normalization")
class NormalizationOptions(BaseModel):
    """Subtract `mean`, divide by `std`, of pixels from 0 to 1: a node of the network here."""

    model_config = STRICT

    mean: Means
    std: Spreads


class MixupOptions(BaseModel):
    """Blend every clip with another of the batch."""

    model_config = STRICT

    name: Literal["Mixup"]
    alpha: Annotated[float, Field(gt=0)] = 0.2


class CutmixOptions(BaseModel):
    """Replace a box by that of another clip."""

    model_config = STRICT

    name: Literal["Cutmix"]
    alpha: Annotated[float, Field(gt=0)] = 0.2


class VideoMixOptions(BaseModel):
    """Cutmix or Mixup, one draw a batch."""

    model_config = STRICT

    name: Literal["VideoMix"]
    cutmix_prob: Share = 0.5
    mixup_alpha: Annotated[float, Field(gt=0)] = 0.2
    cutmix_alpha: Annotated[float, Field(gt=0)] = 1.0


Mix = Annotated[MixupOptions | CutmixOptions | VideoMixOptions, Field(discriminator="name")]
