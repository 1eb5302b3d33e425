"""Results of sets and seeds that were measured before, so that a long study can grow over days.

A study and a gate hold every answer, so their runs need not be there any more, and other seeds may
come from another machine.
"""

from __future__ import annotations

import os
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.common.errors import BenchmarkError
from benchmarks.common.result_file import complete, read
from benchmarks.gate.results.result_file import load_results
from benchmarks.real.pooled import FORMAT, FORMAT_VERSION
from benchmarks.study.result_file import load_study
from infer.system.files import sha256_of

RESULTS = "results.json"
REDUCED = "setting of --reduce-range"
KINDS = ("study", "gate")
SAME_CLIPS = ("labels", "groups", "paths", "fold", "clips_sha256")


@dataclass(frozen=True)
class Measured:
    """A set's study and gate, over some seeds.

    Attributes:
        name: of the set.
        files: of the study and of the gate.
        seeds: in the order of the gate's pairs.
        created: when the gate was measured.
        cpu: the processor.
        gate: what the gate's file holds.
        clips: what must be equal for other seeds of the set: the clips, their folds, the configs.
        settings: what must be equal for other sets too, by its name in messages.
        starts: what the networks started from, by variable.
    """

    name: str
    files: tuple[Path, Path]
    seeds: tuple[int, ...]
    created: str
    cpu: str
    gate: Mapping[str, Any]
    clips: Mapping[str, Any]
    settings: Mapping[str, Any]
    starts: Mapping[str, Any]

    def record(self, folder: Path) -> dict[str, Any]:
        """Of the result file in `folder`; JSON-ready."""
        return {
            "seeds": list(self.seeds),
            "created": self.created,
            "cpu": self.cpu,
            **{
                kind: {
                    "file": Path(os.path.relpath(file.resolve(), folder.resolve())).as_posix(),
                    "sha256": sha256_of(file),
                }
                for kind, file in zip(KINDS, self.files, strict=True)
            },
        }


def starts_record(starts: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Checkpoints that networks start from, by variable; JSON-ready."""
    return {name: {"file": file, "sha256": sha256_of(Path(file))} for name, file in starts.items()}


def settings_record(
    *,
    configs: Sequence[str],
    override: Sequence[str],
    checkpoint: str,
    folds: int,
    reduce_range: bool,
    starts: Mapping[str, Any],
) -> dict[str, Any]:
    """What must be equal for results to be pooled, and is known before anything is trained."""
    return {
        "config": [Path(config).name for config in configs],
        "setting of -o": list(override),
        "checkpoint": checkpoint,
        "number of folds": folds,
        REDUCED: reduce_range,
        "start": {name: one["sha256"] for name, one in starts.items()},
    }


def load_measured(name: str, files: tuple[Path, Path], starts: Mapping[str, Any]) -> Measured:
    """Read a set's study and gate.

    Raises:
        BenchmarkError: one is missing, of another format, or contradicts itself or the other.
    """
    study, gate = load_study(files[0]), load_results(files[1])
    with complete(files[0]):
        seeds = tuple(study["seeds"])
        data, configs = study["data"], study["configs"].values()
        clips = {key: data[key] for key in SAME_CLIPS}
        clips["configs"] = [config["sha256"] for config in configs]
        settings = settings_record(
            configs=[config["path"] for config in configs],
            override=study["configs"]["baseline"]["overrides"],  # of both
            checkpoint=study["conditions"]["checkpoint"],
            folds=study["folds"]["number"],
            reduce_range=study["conditions"].get("reduce_range", False),  # earlier: never
            starts=starts,
        )
        settings["number of epochs"] = [config["epochs"] for config in configs]
        settings["reference"] = gate["reference"]
        if not seeds or sorted(seeds) != sorted({run["seed"] for run in study["runs"]}):
            raise BenchmarkError(f"{files[0]}: its seeds are not those of its runs")
    with complete(files[1]):
        measured = str(gate["created"]), str(gate["conditions"]["machine"]["cpu"])
        alike = all(gate["data"][key] == data[key] for key in ("labels", "groups"))
        if not alike or len(gate["pairs"]) != len(seeds):
            raise BenchmarkError(f"{files[1]} is over other clips or seeds than {files[0]}")
    return Measured(name, files, seeds, *measured, gate, clips, settings, starts)


def read_earlier(
    folders: Iterable[Path], *, measured_now: Container[Path], seeds: Sequence[int]
) -> list[Measured]:
    """What was measured before, without what is measured again.

    Args:
        folders: with result files of this command.
        measured_now: the study files that this run writes.
        seeds: of this run.

    Raises:
        BenchmarkError: no such files, or files that this run would overwrite with other seeds.
    """
    found: dict[Path, Measured] = {}
    for folder in folders:
        file = folder / RESULTS
        stored = read(
            file, format=FORMAT, versions=(FORMAT_VERSION,), made_by="python -m benchmarks.real"
        )
        with complete(file):
            entries = [
                (
                    str(name),
                    (folder / entry["study"]["file"], folder / entry["gate"]["file"]),
                    sorted(entry["seeds"]),
                )
                for name, each in stored["files"].items()
                for entry in each
            ]
            starts = {
                name: {key: one[key] for key in ("file", "sha256")}
                for name, one in stored["starts"].items()
            }
        for name, files, recorded in entries:
            place = files[0].resolve()
            if place in measured_now:
                if recorded != sorted(seeds):
                    raise BenchmarkError(
                        f"{files[0]} holds other seeds ({' '.join(map(str, recorded))}) and would "
                        "be overwritten: give another --out"
                    )
                continue
            one = load_measured(name, files, starts)
            if sorted(one.seeds) != recorded:
                raise BenchmarkError(f"{files[0]} holds other seeds than {file} says")
            found[place] = one
    return list(found.values())


def check_plan(
    earlier: Sequence[Measured],
    *,
    sets: Sequence[str],
    seeds: Sequence[int],
    settings: Mapping[str, Any],
) -> None:
    """See that what is measured now will go together with what was measured before.

    Args:
        earlier: of `read_earlier`.
        sets: measured now.
        seeds: of all of them.
        settings: `settings_record` of this run; of a run that measures nothing, none.

    Raises:
        BenchmarkError: other settings or clips, a seed twice, or sets of other seeds.
    """
    by_set: dict[str, dict[int, Any]] = {name: dict.fromkeys(seeds, "this run") for name in sets}
    for one in earlier:
        there = by_set.setdefault(one.name, {})
        twice = sorted(there.keys() & set(one.seeds))
        if twice:
            raise BenchmarkError(
                f"{one.name}: seed {twice[0]} is in {one.files[0]} and in {there[twice[0]]}"
            )
        there |= dict.fromkeys(one.seeds, one.files[0])
        for key, value in settings.items():
            if one.settings[key] != value:
                raise BenchmarkError(
                    f"{one.files[0]} has another {key} than this run: results of other settings "
                    "are not pooled"
                )
    check_alike(earlier)
    if len({frozenset(there) for there in by_set.values()}) > 1:
        shown = "; ".join(
            f"{name}: {' '.join(map(str, sorted(there)))}" for name, there in by_set.items()
        )
        raise BenchmarkError(
            f"sets are pooled over the same seeds, and these have others: {shown}. Measure what "
            "lacks with --sets and --seeds, and --add these results"
        )


def check_alike(measured: Sequence[Measured]) -> None:
    """See that all were trained alike, and those of one set on the same clips.

    Raises:
        BenchmarkError: what differs, and where.
    """
    for place, one in enumerate(measured):
        for other in measured[:place]:
            differ = [key for key, value in one.settings.items() if value != other.settings[key]]
            if one.name == other.name:
                differ += [key for key, value in one.clips.items() if value != other.clips[key]]
            if differ:
                raise BenchmarkError(
                    f"{one.files[0]} has another {differ[0]} than {other.files[0]}: results of "
                    "other settings or clips are not pooled"
                )


def merge_gates(measured: Sequence[Measured]) -> dict[str, Any]:
    """One gate of those over a set, seeds ascending: what `pool_sets` uses of it."""
    order = sorted(
        (seed, part, place)
        for part, one in enumerate(measured)
        for place, seed in enumerate(one.seeds)
    )
    rows = []
    for row in measured[0].gate["cells"]:
        same = [
            other for one in measured for other in one.gate["cells"] if other["cell"] == row["cell"]
        ]
        if len(same) < len(measured):
            continue
        found = [one["verdict"] for one in same]
        rows.append(
            {
                "cell": row["cell"],
                "pairs": [same[part]["pairs"][place] for _, part, place in order],
                "verdict": {
                    "collapsed": [model for one in found for model in one["collapsed"]],
                    "collapsed_classes": [
                        lost for one in found for lost in one.get("collapsed_classes", [])
                    ],
                    "same_network": all(one.get("same_network", True) for one in found),
                },
            }
        )
    pairs = [measured[part].gate["pairs"][place] for _, part, place in order]
    every = {row["cell"] for one in measured for row in one.gate["cells"]}
    lacking = sorted(every - {row["cell"] for row in rows})
    return {**measured[0].gate, "pairs": pairs, "cells": rows, "lacking": lacking}
