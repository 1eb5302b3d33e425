"""A result file against itself: its figures must follow from the answers it holds.

Answers are the source. Everything that they determine without resampling is computed again and
compared; the verdicts must follow from the stored intervals, and each interval hold its estimate.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common.errors import BenchmarkError
from benchmarks.deployments.accuracy import MODELS, Answers, macro_f1
from benchmarks.gate.conditions import examine, settle
from benchmarks.gate.one_class import collapsed, lost_classes
from benchmarks.gate.verdict import REFERENCE, judge, reference_row
from benchmarks.stats.paired import mcnemar_exact
from benchmarks.stats.resample import Interval, groups_of

SLACK = 1e-9


def verify(results: Mapping[str, Any], path: Path) -> None:
    """Check a whole result; what is missing shows as a KeyError or the like.

    Raises:
        BenchmarkError: a figure does not follow; says where.
    """
    labels = np.asarray(results["data"]["labels"])
    classes, pairs = len(results["data"]["classes"]), len(results["pairs"])
    given = {row["cell"]: stored_answers(row, labels, pairs, path) for row in results["cells"]}
    right = {
        key: {model: np.stack([one.correct for one in models[model]]) for model in MODELS}
        for key, models in given.items()
    }
    whole = right[results["reference"]]
    groups = groups_of(results["data"])
    for row in results["cells"]:
        here = right[row["cell"]]
        for model in MODELS:
            answers, part = given[row["cell"]][model], row[model]
            _follow(
                f"{path}: {model} {row['cell']}",
                {
                    "top1": (part["top1"], _mean(one.correct for one in answers)),
                    "top5": (part["top5"], _mean(one.within(5) for one in answers)),
                    "macro_f1": (
                        part["macro_f1"],
                        _mean(macro_f1(one.predictions, labels, classes) for one in answers),
                    ),
                    "change": (part["change"], here[model].mean() - whole[model].mean()),
                    **_answer_figures(part, whole[model], here[model], labels),
                },
            )
        _follow(f"{path}: {row['cell']}", _flips(row["flips"], *(here[m] for m in MODELS)))
        gain = here["student"].mean() - here["baseline"].mean()
        before = whole["student"].mean() - whole["baseline"].mean()
        only = [int((here[a] & ~here[b]).sum()) for a, b in (MODELS, MODELS[::-1])]
        figures: dict[str, tuple[Any, float]] = {
            "gain": (row["gain"], gain),
            "gain_change": (row["gain_change"], gain - before),
            "clips right only without": (row["gain"]["only_first"], only[0]),
            "clips right only with": (row["gain"]["only_second"], only[1]),
        }
        if row["gain"]["p"] is not None:
            figures["p"] = (row["gain"]["p"], mcnemar_exact(*only))
        if row["gain_left"]["share"] is not None:
            figures["gain_left"] = (row["gain_left"]["share"], gain / before)
        found = row["verdict"]
        figures["verdict.gain_in_reference"] = (found["gain_in_reference"], before)
        if found["verdict"] != REFERENCE:
            lost = here["student"].mean() - whole["student"].mean()
            kept = gain - results["rule"]["keep"] * before
            figures["verdict.change"] = (found["change"], lost)
            figures["verdict.kept"] = (found["kept"], kept)
        _follow(f"{path}: {row['cell']}", figures)
        if found["collapsed"] != collapsed(given[row["cell"]], labels):
            raise BenchmarkError(
                f"{path}: {row['cell']}: the models that answer one class are others than its "
                "answers show; the file was changed by hand or is damaged"
            )
        if row["cell"] != results["reference"]:
            of_models = {
                model: [given[key][model] for key in (results["reference"], row["cell"])]
                for model in MODELS
            }
            if found["collapsed_classes"] != lost_classes(of_models, labels, groups):
                raise BenchmarkError(
                    f"{path}: {row['cell']}: the classes that collapsed are others than its "
                    "answers show; the file was changed by hand or is damaged"
                )
    _verify_verdicts(results, path)


def _verify_verdicts(results: Mapping[str, Any], path: Path) -> None:
    """Verdicts must follow from the intervals beside them and from what the reference is."""
    whole = reference_row(results)
    is_real = whole["gain"]["distinguishable"] and whole["gain"]["point"] > 0
    for row in results["cells"]:
        found = row["verdict"]
        expected = REFERENCE
        if row is not whole:
            expected = judge(
                _interval(found["kept"]),
                _interval(found["change"]),
                _interval(found["gain_in_reference"]),
                results["rule"]["margin"],
                gain_is_real=is_real,
                same=found["same_network"],
                one_class=bool(found["collapsed"]),
                reference_collapsed=bool(whole["verdict"]["collapsed"]),
                class_collapsed=bool(found["collapsed_classes"]),
            )
            require = results["rule"].get("require", {})
            required = [examine(row, name, limit) for name, limit in require.items()]
            if required != found.get("required", []):
                raise BenchmarkError(
                    f"{path}: {row['cell']}: the conditions do not follow from its figures; the "
                    "file was changed by hand or is damaged"
                )
            expected = settle(expected, [one["found"] for one in required])
        if found["verdict"] != expected or found["gain_is_real"] != is_real:
            raise BenchmarkError(
                f"{path}: {row['cell']}: the verdict does not follow from its intervals; the file "
                "was changed by hand or is damaged"
            )


def stored_answers(
    row: Mapping[str, Any], labels: np.ndarray, pairs: int, path: Path
) -> dict[str, list[Answers]]:
    """The answers that a cell's row holds, by model; refused where they contradict the labels."""
    found: dict[str, list[Answers]] = {model: [] for model in MODELS}
    if len(row["pairs"]) != pairs:
        raise BenchmarkError(f"{path}: {row['cell']}: not the answers of every pair")
    for pair in row["pairs"]:
        for model in MODELS:
            one = Answers(np.asarray(pair[model]["predictions"]), np.asarray(pair[model]["ranks"]))
            if not len(labels) == len(one.predictions) == len(one.ranks):
                raise BenchmarkError(f"{path}: {model} {row['cell']}: not one answer a clip")
            if not np.array_equal(one.predictions == labels, one.correct):
                raise BenchmarkError(
                    f"{path}: {model} {row['cell']}: ranks do not follow from the stored answers; "
                    "the file was changed by hand or is damaged"
                )
            found[model].append(one)
    return found


def _follow(where: str, figures: Mapping[str, tuple[Any, float]]) -> None:
    """Compare stored figures, numbers or intervals, with computed ones, by name."""
    wrong = []
    for name, (stored, computed) in figures.items():
        point = stored["point"] if isinstance(stored, Mapping) else stored
        if not abs(point - computed) <= SLACK:
            wrong.append(name)
        elif isinstance(stored, Mapping):
            interval = _interval(stored)
            if not interval.low - SLACK <= point <= interval.high + SLACK:
                wrong.append(f"the interval of {name}")
    if wrong:
        raise BenchmarkError(
            f"{where}: {', '.join(wrong)} do not follow from the stored answers; the file was "
            "changed by hand or is damaged"
        )


def _flips(stored: Mapping[str, Any], first: np.ndarray, second: np.ndarray) -> dict[str, Any]:
    """Stored flips beside those of bool [pairs, clips] before and after."""
    lost = (first & ~second).mean()
    figures = {
        "right_to_wrong": (stored["right_to_wrong"], lost),
        "wrong_to_right": (stored["wrong_to_right"], (second & ~first).mean()),
    }
    if stored["negative_flips"] is not None:
        figures["negative_flips"] = (stored["negative_flips"], lost / max(first.mean(), SLACK))
    return figures


def _answer_figures(
    part: Mapping[str, Any], whole: np.ndarray, here: np.ndarray, labels: np.ndarray
) -> dict[str, tuple[Any, float]]:
    """Flips and recalls of one model's part of a row beside those that its answers show."""
    figures: dict[str, tuple[Any, float]] = {}
    if "flips" in part:
        figures |= _flips(part["flips"], whole, here)
    classes = part["classes"]
    for place, one in enumerate(classes["class"]):
        own = labels == one
        ends = {end: classes[end][place] for end in ("low", "high")}
        recall = {"point": classes["recall"][place], **ends, "level": None}
        figures[f"recall of class {one}"] = (recall, here[:, own].mean())
        if "change" in classes:
            change = {end: classes["change"][end][place] for end in ("point", "low", "high")}
            moved = here[:, own].mean() - whole[:, own].mean()
            figures[f"change of class {one}"] = ({**change, "level": None}, moved)
    return figures


def _interval(stored: Mapping[str, Any]) -> Interval:
    low = -math.inf if stored["low"] is None else stored["low"]
    high = math.inf if stored["high"] is None else stored["high"]
    return Interval(stored["point"], low, high, stored["level"])


def _mean(values: Any) -> float:
    rows: Sequence[Any] = list(values)
    return float(np.mean(rows))
