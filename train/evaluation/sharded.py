"""Evaluation over the processes of a team: every listed clip is seen by one of them, once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from train.data.lists import Sample
from train.distributed.team import Team
from train.evaluation.evaluate import Evaluation, ListedClips, Run, evaluate


class _Share:
    """Every `size`-th sample of a dataset, from the `rank`-th on."""

    def __init__(self, dataset: ListedClips, team: Team) -> None:
        self._dataset = dataset
        self.places = range(team.rank, len(dataset.samples), team.size)

    @property
    def samples(self) -> Sequence[Sample]:
        return [self._dataset.samples[place] for place in self.places]

    @property
    def clip_shape(self) -> tuple[int, int, int, int]:
        return self._dataset.clip_shape

    @property
    def views(self) -> int:
        return self._dataset.views

    def __len__(self) -> int:
        return len(self.places)

    def read(self, index: int, *, rng: np.random.Generator | None) -> tuple[np.ndarray, int]:
        return self._dataset.read(self.places[index], rng=rng)


def evaluate_together(
    run: Run, dataset: ListedClips, *, team: Team, batch_size: int, workers: int
) -> Evaluation:
    """What `train.evaluation.evaluate.evaluate` returns, for every process, of shared work.

    Also if none of the clips can be read: the caller says what that means.

    Raises:
        EvaluationError: as there.
    """
    if team.size == 1:
        return evaluate(run, dataset, batch_size=batch_size, workers=workers, may_all_fail=True)
    share = _Share(dataset, team)
    mine = None
    if len(share):
        mine = evaluate(run, share, batch_size=batch_size, workers=workers, may_all_fail=True)
    parts = [part for part in team.gather(mine) if part is not None]
    listed = len(dataset.samples)
    logits = np.full((listed, max(part.classes for part in parts)), np.nan, np.float32)
    failed: dict[str, str] = {}
    for rank, part in enumerate(parts):
        # A part of which no clip could be read does not know how many classes there are.
        logits[rank :: team.size, : part.classes] = part.logits
        failed |= dict(part.failed)
    return Evaluation(
        logits=logits,
        labels=np.array([sample.label for sample in dataset.samples], np.int64),
        paths=tuple(str(sample.path) for sample in dataset.samples),
        failed=tuple(
            (str(sample.path), failed[str(sample.path)])
            for sample, row in zip(dataset.samples, logits, strict=True)
            if np.isnan(row).any()
        ),
    )
