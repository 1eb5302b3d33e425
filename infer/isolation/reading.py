"""Read videos in processes of their own, so that a bad file costs itself only.

A decoder that crashes, hangs or takes all memory ends its process, which is replaced: the file that
did it is an error, and the others are answered. What comes back is JSON and pixels.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ..clips.decode import Frames, VideoInfo
from ..clips.spec import ClipSpec
from ..containers.limits import LIMITS, Limits
from ..system.errors import FAILURES, BackendError, ClipDuetError, SpecError, VideoError
from ..system.hardware import LARGEST_LIMIT
from ..system.subprocess_call import ending, search_path
from .messages import ConnectionLost, receive, receive_into, send

SECONDS = 600.0
"""That the reading of a video may take."""
MEMORY = 2 << 30
"""Bytes that the reading of a video may take. 8K frames of 8 bits take up to 700 MiB."""
_START = 120
"""Seconds that a process may take to begin, on a machine that is busy."""
_STARTS = 3
"""Processes that are started for one video, where they end before they begin."""

WORKER = f"{__package__}.worker"
# The current folder, which `-c` puts first on the path, may hold a json.py.
_CHILD = """
import sys
sys.path[:] = [path for path in sys.path if path]
import json
import importlib
sys.path[:], module, settings = json.loads(sys.argv[1])
importlib.import_module(module).serve(**settings)
"""
# The work is one thread's; libraries that are loaded beside it must not start any.
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class IsolatedReading:
    """Processes that read clips; its `load` stands in for `infer.clips.preprocess.load_clips`.

    Any number of threads may use one; as many videos as there are processes are read at once. Use
    it in a `with` statement, or `close` it: the processes end with it, or with this process,
    however that ends.
    """

    def __init__(
        self,
        workers: int,
        *,
        limits: Limits = LIMITS,
        seconds: float = SECONDS,
        memory: int = MEMORY,
    ) -> None:
        """Start the processes, and do not wait for them.

        Args:
            workers: how many.
            limits: how large a video may be.
            seconds: how long its reading may take; then the process is killed.
            memory: bytes that its reading may take.

        Raises:
            ClipDuetError: no process can be started.
        """
        self._seconds, self._memory = min(seconds, LARGEST_LIMIT), memory
        self._settings = {"memory": memory, "limits": asdict(limits)}
        self._lock = threading.Lock()
        self._closed = False
        self._alive: set[_Worker] = set()
        self._idle: queue.LifoQueue[_Worker | None] = queue.LifoQueue()
        try:
            for _ in range(workers):
                self._idle.put(self._started())
        except BaseException:
            self.close()
            raise

    def load(
        self,
        path: str | Path,
        spec: ClipSpec,
        *,
        frames: int | None = None,
        suffix: str | None = None,
    ) -> tuple[Frames, VideoInfo]:
        """The clips of a video, as `infer.clips.preprocess.load_clips` gives them.

        Raises:
            VideoError: it gives none, or its reading crashed, hung or took too much.
            ClipDuetError: no process can be started, or the others of `load_clips`.
        """
        job = {
            "path": os.path.abspath(path),
            "spec": spec.to_dict(),
            "frames": frames,
            "suffix": suffix,
        }
        worker = self._idle.get()
        starts = 0
        try:
            while True:
                try:
                    worker = worker or self._started()
                    new = not worker.asked
                    return worker.read(Path(path), spec, job, self._seconds)
                except _Failed as failed:
                    assert worker is not None
                    self._drop(worker)
                    worker = None
                    # A video that was read before may have left the process damaged or large.
                    if not self._closed and (new or not failed.again):
                        kind = _KINDS.get(failed.reason, "crash")
                        raise VideoError(path, self._told(failed.reason), kind) from None
                except _NotBegunError as error:
                    assert worker is not None
                    self._drop(worker)
                    worker = None
                    starts += 1
                    # It may have been killed from outside, by the system for example.
                    if not self._closed and (starts == _STARTS or not error.again):
                        raise ClipDuetError(str(error)) from None
                except ClipDuetError:
                    if not self._closed:
                        raise
                if self._closed:
                    raise VideoError(path, "its reading was stopped", "stopped")
        finally:
            self._idle.put(worker)

    def close(self) -> None:
        """End the processes, whatever they do."""
        with self._lock:
            self._closed = True
            alive, self._alive = self._alive, set()
        for worker in alive:
            worker.kill()

    def __enter__(self) -> IsolatedReading:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _started(self) -> _Worker:
        with self._lock:
            if self._closed:
                raise ClipDuetError("the processes that read videos were ended")
            worker = _Worker(self._settings)
            self._alive.add(worker)
        return worker

    def _drop(self, worker: _Worker) -> None:
        worker.kill()
        with self._lock:
            self._alive.discard(worker)

    def _told(self, reason: str) -> str:
        if reason == _SLOW:
            most = "1 second" if self._seconds == 1 else f"{self._seconds:g} seconds"
            return f"its reading took more than {most} (--read-timeout)"
        if reason == _LARGE:
            most = f"{self._memory >> 20:,} MiB of memory (--read-memory)"
            return f"its reading takes more than {most}"
        return f"its reading {reason}"


_SLOW, _LARGE = "slow", "large"
_KINDS = {_SLOW: "timeout", _LARGE: "memory"}


class _NotBegunError(Exception):
    """A process ended before it began; `again`: a new one may do better."""

    def __init__(self, why: str, *, again: bool) -> None:
        super().__init__(f"a process to read videos in does not begin {why}")
        self.again = again


class _Failed(Exception):
    """`again`: a new process might give another answer."""

    def __init__(self, reason: str, *, again: bool) -> None:
        super().__init__(reason)
        self.reason, self.again = reason, again


class _Worker:
    """One process; `asked`: whether it was given a video."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.asked = False
        self._ready = False
        self._reading = threading.Lock()
        # What it says; appended, as the file is emptied between videos. `kill` closes it.
        self._said = tempfile.TemporaryFile("a+b")  # noqa: SIM115
        self._connection, inner = socket.socketpair()
        with inner:
            both = json.dumps([search_path(), WORKER, {"descriptor": inner.fileno(), **settings}])
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-c", _CHILD, both],
                    stdin=subprocess.DEVNULL,
                    stdout=self._said,
                    stderr=self._said,
                    pass_fds=(inner.fileno(),),
                    env={**os.environ, **_ONE_THREAD},
                    start_new_session=True,  # a terminal's Ctrl-C is this process's to handle
                )
            except OSError as error:
                self._connection.close()
                self._said.close()
                raise ClipDuetError(
                    f"a process to read videos in cannot be started: {error}"
                ) from None

    def read(
        self, path: Path, spec: ClipSpec, job: Mapping[str, Any], seconds: float
    ) -> tuple[Frames, VideoInfo]:
        """Raises _Failed where the process is of no more use, and what `load_clips` raises."""
        with self._reading:
            self._begin()
            if self._process.poll() is not None:  # killed while it had no video: no video's fault
                raise _NotBegunError(f"because something {self._ending()}", again=True)
            self.asked = True
            return self._read(path, spec, job, time.monotonic() + seconds)

    def _read(
        self, path: Path, spec: ClipSpec, job: Mapping[str, Any], until: float
    ) -> tuple[Frames, VideoInfo]:
        try:
            with contextlib.suppress(OSError, ValueError):
                os.ftruncate(self._said.fileno(), 0)
            send(self._connection, job)
            answer = receive(self._connection, until)
            if answer.get("memory"):
                raise _Failed(_LARGE, again=True)
            if "kind" in answer:
                kinds = {"SpecError": SpecError, "BackendError": BackendError}
                raise kinds.get(str(answer["kind"]), ClipDuetError)(str(answer.get("text")))
            if "error" in answer:
                kind = answer.get("failure")
                known = kind if kind in FAILURES else "unreadable"
                raise VideoError(path, str(answer["error"]), known)
            clips = np.empty((spec.clips, *spec.clip_shape), np.uint8)
            if answer.get("shape") != list(clips.shape):
                raise ConnectionLost
            receive_into(self._connection, clips.reshape(-1).data, until)
            return clips, _info(path, answer)
        except TimeoutError:
            raise _Failed(_SLOW, again=False) from None
        except ConnectionLost:
            raise _Failed(self._ending(), again=True) from None

    def kill(self) -> None:
        """End the process; it may have ended by itself."""
        self._process.kill()
        self._process.wait()
        with self._reading:  # which comes to an end by that
            self._connection.close()
            self._said.close()

    def _begin(self) -> None:
        if self._ready:
            return
        why, again = "", True
        try:
            self._ready = bool(receive(self._connection, time.monotonic() + _START).get("ready"))
        except TimeoutError:
            why, again = f"within {_START} seconds", False
        except ConnectionLost:
            why = f"because something {self._ending()}"
        if not self._ready:
            raise _NotBegunError(why, again=again)

    def _ending(self) -> str:
        try:
            return ending(self._process.wait(5), self._said)
        except subprocess.TimeoutExpired:
            return "gave an answer that makes no sense"
        except ValueError:  # `kill` has closed the file
            return "was stopped"


def _info(path: Path, answer: Mapping[str, Any]) -> VideoInfo:
    try:
        return VideoInfo(path, **answer["info"])
    except (TypeError, KeyError):
        raise ConnectionLost from None
