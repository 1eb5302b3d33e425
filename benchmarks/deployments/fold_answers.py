"""Answers of cross-validation: each clip's are those of the networks of the fold that tests it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias, TypeVar

import numpy as np

from benchmarks.common.errors import BenchmarkError
from benchmarks.deployments.accuracy import MODELS
from benchmarks.deployments.answer_cache import AnswerCache
from benchmarks.deployments.answers import Answered, Bundles, answer_all
from benchmarks.deployments.deployment import Deployment
from infer.bundle.bundle import Bundle
from infer.clips.spec import ClipSpec
from train.data.fold_lists import FoldLists
from train.data.lists import Sample
from train.evaluation.evaluate import Evaluation, ListedClips

Clips = TypeVar("Clips", bound=ListedClips)
See: TypeAlias = Callable[[Bundles, Sequence[Sample]], tuple[Mapping[ClipSpec, Clips], AnswerCache]]
"""How samples are seen by bundles: a dataset for each of their specs, and the answers kept."""


def check_folds(bundles: Bundles, lists: FoldLists) -> None:
    """There must be a bundle for each fold of each seed.

    Raises:
        BenchmarkError: their number is no multiple of that of the folds.
    """
    given = len(bundles["baseline"])
    if given % lists.number:
        raise BenchmarkError(
            f"{given} bundles of each model, but {lists.file} has {lists.number} folds: give one "
            "for each fold, in the order of the folds, and of several seeds one seed after another"
        )


def of_fold(bundles: Bundles, lists: FoldLists, fold: int) -> dict[str, Sequence[Bundle]]:
    """The bundles of one fold, from 1: by model one of every seed."""
    return {model: bundles[model][fold - 1 :: lists.number] for model in MODELS}


def answer_folds(
    bundles: Bundles,
    cells: Sequence[Deployment],
    lists: FoldLists,
    see: See[Clips],
    *,
    threads: int,
    workers: int,
    asked: Sequence[Deployment] = (),
    progress: str = "accuracy",
) -> tuple[Answered, Mapping[ClipSpec, Clips]]:
    """What every seed answers to all clips, in their order; and the clips that fold 1 tests.

    Args:
        bundles: by model, one for each fold of each seed, seeds one after another.
        cells: what to run, the reference first.
        lists: the folds.
        see: how the clips of a fold are seen by its networks.
        threads: CPU threads of the network.
        workers: threads that read ahead.
        asked: cells that were asked for by name.
        progress: words before the progress bars.

    Raises:
        BenchmarkError: see `benchmarks.deployments.answers.answer_all`.
    """
    classes = len(bundles["student"][0].classes)
    parts: dict[int, Answered] = {}
    first: Mapping[ClipSpec, Clips] = {}
    for fold in range(1, lists.number + 1):
        own = of_fold(bundles, lists, fold)
        samples = lists.read(fold, "test", num_classes=classes)
        datasets, cache = see(own, samples)
        first = first or datasets
        parts[fold] = answer_all(
            own,
            cells,
            datasets,
            threads=threads,
            workers=workers,
            cache=cache,
            asked=asked,
            progress=f"{progress}, fold {fold}",
        )
    return _joined(parts, cells, lists, lists.samples(num_classes=classes)), first


def frames_suffix(lists: FoldLists) -> str:
    """Name pattern of the pictures of frame folders; none of video files."""
    record = lists.record
    return str(record["suffix"]) if record["list_format"] == "FrameDataset" else ""


def _joined(
    parts: Mapping[int, Answered],
    cells: Sequence[Deployment],
    lists: FoldLists,
    samples: Sequence[Sample],
) -> Answered:
    """A cell counts where it answered in every fold; elsewhere the first reason is told."""
    joined = Answered({model: {} for model in MODELS})
    for cell in cells:
        broken = [one for part in parts.values() for one in part.broken if one.cell == cell.key]
        absent = [one for part in parts.values() for one in part.left_out if one.what == cell.key]
        joined.broken += broken[:1]
        joined.left_out += absent[:1] if not broken else []
        if broken or absent:
            continue
        for model in MODELS:
            seeds = len(next(iter(parts.values())).seen[model][cell.key])
            joined.seen[model][cell.key] = [
                _of_seed({f: part.seen[model][cell.key][s] for f, part in parts.items()}, lists,
                         samples)
                for s in range(seeds)
            ]  # fmt: skip
    return joined


def _of_seed(
    parts: Mapping[int, Evaluation], lists: FoldLists, samples: Sequence[Sample]
) -> Evaluation:
    width = next(iter(parts.values())).classes
    logits = np.full((len(samples), width), np.nan, np.float32)
    reasons: dict[str, str] = {}
    for fold, seen in parts.items():
        logits[lists.tested(fold)] = seen.logits
        reasons |= dict(seen.failed)
    paths = tuple(str(sample.path) for sample in samples)
    return Evaluation(
        logits,
        np.array([sample.label for sample in samples], np.int64),
        paths,
        tuple((path, reasons[path]) for path in paths if path in reasons),
    )
