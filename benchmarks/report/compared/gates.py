"""Two results of the gate, compared deployment by deployment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.common.errors import BenchmarkError
from benchmarks.deployments.accuracy import MODELS, Answers
from benchmarks.gate.deployment_verdict import correct_within
from benchmarks.gate.results.check import stored_answers
from benchmarks.gate.results.result_file import load_results
from benchmarks.measures.flips import directed_flips
from benchmarks.stats.resample import Bootstrap, Interval, groups_of, settings_of
from benchmarks.stats.two_results import paired_difference, unpaired_difference

Results = Mapping[str, Any]
Answered = Mapping[str, Sequence[Answers]]


@dataclass(frozen=True)
class Change:
    """What changes in one deployment from the first result to the second.

    Attributes:
        cell: the deployment.
        top1: of the student.
        gain: of the student on its baseline.
        flips: of the second student instead of the first; None where the clips are others, or
            where no training of one belongs to one of the other.
        agreement: share of clips with the same answer of both students; None as `flips`.
    """

    cell: str
    top1: Interval
    gain: Interval
    flips: Mapping[str, Any] | None
    agreement: float | None


@dataclass(frozen=True)
class Comparison:
    """Two results and what changes between them.

    Attributes:
        files: of the results.
        results: the first and the second.
        changes: of each deployment that both have, in the order of the first.
        same_clips: both answered the same clips, so that differences are paired.
        matched: training n of one belongs to training n of the other.
        same_networks: both measured the same trained networks.
    """

    files: tuple[Path, Path]
    results: tuple[Results, Results]
    changes: Sequence[Change]
    same_clips: bool
    matched: bool
    same_networks: bool


def compare_gates(first: Path, second: Path) -> Comparison:
    """Read and compare two result files.

    Raises:
        BenchmarkError: one is no result of the gate, or they have other classes or no deployment
            in common.
    """
    a, b = load_results(first), load_results(second)
    _check_classes(a, b, first, second)
    rows = [{row["cell"]: row for row in one["cells"]} for one in (a, b)]
    common = [cell for cell in rows[0] if cell in rows[1]]
    if not common:
        lists = "; ".join(
            f"{file}: {', '.join(of)}" for file, of in zip((first, second), rows, strict=True)
        )
        raise BenchmarkError(
            f"the two results have no deployment in common ({lists}). Measure one of the same with "
            "`python -m benchmarks.gain --cells`"
        )
    same_clips, same_networks = _same_clips(a, b), _same_networks(a, b)
    matched = len(a["pairs"]) == len(b["pairs"]) and (
        len(a["pairs"]) == 1 or same_networks or _same_seeds(a, b)
    )
    changes = []
    for cell in common:
        if not same_clips:
            top1, gain = (
                unpaired_difference(*(part(of[cell]) for of in rows))
                for part in (lambda row: row["student"]["top1"], lambda row: row["gain"])
            )
            changes.append(Change(cell, top1, gain, None, None))
            continue
        answers = [
            stored_answers(of[cell], np.asarray(one["data"]["labels"]), len(one["pairs"]), file)
            for of, one, file in zip(rows, (a, b), (first, second), strict=True)
        ]
        changes.append(_paired(cell, answers[0], answers[1], _bootstrap(a, b), matched=matched))
    return Comparison((first, second), (a, b), changes, same_clips, matched, same_networks)


def _paired(
    cell: str, first: Answered, second: Answered, bootstrap: Bootstrap, *, matched: bool
) -> Change:
    right = [{model: correct_within(of[model]) for model in MODELS} for of in (first, second)]
    students = [of["student"] for of in right]
    gains = [of["student"].astype(int) - of["baseline"] for of in right]
    return Change(
        cell,
        paired_difference(students[0], students[1], bootstrap, matched=matched),
        paired_difference(gains[0], gains[1], bootstrap, matched=matched, most=2.0),
        directed_flips(students[0], students[1], bootstrap) if matched else None,
        _agreement(first["student"], second["student"]) if matched else None,
    )


def _agreement(first: Sequence[Answers], second: Sequence[Answers]) -> float:
    same: list[npt.NDArray[np.bool_]] = [
        a.predictions == b.predictions for a, b in zip(first, second, strict=True)
    ]
    return float(np.mean(same))


def _check_classes(a: Results, b: Results, first: Path, second: Path) -> None:
    names = [one["data"]["classes"] for one in (a, b)]
    if names[0] == names[1]:
        return
    problems = [
        f"{file} has {len(of)} classes" for file, of in zip((first, second), names, strict=True)
    ]
    if len(names[0]) == len(names[1]):
        place = next(n for n, (x, y) in enumerate(zip(*names, strict=True)) if x != y)
        problems = [
            f"class {place} of {file} is {of[place]!r}"
            for file, of in zip((first, second), names, strict=True)
        ]
    raise BenchmarkError(
        f"the two results have different classes: {'; '.join(problems)}. Give two results of the "
        "same classes in the same order"
    )


def _same_clips(a: Results, b: Results) -> bool:
    """The same files with the same labels in the same order."""
    if a["data"]["labels"] != b["data"]["labels"]:
        return False
    sums = [one["data"].get("clips_sha256", one["data"]["sha256"]) for one in (a, b)]
    known = ["clips_sha256" in one["data"] for one in (a, b)]
    if known[0] != known[1]:
        sums = [one["data"]["sha256"] for one in (a, b)]
    return bool(sums[0] == sums[1])


def _same_networks(a: Results, b: Results) -> bool:
    """The same checkpoints, by their checksums."""
    own, other = (_origins(one, "checkpoint") for one in (a, b))
    sums = [
        [of.get("sha256") if isinstance(of, dict) else None for of in each] for each in (own, other)
    ]
    return None not in sums[0] and sums[0] == sums[1]


def _same_seeds(a: Results, b: Results) -> bool:
    own, other = (_origins(one, "seed") for one in (a, b))
    return None not in own and own == other


def _origins(results: Results, key: str) -> list[Any]:
    """A field of where each bundle came from; of folds every bundle's."""
    rows = [results["pairs"]]
    if "folds" in results:
        rows = results["folds"]["bundles"]
    return [pair[model]["origin"].get(key) for row in rows for pair in row for model in MODELS]


def _bootstrap(a: Results, b: Results) -> Bootstrap:
    """The settings of the first result; clips in groups where one of them has groups."""
    groups = groups_of(a["data"] if "groups" in a["data"] else b["data"])
    return {**settings_of(a["conditions"]), "groups": groups}
