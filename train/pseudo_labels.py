"""Let a trained network label clips, and keep the surest of every class.

What semi-supervised distillation trains a student on before it is fine-tuned on true labels
(Yalniz et al., Billion-scale semi-supervised learning, 2019).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import paddle

from infer.bundle import sha256_of
from infer.errors import ClipDuetError
from infer.files import write_text
from train.checkpoint import set_weights
from train.config import Config, clip_spec
from train.data.dataset import ClipDataset
from train.data.lists import Sample, read_list
from train.data.loader import epoch_batches
from train.identity import fingerprint
from train.models.pixels import PixelInput
from train.recognizers import build_recognizer
from train.teachers import network_weights

if TYPE_CHECKING:
    from train.before import Stage
    from train.reporter import Reporter


def write_labels(stage: Stage, *, reporter: Reporter | None = None) -> None:
    """Write the list of a labelling stage, and beside it, as JSON, what it was made from.

    Clips that cannot be read are left out and named there.

    Raises:
        ClipDuetError: no clip can be read, or the network's checkpoint does not fit.
    """
    block, data = stage.labelling, stage.owner.DATASET
    assert block is not None
    root = Path(data.root)
    samples = read_list(
        root / block.clips.file_path,
        root=root / block.clips.data_prefix,
        format=block.clips.format,
        suffix=block.clips.suffix,
        labelled=False,
    )
    weights = Path(block.weights)
    made_from: dict[str, Any] = {
        "weights": sha256_of(weights) if weights.is_file() else None,
        "config": stage.cfg.sha256(),
        "clips": fingerprint(samples),
        # The list holds whole paths, the fingerprint does not.
        "paths": hashlib.sha256(
            "\n".join(str(sample.path.resolve()) for sample in samples).encode(
                errors="surrogateescape"
            )
        ).hexdigest(),
        "top_k": block.top_k,
    }
    record = stage.target.with_suffix(".json")
    if stage.target.is_file() and _read(record).get("made_from") == made_from:
        return
    scores, failed = _scores(stage.cfg, weights, samples, stage.owner, suffix=block.clips.suffix)
    chosen = surest(scores, top_k=block.top_k)
    lines = []
    for index in chosen:
        sample = samples[index]
        frames = [] if sample.frames is None else [str(sample.frames)]
        lines.append(
            " ".join([str(sample.path.resolve()), *frames, str(scores[index].argmax())]) + "\n"
        )
    if not lines:
        raise ClipDuetError(f"{stage.name}: none of {len(samples)} clips can be read: {failed[:1]}")
    counts = np.bincount(scores[chosen].argmax(axis=1), minlength=scores.shape[1])
    about = {
        "made_from": made_from,
        "clips": len(samples),
        "chosen": len(chosen),
        "by_class": counts.tolist(),
        "least_score": float(scores[chosen].max(axis=1).min()),
        "failed": failed,
    }
    stage.target.parent.mkdir(parents=True, exist_ok=True)
    write_text(stage.target, "".join(lines))
    write_text(record, json.dumps(about, indent=1) + "\n")
    if reporter is not None:
        reporter.note(
            f"{stage.name}: {len(chosen)} of {len(samples)} clips labelled, {counts.min()} to "
            f"{counts.max()} a class, {len(failed)} unreadable: {stage.target}"
        )


def surest(scores: np.ndarray, *, top_k: int | None) -> list[int]:
    """Rows whose best class is theirs with the highest scores of that class, in order.

    Args:
        scores: probabilities ``[N, classes]``; a row with NaN, which could not be read, is never
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


def _scores(
    cfg: Config, weights: Path, samples: Sequence[Sample], owner: Config, *, suffix: str
) -> tuple[np.ndarray, list[str]]:
    """Probabilities ``[N, classes]``, NaN for clips that cannot be read, and why those cannot."""
    recognizer = build_recognizer(_alone(cfg), seed=cfg.seed)
    set_weights(recognizer.student, network_weights(weights, None)[1], source=weights)
    recognizer.eval()
    spec = clip_spec(cfg)
    pixels = PixelInput(spec.preprocess.mean, spec.preprocess.std)
    dataset = ClipDataset(samples, spec, train=False, suffix=suffix if samples[0].frames else "")
    scores = np.full((len(samples), cfg.class_num), np.nan, np.float32)
    failed = []
    batches = epoch_batches(
        dataset,
        batch_size=cfg.DATASET.valid_batch_size or cfg.DATASET.batch_size,
        seed=0,
        epoch=0,
        shuffle=False,
        drop_last=False,
        workers=owner.DATASET.num_workers,
    )
    for batch in batches:
        failed += [str(error) for _, error in batch.failed]
        if not len(batch.indices):
            continue
        with paddle.no_grad():
            logits = recognizer.student(pixels(paddle.to_tensor(batch.clips)))
            said = paddle.nn.functional.softmax(logits.astype("float32")).numpy()
        scores[batch.indices] = said.reshape(len(batch.indices), batch.views, -1).mean(axis=1)
    return scores, failed


def _alone(cfg: Config) -> dict[str, Any]:
    """The Student of a config as one network."""
    model = cfg.model
    if model["framework"] == "Recognizer2D":
        return model
    student = next(entry["Student"] for entry in model["models"] if "Student" in entry)
    return {
        "framework": "Recognizer2D",
        "backbone": student["backbone"],
        "head": student["head"],
    }


def _read(file: Path) -> dict[str, Any]:
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stored if isinstance(stored, dict) else {}
