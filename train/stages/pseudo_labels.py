"""Let a trained network label clips, and keep the surest of every class.

What semi-supervised distillation trains a student on before it is fine-tuned on true labels
(Yalniz et al., Billion-scale semi-supervised learning, 2019).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import paddle

from infer.clips.spec import ClipSpec
from infer.pipeline.rank import softmax
from infer.system.files import sha256_of, write_text
from train.checkpoints.checkpoint import load_file, set_weights
from train.checkpoints.teachers import network_weights
from train.config.load import Config
from train.config.networks import blocks_of
from train.data.dataset import ClipDataset
from train.data.fingerprint import fingerprint
from train.data.lists import Sample, read_list, write_lines
from train.data.unreadable import Failed, unreadable_error
from train.distill.build_recognizer import build_recognizer
from train.distill.recognizers import STUDENT, Recognizer
from train.evaluation.evaluate import Run, evaluate
from train.models.pixels import PixelInput

if TYPE_CHECKING:
    from train.engine.reporter import Reporter
    from train.stages.stage import Stage


def write_labels(stage: Stage, *, reporter: Reporter | None = None) -> None:
    """Write the list of a labelling stage, and beside it, as JSON, what it was made from.

    Clips that cannot be read are left out and named there.

    Raises:
        UnreadableError: more clips cannot be read than `max_unreadable` of the config that
            needs the labels allows.
        ClipDuetError: the network's checkpoint does not fit.
    """
    block = stage.labelling
    assert block is not None
    samples = clips_to_label(stage)
    made_from = _made_from(stage, samples)
    record = stage.target.with_suffix(".json")
    if stage.target.is_file() and _read(record).get("made_from") == made_from:
        return
    scores, failed = _scores(stage, samples)
    chosen = surest(scores, top_k=block.top_k)
    limit, what = stage.owner.max_unreadable, f"{stage.name} clips"
    error = unreadable_error(failed, listed=len(samples), limit=limit, what=what)
    if error is not None:
        raise error
    counts = np.bincount(scores[chosen].argmax(axis=1), minlength=scores.shape[1])
    about = {
        "made_from": made_from,
        "clips": len(samples),
        "chosen": len(chosen),
        "by_class": counts.tolist(),
        "least_score": float(scores[chosen].max(axis=1).min()),
        "failed": [f"{path}: {reason}" for path, reason in failed],
    }
    stage.target.parent.mkdir(parents=True, exist_ok=True)
    write_lines(stage.target, [_line(samples[i], int(scores[i].argmax())) for i in chosen])
    write_text(record, json.dumps(about, indent=1) + "\n")
    if reporter is not None:
        reporter.note(
            f"{stage.name}: {len(chosen)} of {len(samples)} clips labelled, {counts.min()} to "
            f"{counts.max()} a class, {len(failed)} unreadable: {stage.target}"
        )


def clips_to_label(stage: Stage) -> list[Sample]:
    """The clips of a labelling stage.

    Raises:
        ListError: every wrong line of their list.
    """
    assert stage.labelling is not None
    clips, root = stage.labelling.clips, Path(stage.owner.DATASET.root)
    return read_list(
        root / clips.file_path,
        root=root / clips.data_prefix,
        format=clips.format,
        suffix=clips.suffix,
        labelled=False,
    )


def labeller(cfg: Config) -> Recognizer:
    """The Student of a config as one network."""
    block = blocks_of(cfg.model)[STUDENT]
    alone = {"framework": "Recognizer2D", "backbone": block["backbone"], "head": block["head"]}
    return build_recognizer(alone, seed=cfg.seed)


def student_of(cfg: Config, file: Path, spec: ClipSpec) -> Run:
    """The Student of a checkpoint in float32, as a function of clips that are made by `spec`.

    Raises:
        CheckpointError: the checkpoint does not fit.
    """
    recognizer = labeller(cfg)
    read = partial(load_file, trust=cfg.trust)
    set_weights(recognizer.student, network_weights(file, None, read=read)[1], source=file)
    recognizer.eval()
    pixels = PixelInput(spec.preprocess.mean, spec.preprocess.std)

    def run(clips: np.ndarray) -> np.ndarray:
        with paddle.no_grad():
            logits: np.ndarray = recognizer.student(pixels(paddle.to_tensor(clips))).numpy()
        return logits

    return run


def surest(scores: np.ndarray, *, top_k: int | None) -> list[int]:
    """Rows whose best class is theirs with the highest scores of that class, in order.

    Args:
        scores: probabilities `[N, classes]`; a row with NaN, which could not be read, is never
            chosen.
        top_k: rows to keep of each class; None: all.
    """
    read = np.flatnonzero(~np.isnan(scores).any(axis=1))
    guess = scores[read].argmax(axis=1)
    best = scores[read].max(axis=1)
    chosen = []
    for label in np.unique(guess):
        own = read[guess == label]
        order = np.argsort(-best[guess == label], kind="stable")
        chosen += own[order[:top_k]].tolist()
    return sorted(chosen)


def _made_from(stage: Stage, samples: Sequence[Sample]) -> dict[str, Any]:
    """What the labels depend on."""
    assert stage.labelling is not None
    weights = Path(stage.labelling.weights)
    # The list holds whole paths, the fingerprint does not.
    paths = "\n".join(str(sample.path.resolve()) for sample in samples)
    return {
        "weights": sha256_of(weights) if weights.is_file() else None,
        "config": stage.cfg.sha256(),
        "clips": fingerprint(samples),
        "paths": hashlib.sha256(paths.encode(errors="surrogateescape")).hexdigest(),
        "top_k": stage.labelling.top_k,
    }


def dataset_to_label(stage: Stage, samples: Sequence[Sample]) -> ClipDataset:
    """The clips of a labelling stage as its network sees them."""
    assert stage.labelling is not None
    clips = stage.labelling.clips
    # An evaluation wants labels; nobody looks at what it makes of these.
    unknown = [replace(sample, label=0) for sample in samples]
    suffix = clips.suffix if clips.format == "FrameDataset" else ""
    return ClipDataset(unknown, stage.cfg.specs["valid"], train=False, suffix=suffix)


def _scores(stage: Stage, samples: Sequence[Sample]) -> tuple[np.ndarray, Sequence[Failed]]:
    """Probabilities `[N, classes]`, NaN for clips that cannot be read, and why those cannot."""
    block, cfg = stage.labelling, stage.cfg
    assert block is not None
    dataset = dataset_to_label(stage, samples)
    found = evaluate(
        student_of(cfg, Path(block.weights), dataset.spec),
        dataset,
        batch_size=cfg.DATASET.valid_batch_size or cfg.DATASET.batch_size,
        workers=stage.owner.DATASET.num_workers,
        progress=stage.name,
    )
    return softmax(found.logits), found.failed


def _line(sample: Sample, label: int) -> str:
    frames = [] if sample.frames is None else [str(sample.frames)]
    return " ".join([str(sample.path.resolve()), *frames, str(label)])


def _read(file: Path) -> dict[str, Any]:
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stored if isinstance(stored, dict) else {}
