"""Which flipped clips are worth a look, and pictures of them.

Flips are counted elsewhere (`benchmarks.measures.flips`). Here a few of each kind are chosen: the
ones whose new answer is the most confident. They are drawn while the clips are at hand; a report
is often made where they are not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.deployments.accuracy import answers_of
from infer.clips.contact_sheet import contact_sheet
from infer.clips.jpeg import data_uri
from infer.pipeline.rank import softmax
from infer.system.errors import VideoError
from train.evaluation.evaluate import Evaluation, ListedClips

LOST, WON = "right_to_wrong", "wrong_to_right"
WAYS = (LOST, WON)

FRAMES = 8
"""Frames of a clip that are drawn; of more, evenly spread."""
HEIGHT = 64
"""Pixels."""
MOST_BYTES = 300_000
"""Of all pictures on a page together; the least confident of each kind are left out first."""

Seen = Mapping[str, Mapping[str, Sequence[Evaluation]]]


@dataclass(frozen=True)
class Network:
    """A model in a deployment."""

    model: str
    cell: str


@dataclass(frozen=True)
class FlippedClip:
    """A clip whose answer changed.

    Attributes:
        clip: its place in the list, from 0.
        pair: the trained pair that changed it, from 0; of several the one whose new answer is the
            most confident.
        before: probability of the answer before, by the network that gave it.
        after: that of the answer after.
    """

    clip: int
    pair: int
    before: float
    after: float


@dataclass(frozen=True)
class Flips:
    """The flips from one network to another, one way.

    Attributes:
        before: the first network.
        after: the second one.
        way: `right_to_wrong` or `wrong_to_right`.
        clips: how many clips flip so, in any pair.
        shown: some of them, the most confident first.
    """

    before: Network
    after: Network
    way: str
    clips: int
    shown: tuple[FlippedClip, ...]


@dataclass(frozen=True)
class Sheets:
    """Flips of every kind that there are, and pictures.

    Attributes:
        kinds: of the DML student instead of the baseline, then of the student by deployment.
        pictures: by place in the list, JPEG; none of a clip that could not be read again.
    """

    kinds: tuple[Flips, ...]
    pictures: Mapping[int, bytes]


def contact_sheets(seen: Seen, cells: Sequence[str], clips: ListedClips, *, most: int) -> Sheets:
    """Choose flipped clips and draw them.

    Args:
        seen: what was answered, by model, cell and pair.
        cells: the deployments, the reference first.
        clips: the listed clips, as the student sees them.
        most: clips of each kind.
    """
    reference = cells[0]
    steps = [(Network("baseline", reference), Network("student", reference))]
    steps += [(steps[0][1], Network("student", cell)) for cell in cells[1:]]
    kinds = [_chosen(seen, *step, way, most) for step in steps for way in WAYS]
    return _within_budget([kind for kind in kinds if kind.clips], clips)


def _chosen(seen: Seen, before: Network, after: Network, way: str, most: int) -> Flips:
    logits = [[one.logits for one in seen[net.model][net.cell]] for net in (before, after)]
    labels = seen[before.model][before.cell][0].labels
    answers = [[answers_of(table, labels) for table in tables] for tables in logits]
    first, second = (np.stack([one.correct for one in given]) for given in answers)
    read = np.all([[one.predictions >= 0 for one in given] for given in answers], axis=0)
    flipped = read & (first & ~second if way == LOST else second & ~first)
    places = np.flatnonzero(flipped.any(axis=0))
    found = []
    for clip in places.tolist():
        chances = [
            FlippedClip(clip, pair, *(_chance(tables[pair][clip]) for tables in logits))
            for pair in np.flatnonzero(flipped[:, clip]).tolist()
        ]
        found.append(max(chances, key=lambda one: one.after))  # of equals the first
    found.sort(key=lambda one: -one.after)
    return Flips(before, after, way, len(places), tuple(found[:most]))


def _chance(logits: np.ndarray) -> float:
    """Probability of the answer that logits [classes] give."""
    return float(softmax(logits).max())


def _within_budget(kinds: Sequence[Flips], clips: ListedClips) -> Sheets:
    """Pictures of the first of each kind, then of the second, while there is room on the page."""
    pictures: dict[int, bytes | None] = {}
    shown = [0] * len(kinds)
    used = 0
    for rank in range(max((len(kind.shown) for kind in kinds), default=0)):
        for place, kind in enumerate(kinds):
            if rank >= len(kind.shown):
                continue
            clip = kind.shown[rank].clip
            if clip not in pictures:
                pictures[clip] = _picture(clips, clip)
            drawn = pictures[clip]
            used += 0 if drawn is None else len(data_uri(drawn))
            if used > MOST_BYTES:
                return _cut(kinds, shown, pictures)
            shown[place] += 1
    return _cut(kinds, shown, pictures)


def _cut(
    kinds: Sequence[Flips], shown: Sequence[int], pictures: Mapping[int, bytes | None]
) -> Sheets:
    left = tuple(
        replace(kind, shown=kind.shown[:count]) for kind, count in zip(kinds, shown, strict=True)
    )
    wanted = {one.clip for kind in left for one in kind.shown}
    found = {clip: jpeg for clip, jpeg in sorted(pictures.items()) if jpeg and clip in wanted}
    return Sheets(left, found)


def _picture(clips: ListedClips, place: int) -> bytes | None:
    try:
        views, _ = clips.read(place, rng=None)
    except VideoError:  # it could be read before
        return None
    return contact_sheet(views[len(views) // 2], frames=FRAMES, height=HEIGHT)
