"""The study's gain as sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.pages.numbers import NOT_DISTINGUISHABLE, cell_name, level, percent, points, span
from infer.system.terminal import counted


def study_sentence(study: Mapping[str, Any], cell: str) -> str:
    """The pooled gain of a study in one deployment, and whether it is significant."""
    pooled, seeds = study["pooled"][cell], len(study["seeds"])
    gain = pooled["crossed"]
    text = (
        f"Over {counted(seeds, 'seed')} and {study['data']['listed']} clips, "
        f"in {cell_name(cell)}, the mean gain of the DML student is {points(gain['point'])} points "
        f"({level(gain)} interval {span(gain)})"
    )
    if not pooled["distinguishable"]:
        return f"{text}: {NOT_DISTINGUISHABLE}."
    word = "gain" if gain["point"] > 0 else "loss"
    if seeds == 1:
        return f"{text}: a {word} with this seed; one seed says nothing about others."
    more = "more" if gain["point"] > 0 else "fewer"
    count = pooled["seeds_gaining"] if gain["point"] > 0 else pooled["seeds_losing"]
    text += f": a {word}, with {more} right answers in {count} of {seeds} seeds"
    if pooled["distinguishable_by_seeds"]:
        return f"{text}; the interval across seeds confirms it ({span(pooled['seeds'])})."
    return f"{text}; but {undecided_by_seeds(pooled)}."


def seed_sentence(study: Mapping[str, Any], seed: int) -> str | None:
    """Where the gain of one seed lies among those of a study; None where it has not the seed."""
    cell = study["cells"][0]
    gains = {row["seed"]: row["gain"]["point"] for row in study["per_seed"][cell]}
    if seed not in gains or len(gains) < 2:
        return None
    place = 1 + sum(gain > gains[seed] for gain in gains.values())
    return (
        f"In the study seed {seed} gained {points(gains[seed])} points, place {place} of "
        f"{len(gains)} from the largest gain ({points(max(gains.values()))}) to the smallest "
        f"({points(min(gains.values()))})."
    )


def folds_sentence(study: Mapping[str, Any]) -> str:
    """How a study with folds tested its clips."""
    folds, data = study["folds"], study["data"]
    groups, clips = len(set(data["groups"])), data["listed"]
    chance = max(data["labels"].count(label) for label in set(data["labels"])) / clips
    return (
        f"Each of the {clips} clips was a test clip once, in {folds['number']} folds; no network "
        f"was trained, or its epoch chosen, on clips of a group that it is tested on ({groups} "
        f"groups, from {folds['groups']}). Answering the most frequent class would be right for "
        f"{percent(chance, 1)} of the clips. Pairs of clips in different folds that look the same: "
        f"{len(folds.get('near_duplicates', {'pairs': ()})['pairs'])}."
    )


def undecided_by_seeds(pooled: Mapping[str, Any]) -> str:
    """What to say of a gain that is significant over seeds and clips, but not across seeds."""
    return f"across seeds it is not significant ({span(pooled['seeds'])})"
