"""The public API: load a bundle, classify videos, frames or clips.

Example:
    import clipduet

    with clipduet.load("bundles/dml") as model:
        for prediction in model.predict(["a.mp4", "b.mp4"]):
            print(prediction)
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sized
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .bundle.bundle import Bundle
from .clips.preprocess import clips_of_frames, load_clips
from .pipeline.predictions import Prediction, predict_videos
from .pipeline.rank import Ranked
from .pipeline.rank import top_k as best
from .runtimes.base import MOST_THREADS
from .runtimes.open import open_runtime
from .system.errors import BackendError, ClipDuetError, listed
from .system.hardware import MOST_DECODERS, cores
from .system.whole_numbers import argument_problems

if TYPE_CHECKING:
    from .runtimes.base import Clips, Logits, Runtime


class Model:
    """A bundle that is ready to classify; made by `load`, a context manager.

    Any number of threads may use one: the network runs for one of them at a time, reading and
    preprocessing for all at once. Processes that are forked need a model of their own.

    Attributes:
        bundle: what the export wrote: classes, sampling, preprocessing, origin.
        temperature: that logits are divided by for scores; None: they are not.
    """

    def __init__(
        self,
        bundle: Bundle,
        runtime: Runtime,
        *,
        threads: int | None,
        temperature: float | None = None,
    ) -> None:
        self.bundle = bundle
        self.temperature = temperature
        self._runtime = runtime
        self._threads = threads
        self._running = threading.Lock()
        self._closed = False
        self._process = os.getpid()

    @property
    def name(self) -> str:
        """Name of the bundle."""
        return self.bundle.name

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, by their index."""
        return tuple(self.bundle.classes)

    @property
    def clip_shape(self) -> tuple[int, int, int, int]:
        """Shape of one clip: frames, height, width, 3."""
        return self.bundle.spec.clip_shape

    @property
    def backend(self) -> str:
        """Name of the backend that runs it, such as `onnxruntime`."""
        return self._runtime.backend

    @property
    def precision(self) -> str:
        """fp32, fp16, bf16 or int8."""
        return self._runtime.precision

    def predict(
        self,
        videos: str | Path | Iterable[str | Path],
        *,
        top_k: int = 5,
        batch_size: int = 1,
        workers: int | None = None,
    ) -> Iterator[Prediction]:
        """Classify video files.

        Args:
            videos: one path or any number of them, taken as they are needed. A folder is one video,
                whose frames are pictures numbered from 0 or 1 (`img_00001.jpg`); a `.npy` or `.npz`
                file is one too, of uint8 frames [T, H, W, 3]. Of a folder of videos, pass the
                files: `sorted(Path("clips").glob("*.mp4"))`.
            top_k: classes in each prediction, at least 1.
            batch_size: videos that go through the network together, at least 1.
            workers: threads that read videos, at most 1024; None: one a core, at most
                `MOST_DECODERS`.

        Returns:
            A prediction for every video, in order, as soon as it is there. A video that cannot be
            read gives one with an error, and the others go on. Reading begins with the call. What
            `videos` itself raises comes after the predictions of the paths that it gave before.

        Raises:
            ClipDuetError: a number that is not whole or not in its range, or a model that was
                closed.
        """
        self._check_open()
        paths = [videos] if isinstance(videos, str | os.PathLike) else videos
        count = min(self._threads or cores(), MOST_DECODERS) if workers is None else workers
        most = {"workers": MOST_THREADS}
        _check_from_one(most, top_k=top_k, batch_size=batch_size, workers=count)
        known = len(paths) if isinstance(paths, Sized) else count
        threads = max(min(count, cores()) // max(known, 1), 1)
        return predict_videos(
            (Path(path) for path in paths),
            self.logits,
            self.bundle.spec,
            self.bundle.classes,
            batch_size=batch_size,
            workers=count,
            k=top_k,
            load=partial(load_clips, threads=threads),
            temperature=self.temperature,
        )

    def predict_frames(self, frames: np.ndarray, *, top_k: int = 5) -> Prediction:
        """Classify the frames of one video that the caller has read.

        They are sampled, scaled and cropped as those of a file.

        Args:
            frames: uint8 [T, H, W, 3], RGB, all frames in their order, at least one.
            top_k: classes in the prediction, at least 1.

        Raises:
            ClipDuetError: frames of another shape or type, or too small for the crop; a `top_k`
                that is not whole or below 1.
        """
        _check_from_one(top_k=top_k)
        found = np.asarray(frames)
        good = found.dtype == np.uint8 and found.ndim == 4 and found.shape[-1] == 3
        if not good or 0 in found.shape:
            raise ClipDuetError(
                f"frames are {found.dtype} of shape {found.shape}; needed: uint8 (T, H, W, 3), "
                "RGB, at least one frame"
            )
        started = time.perf_counter()
        clips = clips_of_frames(found, self.bundle.spec)
        ranked = tuple(self.ranked(self.logits(clips), top_k))
        return Prediction(None, ranked, time.perf_counter() - started)

    def ranked(self, logits: Logits, top_k: int) -> list[Ranked]:
        """The best classes of one video, best first.

        Args:
            logits: float32 [n, classes], of all its clips.
            top_k: at least 1.

        Raises:
            BackendError: logits that are not finite.
        """
        return best(logits, top_k, self.bundle.classes, temperature=self.temperature)

    def threshold(self, precision: float) -> float:
        """The score from which answers of validation clips were right in so large a share.

        It is one of calibrated scores.

        Raises:
            ClipDuetError: the bundle has none for so high a precision, or none at all.
        """
        return self.bundle.needed_confidence().threshold(precision)

    def logits(self, clips: Clips) -> Logits:
        """Run the network on clips that are ready.

        Args:
            clips: uint8 [n, *clip_shape], RGB, n at least 1; larger than the bundle's largest
                batch is fine.

        Returns:
            float32 [n, classes].

        Raises:
            BackendError: another shape or type, or a model that was closed.
        """
        self._check_open()
        with self._running:
            self._check_open()
            return self._runtime.run(clips)

    def close(self) -> None:
        """Give back the memory; twice is fine, running afterwards is an error."""
        if os.getpid() != self._process:
            return  # another thread may have held the lock at the fork, and nobody frees it here
        with self._running:
            self._closed = True
            self._runtime.close()

    def _check_open(self) -> None:
        if os.getpid() != self._process:
            raise BackendError(
                f"this model was loaded in process {self._process}; load one in each process"
            )
        if self._closed:
            raise BackendError("this model was closed; load it again")

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        classes = "1 class" if len(self.classes) == 1 else f"{len(self.classes)} classes"
        return f"<Model {self.name}: {classes}, {self.backend} {self.precision}>"


def _check_from_one(most: Mapping[str, int] | None = None, **numbers: object) -> None:
    """Raises ClipDuetError unless all are whole numbers from 1, and those in `most` no larger."""
    problems = []
    for name, value in numbers.items():
        high = (most or {}).get(name)
        allowed = "whole numbers from 1" + ("" if high is None else f" to {high}")
        problems += argument_problems(name, value, 1, high, allowed=allowed)
    if problems:
        one = len(problems) == 1
        raise ClipDuetError(problems[0] if one else listed("wrong arguments", problems))


def load(
    bundle: str | Path,
    *,
    backend: str = "auto",
    precision: str = "fp32",
    threads: int | None = None,
    max_batch: int | None = None,
    device: int = 0,
    calibrated: bool = False,
) -> Model:
    """Open a bundle that `export` wrote.

    Args:
        bundle: its folder.
        backend: `auto`, which takes the best that runs here, or the name of one, such as
            `onnxruntime`; `clipduet doctor` lists them.
        precision: `fp32`, `fp16`, `bf16` or `int8`; one that the bundle has. `auto`: int8 where
            the bundle has it and this machine computes it right, else fp32.
        threads: CPU threads of the network; None: all cores.
        max_batch: most clips that go through the network at once; None: as verified at export.
        device: number of the GPU.
        calibrated: whether scores are those of the bundle's temperature: of answers with a score of
            0.8, about 80 % are right.

    Raises:
        BundleError: no bundle, a damaged one, one without the temperature that is asked for, or
            files that were changed since the export.
        BackendError: an option that is wrong, or a backend that cannot run here, and why.
    """
    opened = Bundle.load(bundle)
    temperature = opened.needed_confidence().temperature if calibrated else None
    runtime = open_runtime(
        opened,
        backend=backend,
        precision=precision,
        threads=threads,
        max_batch=max_batch,
        device=device,
        spinning=False,  # reading shares the cores
    )
    return Model(opened, runtime, threads=threads, temperature=temperature)
