"""The clips that a gate is about, of a list or of folds, and what all models answer to them."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.deployments.accuracy import MODELS
from benchmarks.deployments.answer_cache import gate_cache
from benchmarks.deployments.answers import Answered, Bundles, answer_all, shared_datasets
from benchmarks.deployments.deployment import Choice
from benchmarks.deployments.fold_answers import (
    Datasets,
    answer_folds,
    check_folds,
    frames_suffix,
)
from benchmarks.gate.results.records import bundle_record
from benchmarks.stats.resample import Groups
from infer.clips.spec import ClipSpec
from train.data.dataset import ClipDataset
from train.data.fold_lists import FoldLists, read_folds
from train.data.lists import Sample, read_list


@dataclass(frozen=True)
class ListedAnswers:
    """Clips and answers.

    Attributes:
        file: the list, or `folds.json`.
        root: folder that its paths start from.
        samples: the clips.
        answered: what every model, of folds every seed, answers to each of them.
        datasets: clips to time with; of folds those that the first tests.
        folds: that the clips were split into, or None.
        groups: of clips that are drawn together, or None.
        data: what else the result's `data` holds.
    """

    file: Path
    root: Path | None
    samples: list[Sample]
    answered: Answered
    datasets: Datasets
    folds: FoldLists | None = None
    groups: Groups | None = None
    data: Mapping[str, Any] = field(default_factory=dict)

    def pairs(self, bundles: Bundles) -> list[dict[str, Any]]:
        """The bundles of each pair; of folds those of the first stand for a seed."""
        step = 1 if self.folds is None else self.folds.number
        return [
            {model: bundle_record(bundles[model][place]) for model in MODELS}
            for place in range(0, len(bundles["student"]), step)
        ]

    def dataset(self, spec: ClipSpec) -> ClipDataset:
        """All clips, sampled and preprocessed by a spec of the bundles."""
        if self.folds is None:
            return self.datasets[spec]
        return ClipDataset(self.samples, spec, train=False, suffix=frames_suffix(self.folds))

    def folds_record(self, bundles: Bundles) -> dict[str, Any]:
        """`folds` of the result: their number and, by seed and fold, the bundles; or nothing."""
        if self.folds is None:
            return {}
        number = self.folds.number
        every = [
            {model: bundle_record(bundles[model][place]) for model in MODELS}
            for place in range(len(bundles["student"]))
        ]
        rows = [every[start : start + number] for start in range(0, len(every), number)]
        own = {key: self.folds.record[key] for key in ("seed", "val_share", "groups", "lists")}
        return {"folds": {"number": number, **own, "bundles": rows}}


def answer_listed(
    options: argparse.Namespace, bundles: Bundles, choice: Choice, cache: Path
) -> ListedAnswers:
    """Read the clips that the gate's options name and let all models answer them.

    Raises:
        BenchmarkError: see `benchmarks.deployments.answers.answer_all`.
        ListError: the list cannot be read.
        FoldsError: the folds cannot be read.
    """
    asked = choice.cells if options.cells else ()
    classes = len(bundles["student"][0].classes)
    if options.folds is not None:
        lists = read_folds(options.folds)
        check_folds(bundles, lists)
        answered, datasets = answer_folds(
            bundles,
            choice.cells,
            lists,
            threads=options.threads,
            workers=options.workers,
            cache=cache,
            asked=asked,
        )
        clips = lists.record["clips"]
        return ListedAnswers(
            lists.file,
            lists.root,
            lists.samples(num_classes=classes),
            answered,
            datasets,
            folds=lists,
            groups=Groups.of(clips["groups"]),
            data={"groups": clips["groups"], "fold": clips["fold"]},
        )
    samples = read_list(
        options.data,
        root=options.root,
        format=options.format,
        num_classes=classes,
        suffix=options.suffix,
    )
    datasets = shared_datasets(bundles, samples, options.suffix)
    answered = answer_all(
        bundles,
        choice.cells,
        datasets,
        threads=options.threads,
        workers=options.workers,
        cache=gate_cache(cache, samples, threads=options.threads),
        asked=asked,
    )
    return ListedAnswers(options.data, options.root, samples, answered, datasets)
