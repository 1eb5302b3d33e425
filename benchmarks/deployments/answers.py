"""Trained pairs in every deployment: what each model answers to every clip."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import numpy as np
from tqdm import tqdm

from benchmarks.common.errors import BenchmarkError
from benchmarks.deployments.accuracy import MODELS, parity_problem
from benchmarks.deployments.answer_cache import AnswerCache, files_of
from benchmarks.deployments.deployment import Deployment, SkippedDeployment
from infer.bundle.bundle import Bundle
from infer.clips.spec import ClipSpec
from infer.runtimes.base import Runtime
from infer.runtimes.open import open_runtime
from infer.system.errors import BackendUnavailable, ClipDuetError
from train.data.lists import Sample
from train.evaluation.evaluate import Evaluation, ListedClips, evaluate

CACHE_BYTES = 2**30  # decoded clips are kept between cells when they fit in this
BATCH = 8

Dataset = TypeVar("Dataset", bound=ListedClips)
Bundles = Mapping[str, Sequence[Bundle]]  # by model: one of every trained pair


@dataclass(frozen=True)
class Broken:
    """A cell whose answers cannot be compared: the model and bundle where it showed, and why."""

    cell: str
    model: str
    bundle: str
    reason: str


@dataclass
class Answered:
    """What was answered, by model, cell and pair; and the cells without usable answers.

    Attributes:
        seen: an evaluation for each pair, by model and cell.
        broken: cells that do not run, or compute something else than the reference.
        left_out: cells that this machine cannot run, which says nothing about the networks.
    """

    seen: dict[str, dict[str, list[Evaluation]]]
    broken: list[Broken] = field(default_factory=list)
    left_out: list[SkippedDeployment] = field(default_factory=list)


def check_bundles(bundles: Bundles) -> None:
    """Models are comparable when they answer the same question.

    Raises:
        BenchmarkError: not as many baselines as students, or different classes.
    """
    counts = [len(bundles[model]) for model in MODELS]
    if counts[0] != counts[1]:
        raise BenchmarkError(
            f"--baseline names {counts[0]} bundles and --student {counts[1]}; they are compared "
            "in pairs, in the order given"
        )
    every = [bundle for model in MODELS for bundle in bundles[model]]
    for bundle in every[1:]:
        if bundle.classes != every[0].classes:
            raise BenchmarkError(
                f"{every[0].root} and {bundle.root} have different classes "
                f"({len(every[0].classes)} and {len(bundle.classes)}, or other names or order); a "
                "gain between them would mean nothing"
            )


def shared_datasets(
    bundles: Bundles, samples: Sequence[Sample], make: Callable[..., Dataset]
) -> dict[ClipSpec, Dataset]:
    """One dataset for all models that see the same pixels, so that clips decode once.

    Args:
        bundles: by model.
        samples: the clips.
        make: from a spec and `cache`, whether to keep decoded clips, to the samples' dataset.
    """
    made: dict[ClipSpec, Dataset] = {}
    for spec in {bundle.spec: None for model in MODELS for bundle in bundles[model]}:
        size = int(np.prod(spec.clip_shape)) * spec.clips * len(samples)
        made[spec] = make(spec, cache=size <= CACHE_BYTES)
    return made


def answer_all(
    bundles: Bundles,
    cells: Sequence[Deployment],
    datasets: Mapping[ClipSpec, ListedClips],
    *,
    threads: int,
    workers: int,
    cache: AnswerCache,
    asked: Sequence[Deployment] = (),
    progress: str = "accuracy",
) -> Answered:
    """What every model answers to every listed clip; the first cell is the reference.

    A cell that does not run, or does not compute what the reference computes, is not worth more
    time: it is noted as broken, and the others go on. One that needs another machine, such as
    bf16 on a CPU without it, is left out. What was answered is kept as it comes.

    Args:
        bundles: by model, one for each pair.
        cells: what to run, the reference first.
        datasets: the listed clips, by how they are sampled and preprocessed.
        threads: CPU threads of the network.
        workers: threads that read ahead; 0 reads in the caller.
        cache: answers of earlier runs; those that come are added.
        asked: cells that were asked for by name; that one of them needs another machine is an
            error.
        progress: words before the progress bar.

    Raises:
        BenchmarkError: the reference itself does not run, or a cell that was asked for cannot.
    """
    found = Answered({model: {} for model in MODELS})
    every = [(model, bundle) for model in MODELS for bundle in bundles[model]]
    reference = cells[0]
    whole: list[Evaluation] = []
    with tqdm(total=len(every) * len(cells), desc=progress, disable=None) as bar:
        for cell in cells:
            rows: list[Evaluation] = []
            problem: str | None = None
            for place, (model, bundle) in enumerate(every):
                bar.set_postfix_str(f"{model} {cell.key}")
                try:
                    ask = partial(_ask, bundle, cell, datasets[bundle.spec], threads, workers)
                    rows.append(cache.answered(files_of(bundle, cell), ask))
                except BackendUnavailable as error:
                    if cell in (reference, *asked):
                        raise BenchmarkError(
                            f"{cell.key} cannot run here: {error.reason}"
                        ) from None
                    found.left_out.append(SkippedDeployment(cell.key, error.reason))
                    bar.update(len(every) - place)
                    break
                except ClipDuetError as error:
                    problem = str(error)
                    if cell == reference:
                        where = f"{bundle.root} in {cell.key}, the reference"
                        raise BenchmarkError(f"{where}: {error}") from error
                else:
                    if cell != reference:
                        own = rows[-1]
                        problem = parity_problem(cell, whole[place].logits, own.logits, own.paths)
                if problem is not None:
                    found.broken.append(Broken(cell.key, model, str(bundle.root), problem))
                    bar.update(len(every) - place)
                    break
                bar.update()
            if cell == reference:
                whole = rows
            if len(rows) == len(every) and problem is None:
                for (model, _), row in zip(every, rows, strict=True):
                    found.seen[model].setdefault(cell.key, []).append(row)
    return found


def _ask(
    bundle: Bundle, cell: Deployment, dataset: ListedClips, threads: int, workers: int
) -> Evaluation:
    with open_cell(bundle, cell, threads) as runtime:
        return evaluate(runtime.run, dataset, batch_size=BATCH, workers=workers)


def open_cell(bundle: Bundle, cell: Deployment, threads: int) -> Runtime:
    """Open the runtime of a cell as `infer/predict.py` does: its idle threads sleep.

    Those that stay awake take the cores from reading, and from the other runtimes that are open.
    """
    return open_runtime(
        bundle, backend=cell.backend, precision=cell.precision, threads=threads, spinning=False
    )
