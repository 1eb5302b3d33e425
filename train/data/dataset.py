"""One sample of a list as uint8 pixels, by the sampling and scaling code that deployment runs.

Training draws frames and augments them; evaluation is `infer.clips.preprocess.load_clips` itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from infer.clips.decode import read_video
from infer.clips.frames_folder import Numbering, numbering, read_frames_folder
from infer.clips.pixel_aspect import pixel_aspect
from infer.clips.preprocess import center_crop, load_clips, read_scaled, scale_frame
from infer.clips.sampling import sample_indices
from infer.clips.spec import ClipSpec
from infer.clips.time_stamps import Times, times_for
from infer.system.errors import VideoError
from train.config.list_format import FRAME_SUFFIX
from train.data.augment.transforms import AugmentError, Transform, apply_transforms
from train.data.first_frame import check_first_frame
from train.data.lists import Sample


class ClipDataset:
    """Samples of one split, each read when it is asked for.

    Args:
        samples: lines of a list.
        spec: how to sample, scale and crop.
        train: draw the frames and apply `transforms`; otherwise take what deployment takes.
        transforms: training only; they must end at `spec.preprocess.crop` squared. None of them
            means a centre crop.
        suffix: name pattern of the images of frame folders, "img_{:05}.jpg" if empty.
        cache: keep what was decoded in memory, so that a second epoch decodes nothing: all scaled
            frames of a video in training, the clips in evaluation. The pixels are the same either
            way. Meant for small clips: a minute of video at 256 pixels takes about 400 MB.
        missing: paths of the list that were left out because they do not exist; for messages.

    Raises:
        AugmentError: the transforms do not end at the size that `spec` demands.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        spec: ClipSpec,
        *,
        train: bool,
        transforms: Sequence[Transform] = (),
        suffix: str = "",
        cache: bool = False,
        missing: Sequence[str] = (),
    ) -> None:
        if transforms and not train:
            raise ValueError("transforms are for training; an evaluation has none")
        self.samples = tuple(samples)
        self.missing = tuple(missing)
        self.spec = spec
        self.train = train
        self._transforms = tuple(transforms)
        self._suffix = suffix or FRAME_SUFFIX
        self._cache: dict[int, np.ndarray] | None = {} if cache else None
        self._times: dict[int, Times | None] = {}
        if self._transforms:
            self._try_transforms()

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def views(self) -> int:
        """Clips a sample: one in training, `spec.clips` in evaluation."""
        return 1 if self.train else self.spec.clips

    @property
    def clip_shape(self) -> tuple[int, int, int, int]:
        """[T, H, W, 3] of every clip."""
        return self.spec.clip_shape

    def read(self, index: int, *, rng: np.random.Generator | None) -> tuple[np.ndarray, int]:
        """Read one sample.

        Args:
            index: its place in the list, from 0.
            rng: draws frames and augmentation in training; an evaluation does not use it.

        Returns:
            uint8 [views, T, H, W, 3], and the label: that of the list unless a transform swaps it.

        Raises:
            VideoError: the video or one of the frames wanted cannot be read.
            AugmentError: the transforms do not fit the size of this video.
        """
        sample = self.samples[index]
        if not self.train:
            return self._evaluation_clips(index), sample.label
        if rng is None:
            raise ValueError("training draws frames at random and needs rng")
        frames = self._drawn_frames(index, rng)
        if not self._transforms:
            crop = center_crop(frames, self.spec.preprocess.crop)
            return np.ascontiguousarray(crop)[None], sample.label
        frames, label = apply_transforms(self._transforms, frames, sample.label, rng)
        self._check_size(frames, str(sample.path))
        return frames[None], label

    def look(self, index: int) -> None:
        """Open sample `index` and decode its first frame, which tells whether it can be read.

        Raises:
            VideoError: it cannot.
        """
        sample = self.samples[index]
        if sample.frames is None:
            check_first_frame(sample.path)
        else:
            read_frames_folder(
                sample.path, lambda count: [0], suffix=self._suffix, frames=sample.frames
            )

    def numbering(self, index: int) -> Numbering | None:
        """How the pictures of sample `index` are numbered; None of a video file.

        Raises:
            VideoError: its folder cannot be read.
        """
        sample = self.samples[index]
        if sample.frames is None:
            return None
        return numbering(sample.path, self._suffix, claimed=sample.frames)

    def load(self, index: int, *, rng: np.random.Generator | None = None) -> np.ndarray:
        """uint8 [T, H, W, 3] of sample `index`, for a spec with one view; see `read`."""
        clips, _ = self.read(index, rng=rng)
        if len(clips) != 1:
            raise ValueError(f"the spec asks for {len(clips)} views a sample: use read")
        return clips[0]

    def _evaluation_clips(self, index: int) -> np.ndarray:
        """uint8 [views, T, crop, crop, 3], as deployment reads them."""
        if self._cache is not None and index in self._cache:
            return self._cache[index].copy()
        sample = self.samples[index]
        clips, _ = load_clips(sample.path, self.spec, frames=sample.frames, suffix=self._suffix)
        if self._cache is not None:
            self._cache[index] = clips.copy()
        return clips

    def _drawn_frames(self, index: int, rng: np.random.Generator) -> np.ndarray:
        """uint8 [T, h, w, 3]: frames drawn at random, scaled; a fresh array."""
        sample = self.samples[index]
        frames = self._all_frames(index)
        if frames is None or len(frames) == 0:
            scaled, _ = read_scaled(
                sample.path, self.spec, rng=rng, frames=sample.frames, suffix=self._suffix
            )
            return scaled[0]
        times = self._times[index]
        (chosen,) = sample_indices(len(frames), self.spec.sampling, rng=rng, times=times)
        return frames[chosen]

    def _all_frames(self, index: int) -> np.ndarray | None:
        """Every scaled frame from the cache, which is filled here; None without a cache."""
        if self._cache is None:
            return None
        if index not in self._cache:
            self._cache[index] = frames = self._decode(self.samples[index])
            if len(frames):
                path = self.samples[index].path
                self._times[index] = times_for(path, len(frames), self.spec.sampling)
        return self._cache[index]

    def _decode(self, sample: Sample) -> np.ndarray:
        """uint8 [n, h, w, 3], every frame; none at all where one cannot be read.

        A folder with one broken picture still gives the draws that do not meet it. So it is not
        cached but read each time: what a draw gives must not depend on the cache.
        """
        aspect: list[float] = []

        def scale(frame: np.ndarray) -> np.ndarray:
            if not aspect:
                aspect.append(pixel_aspect(sample.path, self.spec.preprocess))
            return scale_frame(frame, self.spec.preprocess, aspect=aspect[0])

        try:
            if sample.frames is None:
                frames, _ = read_video(sample.path, range, each=scale)
            else:
                frames, _ = read_frames_folder(
                    sample.path, range, suffix=self._suffix, frames=sample.frames, each=scale
                )
        except VideoError:
            return np.empty((0, 0, 0, 3), np.uint8)
        return frames

    def _try_transforms(self) -> None:
        """A pipeline that ends at a wrong size is found here, not in the first step."""
        size = self.spec.preprocess.short_size
        frames = np.zeros((self.clip_shape[0], size, size, 3), np.uint8)
        out, _ = apply_transforms(self._transforms, frames, 0, np.random.default_rng(0))
        self._check_size(out, f"a video of {size} x {size} pixels")

    def _check_size(self, frames: np.ndarray, source: str) -> None:
        if frames.shape != self.clip_shape:
            crop = self.spec.preprocess.crop
            raise AugmentError(
                f"{source}: the training transforms end at {frames.shape[2]} x {frames.shape[1]} "
                f"pixels, but clips are {crop} x {crop}; end them with "
                f"RandomCrop: {{target_size: {crop}}}"
            )
