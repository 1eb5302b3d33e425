"""Many videos through one network: decode in threads, run in batches, answer in input order.

However many videos there are, the clips of at most 2 * batch_size + workers of them are in memory.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from ..clips.decode import Frames, VideoInfo
from ..clips.preprocess import load_clips, reason_of
from ..clips.spec import ClipSpec
from ..containers.damage import frames_warning
from ..system.addresses import shown_path
from ..system.errors import NO_MEMORY, BackendError, VideoError
from ..system.terminal import counted, printable
from .rank import Ranked, top_k

Load = Callable[[Path, ClipSpec], tuple[Frames, VideoInfo]]
Run = Callable[[Frames], npt.NDArray[np.float32]]


@dataclass(frozen=True)
class Prediction:
    """What came out for one video: either `topk` or `error`, never both.

    Attributes:
        video: its path; None for frames that the caller had.
        topk: the best classes, best first; empty where there is an error.
        seconds: of reading and preprocessing, and its share of the network's time.
        error: why there is no answer, or None.
        warning: what was lost although there is an answer, such as a damaged part; or None.
    """

    video: Path | None
    topk: tuple[Ranked, ...]
    seconds: float
    error: str | None = None
    warning: str | None = None

    @property
    def label(self) -> str | None:
        """Name of the best class; None where there is an error."""
        return self.topk[0].label if self.topk else None

    @property
    def score(self) -> float | None:
        """Probability of the best class, 0 to 1; None where there is an error."""
        return self.topk[0].score if self.topk else None

    def to_dict(self) -> dict[str, Any]:
        """The prediction as plain data, ready for JSON."""
        video = None if self.video is None else shown_path(self.video)
        own = {"video": video, "label": self.label, "score": self.score}
        return own | {key: value for key, value in asdict(self).items() if key != "video"}

    def __str__(self) -> str:
        name = "frames" if self.video is None else shown_path(self.video)
        if self.error is not None:
            said = f"{name}: error: {self.error}"
        else:
            best = ", ".join(f"{one.label} {one.score:.3f}" for one in self.topk)
            said = f"{name}: {best}" + (f" (warning: {self.warning})" if self.warning else "")
        return printable(said)


@dataclass
class Loaded:
    """One video on its way to the network.

    Attributes:
        video: its path.
        clips: dropped as soon as the network has seen them; None where there is an error.
        seconds: of reading and preprocessing.
        error: why there are no clips, or None.
        warning: as of `Prediction`.
        failure: the kind of the error, of `FAILURES`, or "".
        info: what is known about the video; None where there is an error.
    """

    video: Path
    clips: Frames | None
    seconds: float
    error: str | None = None
    warning: str | None = None
    failure: str = ""
    info: VideoInfo | None = None


def predict_videos(
    videos: Iterable[Path],
    run: Run,
    spec: ClipSpec,
    classes: Sequence[str],
    *,
    batch_size: int = 1,
    workers: int = 2,
    k: int = 5,
    load: Load = load_clips,
    temperature: float | None = None,
) -> Iterator[Prediction]:
    """Predict videos one after the other; decoding of the first ones starts with the call.

    Args:
        videos: taken one by one as they are needed.
        run: uint8 [n, T, H, W, 3] to logits [n, classes].
        spec: how to sample, scale and crop.
        classes: their names, by index.
        batch_size: videos that go through the network together, each with its `spec.clips` clips.
            A batch holds consecutive videos, so answers do not depend on timing.
        workers: decoding threads.
        k: classes in each prediction.
        load: reads one video; raises VideoError.
        temperature: for calibrated scores; None: those of the network.

    Returns:
        An iterator of one `Prediction` for every video, in order. Close it to stop early. What
        `videos` raises comes after the predictions of those that it gave before.
    """
    if batch_size < 1 or workers < 1:
        raise ValueError(f"batch_size {batch_size} and workers {workers} must be at least 1")
    pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
    waiting: deque[Future[Loaded]] = deque()
    source = iter(videos)
    broken: list[Exception] = []
    window = batch_size + workers

    def fill() -> None:
        while len(waiting) < window and not broken:
            try:
                video = next(source)
            except StopIteration:
                return
            except Exception as error:  # the caller's
                broken.append(error)
                return
            waiting.append(pool.submit(load_video, video, spec, load))

    fill()

    def answers() -> Iterator[Prediction]:
        try:
            while waiting:
                batch: list[Loaded] = []
                while waiting and len(batch) < batch_size:
                    batch.append(waiting.popleft().result())
                fill()
                yield from predict_loaded(batch, run, classes, k, temperature)
            if broken:
                raise broken[0]
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    return answers()


def load_video(video: Path, spec: ClipSpec, load: Load) -> Loaded:
    """Read one video; what is wrong with it is in what is returned."""
    start = time.perf_counter()
    clips, info, error, warning, failure = None, None, None, None, ""
    try:
        clips, info = load(video, spec)
        if info.damaged and info.codec == "frames":  # pictures, which have no header
            warning = info.lost
        elif info.damaged:
            warning = frames_warning(info.lost, info.frames, info.header_frames)
    except (VideoError, MemoryError, cv2.error) as problem:
        error = reason_of(problem)
        failure = "memory" if error == NO_MEMORY else getattr(problem, "kind", "unreadable")
    return Loaded(video, clips, time.perf_counter() - start, error, warning, failure, info)


def predict_loaded(
    batch: Sequence[Loaded],
    run: Run,
    classes: Sequence[str],
    k: int,
    temperature: float | None = None,
) -> Iterator[Prediction]:
    """The predictions of videos that go through the network together."""
    good = [item.clips for item in batch if item.clips is not None]
    logits: list[npt.NDArray[np.float32]] = []
    share, problem = 0.0, None
    if good:
        start = time.perf_counter()
        try:
            flat = run(np.concatenate(good) if len(good) > 1 else good[0])
            logits = np.split(flat, np.cumsum([len(clips) for clips in good])[:-1])
        except BackendError as error:
            problem = str(error)
        except MemoryError:
            problem = f"not enough memory to run {counted(len(good), 'video')} at once"
        share = (time.perf_counter() - start) / len(good)
    del good
    place = iter(logits)
    for item in batch:
        seconds = item.seconds if item.clips is None else item.seconds + share
        ranked: tuple[Ranked, ...] = ()
        wrong = item.error or problem
        if wrong is None:
            try:
                ranked = tuple(top_k(next(place), k, classes, temperature=temperature))
            except BackendError as error:
                wrong = str(error)
        item.clips = None
        yield Prediction(item.video, ranked, seconds, wrong, None if wrong else item.warning)
