"""The lists, and what is not in them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from train.data.lists import unlistable, write_lines
from train.data.prepare.formats import Plan
from train.data.prepare.media import Outcome

REPORT = "report.json"


@dataclass
class SplitReport:
    """What became of a split: ``listed`` videos are in its list, the others are named here."""

    annotated: int = 0
    listed: int = 0
    labelled: bool = True
    missing: list[str] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)
    damaged: list[str] = field(default_factory=list)


def write_lists(
    out: Path,
    plan: Plan,
    found: Mapping[str, str],
    outcomes: Mapping[str, Outcome],
    *,
    frames: bool,
) -> dict[str, SplitReport]:
    """Write a list a split, ``classes.txt`` and ``report.json``.

    A split without labels becomes ``SPLIT.unlabelled``, with a path (and a number of frames) a
    line.

    Args:
        out: folder to write to.
        plan: what the annotations say.
        found: relative paths of the videos by key.
        outcomes: what became of each of these paths.
        frames: list folders of frames, with their number.
    """
    out.mkdir(parents=True, exist_ok=True)
    reports = {}
    for split, entries in plan.splits.items():
        labelled = all(entry.label is not None for entry in entries)
        report = reports[split] = SplitReport(annotated=len(entries), labelled=labelled)
        lines = []
        for entry in entries:
            path = found.get(entry.key)
            if path is None:
                report.missing.append(entry.key)
                continue
            outcome = outcomes[path]
            problem = outcome.problem
            if not problem and unlistable(outcome.path):
                problem = "its name has line breaks, or begins with # or a space; rename it"
            if problem:
                report.broken[path] = problem
                continue
            if outcome.damaged:
                report.damaged.append(path)
            parts = [outcome.path, str(outcome.frames)] if frames else [outcome.path]
            lines.append(" ".join([*parts, str(entry.label)] if labelled else parts))
        report.listed = len(lines)
        kept, other = (".list", ".unlabelled") if labelled else (".unlabelled", ".list")
        (out / f"{split}{other}").unlink(missing_ok=True)
        write_lines(out / f"{split}{kept}", lines)
    write_lines(out / "classes.txt", plan.classes)
    text = json.dumps({name: vars(report) for name, report in reports.items()}, indent=1)
    write_lines(out / REPORT, [text])
    return reports


def table(reports: Mapping[str, SplitReport]) -> str:
    """A line a split: annotated, listed, missing, broken, damaged."""
    heads = ("annotated", "listed", "missing", "broken", "damaged")
    width = max(len(name) for name in (*reports, "split"))
    lines = [f"{'split':<{width}} " + " ".join(f"{head:>9}" for head in heads)]
    for name, report in reports.items():
        counts = (
            report.annotated,
            report.listed,
            len(report.missing),
            len(report.broken),
            len(report.damaged),
        )
        note = "" if report.labelled else "  no labels"
        lines.append(f"{name:<{width}} " + " ".join(f"{count:>9,}" for count in counts) + note)
    return "\n".join(lines)
