"""What every model answers to the clips of every camera, and the result file of that."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import machine
from benchmarks.common.errors import BenchmarkError
from benchmarks.common.result_file import header, shown_path
from benchmarks.deployments.accuracy import MODELS, answers_of
from benchmarks.deployments.answer_cache import AnswerCache, gate_cache
from benchmarks.deployments.answers import Answered, Bundles, check_bundles, shared_datasets
from benchmarks.deployments.deployment import Choice, Deployment, choose_deployments
from benchmarks.deployments.fold_answers import Clips, See
from benchmarks.gate.listed_clips import Listed, answer_listed, as_they_are, read_listed
from benchmarks.gate.options import load_bundles
from benchmarks.gate.results.records import (
    choice_record,
    data_record,
    logits_of,
    same_networks,
)
from benchmarks.gate.verdict import Rule
from benchmarks.perturb.cameras import CLEAN, PERTURBATIONS
from benchmarks.perturb.clips import PerturbedClips, subset
from benchmarks.perturb.conditions import of_perturbed, parse_requirements
from benchmarks.perturb.result_file import FORMAT, FORMAT_VERSION, rows_of
from benchmarks.stats.resample import Bootstrap, settings_of
from infer.bundle.bundle import Bundle
from infer.clips.spec import ClipSpec
from infer.system.log import logger
from train.data.lists import Sample

log = logger(__name__)

BACKEND, PRECISIONS = "onnxruntime", ("fp32", "int8")
"""Measured where nothing else is asked for; its fp32 is the reference."""

Logits = dict[str, np.ndarray]


def measure(
    options: argparse.Namespace, *, names: Sequence[str], count: int, cache: Path
) -> tuple[dict[str, Any], Logits]:
    """Ask every model about every clip under every perturbation.

    Args:
        options: of the command line: `baseline`, `student`, `data`, `folds`, `root`, `format`,
            `suffix`, `backends`, `cells`, `threads`, `workers`, `seed`, `resamples`, `keep`,
            `margin`, `require` (conditions of the gate among them are not looked at).
        names: of perturbations.
        count: clips to take, drawn within classes; 0: all.
        cache: folder of answers, those of an earlier run among them.

    Returns:
        The result, JSON-ready, and by `PERTURBATION/MODEL/PAIR/CELL` the logits, float32
        [clips, classes].

    Raises:
        BenchmarkError: bundles that cannot be compared, or nothing runs or can be read.
        ListError: the list cannot be read.
        FoldsError: the folds cannot be read.
    """
    started, load_before = time.perf_counter(), machine.load_average()
    bundles = load_bundles(options)
    check_bundles(bundles)
    every = [bundle for model in MODELS for bundle in bundles[model]]
    choice = _choose(every, options)
    require, _ = parse_requirements(of_perturbed(options.require), names)
    if require and choice.cells == (choice.reference,):
        raise BenchmarkError(
            f"--require {next(iter(require))} is about other deployments than the reference, "
            f"{choice.reference.key}, and no other one is measured: name one with --cells"
        )
    whole = read_listed(options, bundles)
    clips = replace(whole, samples=subset(whole.samples, count, seed=options.seed))
    # The answers to the clips as they are: those of the gate, by its own road.
    see = as_they_are(clips, cache, threads=options.threads)
    asked = choice.cells if options.cells else ()
    clean = _answers(CLEAN, clips, bundles, choice.cells, see, options, asked)
    answered = {CLEAN: clean}
    cells = [cell for cell in choice.cells if cell.key in clean.seen["student"]]
    problems: dict[str, str] = {}
    for number, name in enumerate(names, start=1):
        begun = time.perf_counter()
        try:
            view = _perturbed(name, clips, options, cache)
            answered[name] = _answers(name, clips, bundles, cells, view, options)
        except BenchmarkError as error:  # the others may be measured
            problems[name] = str(error)
            log.warning(f"{PERTURBATIONS[name].title} is left out: {error}")
            continue
        seconds = time.perf_counter() - begun
        log.info(f"{number}/{len(names)} {PERTURBATIONS[name].title}: {seconds:.0f} s")
    example = clean.seen["student"][choice.reference.key][0]
    bootstrap: Bootstrap = {
        "resamples": options.resamples,
        "seed": options.seed,
        "level": Rule().level,
    }
    results = {
        **header(FORMAT, FORMAT_VERSION),
        "seconds": round(time.perf_counter() - started, 1),
        "rule": {
            "keep": options.keep / 100,
            "margin": options.margin / 100,
            **({"require": require} if require else {}),
        },
        "conditions": {
            "machine": machine.machine(),
            "load_before": load_before,
            "load_after": machine.load_average(),
            "threads": options.threads,
            **settings_of(bootstrap),
        },
        "pairs": clips.pairs(bundles),
        **clips.folds_record(bundles),
        "data": {
            **data_record(clips.file, clips.root, clips.samples, example, every[0]),
            **clips.data,
            "clips_of_list": len(whole.samples),
        },
        **choice_record(choice, clean.left_out),
        "perturbations": {
            name: _record(name, answered.get(name), clean, choice, clips.root, problem)
            for name, problem in {CLEAN: None, **dict.fromkeys(names), **problems}.items()
        },
    }
    logits = {
        f"{name}/{key}": table
        for name, one in answered.items()
        for key, table in logits_of(one).items()
    }
    return {**results, "rows": rows_of(results)}, logits


def _choose(every: Sequence[Bundle], options: argparse.Namespace) -> Choice:
    backends = [name for names in options.backends for name in names]
    cells = [key for keys in options.cells for key in keys]
    usual = not backends and not cells
    choice = choose_deployments(
        every,
        backends=[BACKEND] if usual else backends,
        cells=cells,
        references=[f"{BACKEND}:{PRECISIONS[0]}"],
    )
    if not usual:
        return choice
    wanted = [Deployment(BACKEND, precision).key for precision in PRECISIONS]
    return Choice(
        tuple(cell for cell in choice.cells if cell.key in wanted or cell == choice.reference),
        tuple(one for one in choice.left_out if one.what in wanted),
        choice.instead_of,
    )


def _answers(
    name: str,
    clips: Listed,
    bundles: Bundles,
    cells: Sequence[Deployment],
    see: See[Clips],
    options: argparse.Namespace,
    asked: Sequence[Deployment] = (),
) -> Answered:
    answered, _ = answer_listed(
        clips, bundles, cells, see,
        threads=options.threads, workers=options.workers, asked=asked, progress=name,
    )  # fmt: skip
    return answered


def _perturbed(
    name: str, clips: Listed, options: argparse.Namespace, cache: Path
) -> See[PerturbedClips]:
    """See clips as another camera would have taken them."""

    def see(
        bundles: Bundles, samples: Sequence[Sample]
    ) -> tuple[dict[ClipSpec, PerturbedClips], AnswerCache]:
        make = partial(
            PerturbedClips, samples, name=name, seed=options.seed, root=clips.root,
            suffix=clips.suffix,
        )  # fmt: skip
        kept = gate_cache(
            cache,
            samples,
            threads=options.threads,
            perturbation=[name, PERTURBATIONS[name].about, options.seed],
            drawn_by=[shown_path(sample.path, clips.root) for sample in samples],
        )
        return shared_datasets(bundles, samples, make), kept

    return see


def _record(
    name: str,
    answered: Answered | None,
    clean: Answered,
    choice: Choice,
    root: Path | None,
    problem: str | None,
) -> dict[str, Any]:
    """What was answered under a perturbation, and what went wrong."""
    about = PERTURBATIONS.get(name)
    record: dict[str, Any] = {
        "title": "clean" if about is None else about.title,
        "about": "as they are" if about is None else about.about,
        "problem": problem,
        "failed": [],
        "broken": [],
        "same": [],
        "predictions": {},
    }
    if answered is None:
        return record
    reference = choice.reference.key
    unread = dict(clean.seen["student"][reference][0].failed)
    seen = answered.seen["student"][reference][0]
    cells = [cell for cell in choice.cells if cell.key in answered.seen["student"]]
    return {
        **record,
        "failed": [
            {"path": shown_path(path, root), "error": reason}
            for path, reason in seen.failed
            if path not in unread
        ],
        "broken": [asdict(one) for one in answered.broken],
        "same": same_networks(cells, answered, reference),
        "predictions": {
            model: {
                cell.key: [
                    answers_of(one.logits, one.labels).predictions.tolist()
                    for one in answered.seen[model][cell.key]
                ]
                for cell in cells
            }
            for model in MODELS
        },
    }
