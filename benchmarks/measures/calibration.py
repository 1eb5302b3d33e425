"""Calibration of a model with intervals, before and after temperature scaling, and its changes.

Clips that could not be read have no probabilities and are left out. ECE, Brier score and NLL are
means over trained models; the intervals resample models and clips (or their groups). Bins and
temperatures are those of the sample and are not found again in each resample.

The ECE of a sample is above zero even for a calibrated model, because the gaps of its bins do not
cancel: `by_chance` says how far. In a resample that happens twice. The interval of an ECE is
therefore the basic one (Davison and Hinkley 1997, 5.2), which takes half of it off again, and it
begins at zero where a calibrated model would have as large an ECE by chance. In a change from one
deployment to another it cancels, and the percentile interval is taken. Both hold the estimate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.measures.scores import (
    BINS,
    binned,
    bins_of,
    brier,
    confidences,
    ece_by_chance,
)
from benchmarks.measures.temperature import cross_fitted, halves
from benchmarks.stats.resample import Bootstrap, Floats, Interval, percentile, resample
from benchmarks.stats.student_t import t_interval
from export.confidence.temperature import log_softmax, nll

MEASURES = ("ece", "brier", "nll")
NORMAL_95 = 1.96
"""Standard deviations from the mean, of a normal distribution's middle 95 %."""


@dataclass(frozen=True)
class Calibration:
    """Per-clip parts of the measures of one or several models; a measure is a function of means.

    Attributes:
        gaps: [models, bins, clips], whose absolute row means sum to the ECE of a model.
        means: by `brier` and `nll` [models, clips].
        by_chance: ECE that calibrated models would have, mean over models.
        chance_limit: the largest that they would have by chance, in 97.5 % of samples.
    """

    gaps: Floats
    means: dict[str, Floats]
    by_chance: float
    chance_limit: float

    @classmethod
    def of(cls, logits: Sequence[npt.ArrayLike], labels: npt.ArrayLike) -> Calibration:
        """From the finite logits [clips, classes] of each model."""
        gaps: list[Floats] = []
        chance: list[tuple[float, float]] = []
        means: dict[str, list[Floats]] = {"brier": [], "nll": []}
        for one in logits:
            logs = log_softmax(one)
            confidence, right = confidences(logs, labels)
            gaps.append(binned(confidence - right, bins_of(confidence)))
            chance.append(ece_by_chance(confidence))
            means["brier"].append(brier(logs, labels))
            means["nll"].append(nll(logs, labels))
        stacked = {name: np.stack(one) for name, one in means.items()}
        mean, spread = np.mean(chance, axis=0)
        return cls(np.stack(gaps), stacked, float(mean), float(mean + NORMAL_95 * spread))

    def of_models(self) -> dict[str, Floats]:
        """ECE, Brier score and NLL of each model, [models]."""
        return {
            "ece": np.abs(self.gaps.mean(axis=2)).sum(axis=1),
            **{name: one.mean(axis=1) for name, one in self.means.items()},
        }


def measure(
    logits: Sequence[npt.ArrayLike],
    labels: npt.ArrayLike,
    bootstrap: Bootstrap,
    *,
    reference: Sequence[npt.ArrayLike] | None = None,
) -> dict[str, Any] | None:
    """The calibration of one or several trained models of a kind; JSON-ready.

    Args:
        logits: float [clips, classes] of each model, NaN in rows of clips that could not be read.
        labels: int [clips].
        bootstrap: settings of the resampling; its seed draws the halves too.
        reference: logits of the same models before deployment, for `change`.

    Returns:
        `before` and `after` scaling: by measure an interval, of ECE also `by_chance`. The
        `temperatures` of the two halves by model, `clips` and `bins`; with a reference `change`,
        by measure how much more than there, unscaled. `after` is None where there are too few
        clips for two halves. None where no clip could be read.

    Raises:
        ValueError: tables that do not fit each other.
    """
    tables = [np.asarray(one, np.float64) for one in (*logits, *(reference or ()))]
    truth = np.asarray(labels, np.int64)
    if {one.shape for one in tables} != {(len(truth), tables[0].shape[-1])}:
        raise ValueError(f"logits {[one.shape for one in tables]} of {len(truth)} clips")
    read: npt.NDArray[np.bool_] = np.asarray(np.isfinite(np.stack(tables)).all(axis=(0, 2)))
    if not read.any():
        return None
    groups = bootstrap.get("groups")
    groups = None if groups is None else groups.among(read)
    settings: Bootstrap = {**bootstrap, "groups": groups}
    truth, tables = truth[read], [one[read] for one in tables]
    own, whole = tables[: len(logits)], tables[len(logits) :]
    second = halves(len(truth), seed=bootstrap["seed"], groups=groups)
    scaled = [cross_fitted(one, truth, second) for one in own]
    parts = {"before": Calibration.of(own, truth)}
    fitted = [one for one in scaled if one is not None]
    if len(fitted) == len(scaled):
        parts["after"] = Calibration.of([one for one, _ in fitted], truth)
    if whole:
        parts["reference"] = Calibration.of(whole, truth)
    draws = _draws(parts, settings)
    points = {name: part.of_models() for name, part in parts.items()}
    level = bootstrap["level"]
    found: dict[str, Any] = {
        "clips": len(truth),
        "bins": BINS,
        "temperatures": [list(temperatures) for _, temperatures in fitted],
        "after": None,
    }
    for key in parts.keys() - {"reference"}:
        found[key] = {
            name: _interval(name, float(points[key][name].mean()), draws[key][name], level)
            for name in MEASURES
        }
        ece = found[key]["ece"]
        ece["by_chance"] = parts[key].by_chance
        if ece["point"] <= parts[key].chance_limit:
            ece["low"] = 0.0
    if whole:
        found["change"] = {
            name: _change(
                points["before"][name] - points["reference"][name],
                draws["before"][name] - draws["reference"][name],
                level,
            )
            for name in MEASURES
        }
    return found


def _draws(parts: Mapping[str, Calibration], bootstrap: Bootstrap) -> dict[str, dict[str, Floats]]:
    """Each measure in every resample, [resamples], by part; the same clips in all."""
    models, bins, clips = next(iter(parts.values())).gaps.shape
    rows = [
        table
        for part in parts.values()
        for table in (part.gaps.reshape(-1, clips), *part.means.values())
    ]
    means = resample(np.concatenate(rows)[:, None], **bootstrap).draws
    chosen = np.random.default_rng([bootstrap["seed"], models]).multinomial(
        models, np.full(models, 1 / models), size=len(means)
    )

    def take(width: int) -> Floats:
        nonlocal means
        first, means = means[:, :width], means[:, width:]
        return first

    found: dict[str, dict[str, Floats]] = {}
    for key, part in parts.items():
        of_model = {"ece": np.abs(take(models * bins).reshape(-1, models, bins)).sum(axis=2)}
        of_model |= {name: take(models) for name in part.means}
        found[key] = {name: (one * chosen).sum(axis=1) / models for name, one in of_model.items()}
    return found


def _interval(name: str, point: float, draws: Floats, level: float) -> dict[str, Any]:
    found = percentile(point, draws, level)
    if name == "ece":
        found = Interval(point, max(0.0, 2 * point - found.high), 2 * point - found.low, level)
    return found.widened().to_dict()


def _change(of_models: Floats, draws: Floats, level: float) -> dict[str, Any]:
    """With Student's t over models: a bootstrap of few of them is too narrow where they differ."""
    alone = [t_interval(of_models.tolist(), level=level)] if len(of_models) > 1 else []
    return percentile(float(of_models.mean()), draws, level).widened(*alone).to_dict()
