"""Real experiments of tiny networks: clips, lists, a config and a checkpoint of random weights."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
import yaml

from export.assemble.bundle import ExportOptions, export_bundle
from export.verify.parity import randomise
from infer.runtimes.known_answers import saturates
from train.config.load import Config, load_config
from train.distill.build_recognizer import build_recognizer
from train.distill.recognizers import Recognizer

SEGMENTS, CROP, CLASSES = 4, 32, 5
SATURATES = saturates()
"""Weights of 7 bits do not, so that numbers can be compared on every processor."""


def student(**backbone: Any) -> dict[str, Any]:
    """A PPTSM_v2 of the smallest kind."""
    settings = {"scale": 0.25, "depths": [1, 1, 1, 1], "class_expand": 48, **backbone}
    return {
        "backbone": {
            "name": "PPTSM_v2",
            "num_seg": SEGMENTS,
            "class_num": CLASSES,
            **settings,
        },
        "head": {"name": "MoViNetHead"},
    }


def slim_resnet(depth: int) -> dict[str, Any]:
    """A ResNetTweaksTSM with an eighth of the width."""
    head = {"name": "ppTSMHead", "num_classes": CLASSES, "num_seg": SEGMENTS}
    return {
        "backbone": {
            "name": "ResNetTweaksTSM",
            "num_seg": SEGMENTS,
            "depth": depth,
            "width": 0.125,
        },
        "head": {**head, "in_channels": 256 if depth >= 50 else 64},
    }


def pair(first: dict[str, Any], teacher: dict[str, Any]) -> dict[str, Any]:
    """A MODEL block of two networks."""
    terms = [
        {"name": "DistillationCELoss", "model_name_pairs": ["Student", "GroundTruth"]},
        {"name": "DistillationDMLLoss", "model_name_pairs": ["Student", "Teacher"]},
    ]
    return {
        "framework": "RecognizerDistillation",
        "models": [{"Teacher": teacher}, {"Student": first}],
        "loss": {"Train": terms, "Val": terms[:1]},
    }


MODELS: dict[str, dict[str, Any]] = {
    "single": {"framework": "Recognizer2D", **student(depths=[1, 1, 1, 2])},
    "attention": {"framework": "Recognizer2D", **student(use_temporal_att=True)},
    "pair": pair(student(), slim_resnet(18)),
    "resnet": {"framework": "Recognizer2D", **slim_resnet(50)},
}


@dataclass(frozen=True)
class Experiment:
    """A config file, the config in it, its networks and their checkpoint."""

    config: Path
    cfg: Config
    recognizer: Recognizer
    checkpoint: Path


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory, write_clip: Callable[..., Path]) -> Path:
    """Ten clips of moving noise, six to train on and four to validate."""
    folder = tmp_path_factory.mktemp("clips")
    rng = np.random.default_rng(0)
    lines = []
    for index in range(10):
        texture = rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)
        frames = [np.roll(texture, shift=(index + 1) * t, axis=index % 2) for t in range(9)]
        write_clip(folder / f"clip {index}.mp4", np.stack(frames))
        lines.append(f"clip {index}.mp4 {index % CLASSES}\n")
    (folder / "train.list").write_text("".join(lines[:6]))
    (folder / "val.list").write_text("".join(lines[6:]))
    return folder


def config_of(model: dict[str, Any], clips: Path) -> dict[str, Any]:
    """A whole config around a MODEL block."""

    def pipeline(crop: str, *, valid: bool) -> dict[str, Any]:
        return {
            "decode": {"name": "VideoDecoder"},
            "sample": {"name": "Sampler", "num_seg": SEGMENTS, "valid_mode": valid},
            "transform": [
                {"Scale": {"short_size": CROP + 4}},
                {crop: {"target_size": CROP}},
                {"Image2Array": None},
                {"Normalization": {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}},
            ],
        }

    return {
        "MODEL": model,
        "DATASET": {
            "root": str(clips),
            "classes": ["left", "right", "up", "down", "still"],
            "train": {"format": "VideoDataset", "file_path": "train.list"},
            "valid": {"format": "VideoDataset", "file_path": "val.list"},
        },
        "PIPELINE": {
            "train": pipeline("RandomCrop", valid=False),
            "valid": pipeline("CenterCrop", valid=True),
        },
        "OPTIMIZER": {"name": "AdamW", "learning_rate": 0.001},
        "epochs": 1,
    }


@pytest.fixture(scope="session")
def experiment(tmp_path_factory: pytest.TempPathFactory, clips: Path) -> Callable[..., Experiment]:
    """`experiment(kind, **changes of DATASET)`: kind is a key of `MODELS`."""

    def make(kind: str, **dataset: Any) -> Experiment:
        folder = tmp_path_factory.mktemp(kind)
        content = config_of(MODELS[kind], clips)
        content["DATASET"].update(dataset)
        config = folder / f"{kind}.yaml"
        config.write_text(yaml.safe_dump(content))
        cfg = load_config(config)
        recognizer = build_recognizer(cfg.model, seed=3)
        # Fresh batch norms and zero biases would hide mistakes.
        randomise(recognizer, seed=1)
        rng = np.random.default_rng(2)
        for key, value in recognizer.state_dict().items():
            if key.endswith("bias"):
                value.set_value(rng.normal(0, 0.1, value.shape).astype(np.float32))
        checkpoint = folder / "best.pdparams"
        paddle.save(recognizer.state_dict(), str(checkpoint))
        recognizer.eval()
        return Experiment(config, cfg, recognizer, checkpoint)

    return make


QUICK = ExportOptions(max_batch=5, calibration_clips=4, threads=1, workers=0)


@dataclass(frozen=True)
class Exported:
    """A bundle, what it was made of, and what was said meanwhile."""

    experiment: Experiment
    folder: Path
    said: list[str]


@contextmanager
def messages() -> Iterator[list[str]]:
    """What is logged while the body runs; caplog is there for one test only."""
    found: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: found.append(record.getMessage())  # type: ignore[method-assign]
    log = logging.getLogger("clipduet")
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield found
    finally:
        log.removeHandler(handler)
        log.setLevel(logging.NOTSET)


@pytest.fixture(scope="session")
def exported(
    tmp_path_factory: pytest.TempPathFactory, experiment: Callable[..., Experiment]
) -> Callable[[str], Exported]:
    """`exported(kind)`: a bundle of every kind, made once."""
    made: dict[str, Exported] = {}

    def make(kind: str) -> Exported:
        if kind not in made:
            source = experiment(kind)
            folder = tmp_path_factory.mktemp("bundles") / kind
            with messages() as said:
                export_bundle(source.cfg, source.checkpoint, folder, options=QUICK)
            made[kind] = Exported(source, folder, said)
        return made[kind]

    return make
