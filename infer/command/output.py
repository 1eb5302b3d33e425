"""How predictions are written: as a table for people, as JSON or as CSV."""

from __future__ import annotations

import contextlib
import csv
import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from ..system.files import WriteError, writing
from ..system.terminal import (
    NoReaderError,
    discard_output,
    has_no_reader,
    is_unwritable,
    printable,
)

if TYPE_CHECKING:
    from ..pipeline.predictions import Prediction
    from ..pipeline.rank import Ranked
    from .labels import Labels

FORMATS = ("table", "json", "jsonl", "csv")
SUFFIXES = {".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv"}
CSV_FIELDS = ("video", "label", "score", "topk", "seconds", "error", "warning", "index")
"""What was added later stands last."""
LABEL_FIELDS = ("true_label", "true_index", "correct")
"""Where true labels are given."""

ACCEPTED = "accepted"
"""Where there is a threshold: whether the best score reaches it."""

LONGEST_LINE = 1 << 24
"""Bytes of a line that are looked at."""

Write = Callable[[str, "Prediction"], None]
"""Takes a video's name and what came out for it."""
Made = Callable[[str, "Prediction"], dict[str, object]]
"""Makes a record of them."""


def form_of(asked: str | None, output: str | None) -> str:
    """`table`, `array`, `jsonl` or `csv`: a file named .json holds one JSON value."""
    suffix = Path(output or "").suffix.lower()
    form = asked or SUFFIXES.get(suffix, "table")
    if form == "json":
        return "array" if suffix == ".json" else "jsonl"
    return form


def holds_results(file: Path) -> bool:
    """Whether a file begins as those that are written here do, in whatever form, or is empty.

    Raises:
        OSError: it cannot be read.
    """
    with file.open("rb") as lines:
        first, second = lines.readline(LONGEST_LINE), lines.readline(LONGEST_LINE)
    if first in (b"", b"[]\n") or first.startswith(",".join(CSV_FIELDS[:4]).encode()):
        return True
    if re.match(rb"video\s+score\s+seconds\s", first):
        return True
    try:
        found = json.loads(second.rstrip(b",\n") if first == b"[\n" else first)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and "video" in found and not {"topk", "error"}.isdisjoint(found)


@contextlib.contextmanager
def stream(named: str | None, *, append: bool = False) -> Iterator[TextIO]:
    """stdout, or the pipe, device or file of that name, which is written anew unless `append`.

    Raises:
        NoReaderError: nobody reads the pipe any more.
        WriteError: the device cannot be written.
    """
    if named in (None, "-"):
        yield sys.stdout
        return
    path = Path(str(named))
    with writing(path):
        file = path.open(
            "a" if append else "w", encoding="utf-8", errors="backslashreplace", newline=""
        )
    with file:
        try:
            yield file
            file.flush()
        except OSError as error:
            if isinstance(error, BrokenPipeError) and has_no_reader(file):
                discard_output(file)
                raise NoReaderError(error.errno, error.strerror, named) from error
            if is_unwritable(file):
                discard_output(file)
                raise WriteError(path, error) from error
            raise


def record(
    name: str, prediction: Prediction, labels: Labels | None, *, least: float | None = None
) -> dict[str, object]:
    """A prediction as JSON: either `error` or the best answer and the `topk`.

    Args:
        name: of the video.
        prediction: what came out for it.
        labels: the true ones.
        least: the score from which an answer is taken, which `accepted` tells; None: no such field.
    """
    true = {} if labels is None else labels.record(prediction)
    if prediction.error is not None:
        return {"video": name, **true, "error": prediction.error}
    topk = topk_record(prediction.topk)
    found: dict[str, object] = {
        "video": name,
        **true,
        **topk[0],
        "topk": topk,
        "seconds": round(prediction.seconds, 4),
    }
    if least is not None:
        found[ACCEPTED] = prediction.topk[0].score >= least
    if prediction.warning:
        found["warning"] = prediction.warning
    return found


def topk_record(topk: Sequence[Ranked]) -> list[dict[str, object]]:
    """The best classes as JSON."""
    return [{"label": one.label, "index": one.index, "score": round(one.score, 6)} for one in topk]


@contextlib.contextmanager
def writer(
    form: str,
    out: TextIO,
    names: Sequence[str],
    labels: Labels | None = None,
    *,
    least: float | None = None,
) -> Iterator[Write]:
    """What writes one prediction; the end of the body completes what was written.

    Args:
        form: see `form_of`.
        out: where to.
        names: of all videos, for the width of a table's column.
        labels: the true ones, which are shown and compared.
        least: the score from which an answer is taken; None: every one is.
    """

    def made(name: str, prediction: Prediction) -> dict[str, object]:
        return record(name, prediction, labels, least=least)

    if form == "jsonl":
        yield lambda name, prediction: _line(out, json.dumps(made(name, prediction)))
    elif form == "array":
        yield from _array(out, made)
    elif form == "csv":
        more = () if least is None else (ACCEPTED,)
        yield _csv(out, made, (() if labels is None else LABEL_FIELDS) + more)
    else:
        yield _table(out, names, labels, least)


def _array(out: TextIO, made: Made) -> Iterator[Write]:
    before = "[\n"

    def write(name: str, prediction: Prediction) -> None:
        nonlocal before
        out.write(before + json.dumps(made(name, prediction)))
        before = ",\n"

    yield write
    out.write("[]\n" if before == "[\n" else "\n]\n")


def _csv(out: TextIO, made: Made, more: tuple[str, ...]) -> Write:
    fields = CSV_FIELDS + more
    table = csv.DictWriter(out, fields, lineterminator="\n")
    table.writeheader()
    # A file gets names as they are; a terminal would follow the codes in them.
    shown = printable if out.isatty() else str

    def write(name: str, prediction: Prediction) -> None:
        row = made(name, prediction)
        if "topk" in row:
            row["topk"] = json.dumps(row["topk"])
        table.writerow({key: shown(v) if isinstance(v, str) else v for key, v in row.items()})

    return write


def _table(out: TextIO, names: Sequence[str], labels: Labels | None, least: float | None) -> Write:
    head = "" if labels is None else labels.head
    width = min(max(len(printable(name)) for name in names), 60)
    _line(out, f"{'video':{width}}  {'score':>6}  {'seconds':>7}  {head}label")

    def write(name: str, prediction: Prediction) -> None:
        video = f"{printable(name):{width}}"
        if prediction.error is not None:
            _line(out, f"{video}  error: {printable(prediction.error)}")
            return
        best, *others = prediction.topk
        label = ("" if labels is None else labels.cells(prediction)) + printable(best.label)
        line = f"{video}  {best.score:6.4f}  {prediction.seconds:7.3f}  {label}"
        if least is not None and best.score < least:
            line += f"  (not accepted: below {least:.4f})"
        if others:
            rest = (f"{printable(one.label)} {one.score:.4f}" for one in others)
            line += "  (" + ", ".join(rest) + ")"
        _line(out, line)

    return write


def _line(out: TextIO, text: str) -> None:
    out.write(text + "\n")
