"""From uploads to predictions: a queue with an end, reading in processes, one network."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ..api import Model
from ..isolation.reading import IsolatedReading
from ..pipeline.predictions import Loaded, Prediction, load_video, predict_loaded
from ..runtimes.base import Clips, Logits
from ..system.errors import ClipDuetError
from ..system.log import logger
from ..system.terminal import printable
from .frames import frame_pictures
from .limits import ServiceLimits
from .metrics import Metrics
from .refusal import FAILED, ClientGone, Refused, told_to_client
from .uploads import Upload, uploads

log = logger(__name__)
T = TypeVar("T")

FAULTS = ("timeout", "memory", "crash")
"""Failures of a video that the one who runs the service should know of."""


@dataclass(frozen=True)
class Answer:
    """What came out for one upload.

    Attributes:
        name: as the client calls the file.
        prediction: as of `predict`.
        failure: the kind of its error, or "".
        pictures: of `frame_pictures`; None where they are not asked for, or there is an error.
    """

    name: str
    prediction: Prediction
    failure: str
    pictures: list[dict[str, Any]] | None


class Service:
    """A model behind a queue; its methods are for one event loop.

    Attributes:
        model: that classifies.
        limits: what is taken in.
        folder: where uploads are written.
        threshold: the least score of a class in answers, where a request does not say it.
        metrics: what was counted.
        stopping: whether requests are refused because the service ends.
    """

    def __init__(
        self,
        model: Model,
        reading: IsolatedReading,
        limits: ServiceLimits,
        folder: Path,
        *,
        threshold: float = 0.0,
    ) -> None:
        self.model, self.limits, self.folder = model, limits, folder
        self.threshold = threshold
        self.stopping = False
        self._reading = reading
        self._inside = self._waiting = 0
        self.metrics = Metrics(lambda: self._waiting, lambda: self._inside)
        self._seconds = 0.1  # of a video, lately
        self._readers = ThreadPoolExecutor(limits.workers, thread_name_prefix="read")
        # The network runs for one caller at a time: more threads would only wait for it.
        self._network = ThreadPoolExecutor(1, thread_name_prefix="network")
        # More than are read, so that reading goes on while the network runs; and no more, as the
        # clips of each are in memory.
        self._slots = asyncio.Semaphore(limits.workers + 2)

    def warm_up(self) -> None:
        """Run the network once: the first run takes longer, and may fail."""
        self.model.logits(np.zeros((1, *self.model.clip_shape), np.uint8))

    def close(self) -> None:
        """Let its threads end; what they do now is not waited for."""
        self._readers.shutdown(wait=False, cancel_futures=True)
        self._network.shutdown(wait=False, cancel_futures=True)

    @contextlib.asynccontextmanager
    async def received(self, request: Any, *, form: bool = True) -> AsyncIterator[list[Upload]]:
        """The files of a request, which has a place in the queue until the body ends.

        Args:
            request: of Starlette; its bytes are not read yet.
            form: as for `uploads`.

        Raises:
            Refused: 429 there is no place, 503 the service ends, or as `uploads`.
            ClientGone: the client has closed the connection.
        """
        async with self._place():
            start = time.perf_counter()
            async with uploads(
                request.receive, request.headers, self.limits.body, self.folder, form=form
            ) as files:
                self.metrics.took("receive", time.perf_counter() - start)
                if await request.is_disconnected():
                    raise ClientGone
                yield files

    @contextlib.asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        if self.stopping:
            raise Refused(503, "stopping", "the service is being stopped", {"Retry-After": "5"})
        if self._inside >= self.limits.workers + self.limits.queue:
            again = {"Retry-After": str(self._expected_wait())}
            raise Refused(429, "busy", f"{self._inside} requests are open; try again later", again)
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1

    async def answer(self, upload: Upload, *, k: int, pictures: bool = False) -> Answer:
        """Read an upload and classify it.

        Args:
            upload: a file.
            k: classes in the prediction.
            pictures: whether those of the frames are made; the clips themselves are not kept, as a
                request may have many files.

        Raises:
            Refused: 503 it waited too long; 500 the service itself fails.
        """
        async with self._slot():
            loaded = await self._load(upload)
            read, clips = loaded.seconds, loaded.clips
            run = functools.partial(
                predict_loaded,
                [loaded],
                self.model.logits,
                self.model.classes,
                k,
                self.model.temperature,
            )
            (prediction,) = await self._in(self._network, lambda: list(run()))
            failure = loaded.failure or ("network" if prediction.error is not None else "")
            shown, info, spec = None, loaded.info, self.model.bundle.spec
            if pictures and not failure and clips is not None and info is not None:
                shown = await asyncio.to_thread(frame_pictures, clips, info, spec)
        self._count(loaded, prediction.seconds - read, failure)
        error = prediction.error and told_to_client(prediction.error)
        if failure == "network":
            log.error(f"the network fails: {prediction.error}")
            error = FAILED
        return Answer(upload.name, replace(prediction, error=error), failure, shown)

    async def logits_of_video(self, upload: Upload) -> Logits:
        """The logits of a video's clips, [clips, classes].

        Raises:
            Refused: 422 the video gives no clips; and as `answer`.
        """
        async with self._slot():
            loaded = await self._load(upload)
            if loaded.clips is None:
                self._count(loaded, 0.0, loaded.failure)
                raise Refused(422, loaded.failure, told_to_client(str(loaded.error)))
            clips, start = loaded.clips, time.perf_counter()
            logits = await self._in(self._network, lambda: self.model.logits(clips))
        self._count(loaded, time.perf_counter() - start, "")
        return logits

    async def logits(self, clips: Clips) -> Logits:
        """The logits of clips that a client has sent, uint8 [n, *clip_shape].

        Raises:
            Refused: as `answer`.
        """
        async with self._slot():
            start = time.perf_counter()
            logits = await self._in(self._network, lambda: self.model.logits(clips))
        self.metrics.took("network", time.perf_counter() - start)
        return logits

    async def _load(self, upload: Upload) -> Loaded:
        def load() -> Loaded:
            return load_video(upload.path, self.model.bundle.spec, self._reading.load)

        loaded = await self._in(self._readers, load)
        if loaded.failure in FAULTS:
            # The client chose the name: it must not begin a line of its own in a log.
            log.warning(f"{printable(upload.name)}: {loaded.error}")
        return loaded

    async def _in(self, threads: Executor, work: Callable[[], T]) -> T:
        """Raises Refused where work fails by no fault of the client."""
        try:
            return await asyncio.get_running_loop().run_in_executor(threads, work)
        except (ClipDuetError, OSError, MemoryError) as error:
            log.error(str(error) or type(error).__name__)
            raise Refused(500, "service", FAILED) from None

    @contextlib.asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        start = time.perf_counter()
        self._waiting += 1
        try:
            await asyncio.wait_for(self._slots.acquire(), self.limits.wait)
        except asyncio.TimeoutError:
            why = f"the video waited {self.limits.wait:g} seconds and was not read"
            again = {"Retry-After": str(self._expected_wait())}
            raise Refused(503, "waited", why, again) from None
        finally:
            self._waiting -= 1
        self.metrics.took("wait", time.perf_counter() - start)
        begun = time.perf_counter()
        try:
            yield
        finally:
            self._seconds += 0.1 * (time.perf_counter() - begun - self._seconds)
            self._slots.release()

    def _count(self, loaded: Loaded, network: float, failure: str) -> None:
        scaling = loaded.info.scaling if loaded.info else 0.0
        self.metrics.took("read", loaded.seconds - scaling)
        if loaded.info is not None:
            self.metrics.took("preprocess", scaling)
            self.metrics.took("network", network)
        self.metrics.video(failure)

    def _expected_wait(self) -> int:
        """Whole seconds until there is room, by what videos took lately; 1 to 60."""
        return min(max(math.ceil(self._inside * self._seconds / self.limits.workers), 1), 60)


async def all_of(work: Iterable[Awaitable[T]]) -> list[T]:
    """What comes out for each upload of a request; raises the first error after all have ended.

    Their files are removed after this: no work may still read one.
    """
    done = await asyncio.gather(*work, return_exceptions=True)
    found: list[T] = []
    for one in done:
        if isinstance(one, BaseException):
            raise one
        found.append(one)
    return found
