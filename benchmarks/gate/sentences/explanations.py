"""The verdicts of the gate as plain sentences, each with what it rests on."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.gate.sentences.collapses import class_collapse_words, collapse_words
from benchmarks.gate.sentences.conditions import condition_words, deciding
from benchmarks.gate.sentences.gains import gain_sentence
from benchmarks.gate.sentences.needed import needed_for_verdict, needed_note
from benchmarks.gate.verdict import (
    FAIL,
    PASS,
    REFERENCE,
    UNCLEAR,
    is_caught_up,
    is_retained,
    reference_row,
)
from benchmarks.pages import numbers
from benchmarks.stats.paired import mcnemar_exact

VERDICTS = {
    PASS: "passes",
    FAIL: "fails",
    UNCLEAR: "inconclusive",
    REFERENCE: "reference",
}
ENOUGH_GROUPS = 20
"""Groups of clips for which resampling them is about right."""


def gate_sentences(results: Mapping[str, Any]) -> list[str]:
    """The outcome in one sentence, the gain that is to be kept, and a sentence a deployment."""
    said = [
        summary(results),
        gain_sentence(results["reference"], reference_row(results)["gain"]),
    ]
    return said + reference_notes(results) + verdict_sentences(results)


def verdict_sentences(results: Mapping[str, Any]) -> list[str]:
    """A sentence a deployment, the reference left out."""
    others = [row for row in results["cells"] if row["cell"] != results["reference"]]
    same = [row for row in others if is_same(row)]
    said = []
    if same:
        names = numbers.joined([numbers.cell_name(row["cell"]) for row in same])
        verb = "passes" if len(same) == 1 else "pass"
        said.append(
            f"{names} {verb}: both models give the answers of "
            f"{numbers.cell_name(results['reference'])} to every clip, and its logits to rounding."
        )
    said += [verdict_sentence(row, results) for row in others if not is_same(row)]
    said += [broken_sentence(one) for one in results["broken"]]
    return said + needed_note(results)


def summary(results: Mapping[str, Any]) -> str:
    """How many deployments pass, fail, or are inconclusive."""
    found = [row["verdict"]["verdict"] for row in results["cells"]]
    failed = found.count(FAIL) + len(results["broken"])
    unclear = found.count(UNCLEAR)
    judged = len(found) - 1 + len(results["broken"])
    if not judged:
        return "Only the reference was run: there is no deployment to judge."
    passed = found.count(PASS)
    if judged == 1:
        if unclear:
            return "The one deployment is inconclusive."
        return f"The one deployment {'passes' if passed else 'fails'} the gate."
    if passed == judged:
        return f"All {judged} deployments pass the gate."
    parts = [f"{passed} {'passes' if passed == 1 else 'pass'}"] if passed else []
    parts += [f"{failed} {'fails' if failed == 1 else 'fail'}"] if failed else []
    parts += [f"{unclear} {'is' if unclear == 1 else 'are'} inconclusive"] if unclear else []
    return f"Of {judged} deployments {numbers.joined(parts)}."


def rule_sentence(results: Mapping[str, Any]) -> str:
    """What a deployment has to show."""
    keep, margin, level = keep_words(results), margin_words(results), _level(results)
    return (
        f"A deployment passes when the clips show that {numbers.cell_name(results['reference'])} "
        f"has a gain and at least {keep} of it is retained, or that the student loses less than "
        f"{margin} points of top-1. It fails when they show that the student loses more, and that "
        "less than "
        f"{keep} of the gain is retained or that there is none. Where less of it is left and the "
        f"student loses less than {margin} points, it is inconclusive. Shown means that the whole "
        f"{level} interval lies on one side{_by_chance(results)}."
    )


def _by_chance(results: Mapping[str, Any]) -> str:
    """How often a verdict is wrong, where enough clips or groups of them are independent."""
    groups = results["data"].get("groups")
    if groups is not None and len(set(groups)) < ENOUGH_GROUPS:
        return (
            f". With {len(set(groups))} groups of clips how often a verdict is wrong is not known: "
            "resampling few groups gives intervals that are too narrow, and Student's t over them, "
            "which is taken too, supposes groups of about one size"
        )
    return (
        ": with two ways to pass, a deployment at both limits passes by chance at most once in "
        "twenty, and fails at most once in forty"
    )


def short_rule(results: Mapping[str, Any]) -> str:
    """The same in one line."""
    return (
        f"A deployment passes if the {_level(results)} intervals show that at least "
        f"{keep_words(results)} of the gain is retained, or that the student loses less than "
        f"{margin_words(results)} points of top-1, and not that less of the gain is left."
    )


def reference_notes(results: Mapping[str, Any]) -> list[str]:
    """What must be known of the reference: another one than usual, or one without a gain."""
    row = reference_row(results)
    name = numbers.cell_name(row["cell"])
    notes = []
    if results["reference_instead_of"] is not None:
        notes.append(f"{name} is the reference: {results['reference_instead_of']}.")
    found = row["verdict"]
    if found["collapsed"]:
        notes.append(
            f"In {name} {collapse_words(found['collapsed'], results)}: that model does not "
            "classify, what is measured against it means nothing, and no deployment passes. Train "
            "it again."
        )
    if not found["gain_is_real"]:
        gain = row["gain"]
        worse = gain["distinguishable"] and gain["point"] < 0
        lacks = (
            "the student is worse than the baseline: there is no gain to retain"
            if worse
            else "the gain of the student is not statistically significant"
        )
        text = (
            f"In {name} {lacks}. A deployment "
            "can then pass in one way only: the clips show that the student loses less than "
            f"{margin_words(results)} points. It fails where they show that the student loses "
            f"more, and also that its gain is below {keep_words(results)} of the gain in {name} or "
            f"that {name} has no gain."
        )
        if found["clips_range"] is not None or found["pairs_range"] is not None:
            needed = needed_for_verdict(found, results)
            text += f" To show the gain: {needed[0].lower()}{needed[1:]}"
        notes.append(text)
    return notes


def verdict_sentence(row: Mapping[str, Any], results: Mapping[str, Any]) -> str:
    """A deployment's verdict and what it rests on."""
    name, found = numbers.cell_name(row["cell"]), row["verdict"]
    reference = numbers.cell_name(results["reference"])
    if found["collapsed"]:
        return (
            f"{name} fails: {collapse_words(found['collapsed'], results)}. "
            f"{_since_when(found['collapsed'], results)}"
        )
    if found["collapsed_classes"]:
        return f"{name} fails: {class_collapse_words(found['collapsed_classes'], results)}."
    decided = deciding(found)
    if decided:
        word = "fails" if found["verdict"] == FAIL else "is inconclusive"
        return (
            f"{name} {word}: {condition_words(decided)}. By the gain alone: "
            f"{VERDICTS[found['by_gain']]}."
        )
    margin, keep = margin_words(results), keep_words(results)
    lost = f"the student's top-1 changes by {numbers.interval(found['change'])} points"
    kept = f"the gain less {keep} of {reference}'s is {numbers.interval(found['kept'])} points"
    if found["verdict"] == PASS:
        shown = []
        if is_retained(found):
            shown.append(f"at least {keep} of the gain is retained ({kept})")
        if found["change"]["low"] > -results["rule"]["margin"]:
            shown.append(f"the student loses less than {margin} points ({lost})")
        return f"{name} passes: {', and '.join(shown)}."
    if found["verdict"] == FAIL:
        text = f"{name} fails: the student loses more than {margin} points ({lost}), and "
        if found["kept"]["high"] < 0 and found["gain_in_reference"]["high"] >= 0:
            return f"{text}less than {keep} of the gain is retained ({kept})."
        gain = found["gain_in_reference"]
        return (
            f"{text}{reference} has no gain that could be retained "
            f"({numbers.level(gain)} interval {numbers.span(gain)})."
        )
    if reference_row(results)["verdict"]["collapsed"]:
        return (
            f"{name} is not judged: a model that answers one class in {reference} is no reference."
        )
    if is_caught_up(found, results["rule"]["margin"]):
        return f"{name} is inconclusive: {caught_up_words(row, results)} ({lost}, and {kept})."
    lack = "trained pairs" if found["pairs_range"] is not None else "clips"
    needed = needed_for_verdict(found, results)
    return f"{name} is inconclusive (not enough {lack}): {lost}, and {kept}. {needed}"


def caught_up_words(row: Mapping[str, Any], results: Mapping[str, Any]) -> str:
    """What a deployment does in which the student keeps its accuracy, but not its gain."""
    gains = row["baseline"]["change"]["low"] > 0
    return (
        f"the student loses less than {margin_words(results)} points, but less than "
        f"{keep_words(results)} of the gain is left"
        + (": the baseline gains by the deployment" if gains else "")
    )


def _since_when(collapsed: Sequence[Mapping[str, Any]], results: Mapping[str, Any]) -> str:
    """Whether the models that answer one class did so before deployment, and what to do."""
    reference = numbers.cell_name(results["reference"])
    before = {_model_of(one) for one in reference_row(results)["verdict"]["collapsed"]}
    found = {_model_of(one) for one in collapsed}
    if found <= before:
        them = "It" if len(found) == 1 else "They"
        verb = "it" if len(found) == 1 else "them"
        return f"{them} had collapsed before deployment, in {reference}: train {verb} again."
    if found & before:
        return (
            f"Where a model answers one class in {reference} too, it had collapsed before "
            "deployment: train it again."
        )
    return f"In {reference} this is not so: the deployment computes something else."


def _model_of(one: Mapping[str, Any]) -> tuple[Any, Any]:
    return one["model"], one["pair"]


def verdict_name(found: Mapping[str, Any]) -> str:
    """A verdict in a word."""
    return VERDICTS[found["verdict"]]


def broken_sentence(one: Mapping[str, Any]) -> str:
    """A deployment without usable answers, and why."""
    return (
        f"{numbers.cell_name(one['cell'])} fails: {one['model']} {one['bundle']}: {one['reason']}"
    )


def sample_and_interval(results: Mapping[str, Any]) -> list[str]:
    """How far the numbers reach: sample, interval, and what they do not cover."""
    data, conditions, pairs = results["data"], results["conditions"], len(results["pairs"])
    listed, failed = data["listed"], len(data["failed"])
    gain = reference_row(results)["gain"]
    level = _level(results)
    said = [
        f"Every figure is over the same {listed:,} test clips, answered by both models in every "
        "deployment; nothing was left out"
        + (
            f", and the {failed} clips that could not be read count as wrong."
            if failed
            else " and every clip could be read."
        )
    ]
    if pairs > 1:
        said.append(
            f"{pairs} pairs of models were trained alike with other seeds. Differences are paired "
            f"over clips: {level} intervals from {conditions['resamples']:,} bootstrap resamples "
            "of pairs and clips. They are about the recipe, not about one of its trainings; with "
            "few pairs that is the wider claim by far."
        )
    else:
        said.append(
            f"Differences are paired over clips: {level} intervals from "
            f"{conditions['resamples']:,} bootstrap resamples, p-values from McNemar's exact "
            "test. A difference is called real only where both exclude zero."
        )
    said += folds_sentences(results)
    said.append(
        "The intervals that decide a verdict are the widest of the bootstrap's and the score "
        "interval's, which reckons with changes that these clips happened not to show"
        + (", and Student's t over pairs" if pairs > 1 else "")
        + (", and Student's t over groups of clips" if "groups" in data else "")
        + "."
    )
    if pairs > 1:
        said.append(
            "A gain is called significant only where Student's t over pairs leaves out zero too."
        )
    said.append(significant_gain(gain))
    if pairs == 1:
        said.append(
            "The intervals cover the choice of test clips, not the luck of training: this is one "
            "training run of each model. A study (make study) repeats the training with other "
            "seeds."
        )
    return said


def folds_sentences(results: Mapping[str, Any]) -> list[str]:
    """What answers of a cross-validation are; nothing where there is none."""
    if "folds" not in results:
        return []
    number, groups = results["folds"]["number"], len(set(results["data"]["groups"]))
    return [
        f"The clips are those of a cross-validation in {number} folds: each was answered by "
        "the networks of the fold that tests it, so that every model stands for "
        f"{number} trainings. Clips of one group go together: resamples draw whole groups, "
        f"of which there are {groups}."
    ]


def significant_gain(gain: Mapping[str, Any]) -> str:
    """How large a gain has to be to be significant on these clips."""
    if gain["only_first"] + gain["only_second"] == 0:
        return (
            "How large a gain has to be to stand out cannot be estimated: no clip is answered "
            "right by one of the two models alone."
        )
    width = (gain["high"] - gain["low"]) / 2
    if "by_pairs" in gain:
        width = max(width, (gain["by_pairs"]["high"] - gain["by_pairs"]["low"]) / 2)
    if gain["p"] is not None:
        # However few clips differ: the exact test asks for so many that one model alone gets right.
        least = next(n for n in itertools.count(1) if mcnemar_exact(0, n) < 1 - gain["level"])
        width = max(width, least / gain["clips"])
    return f"On these clips only a gain of about {100 * width:.1f} points would be significant."


def is_same(row: Mapping[str, Any]) -> bool:
    """Whether a deployment passes because it computes what the reference computes."""
    return bool(row["verdict"]["same_network"] and row["verdict"]["verdict"] == PASS)


def keep_words(results: Mapping[str, Any]) -> str:
    """The share of the gain that has to be retained."""
    return f"{100 * results['rule']['keep']:g} %"


def margin_words(results: Mapping[str, Any]) -> str:
    """The largest loss of the student that is allowed, in points."""
    return f"{100 * results['rule']['margin']:g}"


def _level(results: Mapping[str, Any]) -> str:
    return numbers.percent(results["conditions"]["level"], 0)
