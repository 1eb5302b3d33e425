"""The verdict of one cell, from what both models answered in it and in the reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.deployments.accuracy import MODELS, Answers
from benchmarks.gate.one_class import collapsed, lost_classes
from benchmarks.gate.verdict import GAIN, NO_GAIN_LEVEL, REFERENCE, Rule, verdict
from benchmarks.stats.evidence import need_to_tell, widest
from benchmarks.stats.gains import Right
from benchmarks.stats.need import NO_NEED
from benchmarks.stats.resample import Groups, Resampled

# By model and cell: the answers of each trained pair.
Given = Mapping[str, Mapping[str, Sequence[Answers]]]


def cell_verdict(
    answers: Given,
    key: str,
    reference: str,
    labels: npt.ArrayLike,
    rule: Rule,
    drawn: Resampled,
    *,
    gain_is_real: bool,
    same: bool,
    groups: Groups | None = None,
) -> dict[str, Any]:
    """Verdict, evidence, and the models of the cell that collapsed; JSON-ready.

    A model may answer one class for nearly every clip (`collapsed`), or no longer recognise some
    (`collapsed_classes`).

    Args:
        answers: of both models in both cells.
        key: the cell.
        reference: the cell whose gain counts as whole.
        labels: int [clips], the true classes.
        rule: what has to be left.
        drawn: right or wrong of the reference's baseline and student and of the cell's.
        gain_is_real: the reference's gain is above zero, and significant.
        same: the cell computes what the reference computes, to rounding.
        groups: of clips that are not independent.
    """
    found = collapses(answers, key, labels)
    if key == reference:
        gain = widest(drawn, GAIN, NO_GAIN_LEVEL)
        need = None
        if not gain_is_real and gain.point > 0:
            need = need_to_tell(drawn, GAIN, 0.0, level=rule.level)
        return {
            "verdict": REFERENCE,
            "gain_is_real": gain_is_real,
            "gain_in_reference": gain.to_dict(),
            "collapsed": found,
            **(NO_NEED if need is None else need.to_dict()),
        }
    of_models = {model: [answers[model][cell] for cell in (reference, key)] for model in MODELS}
    lost = lost_classes(of_models, labels, groups)
    judged = verdict(
        drawn,
        rule,
        gain_is_real=gain_is_real,
        same=same,
        one_class=bool(found),
        reference_collapsed=bool(collapses(answers, reference, labels)),
        class_collapsed=bool(lost),
    )
    return {**judged, "collapsed": found, "collapsed_classes": lost}


def collapses(answers: Given, key: str, labels: npt.ArrayLike) -> list[dict[str, Any]]:
    """The models of a cell that answer one class for nearly every clip."""
    return collapsed({model: answers[model][key] for model in MODELS}, labels)


def correct_within(given: Sequence[Answers], k: int = 1) -> Right:
    """Whether the true class is among the first k, bool [pairs, clips]."""
    return np.stack([one.within(k) for one in given])
