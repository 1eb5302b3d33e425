"""The clips that a gate is about, of a list or of folds, and what all models answer to them."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.deployments.accuracy import MODELS
from benchmarks.deployments.answer_cache import gate_cache
from benchmarks.deployments.answers import Answered, Bundles, answer_all, shared_datasets
from benchmarks.deployments.deployment import Deployment
from benchmarks.deployments.fold_answers import (
    Clips,
    See,
    answer_folds,
    check_folds,
    frames_suffix,
)
from benchmarks.gate.results.records import bundle_record
from benchmarks.stats.resample import Groups, groups_of
from infer.clips.spec import ClipSpec
from train.data.dataset import ClipDataset
from train.data.fold_lists import FoldLists, read_folds
from train.data.lists import Sample, read_list


@dataclass(frozen=True)
class Listed:
    """Clips.

    Attributes:
        file: the list, or `folds.json`.
        root: folder that its paths start from.
        suffix: name pattern of the pictures of frame folders.
        samples: the clips.
        folds: that the clips were split into, or None.
        data: what else the result's `data` holds.
    """

    file: Path
    root: Path | None
    suffix: str
    samples: list[Sample]
    folds: FoldLists | None = None
    data: Mapping[str, Any] = field(default_factory=dict)

    @property
    def groups(self) -> Groups | None:
        """Of clips that are drawn together."""
        return groups_of(self.data)

    def pairs(self, bundles: Bundles) -> list[dict[str, Any]]:
        """The bundles of each pair; of folds those of the first stand for a seed."""
        return _bundle_rows(bundles)[:: 1 if self.folds is None else self.folds.number]

    def dataset(self, spec: ClipSpec) -> ClipDataset:
        """All clips, sampled and preprocessed by a spec of the bundles."""
        return ClipDataset(self.samples, spec, train=False, suffix=self.suffix)

    def folds_record(self, bundles: Bundles) -> dict[str, Any]:
        """`folds` of the result: their number and, by seed and fold, the bundles; or nothing."""
        if self.folds is None:
            return {}
        number = self.folds.number
        every = _bundle_rows(bundles)
        rows = [every[start : start + number] for start in range(0, len(every), number)]
        own = {key: self.folds.record[key] for key in ("seed", "val_share", "groups", "lists")}
        return {"folds": {"number": number, **own, "bundles": rows}}


def _bundle_rows(bundles: Bundles) -> list[dict[str, Any]]:
    """Of each baseline and its student."""
    return [
        {model: bundle_record(bundles[model][place]) for model in MODELS}
        for place in range(len(bundles["student"]))
    ]


def read_listed(options: argparse.Namespace, bundles: Bundles) -> Listed:
    """Read the clips that the gate's options name.

    Raises:
        BenchmarkError: there is no bundle for each fold of each seed.
        ListError: the list cannot be read.
        FoldsError: the folds cannot be read.
    """
    classes = len(bundles["student"][0].classes)
    if options.folds is None:
        samples = read_list(
            options.data,
            root=options.root,
            format=options.format,
            num_classes=classes,
            suffix=options.suffix,
        )
        return Listed(options.data, options.root, options.suffix, samples)
    lists = read_folds(options.folds)
    check_folds(bundles, lists)
    of_clips = lists.record["clips"]
    return Listed(
        lists.file,
        lists.root,
        frames_suffix(lists),
        lists.samples(num_classes=classes),
        folds=lists,
        data={"groups": of_clips["groups"], "fold": of_clips["fold"]},
    )


def as_they_are(listed: Listed, cache: Path, *, threads: int) -> See[ClipDataset]:
    """See clips as deployment does; answers are kept in a folder."""

    def see(
        bundles: Bundles, samples: Sequence[Sample]
    ) -> tuple[Mapping[ClipSpec, ClipDataset], Any]:
        make = partial(ClipDataset, samples, train=False, suffix=listed.suffix)
        kept = gate_cache(cache, samples, threads=threads)
        return shared_datasets(bundles, samples, make), kept

    return see


def answer_listed(
    listed: Listed,
    bundles: Bundles,
    cells: Sequence[Deployment],
    see: See[Clips],
    *,
    threads: int,
    workers: int,
    asked: Sequence[Deployment] = (),
    progress: str = "accuracy",
) -> tuple[Answered, Mapping[ClipSpec, Clips]]:
    """What every model, of folds every seed, answers to each clip; and clips to time with.

    The latter are those of the list, of folds those that the first tests. The arguments are those
    of `benchmarks.deployments.fold_answers.answer_folds`.

    Raises:
        BenchmarkError: see `benchmarks.deployments.answers.answer_all`.
    """
    if listed.folds is not None:
        return answer_folds(
            bundles, cells, listed.folds, see,
            threads=threads, workers=workers, asked=asked, progress=progress,
        )  # fmt: skip
    datasets, cache = see(bundles, listed.samples)
    answered = answer_all(
        bundles, cells, datasets,
        threads=threads, workers=workers, cache=cache, asked=asked, progress=progress,
    )  # fmt: skip
    return answered, datasets
