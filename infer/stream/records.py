"""How windows, events and gaps are written: JSON lines, CSV, subtitles (WebVTT), as they happen."""

from __future__ import annotations

import csv
import html
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from ..command.output import topk_record

if TYPE_CHECKING:
    from .classify import WindowPrediction
    from .events import Event
    from .reader import Counts, Gap

FORMATS = ("jsonl", "csv", "vtt")
SUFFIXES = {".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".csv": "csv", ".vtt": "vtt"}
CSV_FIELDS = (
    *("type", "start", "end", "label", "index", "score", "windows", "frames", "reason"),
    *("partial", "lag"),
)

Record = Mapping[str, Any]
Write = Callable[[Record], None]


def window_record(found: WindowPrediction) -> dict[str, Any]:
    """A window as JSON."""
    topk = topk_record(found.topk)
    record: dict[str, Any] = {"type": "window", **_times(found.start, found.end), **topk[0]}
    record |= {"topk": topk, "frames": found.frames}
    if found.partial:
        record["partial"] = True
    if found.lag is not None:
        record["lag"] = round(found.lag, 3)
    return record


def event_record(event: Event, classes: Sequence[str]) -> dict[str, Any]:
    """An event as JSON."""
    return {
        "type": "event",
        **_times(event.start, event.end),
        "label": classes[event.index],
        "index": event.index,
        "score": round(event.score, 6),
        "windows": event.windows,
    }


def gap_record(gap: Gap) -> dict[str, Any]:
    """A gap as JSON."""
    return {"type": "gap", **_times(float(gap.start), float(gap.end)), "reason": gap.reason}


def summary_record(counts: Counts, *, windows: int, events: int, gaps: int) -> dict[str, Any]:
    """What happened, as JSON."""
    found = asdict(counts)
    found["lag"] = round(counts.lag, 3)
    if not found["warning"]:
        del found["warning"]
    return {"type": "summary", "windows": windows, "events": events, "gaps": gaps, **found}


def format_of(file: str) -> str | None:
    """The format of an output by its suffix."""
    return SUFFIXES.get(Path(file).suffix.lower())


def writer(form: str, out: TextIO, *, begun: bool = False) -> Write:
    """What writes a record and leaves nothing unwritten; WebVTT has events alone.

    Args:
        form: one of `FORMATS`.
        out: written to.
        begun: it has records already.
    """
    if form == "csv":
        table = csv.DictWriter(out, CSV_FIELDS, extrasaction="ignore", lineterminator="\n")
        if not begun:
            table.writeheader()
            out.flush()

        def write_row(record: Record) -> None:
            if record["type"] != "summary":
                table.writerow({**record, "partial": "true" if record.get("partial") else ""})
                out.flush()

        return write_row
    if form == "vtt":
        if not begun:
            out.write("WEBVTT\n")
            out.flush()

        def write_cue(record: Record) -> None:
            if record["type"] == "event":
                label = html.escape(" ".join(record["label"].split()), quote=False)
                times = f"{_stamp(record['start'])} --> {_stamp(record['end'])}"
                out.write(f"\n{times}\n{label} {record['score']:.2f}\n")
                out.flush()

        return write_cue

    def write_line(record: Record) -> None:
        out.write(json.dumps(record) + "\n")
        out.flush()

    return write_line


def _times(start: float, end: float) -> dict[str, float]:
    return {"start": round(start, 6), "end": round(end, 6)}


def _stamp(seconds: float) -> str:
    milliseconds = max(round(seconds * 1000), 0)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}.{rest % 1000:03}"
