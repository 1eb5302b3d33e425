"""How predictions are written: as a table for people, JSON lines or CSV, on stdout or in a file."""

from __future__ import annotations

import contextlib
import csv
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from infer.inputs import Inputs
    from infer.labels import Labels
    from infer.pipeline import Prediction

FORMATS = {".json": "json", ".jsonl": "json", ".ndjson": "json", ".csv": "csv"}
CSV_FIELDS = ("video", "label", "score", "topk", "seconds", "error", "warning")
LABEL_FIELDS = ("true_label", "true_index", "correct")
"""Where true labels are given."""


def printable(text: str, keep: str = "") -> str:
    """Names of files may hold anything; a line on a terminal may not."""
    return "".join(
        c if c.isprintable() or c in keep else c.encode("unicode_escape", "replace").decode()
        for c in text
    )


@contextlib.contextmanager
def output(named: str | None) -> Iterator[TextIO]:
    """stdout, or a file that appears under its name only when everything was written."""
    if named in (None, "-"):
        with contextlib.suppress(AttributeError, ValueError):
            sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
        yield sys.stdout
        return
    target = Path(str(named))
    if target.exists() and not target.is_file() and not target.is_dir():
        with target.open("w", encoding="utf-8") as file:  # a pipe or a device
            yield file
        return
    if target.is_dir() or not target.absolute().parent.is_dir():
        from infer.errors import ClipDuetError

        what = "is a folder" if target.is_dir() else f"the folder {target.parent} is not there"
        raise ClipDuetError(f"--output {target}: {what}; name a file in a folder that exists")
    from infer.files import replacing

    with (
        replacing(target) as path,
        path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        yield file


def _record(prediction: Prediction, labels: Labels | None) -> dict[str, object]:
    true = {} if labels is None else labels.record(prediction)
    if prediction.error is not None:
        return {"video": str(prediction.video), **true, "error": prediction.error}
    best = prediction.topk[0]
    record: dict[str, object] = {
        "video": str(prediction.video),
        **true,
        "label": best.label,
        "score": round(best.score, 6),
        "topk": [{"label": r.label, "score": round(r.score, 6)} for r in prediction.topk],
        "seconds": round(prediction.seconds, 4),
    }
    if prediction.warning:
        record["warning"] = prediction.warning
    return record


def writer(
    form: str, out: TextIO, inputs: Inputs, labels: Labels | None = None
) -> Callable[[Prediction], None]:
    """What writes one prediction; ``form`` is ``table``, ``json`` or ``csv``.

    labels: the true ones, which are shown and compared.
    """
    if form == "json":
        return lambda p: _line(out, json.dumps(_record(p, labels)))
    if form == "csv":
        fields = CSV_FIELDS + (() if labels is None else LABEL_FIELDS)
        table = csv.DictWriter(out, fields, lineterminator="\n")
        table.writeheader()

        def row(prediction: Prediction) -> None:
            record = _record(prediction, labels)
            if "topk" in record:
                record["topk"] = json.dumps(record["topk"])
            table.writerow(record)

        return row
    width = min(max(len(printable(str(v))) for v in inputs.videos), 60)
    true = labels.head if labels is not None else ""
    _line(out, f"{'video':{width}}  {'score':>6}  {'seconds':>7}  {true}label")

    def text(prediction: Prediction) -> None:
        video = f"{printable(str(prediction.video)):{width}}"
        if prediction.error is not None:
            _line(out, f"{video}  error: {printable(prediction.error)}")
            return
        best, *others = prediction.topk
        true = labels.cells(prediction) if labels is not None else ""
        line = f"{video}  {best.score:6.4f}  {prediction.seconds:7.3f}  {true}{best.label}"
        if others:
            line += "  (" + ", ".join(f"{r.label} {r.score:.4f}" for r in others) + ")"
        _line(out, line)

    return text


def _line(out: TextIO, text: str) -> None:
    out.write(text + "\n")
