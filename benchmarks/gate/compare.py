"""The comparison of a deployment with the reference, from the answers of both models in both."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.deployments.accuracy import MODELS, Answers, agreement, macro_f1, macro_f1_gain
from benchmarks.gate.answer_figures import add_answer_figures
from benchmarks.gate.deployment_verdict import Given, cell_verdict, correct_within
from benchmarks.gate.verdict import Rule
from benchmarks.stats import paired
from benchmarks.stats.evidence import retained_share, widest
from benchmarks.stats.gains import gain_record
from benchmarks.stats.resample import Bootstrap, Interval, settings_of
from benchmarks.stats.shares import share_interval


def compare_cells(
    labels: npt.ArrayLike,
    classes: int,
    answers: Given,
    *,
    reference: str,
    rule: Rule,
    bootstrap: Bootstrap,
    same: Collection[str] = (),
) -> list[dict[str, Any]]:
    """Figures, gain, retained gain and the verdict, for each deployment; JSON-ready.

    Args:
        labels: int [clips], the true classes.
        classes: their number.
        answers: by model and cell, one for each pair; the same cells and pairs in both models.
        reference: the cell whose gain counts as whole.
        rule: what has to be retained.
        bootstrap: settings of the resampling.
        same: cells that compute what the reference computes, to rounding.
    """
    right = {
        model: {key: correct_within(given) for key, given in cells.items()}
        for model, cells in answers.items()
    }
    whole = gain_record(right["baseline"][reference], right["student"][reference], bootstrap)
    gain_is_real = whole["distinguishable"] and whole["point"] > 0
    rows = []
    for key in answers["baseline"]:
        four = [right[model][cell] for cell in (reference, key) for model in MODELS]
        drawn = paired.resampled(four, **bootstrap)
        share = retained_share(drawn, same=key in same or key == reference)
        moved = widest(drawn, [1, -1, -1, 1])
        row: dict[str, Any] = {
            "cell": key,
            "gain": gain_record(four[2], four[3], bootstrap),
            "gain_top5": _gain_top5(answers, key, bootstrap),
            "gain_macro_f1": _gain_macro_f1(answers, key, labels, classes, bootstrap),
            "gain_left": {
                "share": share.to_dict() if share is not None else None,
                # A share of nothing says nothing, whatever number comes out.
                "meaningful": gain_is_real,
            },
            "gain_change": {**moved.to_dict(), "distinguishable": moved.excludes_zero},
        }
        for model, weights in zip(MODELS, ([-1, 0, 1, 0], [0, -1, 0, 1]), strict=True):
            given, base = answers[model][key], answers[model][reference]
            row[model] = {
                **figures(given, labels, classes, bootstrap),
                "agreement": _agreement(base, given),
                "change": _change(
                    gain_record(right[model][reference], right[model][key], bootstrap),
                    widest(drawn, weights),
                ),
            }
        row["verdict"] = cell_verdict(
            answers,
            key,
            reference,
            labels,
            rule,
            drawn,
            gain_is_real=gain_is_real,
            same=key in same,
            groups=bootstrap.get("groups"),
        )
        row["pairs"] = _pairs(answers, key, reference, labels, rule, bootstrap, same=key in same)
        rows.append(row)
    add_answer_figures(rows, right, reference=reference, labels=labels, bootstrap=bootstrap)
    return rows


def figures(
    given: Sequence[Answers], labels: npt.ArrayLike, classes: int, bootstrap: Bootstrap
) -> dict[str, Any]:
    """Top-1 and top-5 with their intervals, macro-F1, and how many classes were answered.

    One model: Wilson's interval. Several of the same recipe, or clips in groups: means, resampled
    over models and clips; of the classes answered the fewest.
    """
    return {
        **{
            name: share_interval(correct_within(given, k), bootstrap).to_dict()
            for name, k in (("top1", 1), ("top5", 5))
        },
        "macro_f1": float(np.mean([macro_f1(one.predictions, labels, classes) for one in given])),
        "classes_answered": min(_classes_answered(one) for one in given),
    }


def _change(record: dict[str, Any], interval: Interval) -> dict[str, Any]:
    """What deployment did to a model, with the interval that verdicts are made of."""
    sure = interval.excludes_zero and record["distinguishable"]
    return {**record, **interval.to_dict(), "distinguishable": sure}


def _classes_answered(given: Answers) -> int:
    return len(np.unique(given.predictions[given.predictions >= 0]))


def _agreement(base: Sequence[Answers], given: Sequence[Answers]) -> float | None:
    """Share of clips with the reference's answer; None where no clip could be read."""
    share = float(np.mean([agreement(a, b) for a, b in zip(base, given, strict=True)]))
    return None if np.isnan(share) else share


def _gain_top5(answers: Given, key: str, bootstrap: Bootstrap) -> dict[str, Any]:
    first, second = (correct_within(answers[model][key], 5) for model in MODELS)
    return gain_record(first, second, bootstrap)


def _gain_macro_f1(
    answers: Given, key: str, labels: npt.ArrayLike, classes: int, bootstrap: Bootstrap
) -> dict[str, Any] | None:
    """None with several pairs: the mean of their F1 is no function of resampled means."""
    first, second = (answers[model][key] for model in MODELS)
    if len(first) > 1:
        return None
    a, b = first[0].predictions, second[0].predictions
    return macro_f1_gain(a, b, labels, classes, **settings_of(bootstrap)).to_dict()


def _pairs(
    answers: Given,
    key: str,
    reference: str,
    labels: npt.ArrayLike,
    rule: Rule,
    bootstrap: Bootstrap,
    *,
    same: bool,
) -> list[dict[str, Any]]:
    """What was answered, pair by pair; with several pairs also the gain and verdict of each."""
    rows: list[dict[str, Any]] = []
    count = len(answers["baseline"][key])
    for pair in range(count):
        row: dict[str, Any] = {
            model: {
                "predictions": answers[model][key][pair].predictions.tolist(),
                "ranks": answers[model][key][pair].ranks.tolist(),
            }
            for model in MODELS
        }
        if count > 1:
            alone = {
                model: {cell: [answers[model][cell][pair]] for cell in (reference, key)}
                for model in MODELS
            }
            four = [
                correct_within(alone[model][cell]) for cell in (reference, key) for model in MODELS
            ]
            whole = gain_record(four[0], four[1], bootstrap)
            row["gain"] = gain_record(four[2], four[3], bootstrap)
            row["verdict"] = cell_verdict(
                alone, key, reference, labels, rule, paired.resampled(four, **bootstrap),
                gain_is_real=whole["distinguishable"] and whole["point"] > 0, same=same,
                groups=bootstrap.get("groups"),
            )["verdict"]  # fmt: skip
        rows.append(row)
    return rows
