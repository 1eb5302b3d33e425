"""The transforms of PIPELINE and MIX: how frames become pixels (PaddleVideo's layout).

Where PaddleVideo offers a setting that would change pixels and that is not offered here, only the
value that gives what is offered is allowed: nothing that changes results is silently ignored.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, Field, model_validator

from train.config.schema.common import Block, Means, Positive, Share, Side, Spreads
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
class ScaleOptions(Block):
    """Resize so that the short side is `short_size`."""

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
class CenterCropOptions(Block):
    """Cut the middle."""

    target_size: Side
    do_round: Literal[True] = True
    """Half pixels of the corner are rounded, not cut off."""


@_step("RandomCrop")
class RandomCropOptions(Block):
    """Cut a square anywhere."""

    target_size: Side


@_step("MultiScaleCrop")
class MultiScaleCropOptions(Block):
    """Cut a box of a drawn size at a drawn place and resize it to a square."""

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
class RandomFlipOptions(Block):
    """Mirror left and right; see `DATASET.label_flip`."""

    p: Share = 0.5


@_step("ColorJitter")
class ColorJitterOptions(Block):
    """Factors drawn from 1 - x to 1 + x, one draw a clip."""

    brightness: Annotated[float, Field(ge=0)] = 0.0
    contrast: Annotated[float, Field(ge=0)] = 0.0
    saturation: Annotated[float, Field(ge=0)] = 0.0


@_step("ChannelShuffle")
class ChannelShuffleOptions(Block):
    """Permute the colour channels."""

    p: Share = 0.5


@_step("RandomShift")
class RandomShiftOptions(Block):
    """Move the picture by up to `pixels` each way."""

    pixels: Annotated[int, Field(ge=0)]


@_step("RandAugment")
class RandAugmentOptions(Block):
    """A few operations of fourteen, one draw a clip."""

    num_layers: Positive = 2
    """Operations a clip."""
    magnitude: Annotated[float, Field(ge=0, le=10)] = 5.0
    """Strength of each."""
    prob: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Share of the clips that are augmented."""


@_step("AutoAugment")
class AutoAugmentOptions(Block):
    """One of the 25 pairs of operations that were found for ImageNet, one draw a clip."""

    prob: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Share of the clips that are augmented."""


@_step("GroupFullResSample")
class GroupFullResSampleOptions(Block):
    """Crops at the left, at the right and in the middle; their scores are averaged."""

    crop_size: Side
    # Mirrored clips may belong to another class.
    flip: Literal[False] = False


@_step("Image2Array")
class Image2ArrayOptions(Block):
    """Frames to an array [time, channel, height, width]: a node of the network here."""

    transpose: Literal[True] = True
    data_format: Literal["tchw"] = "tchw"


@_step("Normalization")
class NormalizationOptions(Block):
    """Subtract `mean`, divide by `std`, of pixels from 0 to 1: a node of the network here."""

    mean: Means
    std: Spreads


class MixupOptions(Block):
    """Blend every clip with another of the batch."""

    name: Literal["Mixup"]
    alpha: Annotated[float, Field(gt=0)] = 0.2


class CutmixOptions(Block):
    """Replace a box by that of another clip."""

    name: Literal["Cutmix"]
    alpha: Annotated[float, Field(gt=0)] = 0.2


class VideoMixOptions(Block):
    """Cutmix or Mixup, one draw a batch."""

    name: Literal["VideoMix"]
    cutmix_prob: Share = 0.5
    mixup_alpha: Annotated[float, Field(gt=0)] = 0.2
    cutmix_alpha: Annotated[float, Field(gt=0)] = 1.0


Mix = Annotated[MixupOptions | CutmixOptions | VideoMixOptions, Field(discriminator="name")]
