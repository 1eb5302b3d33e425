"""Gain, changes and verdicts under every perturbation, from what was answered.

Everything is paired: all models, deployments and perturbations are resampled together, over trained
pairs and clips. Intervals are the widest of the bootstrap, the score interval of the clips and
Student's t over pairs, as in the gate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.deployments.accuracy import FAILED, MODELS, Answers
from benchmarks.gate.deployment_verdict import Given, cell_verdict, collapses
from benchmarks.gate.verdict import FAIL, PASS, UNCLEAR, Rule
from benchmarks.perturb.cameras import CLEAN
from benchmarks.stats import paired
from benchmarks.stats.evidence import retained_share, widest
from benchmarks.stats.gains import gain_record
from benchmarks.stats.resample import Bootstrap, Resampled

Predictions = Mapping[str, Mapping[str, Mapping[str, Sequence[Sequence[int]]]]]
"""By perturbation, model and cell: what each pair answers, a class for each clip or FAILED."""

GAIN = (-1.0, 1.0)
CHANGE_OF_GAIN = (1.0, -1.0, -1.0, 1.0)


def figures(
    predictions: Predictions,
    labels: Sequence[int],
    *,
    reference: str,
    rule: Rule,
    bootstrap: Bootstrap,
    same: Mapping[str, Sequence[str]],
) -> list[dict[str, Any]]:
    """A row for each perturbation and deployment; JSON-ready.

    Args:
        predictions: the clips as they are (`clean`) first; each with the reference.
        labels: the true class of each clip.
        reference: the deployment that the others are compared with under the same perturbation.
        rule: what has to be retained.
        bootstrap: settings of the resampling.
        same: by perturbation the deployments that compute what the reference computes, to
            rounding.
    """
    truth = np.asarray(labels)
    answers = {name: _answers(models, truth) for name, models in predictions.items()}
    right = {
        (name, model, cell): np.stack([one.correct for one in given])
        for name, models in answers.items()
        for model, cells in models.items()
        for cell, given in cells.items()
    }
    drawn = paired.resampled(list(right.values()), **bootstrap)
    places = {key: number for number, key in enumerate(right)}

    def of(*names: tuple[str, str]) -> Resampled:
        """Those of some perturbations and cells, the baseline's and then the student's of each."""
        chosen = [places[name, model, cell] for name, cell in names for model in MODELS]
        return replace(drawn, table=drawn.table[chosen], draws=drawn.draws[:, chosen])

    rows = []
    for name, models in answers.items():
        first, second = (right[name, model, reference] for model in MODELS)
        whole = gain_record(first, second, bootstrap)
        # Of the retained gain the gate's verdict, by its own notion of a gain.
        gain_is_real = bool(whole["distinguishable"] and whole["point"] > 0)
        for cell in models["student"]:
            both = of((name, cell))
            row: dict[str, Any] = {
                "perturbation": name,
                "cell": cell,
                "gain": _gain(both),
                "gain_change": None,
            }
            for place, model in enumerate(MODELS):
                row[model] = {"top1": float(both.table[place].mean()), "change": None}
            if name != CLEAN and (CLEAN, "student", cell) in places:
                four = of((CLEAN, cell), (name, cell))
                row["gain_change"] = widest(four, CHANGE_OF_GAIN).to_dict()
                for place, model in enumerate(MODELS):
                    weights = np.zeros(4)
                    weights[[place, place + 2]] = -1.0, 1.0
                    row[model]["change"] = widest(four, weights.tolist()).to_dict()
            if cell == reference:
                row["collapsed"] = collapses(models, cell, truth)
            else:
                four = of((name, reference), (name, cell))
                share = retained_share(four, same=cell in same.get(name, ()))
                row["retained"] = None if share is None or not gain_is_real else share.to_dict()
                row["verdict"] = cell_verdict(
                    models, cell, reference, truth, rule, four,
                    gain_is_real=gain_is_real, same=cell in same.get(name, ()),
                    groups=bootstrap.get("groups"),
                )  # fmt: skip
            rows.append(row)
    return rows


def word(row: Mapping[str, Any]) -> str:
    """The verdict of a row: of the reference on its gain, of another deployment that of the gate.

    The gain passes where its whole interval is above zero, and fails where it is below.
    """
    found: str = row["verdict"]["verdict"] if "verdict" in row else row["gain"]["verdict"]
    return found


def _answers(
    models: Mapping[str, Mapping[str, Sequence[Sequence[int]]]], truth: np.ndarray
) -> Given:
    """The answers, whose ranks say right, wrong or failed and no more."""
    found: dict[str, dict[str, list[Answers]]] = {}
    for model, cells in models.items():
        found[model] = {}
        for cell, pairs in cells.items():
            said = [np.asarray(one, np.int64) for one in pairs]
            found[model][cell] = [
                Answers(one, np.where(one == FAILED, FAILED, (one != truth).astype(np.int64)))
                for one in said
            ]
    return found


def _gain(both: Resampled) -> dict[str, Any]:
    found = widest(both, GAIN)
    by_pair = (both.table[1] - both.table[0]).mean(axis=1)
    return {
        **found.to_dict(),
        "verdict": PASS if found.low > 0 else FAIL if found.high < 0 else UNCLEAR,
        "pairs_gaining": int((by_pair > 0).sum()),
        "pairs_losing": int((by_pair < 0).sum()),
    }
