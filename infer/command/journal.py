"""Predictions on their way into a file: kept beside it as they come, so that none is lost.

`labels.jsonl.partial` begins with what the run is about and gets one line of JSON for each video.
At the end `labels.jsonl` is written from it, whole, and it goes. What a run left that was stopped
or killed is taken by the next of the same bundle and settings; a last line cut off is dropped.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..pipeline.predictions import Prediction
from ..pipeline.rank import Ranked
from ..system.errors import ClipDuetError
from ..system.files import WriteError, lock_file

KIND = "clipduet predictions"
VERSION = 1
MARK = json.dumps({"file": KIND})[:-1].encode()
"""How such a file begins."""


class Journal:
    """Predictions by video, in a file that no other process writes.

    Attributes:
        path: the file.
        answers: how many predictions without an error it holds.
        differs: in what an earlier run differed, so that what it left was dropped.
    """

    def __init__(self, output: Path, about: Mapping[str, Any], *, resume: bool | None) -> None:
        """Open or make `OUTPUT.partial`.

        Args:
            output: what is written in the end.
            about: everything that a prediction depends on beside the video, ready for JSON.
            resume: whether to take what is there; None: if it is about the same.

        Raises:
            ClipDuetError: it cannot be written, another process writes it, it is another file, or
                `resume` is true and it is of a run that differs.
        """
        self.path = output.with_name(f"{output.name}.partial")
        self._about = {"file": KIND, "version": VERSION, **about}
        self._places: dict[str, int] = {}
        self.answers, self.differs = 0, tuple[str, ...]()
        self._begun = False
        """Whether what was in the file is gone, and nothing is in it yet to go on with."""
        self._file = self._opened()
        try:
            self._end = self._read(resume)
        except BaseException:
            # For example of a full disk, with half of the first line written.
            if self._begun or not os.fstat(self._file).st_size:
                self._remove()
            os.close(self._file)
            raise

    def _opened(self) -> int:
        try:
            file = lock_file(self.path, create=True)
        except OSError as error:
            if error.errno != errno.ENOTSUP:
                raise WriteError(self.path, error) from None
            file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        if file is None:
            what = "is written by another process, or is no file of yours; wait for it"
            if self.path.is_symlink():
                what = "is a link, which is not followed: remove it"
            raise ClipDuetError(f"{self.path} {what}, or name another --output")
        return file

    def _read(self, resume: bool | None) -> int:
        """Note where each prediction lies; the place where the next goes."""
        with open(self._file, "rb", closefd=False) as file:
            first = file.readline()
            if not (first.startswith(MARK) or MARK.startswith(first)):
                raise ClipDuetError(
                    f"{self.path} is there and was not made by this command: rename it, or name "
                    "another --output"
                )
            about = _parsed(first)
            mine = json.loads(json.dumps(self._about))
            if about is not None:
                names = {*mine, *about}
                self.differs = tuple(sorted(n for n in names if mine.get(n) != about.get(n)))
            if self.differs and resume:
                raise ClipDuetError(
                    f"{self.path} is of a run with another {' and '.join(self.differs)}; without "
                    "--resume it is dropped"
                )
            if about is None or self.differs or resume is False:
                self._begun = True
                os.ftruncate(self._file, 0)
                return self._append(self._about, 0)
            end = len(first)
            for line in file:
                row = _parsed(line)
                # Cut off or damaged: nothing that follows can be relied on.
                if row is None or _prediction(row) is None:
                    break
                if row.get("error") is None:  # what failed may not fail again
                    self._places[str(row.get("key"))] = end
                end += len(line)
        os.ftruncate(self._file, end)
        self.answers = len(self._places)
        return end

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def add(self, key: str, prediction: Prediction) -> None:
        """Keep a prediction; it is in the file when this returns.

        Args:
            key: `video_key` the video, from before it was read.
            prediction: what came out.

        Raises:
            WriteError: the file system says no.
        """
        row = {
            "video": str(prediction.video),
            "key": key,
            "seconds": prediction.seconds,
            "error": prediction.error,
            "warning": prediction.warning,
            "topk": [
                {"index": one.index, "label": one.label, "score": one.score}
                for one in prediction.topk
            ],
        }
        place = self._end
        self._end = self._append(row, place)
        self._places[key] = place
        self.answers += prediction.error is None

    def get(self, key: str) -> Prediction:
        """A prediction that is in the file."""
        with open(self._file, "rb", closefd=False) as file:
            file.seek(self._places[key])
            found = _prediction(json.loads(file.readline()))
        assert found is not None, "only whole predictions have a place"
        return found

    def close(self, *, keep: bool) -> None:
        """Let the file go; `keep`: unless there is nothing in it to go on with."""
        if not (keep and self.answers):
            self._remove()
        os.close(self._file)

    def _remove(self) -> None:
        with contextlib.suppress(OSError):
            self.path.unlink()

    def _append(self, row: Mapping[str, Any], place: int) -> int:
        data = memoryview(json.dumps(row).encode() + b"\n")
        try:
            while data:
                written = os.pwrite(self._file, data, place)
                data, place = data[written:], place + written
        except OSError as error:
            raise WriteError(self.path, error) from error
        return place


def _parsed(line: bytes) -> dict[str, Any] | None:
    """One line, if it is whole."""
    if not line.endswith(b"\n"):
        return None
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def _prediction(row: dict[str, Any]) -> Prediction | None:
    """The prediction of a line, if it is one."""
    try:
        topk = tuple(Ranked(r["label"], r["index"], r["score"]) for r in row["topk"])
        return Prediction(Path(row["video"]), topk, row["seconds"], row["error"], row["warning"])
    except (KeyError, TypeError):
        return None


def video_key(video: Path, frames: int | None = None) -> str:
    """What tells a video from another, and from itself after a change.

    Args:
        video: a file, or a folder of frames.
        frames: how many a list says that the folder has.
    """
    real = os.path.realpath(video)
    try:
        state = os.stat(real)
        size, time = state.st_size, state.st_mtime_ns
        if stat.S_ISDIR(state.st_mode):
            with os.scandir(real) as entries:
                states = [entry.stat() for entry in entries]
            size = sum(one.st_size for one in states)
            time = max([time, *(one.st_mtime_ns for one in states)])
    except OSError:
        return real
    claimed = "" if frames is None else f"{frames} frames of "
    return f"{size} {time} {claimed}{real}"
