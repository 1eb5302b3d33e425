"""A list's clips as another camera would have taken them, for the networks to answer."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np

from benchmarks.common.errors import BenchmarkError
from benchmarks.common.result_file import shown_path
from benchmarks.perturb.cameras import PERTURBATIONS, generator
from infer.clips.array_file import is_array_file, read_array_file
from infer.clips.decode import Frames, read_video
from infer.clips.frames_folder import read_frames_folder
from infer.clips.pixel_aspect import pixel_aspect
from infer.clips.preprocess import clips_of_frames, reason_of
from infer.clips.spec import ClipSpec
from infer.clips.time_stamps import times_for
from infer.system.errors import SpecError, VideoError
from train.config.list_format import FRAME_SUFFIX
from train.data.lists import Sample

MOST_BYTES = 2**31
"""Of the decoded frames of one clip: all of them are in memory, as they are perturbed together."""
USUAL_RATE = 25.0  # frames per second, where a file does not say


class PerturbedClips:
    """Samples of a list in evaluation, all decoded frames of each perturbed before sampling.

    Sampling, scaling and cropping are those of deployment.

    Args:
        samples: lines of a list.
        spec: how to sample, scale and crop.
        name: of the perturbation.
        seed: of its draws.
        root: of the list; the draws of a clip follow from its path below it.
        suffix: name pattern of the images of frame folders, "img_{:05}.jpg" if empty.
        cache: keep the clips in memory.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        spec: ClipSpec,
        *,
        name: str,
        seed: int,
        root: Path | None,
        suffix: str = "",
        cache: bool = False,
    ) -> None:
        self.samples = tuple(samples)
        self.spec = spec
        self._name, self._seed, self._root = name, seed, root
        self._suffix = suffix or FRAME_SUFFIX
        self._cache: dict[int, Frames] | None = {} if cache else None

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def views(self) -> int:
        """Clips a sample."""
        return self.spec.clips

    @property
    def clip_shape(self) -> tuple[int, int, int, int]:
        """[T, H, W, 3] of every clip."""
        return self.spec.clip_shape

    def read(self, index: int, *, rng: np.random.Generator | None) -> tuple[Frames, int]:
        """uint8 [views, T, H, W, 3] and the label of sample `index`; `rng` is not used.

        Raises:
            VideoError: the clip cannot be read, perturbed or preprocessed, or is too long.
        """
        sample = self.samples[index]
        clips = None if self._cache is None else self._cache.get(index)
        if clips is None:
            clips = self._clips(sample)
            if self._cache is not None:
                self._cache[index] = clips
        return clips.copy(), sample.label

    def _clips(self, sample: Sample) -> Frames:
        try:
            frames, fps = all_frames(sample, self._suffix)
            rng = generator(self._seed, self._name, shown_path(sample.path, self._root))
            perturbed, kept = PERTURBATIONS[self._name].apply(frames, fps, rng)
            times = times_for(sample.path, len(frames), self.spec.sampling)
            if times is not None:  # a frame is shown until the next one that is left
                times = np.append(times[kept], times[-1])
            aspect = pixel_aspect(sample.path, self.spec.preprocess)
            return clips_of_frames(perturbed, self.spec, times=times, aspect=aspect)
        except Exception as error:
            # One clip's odd frames must not end the others' answers.
            reason = _reason(error)
            if reason is None:
                raise
            raise VideoError(sample.path, reason) from None


def all_frames(sample: Sample, suffix: str) -> tuple[Frames, float]:
    """Every decoded frame of a sample, uint8 [n, H, W, 3] RGB, and its frames per second.

    Raises:
        VideoError: it cannot be read, or its frames need more than `MOST_BYTES`.
    """
    held = 0

    def count(frame: Frames) -> Frames:
        nonlocal held
        held += frame.nbytes
        if held > MOST_BYTES:
            raise VideoError(
                sample.path,
                f"its frames need more than {MOST_BYTES / 2**30:g} GiB, which is too much to "
                "perturb; cut it into shorter clips",
            )
        return frame

    if os.path.isdir(sample.path):
        frames, info = read_frames_folder(
            sample.path, range, suffix=suffix, frames=sample.frames, each=count
        )
    elif is_array_file(sample.path):
        frames, info = read_array_file(sample.path, range, each=count)
    else:
        frames, info = read_video(sample.path, range, each=count)
    return frames, info.fps or USUAL_RATE


def _reason(error: Exception) -> str | None:
    """Why a clip gives no pixels; None where that is no matter of the clip."""
    if isinstance(error, av.FFmpegError):
        return f"its frames cannot be encoded as H.264: {error}"
    return str(error) if isinstance(error, SpecError | BenchmarkError) else reason_of(error)


def subset(samples: Sequence[Sample], count: int, *, seed: int) -> list[Sample]:
    """Some clips of a list in its order, drawn at random within each class.

    Classes keep their shares, to one clip.

    Args:
        samples: of the list.
        count: how many; 0, or more than there are: all.
        seed: of the draw.
    """
    if not 0 < count < len(samples):
        return list(samples)
    labels = np.array([sample.label for sample in samples])
    classes, sizes = np.unique(labels, return_counts=True)
    wanted = sizes * count / len(samples)
    taken = np.floor(wanted).astype(int)
    # The clips that are left go to classes that have none, then to those that lack most of one.
    order = np.lexsort((classes, taken - wanted, taken > 0))
    taken[order[: count - int(taken.sum())]] += 1
    rng = np.random.default_rng(seed)
    places: list[int] = []
    for label, number in zip(classes, taken, strict=True):
        places += rng.permutation(np.flatnonzero(labels == label))[:number].tolist()
    return [samples[place] for place in sorted(places)]
