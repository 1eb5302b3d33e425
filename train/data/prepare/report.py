"""The lists, and what is not in them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from train.config.class_file import class_lines
from train.data.dataset_block import dataset_block
from train.data.lists import cannot_be_listed, write_lines
from train.data.prepare.formats import Plan
from train.data.prepare.media import Outcome

REPORT = "report.json"


@dataclass
class SplitReport:
    """What became of a split: `listed` videos are in its list, the others are named here.

    Damaged ones are listed; `gaps` are the missing frames of those that come as pictures.
    """

    annotated: int = 0
    listed: int = 0
    labelled: bool = True
    missing: list[str] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)
    damaged: list[str] = field(default_factory=list)
    gaps: dict[str, str] = field(default_factory=dict)


def write_annotated_lists(
    out: Path,
    plan: Plan,
    found: Mapping[str, str],
    outcomes: Mapping[str, Outcome],
    *,
    frames: bool,
) -> dict[str, SplitReport]:
    """Write a list a split, `classes.txt` and `report.json`.

    A split without labels becomes `SPLIT.unlabelled`, with a path (and a number of frames) a
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
            if not problem and cannot_be_listed(outcome.path):
                problem = "its name has line breaks, or begins with # or a space; rename it"
            if problem:
                report.broken[path] = problem
                continue
            if outcome.damaged:
                report.damaged.append(path)
            if outcome.gaps:
                report.gaps[path] = f"frames {outcome.gaps}"
            parts = [outcome.path, str(outcome.frames)] if frames else [outcome.path]
            lines.append(" ".join([*parts, str(entry.label)] if labelled else parts))
        report.listed = len(lines)
        kept, other = (".list", ".unlabelled") if labelled else (".unlabelled", ".list")
        (out / f"{split}{other}").unlink(missing_ok=True)
        write_lines(out / f"{split}{kept}", lines)
    write_lines(out / "classes.txt", class_lines(plan.classes))
    text = json.dumps({name: vars(report) for name, report in reports.items()}, indent=1)
    write_lines(out / REPORT, [text])
    return reports


def split_table(reports: Mapping[str, SplitReport]) -> str:
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


def config_block(
    reports: Mapping[str, SplitReport],
    *,
    root: Path,
    out: Path,
    videos: Path,
    format: str,
    suffix: str = "",
) -> str:
    """The DATASET block of a config that trains on the first of the official splits.

    Args:
        reports: what became of the splits.
        root: folder of the dataset.
        out: folder of the lists.
        videos: folder that the paths in the lists start from.
        format: `VideoDataset` or `FrameDataset`.
        suffix: pattern of the frames' names, or "" for the default.
    """
    usable = [name for name, report in reports.items() if report.labelled and report.listed]
    used = _roles(usable)
    lists: dict[str, dict[str, str | Path | float]] = {
        role: {
            "format": format,
            "file_path": out / f"{name}.list",
            "data_prefix": videos,
            **({"suffix": suffix} if suffix else {}),
        }
        for role, name in used.items()
    }
    lines = dataset_block(root, out / "classes.txt", lists)
    others = [f"{name}.list" for name in usable if name not in used.values()]
    if others:
        lines.append(f"  # other official splits: {', '.join(others)}")
    return "\n".join(lines)


def _roles(splits: Sequence[str]) -> dict[str, str]:
    """Which split a config trains on, validates on and tests on.

    These are train, val and test, or train1 and test1 of several official ones.
    """
    number = next((name.removeprefix("train") for name in splits if name.startswith("train")), "")
    wanted = [("train", "train"), ("valid", "val"), ("test", "test")]
    found = {role: name + number for role, name in wanted if name + number in splits}
    if "valid" not in found and "test" in found:
        found["valid"] = found.pop("test")
    return found
