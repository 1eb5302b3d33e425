"""What one finished training of a study answers, in Paddle and after export, and what it cost."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import infer
from benchmarks.common import machine
from benchmarks.common.errors import BenchmarkError
from benchmarks.common.result_file import dump
from benchmarks.deployments.accuracy import answers_of
from benchmarks.deployments.deployment import Cell
from benchmarks.training.runs import CHECKPOINTS, Job, conditions_of
from infer.bundle.bundle import BUNDLE_JSON, Bundle, sha256_of
from infer.runtimes.open import open_runtime
from infer.system.files import write_text
from train.evaluation.evaluate import Evaluation, evaluate

if TYPE_CHECKING:
    from train.config.load import Config
    from train.data.dataset import ClipDataset

DYNAMIC = Cell("dynamic", "fp32")
EXPORTED = (Cell("onnxruntime", "fp32"), Cell("onnxruntime", "int8"))
ANSWERS = "study.json"
BATCH = 32


def measure(
    job: Job,
    cfg: Config,
    dataset: ClipDataset,
    cells: Sequence[Cell],
    *,
    checkpoint: Path,
    list_sha256: str,
    threads: int,
) -> dict[str, Any]:
    """What a finished run answers in every cell, and what it cost; kept in RUN/study.json."""
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
    }
    kept = _kept(job.folder / ANSWERS, identity)
    answers: dict[str, Any] = kept.get("cells", {})
    for cell in cells:
        if cell.key in answers:
            continue
        if cell == DYNAMIC:
            seen = _in_paddle(cfg, checkpoint, dataset)
        else:
            bundle = _bundle(job, checkpoint, identity, threads=threads)
            with open_runtime(
                bundle, backend=cell.backend, precision=cell.precision, threads=threads
            ) as runtime:
                seen = evaluate(runtime.run, dataset, batch_size=BATCH, workers=1)
        given = answers_of(seen.logits, seen.labels)
        answers[cell.key] = {
            "top1": seen.top1,
            "macro_f1": seen.macro_f1,
            "predictions": given.predictions.tolist(),
            "ranks": given.ranks.tolist(),
            "failed": [path for path, _ in seen.failed],
        }
        write_text(job.folder / ANSWERS, dump({**identity, "cells": answers}))
    failed = answers[DYNAMIC.key]["failed"]
    return {
        "name": job.name,
        **_cost(job.folder),
        "checkpoint_sha256": sha256,
        "failed": failed,
        "cells": {
            cell.key: {k: v for k, v in answers[cell.key].items() if k != "failed"}
            for cell in cells
        },
    }


def seconds_of(checkpoint: Path) -> float:
    """How long the training of a checkpoint took."""
    from train.checkpoints.checkpoint import load_file

    return float(load_file(checkpoint)["progress"]["seconds"])


def _kept(file: Path, identity: Mapping[str, Any]) -> dict[str, Any]:
    """Answers from an earlier sitting, if they are those of the same checkpoint and list."""
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    same = isinstance(stored, dict) and all(stored.get(k) == v for k, v in identity.items())
    return stored if same else {}


def _in_paddle(cfg: Config, checkpoint: Path, dataset: ClipDataset) -> Evaluation:
    """The student of a checkpoint, as it was trained, before any export."""
    import paddle

    from train.checkpoints.checkpoint import load_file, model_weights, set_weights
    from train.distill.recognizers import build_recognizer
    from train.models.pixels import PixelInput

    pixels = PixelInput(dataset.spec.preprocess.mean, dataset.spec.preprocess.std)
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


def code_sha256() -> str:
    """Checksum of the sources that answers come from."""
    root = Path(infer.__file__).parent.parent
    digest = hashlib.sha256()
    for room in ("export", "infer", "train"):
        for file in sorted((root / room).rglob("*.py")):
            digest.update(f"{file.relative_to(root)}\n".encode() + file.read_bytes())
    return digest.hexdigest()


def _bundle(job: Job, checkpoint: Path, identity: Mapping[str, Any], *, threads: int) -> Bundle:
    """The run's bundle, exported unless it is there and made of the same, by the same."""
    folder = job.folder / "bundle"
    stamp = job.folder / "bundle.sha256"
    made_of = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    fresh = stamp.is_file() and stamp.read_text(encoding="utf-8").strip() == made_of
    if not (fresh and (folder / BUNDLE_JSON).is_file()):
        changes = [f"seed={job.seed}", *job.overrides]
        command = [
            sys.executable, "-m", "export", "--checkpoint", str(checkpoint),
            "-c", str(job.config), "--out", str(folder), "--name", job.label,
            "--threads", str(threads),
            *(part for change in changes for part in ("--override", change)),
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise BenchmarkError(
                f"export of {job.label} failed ({' '.join(command[1:])}):\n"
                f"{(done.stderr or done.stdout)[-4000:].strip()}\n"
                "--no-export measures in Paddle only"
            )
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
