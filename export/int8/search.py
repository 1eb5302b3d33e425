"""Which layers hurt when they are rounded, and the fewest to keep in float so that a goal holds.

Which answers turn is luck, so layers are compared by the KL divergence of the logits, to which
every clip contributes. `export.int8.goal` decides when enough is enough.

The search is greedy: keep in float the layer that lowers the divergence most, again, until
the goal holds. It looks at a layer anew only while what that brought earlier might make it the
best (lazy evaluation; Minoux, 1978). What later turns out not to be needed is rounded again.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from export.int8.defaults import Goal
from export.int8.goal import Score
from infer.system.log import logger

log = logger(__name__)

Try = Callable[[frozenset[str]], Score]
"""From the layers to keep in float, besides those that always are, to what is then lost."""


@dataclass(frozen=True)
class Effect:
    """What one layer does to the network.

    Attributes:
        layer: the node's name.
        work: its share of the network's multiply-adds.
        alone: the score when it is the only layer that is rounded.
        spared: the score when it is the only layer that is not.
    """

    layer: str
    work: float
    alone: Score
    spared: Score

    def to_dict(self) -> dict[str, Any]:
        """The scores as plain data, ready for JSON."""
        return {
            "layer": self.layer,
            "work": self.work,
            "alone": self.alone.to_dict(),
            "spared": self.spared.to_dict(),
        }


@dataclass(frozen=True)
class SearchResult:
    """What a search found.

    Attributes:
        goal: what was looked for.
        before: the score with every layer rounded.
        after: the score with those of `layers` in float.
        layers: kept in float, in the order in which they were found.
        steps: each layer that was tried and kept, with the score it led to.
        work: share of the multiply-adds that is in float.
        most: the largest share that was allowed.
    """

    goal: Goal
    before: Score
    after: Score
    layers: tuple[str, ...]
    steps: tuple[tuple[str, Score], ...]
    work: float
    most: float

    @property
    def found(self) -> bool:
        """Whether the goal is reached."""
        return self.after.reaches(self.goal)

    def to_dict(self) -> dict[str, Any]:
        """What `bundle.json` says of it."""
        return {
            "goal": {"loss": self.goal.loss, "least": self.goal.least},
            "clips": self.before.clips,
            "before": self.before.to_dict(),
            "after": self.after.to_dict(),
            "spared": list(self.layers),
            "steps": [{"layer": layer, **found.to_dict()} for layer, found in self.steps],
            "work_in_float": self.work,
            "most_work_in_float": self.most,
        }


def rank(layers: Sequence[str], work: Mapping[str, float], attempt: Try) -> list[Effect]:
    """Round each layer alone, and keep each alone in float; those that cost most come first.

    Args:
        layers: names of the nodes that may be rounded.
        work: share of the multiply-adds, by layer.
        attempt: makes and measures a network.
    """
    everything = frozenset(layers)
    effects = []
    for number, layer in enumerate(layers, start=1):
        alone, spared = attempt(everything - {layer}), attempt(frozenset({layer}))
        effects.append(Effect(layer, work.get(layer, 0.0), alone, spared))
        log.info(
            f"{number:3d}/{len(layers)} {layer}: KL {alone.divergence:.5f} alone, "
            f"{spared.divergence:.5f} when only it is in float"
        )
    return sorted(effects, key=lambda effect: effect.spared.divergence)


def ranking_table(effects: Sequence[Effect], all_rounded: Score) -> list[str]:
    """A ranking as lines of text; `gain` is what float takes off the divergence."""
    width = max([len(effect.layer) for effect in effects], default=5)
    lines = [
        f"{'layer':{width}}  {'work':>6}  {'KL alone':>9}  {'SQNR':>6}  {'agree':>7}"
        f"  {'KL float':>9}  {'gain':>6}  {'top-1':>6}"
    ]
    for effect in effects:
        gain = 1 - effect.spared.divergence / max(all_rounded.divergence, 1e-12)
        lines.append(
            f"{effect.layer:{width}}  {effect.work:6.1%}  {effect.alone.divergence:9.5f}"
            f"  {effect.alone.sqnr:6.1f}  {effect.alone.agreement:7.2%}"
            f"  {effect.spared.divergence:9.5f}  {gain:6.1%}  {effect.spared.top1:6.4f}"
        )
    return lines


def search(
    layers: Sequence[str],
    work: Mapping[str, float],
    attempt: Try,
    goal: Goal,
    *,
    most: float,
) -> SearchResult:
    """Keep layers in float until the goal holds, or until no more may be.

    Args:
        layers: names of the nodes that may be rounded.
        work: share of the multiply-adds, by layer.
        attempt: makes and measures a network.
        goal: when to stop.
        most: the largest share of the multiply-adds to keep in float.
    """
    before = now = attempt(frozenset())
    chosen: list[str] = []
    steps: list[tuple[str, Score]] = []
    # The least divergence that a layer may lead to: nothing is known at first.
    waiting = [(float("-inf"), layer) for layer in layers]
    heapq.heapify(waiting)
    while not now.reaches(goal):
        spent = sum(work.get(layer, 0.0) for layer in chosen)
        found = _best(waiting, chosen, attempt, now, room=most - spent, work=work)
        if found is None or found[1].divergence >= now.divergence:
            break
        layer, now = found
        chosen.append(layer)
        steps.append((layer, now))
        log.info(f"in float  {layer}: {now}")
    for layer in chosen[:-1] if now.reaches(goal) else []:
        fewer = attempt(frozenset(chosen) - {layer})
        if fewer.reaches(goal):
            chosen.remove(layer)
            now = fewer
            log.info(f"rounded   {layer} again, the goal holds without: {now}")
    kept = tuple(chosen)
    total = sum(work.get(layer, 0.0) for layer in kept)
    return SearchResult(goal, before, now, kept, tuple(steps), total, most)


def _best(
    waiting: list[tuple[float, str]],
    chosen: Sequence[str],
    attempt: Try,
    now: Score,
    *,
    room: float,
    work: Mapping[str, float],
) -> tuple[str, Score] | None:
    """The layer that brings the divergence down most, taken off `waiting`; None: none does.

    `waiting` holds each layer with the divergence that it is expected to lead to: what
    float brought the last time it was tried, taken off the present one.
    """
    scores: dict[str, Score] = {}
    too_much: list[tuple[float, str]] = []
    while waiting:
        expected, layer = heapq.heappop(waiting)
        if layer in scores:
            # Tried in this round, and nobody who waits promises more. In the next round each layer
            # brings at most what it brought in this one.
            before, after = now.divergence, scores[layer].divergence
            waiting[:] = [(after - (before - then), one) for then, one in waiting + too_much]
            heapq.heapify(waiting)
            return layer, scores[layer]
        if work.get(layer, 0.0) > room + 1e-12:
            too_much.append((expected, layer))
            continue
        scores[layer] = attempt(frozenset([*chosen, layer]))
        heapq.heappush(waiting, (scores[layer].divergence, layer))
    waiting.extend(too_much)
    return None
