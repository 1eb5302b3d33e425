"""What one finished training of a study answers, in Paddle and after export, and what it cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.common import machine
from benchmarks.deployments.accuracy import answers_of
from benchmarks.deployments.answer_cache import AnswerCache, code_sha256, digest
from benchmarks.deployments.answers import open_cell
from benchmarks.deployments.deployment import Deployment, SkippedDeployment
from benchmarks.study.jobs import REDUCE_RANGE, run_export
from benchmarks.training.runs import CHECKPOINTS, Job, conditions_of
from infer.bundle.bundle import BUNDLE_JSON, Bundle
from infer.runtimes.known_answers import AnswersDiffer
from infer.system.files import sha256_of, write_text
from infer.system.log import logger
from train.evaluation.evaluate import Evaluation, ListedClips, evaluate

if TYPE_CHECKING:
    from train.config.load import Config
    from train.data.dataset import ClipDataset

log = logger("benchmarks.study")

DYNAMIC = Deployment("dynamic", "fp32")
EXPORTED = (Deployment("onnxruntime", "fp32"), Deployment("onnxruntime", "int8"))
ANSWERS = "answers"
BATCH = 32


def measure_run(
    job: Job,
    cfg: Config,
    dataset: ClipDataset,
    cells: Sequence[Deployment],
    *,
    checkpoint: Path,
    list_sha256: str,
    threads: int,
    reduce_range: bool = False,
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What a finished run answers in every cell, and what it cost; answers stay in RUN/answers.

    Args:
        job: the run.
        cfg: its config.
        dataset: the test clips.
        cells: to measure.
        checkpoint: of the run, to be judged.
        list_sha256: of the file that lists the clips.
        threads: of the runtimes.
        reduce_range: export int8 weights of 7 bits.

    Returns:
        The record of the run, and by cell its logits, float32 [clips, classes]. Cells whose file
        this processor computes wrong are not among them; `refused` of the record says why.
    """
    from train.data.fingerprint import fingerprint

    sha256 = sha256_of(checkpoint)
    # Whatever an answer may depend on: other code or another library may round otherwise.
    identity = {
        "checkpoint_sha256": sha256,
        "list_sha256": list_sha256,
        "clips": fingerprint(dataset.samples),
        "spec": dataset.spec.to_dict(),
        "overrides": list(job.overrides),
        "code_sha256": code_sha256(),
        "packages": machine.package_versions(),
        "reduce_range": reduce_range,
    }
    cache = AnswerCache(job.folder / ANSWERS, dataset.samples, identity)
    seen: dict[str, Evaluation] = {}
    refused: dict[str, str] = {}
    for cell in cells:

        def ask(cell: Deployment = cell) -> Evaluation:
            if cell == DYNAMIC:
                return answer_in_paddle(cfg, checkpoint, dataset)
            bundle = _bundle(job, checkpoint, identity, threads=threads, reduce_range=reduce_range)
            with open_cell(bundle, cell, threads) as runtime:
                return evaluate(runtime.run, dataset, batch_size=BATCH, workers=1)

        try:
            seen[cell.key] = cache.answered({"cell": cell.key}, ask)
        except AnswersDiffer as error:
            refused[cell.key] = error.reason
    record = {
        "name": job.name,
        **_cost(job.folder),
        "checkpoint_sha256": sha256,
        "failed": [path for path, _ in seen[DYNAMIC.key].failed],
        "refused": refused,
        "cells": {key: _figures(one) for key, one in seen.items()},
    }
    return record, {key: one.logits for key, one in seen.items()}


def common_cells(
    cells: Sequence[Deployment], records: Iterable[Mapping[str, Any]]
) -> tuple[list[Deployment], list[SkippedDeployment]]:
    """The cells in which every run answered, and those that are left out because one did not.

    Args:
        cells: of the study.
        records: of `measure_run`.
    """
    refused: dict[str, str] = {}
    for record in records:
        for key, reason in record["refused"].items():
            refused.setdefault(key, reason)
    for key, reason in refused.items():
        log.warning(f"{key} is left out: {reason}")
    left_out = [SkippedDeployment(key, reason) for key, reason in refused.items()]
    return [cell for cell in cells if cell.key not in refused], left_out


def _figures(seen: Evaluation) -> dict[str, Any]:
    given = answers_of(seen.logits, seen.labels)
    return {
        "top1": seen.top1,
        "macro_f1": seen.macro_f1,
        "predictions": given.predictions.tolist(),
        "ranks": given.ranks.tolist(),
    }


def seconds_of(checkpoint: Path) -> float:
    """How long the training of a checkpoint took."""
    from train.checkpoints.checkpoint import load_file

    return float(load_file(checkpoint)["progress"]["seconds"])


def answer_in_paddle(cfg: Config, checkpoint: Path, dataset: ListedClips) -> Evaluation:
    """What the student of a checkpoint answers as it was trained, before any export."""
    import paddle

    from train.checkpoints.checkpoint import load_file, model_weights, set_weights
    from train.distill.build_recognizer import build_recognizer
    from train.models.pixels import PixelInput

    preprocess = cfg.specs["test"].preprocess
    pixels = PixelInput(preprocess.mean, preprocess.std)
    recognizer = build_recognizer(cfg.model, seed=cfg.seed, pixels=pixels)
    set_weights(
        recognizer, model_weights(load_file(checkpoint), source=checkpoint), source=checkpoint
    )
    recognizer.eval()

    def logits(clips: np.ndarray) -> np.ndarray:
        with paddle.no_grad():
            values: np.ndarray = recognizer.student(pixels(paddle.to_tensor(clips))).numpy()
        return values

    return evaluate(logits, dataset, batch_size=BATCH, workers=1)


def _bundle(
    job: Job,
    checkpoint: Path,
    identity: Mapping[str, Any],
    *,
    threads: int,
    reduce_range: bool,
) -> Bundle:
    """The run's bundle, exported unless it is there and made of the same, by the same."""
    folder = job.folder / "bundle"
    stamp = job.folder / "bundle.sha256"
    made_of = digest(identity)
    fresh = stamp.is_file() and stamp.read_text(encoding="utf-8").strip() == made_of
    if not (fresh and (folder / BUNDLE_JSON).is_file()):
        run_export(
            "export", "--out", str(folder), "--name", job.label, "--threads", str(threads),
            *([REDUCE_RANGE] if reduce_range else []),
            label=job.label, checkpoint=checkpoint, config=job.config,
            changes=(f"seed={job.seed}", *job.overrides),
            hint="--no-export measures in Paddle only",
        )  # fmt: skip
        write_text(stamp, made_of + "\n")
    return Bundle.load(folder)


def _quickest(history: Sequence[Mapping[str, Any]]) -> float:
    """Seconds a step in the quickest epoch; records count steps and seconds from the beginning."""
    before = [{"seconds": 0.0, "step": 0}, *history]
    return min(
        (record["seconds"] - last["seconds"]) / max(1, record["step"] - last["step"])
        for last, record in zip(before, history, strict=False)
    )


def _cost(folder: Path) -> dict[str, Any]:
    """Seconds and steps of a finished run; the seconds hold validation, not start-up.

    `seconds_per_step` is that of the quickest epoch: the first one reads the clips, and whatever
    else the machine does only adds. `seconds_before` are those of the trainings in the run's
    folder that it builds on.
    """
    from train.checkpoints.checkpoint import load_file

    last = CHECKPOINTS["last"]
    progress = load_file(folder / last)["progress"]
    return {
        "seconds": float(progress["seconds"]),
        "seconds_before": sum(map(seconds_of, sorted(folder.glob(f"before/*/{last}")))),
        "steps": int(progress["step"]),
        "seconds_per_step": _quickest(progress["history"]),
        "epochs": int(progress["epoch"]),
        "best_epoch": int(progress["best"]["epoch"]),
        "validation_top1": float(progress["best"]["top1"]),
        "skipped_clips": len(progress["skipped"]),
        "side_by_side": conditions_of(folder),
        "peak_memory": max((record.get("memory", 0) for record in progress["history"]), default=0),
    }
