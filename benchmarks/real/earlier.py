"""Results of sets and seeds that were measured before, so that a long study can grow over days.

A study and a gate hold every answer, so their runs need not be there any more, and other seeds may
come from another machine.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
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
KINDS = ("study", "gate")


@dataclass(frozen=True)
class Measured:
    """A set's study and gate, some seeds of it.

    Attributes:
        files: of the study and of the gate.
        study: what the study's file holds.
        gate: what the gate's file holds.
        starts: what the networks started from, by variable.
    """

    files: tuple[Path, Path]
    study: Mapping[str, Any]
    gate: Mapping[str, Any]
    starts: Mapping[str, Any]

    @property
    def seeds(self) -> tuple[int, ...]:
        """In the order of the pairs."""
        return tuple(self.study["seeds"])

    def record(self, folder: Path) -> dict[str, Any]:
        """Of the result file in `folder`; JSON-ready."""
        return {
            "seeds": list(self.seeds),
            "created": self.gate["created"],
            "cpu": self.gate["conditions"]["machine"]["cpu"],
            **{
                kind: {
                    "file": Path(os.path.relpath(file, folder)).as_posix(),
                    "sha256": sha256_of(file),
                }
                for kind, file in zip(KINDS, self.files, strict=True)
            },
        }


def load_measured(study: Path, gate: Path, starts: Mapping[str, Any]) -> Measured:
    """Read a set's two result files.

    Raises:
        BenchmarkError: one is missing, of another format, or contradicts itself.
    """
    return Measured((study, gate), load_study(study), load_results(gate), starts)


def read_earlier(folders: Iterable[Path]) -> list[tuple[str, Measured]]:
    """What was measured before, and of which set.

    Args:
        folders: with result files of this command.

    Raises:
        BenchmarkError: no such files, or files that changed since.
    """
    found = []
    for folder in folders:
        file = folder / RESULTS
        stored = read(
            file, format=FORMAT, versions=(FORMAT_VERSION,), made_by="python -m benchmarks.real"
        )
        with complete(file):
            for name, each in stored["files"].items():
                for entry in each:
                    study, gate = (_unchanged(folder, entry[kind], file) for kind in KINDS)
                    found.append((name, load_measured(study, gate, stored["starts"])))
    return found


def add_earlier(
    measured: Mapping[str, Measured], earlier: Iterable[tuple[str, Measured]]
) -> dict[str, list[Measured]]:
    """What was measured now and before, by set; sets and seeds ascend.

    What is measured now takes the place of the same seeds of the same set.

    Args:
        measured: now, by set.
        earlier: of `read_earlier`.

    Raises:
        BenchmarkError: results of other settings or clips, a seed twice, or sets of other seeds.
    """
    found = {name: [one] for name, one in measured.items()}
    for name, one in earlier:
        beside = found.setdefault(name, [])
        if not any(one.seeds == other.seeds for other in beside):
            _check_alike(name, one, beside)
            beside.append(one)
    _check_settings([one for each in found.values() for one in each])
    # In an order that does not tell in which they were measured: resamples depend on it.
    by_set = {name: sorted(found[name], key=lambda one: one.seeds) for name in sorted(found)}
    seeds = {name: [seed for one in each for seed in one.seeds] for name, each in by_set.items()}
    if any(each != next(iter(seeds.values())) for each in seeds.values()):
        shown = "; ".join(f"{name}: {' '.join(map(str, each))}" for name, each in seeds.items())
        raise BenchmarkError(
            f"sets are pooled over the same seeds, and these have others: {shown}. Measure what "
            "lacks with --sets and --seeds, and --add these results"
        )
    return by_set


def _unchanged(folder: Path, entry: Mapping[str, str], file: Path) -> Path:
    path = folder / entry["file"]
    if path.is_file() and sha256_of(path) != entry["sha256"]:
        raise BenchmarkError(f"{path} has changed since {file} was written")
    return path


def _check_alike(name: str, one: Measured, others: Sequence[Measured]) -> None:
    """The same clips in the same folds, and no seed twice."""
    for other in others:
        both = sorted({*one.seeds} & {*other.seeds})
        if both:
            raise BenchmarkError(
                f"{name}: seed {both[0]} is in {one.files[0]} and in {other.files[0]}"
            )
        for key in ("labels", "groups", "paths", "fold", "clips_sha256"):
            if one.study["data"][key] != other.study["data"][key]:
                raise BenchmarkError(
                    f"{name}: {one.files[0]} has other clips or folds than {other.files[0]} ({key})"
                )


def _check_settings(everything: Sequence[Measured]) -> None:
    """All were trained alike: the sets differ in their clips alone."""
    first, *others = everything
    for one in others:
        differ = [key for key, value in _settings(one).items() if value != _settings(first)[key]]
        if differ:
            raise BenchmarkError(
                f"{one.files[0]} has another {differ[0]} than {first.files[0]}: results of other "
                "settings are not pooled"
            )


def _settings(one: Measured) -> dict[str, Any]:
    study = one.study
    configs = study["configs"].values()
    return {
        "config": [config["path"] for config in configs],
        "setting of -o": [config["overrides"] for config in configs],
        "number of epochs": [config["epochs"] for config in configs],
        "checkpoint": study["conditions"]["checkpoint"],
        "number of folds": study["folds"]["number"],
        "start": {name: start["sha256"] for name, start in one.starts.items()},
        "reference": one.gate["reference"],
    }
