"""The PIPELINE block: from a listed video to pixels (PaddleVideo's layout)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from infer.clips.spec import ClipSpec, PreprocessSpec, SamplingSpec
from train.config.schema.common import Block, Segments, Split
from train.config.schema.steps import AnyStep

DENSE_VIEWS = 10
"""Windows that dense sampling takes from a video in evaluation, as PaddleVideo does."""


class Decode(Block):
    """How frames are read; must fit the list's format."""

    name: Literal["VideoDecoder", "FrameDecoder"]


class SamplingOptions(Block):
    """Which frames of a video make a clip."""

    name: Literal["Sampler"] = "Sampler"
    num_seg: Segments = 8
    """Segments of the video, one draw in each."""
    seg_len: Annotated[int, Field(ge=1, le=1)] = 1
    """Consecutive frames a segment; the networks take one."""
    valid_mode: bool = False
    """False draws (training), true takes the centre (validation and test)."""
    select_left: bool = False
    """Centres of exact segments, as deployment in PaddleVideo takes; false: of whole-frame ones."""
    dense_sample: bool = False
    """Frames of a window of 64 instead of the whole video."""
    by: Literal["frame", "time"] = "frame"
    """What counts alike: every frame, or every moment, where frames are shown for unequal times."""
    views: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Clips a video in evaluation, whose scores are averaged; none: 1, or 10 if dense."""


class PipelineSplit(Block):
    """From a listed video to pixels, for one split."""

    decode: Decode
    sample: SamplingOptions
    transform: list[AnyStep]

    def blocks(self) -> list[dict[str, dict[str, Any]]]:
        """The transform list as plain data with all defaults: `[{"RandomCrop": {...}}]`."""
        return [{step.name: step.options.model_dump()} for step in self.transform]

    def find(self, name: str) -> Any:
        """The settings of the last transform of that name, or None."""
        found = [step.options for step in self.transform if step.name == name]
        return found[-1] if found else None

    @property
    def crop(self) -> int:
        """Height and width that the transforms end at, in pixels."""
        size = 0
        for step in self.transform:
            options: Any = step.options
            size = getattr(options, "target_size", 0) or getattr(options, "crop_size", 0) or size
        return size

    @property
    def clip_shape(self) -> tuple[int, int, int, int]:
        """A clip in evaluation: time, height, width, channels."""
        return self.sample.num_seg * self.sample.seg_len, self.crop, self.crop, 3

    def spec(self, *, training: bool = False) -> ClipSpec:
        """How a video becomes a clip; in training, without what is drawn."""
        sample, scale = self.sample, self.find("Scale")
        normalization = self.find("Normalization")
        views = sample.views or (DENSE_VIEWS if sample.dense_sample else 1)
        sampling = SamplingSpec(
            num_seg=sample.num_seg,
            seg_len=sample.seg_len,
            kind="dense" if sample.dense_sample else "uniform",
            select_left=sample.select_left,
            views=1 if training else views,
            by=sample.by,
        )
        preprocess = PreprocessSpec(
            short_size=scale.short_size,
            fixed_ratio=scale.fixed_ratio,
            keep_ratio=scale.keep_ratio,
            do_round=scale.do_round,
            resize=scale.filter,
            crop=self.crop,
            crops=3 if self.find("GroupFullResSample") else 1,
            mean=normalization.mean,
            std=normalization.std,
            square_pixels=scale.square_pixels,
        )
        return ClipSpec(sampling, preprocess)


class Pipeline(Block):
    """The three splits."""

    train: PipelineSplit
    valid: PipelineSplit
    test: PipelineSplit | None = None

    def of(self, split: Split) -> PipelineSplit:
        """The pipeline of a split; a test split without its own uses that of validation."""
        if split == "train":
            return self.train
        return self.valid if split == "valid" or self.test is None else self.test
