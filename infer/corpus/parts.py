"""The output: a folder of part files, each written whole, and what they say is done.

A part appears under its name when it is complete. Only one process writes, and it writes one row
for a name: so no input is answered twice, whenever a process was killed.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..command.output import record
from ..pipeline.predictions import Prediction
from ..pipeline.rank import Ranked
from ..system.addresses import is_address
from ..system.errors import ClipDuetError
from ..system.files import lock_file, replacing, writing

FORMATS = ("parquet", "jsonl")
ABOUT = "_corpus.json"
"""What the folder is about; readers of Parquet folders leave out names that begin so."""
LOCK = ".lock"
PART_ROWS = 100_000
"""Rows of a part at most; what memory the driver needs for them is small."""

Row = dict[str, Any]
"""A row of the output; see `schema`."""


def schema() -> Any:
    """The columns of the output, of Arrow."""
    import pyarrow as pa

    ranked = pa.struct([("label", pa.string()), ("index", pa.int32()), ("score", pa.float64())])
    return pa.schema(
        [
            ("video", pa.string()),
            ("label", pa.string()),
            ("index", pa.int32()),
            ("score", pa.float64()),
            ("topk", pa.list_(ranked)),
            ("seconds", pa.float64()),
            ("error", pa.string()),
            ("warning", pa.string()),
            ("bundle", pa.string()),
        ]
    )


def row_of(name: str, prediction: Prediction, bundle: str) -> Row:
    """A row of the output.

    Args:
        name: of the input.
        prediction: what came out.
        bundle: SHA-256 of its bundle.json, in hex.
    """
    topk = [asdict(one) for one in prediction.topk]
    best = topk[0] if topk else {"label": None, "index": None, "score": None}
    return {
        "video": name,
        **best,
        "topk": topk,
        "seconds": prediction.seconds,
        "error": prediction.error,
        "warning": prediction.warning,
        "bundle": bundle,
    }


@dataclass(frozen=True)
class Done:
    """What parts say: names of inputs, and those among them that have an error."""

    names: set[str]
    failed: set[str]


class Parts:
    """An output folder, on this machine or at an address; a context manager."""

    def __init__(self, named: str, form: str, *, seconds: float) -> None:
        """Open or make the folder, and lock it where it is on this machine.

        Args:
            named: a path, or an address such as s3://bucket/answers.
            form: of `FORMATS`.
            seconds: after which answers are written, also where they are few.

        Raises:
            ClipDuetError: it cannot be made, or another process writes to it.
        """
        import fsspec

        self.named, self._form, self._seconds = named, form, seconds
        self._rows: list[Row] = []
        self._since = time.monotonic()
        self._number, self._run = 0, uuid.uuid4().hex[:8]
        self._local = not is_address(named)
        self._lock: int | None = None
        try:
            where = os.path.abspath(os.path.expanduser(named)) if self._local else named
            self._files, self._root = fsspec.core.url_to_fs(where)
            with writing(Path(named)):
                self._files.makedirs(self._root, exist_ok=True)
        except (ValueError, ImportError) as error:
            raise ClipDuetError(f"--output {named}: {error}") from None
        if self._local:
            self._take(Path(self._root))

    def _take(self, folder: Path) -> None:
        with writing(folder / LOCK):
            self._lock = lock_file(folder / LOCK, create=True)
        if self._lock is None:
            raise ClipDuetError(
                f"--output {self.named} is written by another process; wait for it, or name "
                "another folder"
            )
        for left in folder.glob(".*.partial"):  # of a process that was killed
            left.unlink(missing_ok=True)

    def __enter__(self) -> Parts:
        return self

    def __exit__(self, *error: object) -> None:
        """Write what was added, also where an error or a signal ended the work."""
        try:
            self.flush()
        finally:
            if self._lock is not None:
                os.close(self._lock)

    def agree(self, about: Mapping[str, Any]) -> None:
        """Note what all answers of the folder are about.

        Args:
            about: what an answer depends on beside its video, by names for people; ready for JSON.

        Raises:
            ClipDuetError: it holds answers about something else, or other files.
        """
        mine = json.loads(json.dumps(about))
        path = self._path(ABOUT)
        if self._files.exists(path):
            try:
                theirs = json.loads(self._files.cat_file(path))
                names = sorted({*mine, *theirs})
            except (ValueError, TypeError):
                raise ClipDuetError(f"{self.named}/{ABOUT} is damaged; remove the folder") from None
            differs = [name for name in names if mine.get(name) != theirs.get(name)]
            if differs:
                raise ClipDuetError(
                    f"--output {self.named} holds answers of a run with another "
                    f"{' and '.join(differs)}; name another folder"
                )
            return
        others = [name for name in self._names() if name != LOCK]
        if others:
            raise ClipDuetError(
                f"--output {self.named} holds other files, such as {sorted(others)[0]}; name a new "
                "folder"
            )
        self._write(ABOUT, json.dumps(about, indent=2).encode())

    def done(self) -> Done:
        """What was answered before.

        Raises:
            ClipDuetError: a part cannot be read.
        """
        found = Done(set(), set())
        for name in self._parts():
            for video, error in self._read(name):
                found.names.add(video)
                if error is not None:
                    found.failed.add(video)
        return found

    def add(self, rows: Iterable[Row]) -> None:
        """Take rows; they are written some time later."""
        self._rows += rows
        if len(self._rows) >= PART_ROWS or time.monotonic() - self._since >= self._seconds:
            self.flush()

    def flush(self) -> None:
        """Write what was added as a part.

        Raises:
            WriteError: the file system says no.
        """
        if self._rows:
            name = f"part-{self._run}-{self._number:06}.{self._form}"
            self._write(name, self._encoded(self._rows))
            self._number += 1
            self._rows = []
        self._since = time.monotonic()

    def _encoded(self, rows: Sequence[Row]) -> bytes:
        if self._form == "jsonl":
            return "".join(json.dumps(_line(row)) + "\n" for row in rows).encode()
        import pyarrow as pa
        import pyarrow.parquet as pq

        sink = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pylist(list(rows), schema()), sink, compression="zstd")
        return bytes(sink.getvalue())

    def _write(self, name: str, content: bytes) -> None:
        path = self._path(name)
        if self._local:
            with replacing(path) as partial, partial.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            return
        with writing(Path(self.named, name)):
            self._files.pipe_file(f"{path}.partial", content)
            self._files.mv(f"{path}.partial", path)

    def _read(self, name: str) -> Iterable[tuple[str, str | None]]:
        """The name and the error of each row of a part."""
        try:
            with self._files.open(self._path(name), "rb") as file:
                if self._form == "jsonl":
                    rows = [json.loads(line) for line in file]
                    return [(row["video"], row.get("error")) for row in rows]
                import pyarrow.parquet as pq

                table = pq.read_table(file, columns=["video", "error"])
                columns = (table[column].to_pylist() for column in ("video", "error"))
                return list(zip(*columns, strict=True))
        except (OSError, ValueError, KeyError, TypeError) as error:
            text = " ".join(str(error).split())[:200]
            raise ClipDuetError(
                f"{self.named}/{name} cannot be read: {text}; remove it, and its videos are "
                "answered again"
            ) from None

    def _parts(self) -> list[str]:
        return sorted(
            name for name in self._names()
            if name.startswith("part-") and name.endswith(f".{self._form}")
        )  # fmt: skip

    def _names(self) -> list[str]:
        with writing(Path(self.named)):
            found = self._files.ls(self._root, detail=False)
        return [str(path).rstrip("/").rpartition("/")[2] for path in found]

    def _path(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}"


def _line(row: Row) -> dict[str, object]:
    """A row as `predict` writes it, and the bundle."""
    topk = tuple(Ranked(**one) for one in row["topk"])
    video = Path(row["video"])
    prediction = Prediction(video, topk, row["seconds"], row["error"], row["warning"])
    return {**record(row["video"], prediction, None), "bundle": row["bundle"]}
