"""Networks of the smallest kind, and runs of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import train.engine.epoch
import train.engine.loop
from train.checkpoints.checkpoint import LATEST, load_file
from train.config.load import load_config
from train.data.splits import training_datasets
from train.engine.progress import Progress
from train.engine.run import Run

STUDENT = {
    "backbone": {
        "name": "PPTSM_v2",
        "num_seg": 4,
        "class_num": 3,
        "scale": 0.25,
        "depths": [1, 1, 1, 1],
        "class_expand": 32,
    },
    "head": {"name": "MoViNetHead"},
}
TEACHER = {
    "backbone": {"name": "ResNetTweaksTSM", "depth": 18, "width": 0.125, "num_seg": 4},
    "head": {"name": "ppTSMHead", "num_classes": 3, "in_channels": 64, "num_seg": 4},
}
LOSSES = {
    "Train": [
        {"name": "DistillationCELoss", "model_name_pairs": ["Student", "GroundTruth"]},
        {"name": "DistillationCELoss", "model_name_pairs": ["Teacher", "GroundTruth"]},
        {"name": "DistillationDMLLoss", "model_name_pairs": ["Student", "Teacher"]},
    ],
    "Val": [{"name": "DistillationCELoss", "model_name_pairs": ["Student", "GroundTruth"]}],
}
PAIR = {
    "framework": "RecognizerDistillation",
    "freeze_params_list": [False, False],
    "models": [{"Teacher": TEACHER}, {"Student": STUDENT}],
    "loss": LOSSES,
}
ALONE = {"framework": "Recognizer2D", **STUDENT}


def run(file: Path, *overrides: str, resume: bool = False) -> Progress:
    cfg = load_config(file, overrides)
    train_set, valid_set = training_datasets(cfg)
    return train.engine.loop.train(cfg, train_set=train_set, valid_set=valid_set, resume=resume)


def stop_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Interrupt runs, from now on, after so many steps; `monkeypatch.undo` ends it."""
    take = train.engine.epoch.take_step

    def stopping(state: Run, parts: Any) -> dict[str, float]:
        if state.progress.step == step:
            raise KeyboardInterrupt
        return take(state, parts)

    monkeypatch.setattr(train.engine.epoch, "take_step", stopping)


def weights(folder: Path) -> dict[str, np.ndarray]:
    return {k: v.numpy() for k, v in load_file(folder / LATEST)["model"].items()}


def same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) for k in a)


KD = {"name": "DistillationKLDivLoss"}


def distilled(*losses: dict[str, Any], **teacher: Any) -> dict[str, Any]:
    pair = ["Student", "Teacher"]
    labels = {"name": "DistillationCELoss", "model_name_pairs": ["Student", "GroundTruth"]}
    return {
        "framework": "RecognizerDistillation",
        "freeze_params_list": [True, False],
        "models": [{"Teacher": {**TEACHER, "pretrained": "${TEACHER}", **teacher}},
                   {"Student": STUDENT}],
        "loss": {
            "Train": [{"model_name_pairs": pair, **loss} for loss in losses] or [labels],
            "Val": [labels],
        },
    }  # fmt: skip
