"""A study of the same task on the gate's page: what other trainings of the recipe bring."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from benchmarks.pages import numbers
from benchmarks.pages.parts import Section
from benchmarks.study.sections import study_section
from benchmarks.study.sentences import seed_sentence, study_sentence

Results = Mapping[str, Any]


def repeated_section(results: Results, study: Mapping[str, Any]) -> Section:
    """The study's gains by seed, apart from those of this page."""
    found, cells = study_section(study)[0], len(study["cells"])
    host = study["conditions"]["machine"]
    where = f"measured {study['created']} on {host['cpu']} by {study['command']}"
    own, theirs = _trainings(results), _trainings_of_study(study)
    if own <= theirs:
        first = (
            f"The trainings of this page are among those of the study ({where}): its figures are "
            "no further evidence about them."
        )
    else:
        first = (
            f"The study trained the same task anew, {where}. Its networks are others than those "
            "of this page, also where the seed is the same."
        )
    sentences = [first, *study_sentences(results, study), *_same_seeds(results, study)]
    # The study's own report has a plot and a sentence for each of its deployments.
    sentences += found.sentences[cells:]
    return replace(
        found, title="The study: other seeds", sentences=sentences, plots=found.plots[:1]
    )


def study_sentences(results: Results, study: Mapping[str, Any]) -> list[str]:
    """What a study says of its trainings: the mean gain, and where the seed of one pair lies."""
    said = [study_sentence(study, study["cells"][0])]
    seed = results["pairs"][0]["student"]["origin"].get("seed")
    if len(results["pairs"]) == 1 and seed is not None:
        said += filter(None, [seed_sentence(study, seed)])
    return said


def _same_seeds(results: Results, study: Mapping[str, Any]) -> list[str]:
    """Why a seed that stands on this page twice need not have the same gain."""
    theirs = _trainings_of_study(study)
    own = {seed for seed, checkpoint in _trainings(results) if (seed, checkpoint) not in theirs}
    both = sorted(own & {seed for seed, _ in theirs})
    if not both:
        return []
    which = f"Seed {both[0]}" if len(both) == 1 else f"Seeds {numbers.joined(list(map(str, both)))}"
    return [
        f"{which} of the table below is another training than that of this page: the study's, on "
        f"{study['conditions']['machine']['cpu']}. Processors round sums differently, and the same "
        "seed then ends in another network with another gain."
    ]


def _trainings(results: Results) -> set[tuple[Any, Any]]:
    """Seed and checkpoint of the students of this page."""
    origins = [pair["student"]["origin"] for pair in results["pairs"]]
    return {(one.get("seed"), one.get("checkpoint", {}).get("sha256")) for one in origins}


def _trainings_of_study(study: Mapping[str, Any]) -> set[tuple[Any, Any]]:
    return {
        (run["seed"], one["checkpoint_sha256"])
        for run in study["runs"]
        for one in run.get("folds", [run])
    }
