"""The verdicts of the gate as plain sentences, each with what it rests on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks import words
from benchmarks.verdict import FAIL, PASS, REFERENCE, UNCLEAR

VERDICTS = {
    PASS: "passes",
    FAIL: "fails",
    UNCLEAR: "not enough clips",
    REFERENCE: "reference",
}
MILLION = 1_000_000


def reference_row(results: Mapping[str, Any]) -> Mapping[str, Any]:
    """The row of the cell that the others are compared with."""
    row: Mapping[str, Any] = next(
        row for row in results["cells"] if row["cell"] == results["reference"]
    )
    return row


def gate_sentences(results: Mapping[str, Any]) -> list[str]:
    """The outcome in one sentence, the gain that is to be kept, and a sentence a deployment."""
    said = [
        summary(results),
        words.gain_sentence(results["reference"], reference_row(results)["gain"]),
    ]
    return said + reference_notes(results) + verdict_sentences(results)


def verdict_sentences(results: Mapping[str, Any]) -> list[str]:
    """A sentence a deployment, the reference left out."""
    others = [row for row in results["cells"] if row["cell"] != results["reference"]]
    same = [row for row in others if _is_same(row)]
    said = []
    if same:
        names = words.joined([words.cell_name(row["cell"]) for row in same])
        verb = "passes" if len(same) == 1 else "pass"
        said.append(
            f"{names} {verb}: both models give the answers of "
            f"{words.cell_name(results['reference'])} to every clip, and its logits to rounding."
        )
    said += [verdict_sentence(row, results) for row in others if not _is_same(row)]
    return said + [broken_sentence(one) for one in results["broken"]]


def summary(results: Mapping[str, Any]) -> str:
    """How many deployments pass, fail, or cannot be told."""
    found = [row["verdict"]["verdict"] for row in results["cells"]]
    failed = found.count(FAIL) + len(results["broken"])
    unclear = found.count(UNCLEAR)
    judged = len(found) - 1 + len(results["broken"])
    if not judged:
        return "Only the reference was run: there is no deployment to judge."
    passed = found.count(PASS)
    if judged == 1:
        if unclear:
            return "There is not enough to tell whether the one deployment passes the gate."
        return f"The one deployment {'passes' if passed else 'fails'} the gate."
    if passed == judged:
        return f"All {judged} deployments pass the gate."
    parts = [f"{passed} {'passes' if passed == 1 else 'pass'}"] if passed else []
    parts += [f"{failed} {'fails' if failed == 1 else 'fail'}"] if failed else []
    parts += [f"{unclear} cannot be told"] if unclear else []
    return f"Of {judged} deployments {words.joined(parts)}."


def rule_sentence(results: Mapping[str, Any]) -> str:
    """What a deployment has to show."""
    keep, margin = _keep(results), _margin(results)
    level = words.percent(results["conditions"]["level"], 0)
    return (
        f"A deployment passes when the clips show that at least {keep} of the gain in "
        f"{words.cell_name(results['reference'])} is left, or that the student loses less than "
        f"{margin} points of top-1 there. It fails when they show that neither holds. Shown means "
        f"that the whole {level} interval lies on one side: with two ways to pass, a deployment "
        "at both limits passes by chance at most once in twenty."
    )


def reference_notes(results: Mapping[str, Any]) -> list[str]:
    """What must be known of the reference: another one than usual, or one without a gain."""
    row = reference_row(results)
    name = words.cell_name(row["cell"])
    notes = []
    if results["reference_instead_of"] is not None:
        notes.append(f"{name} is the reference: {results['reference_instead_of']}.")
    if not row["verdict"]["gain_is_real"]:
        text = (
            f"In {name} no gain of the student can be told from zero, so there is none of which "
            "a share could be left: deployments are judged by what the student loses."
        )
        needed = row["verdict"]["clips_needed"]
        if needed is not None:
            text += f" A gain of this size would show on about {_count(needed)} clips."
        notes.append(text)
    return notes


def verdict_sentence(row: Mapping[str, Any], results: Mapping[str, Any]) -> str:
    """A deployment's verdict and what it rests on."""
    name, found = words.cell_name(row["cell"]), row["verdict"]
    reference = words.cell_name(results["reference"])
    if found["one_class"]:
        who = " and ".join(
            "the student" if model == "student" else "the baseline"
            for model in ("student", "baseline")
            if row[model]["classes_answered"] == 1
        )
        return f"{name} fails: {who} answers the same class for every clip. It is broken."
    margin, keep = _margin(results), _keep(results)
    lost = f"the student's top-1 changes by {words.interval(found['change'])} points"
    kept = None
    if found["kept"] is not None:
        kept = f"the gain less {keep} of {reference}'s is {words.interval(found['kept'])} points"
    if found["verdict"] == PASS:
        shown = []
        if kept is not None and found["kept"]["low"] > 0:
            shown.append(f"at least {keep} of the gain is left ({kept})")
        if found["change"]["low"] > -results["rule"]["margin"]:
            shown.append(f"the student loses less than {margin} points ({lost})")
        return f"{name} passes: {', and '.join(shown)}."
    if found["verdict"] == FAIL:
        text = f"{name} fails: the student loses more than {margin} points ({lost})"
        if kept is not None:
            text += f", and less than {keep} of the gain is left ({kept})"
        return text + "."
    seen = lost if kept is None else f"{lost}, and {kept}"
    lack = "trained pairs" if found["pairs_needed"] is not None else "clips"
    return f"{name}, not enough {lack} to tell: {seen}. {needed_sentence(found, results)}"


def verdict_name(found: Mapping[str, Any]) -> str:
    """A verdict in a word or three."""
    if found.get("pairs_needed") is not None:
        return "not enough pairs"
    return VERDICTS[found["verdict"]]


def needed_sentence(found: Mapping[str, Any], results: Mapping[str, Any]) -> str:
    """How much more it would take to tell."""
    clips, pairs = found["clips_needed"], found["pairs_needed"]
    listed, given = results["data"]["listed"], len(results["pairs"])
    if pairs is not None:
        return (
            f"About {pairs:,} trained pairs would be needed instead of {given}, if more of them "
            "differ as these do."
        )
    if clips is None:
        what = "clips or trained pairs" if given > 1 else "clips"
        return f"The estimate lies so near the limit that no number of {what} can be named."
    return (
        f"About {_count(clips)} clips would be needed instead of {listed:,}, if further ones are "
        "like these."
    )


def broken_sentence(one: Mapping[str, Any]) -> str:
    """A deployment without usable answers, and why."""
    return f"{words.cell_name(one['cell'])} fails: {one['model']} {one['bundle']}: {one['reason']}"


def sureness(results: Mapping[str, Any]) -> list[str]:
    """How far the numbers reach: sample, interval, and what they do not cover."""
    data, conditions, pairs = results["data"], results["conditions"], len(results["pairs"])
    listed, failed = data["listed"], len(data["failed"])
    gain = reference_row(results)["gain"]
    width = 100 * (gain["high"] - gain["low"]) / 2
    level = words.percent(conditions["level"], 0)
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
    said.append(
        "The intervals that decide a verdict are the widest of the bootstrap's and the score "
        "interval's, which reckons with changes that these clips happened not to show"
        + (", and Student's t over pairs." if pairs > 1 else ".")
    )
    said.append(f"On these clips a gain has to be about {width:.1f} points to stand out.")
    if pairs == 1:
        said.append(
            "The intervals cover the choice of test clips, not the luck of training: this is one "
            "training run of each model. A study (make study) repeats the training with other "
            "seeds."
        )
    return said


def _is_same(row: Mapping[str, Any]) -> bool:
    return bool(row["verdict"]["same_network"] and row["verdict"]["verdict"] == PASS)


def _keep(results: Mapping[str, Any]) -> str:
    return f"{100 * results['rule']['keep']:g} %"


def _margin(results: Mapping[str, Any]) -> str:
    return f"{100 * results['rule']['margin']:g}"


def _count(number: int) -> str:
    """A number of clips, to two digits that count."""
    if number >= 100 * MILLION:
        return "more than 100 million"
    digits = max(0, len(str(number)) - 2)
    return f"{round(number, -digits):,}"
