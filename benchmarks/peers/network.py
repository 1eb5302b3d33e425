"""One network for both sides: PaddleVideo's YAML, and weights that both read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import paddle
from paddle import nn

from benchmarks.common.errors import BenchmarkError
from benchmarks.speed.network import random_student
from export.network.strip import strip
from infer.clips.spec import ClipSpec
from train.checkpoints.checkpoint import load_file, model_weights
from train.config.load import Config, load_config

PREFIXES = {"0": "backbone", "1": "head"}
"""Of PaddleVideo's keys, by the number of the part."""


def plain_config(file: Path) -> Config:
    """Read a YAML of PaddleVideo's.

    Raises:
        BenchmarkError: it has several networks, or takes several clips of a video.
    """
    cfg = load_config(file)
    if cfg.model["framework"] != "Recognizer2D":
        raise BenchmarkError(
            f"{file}: MODEL.framework is {cfg.model['framework']}; needed: Recognizer2D"
        )
    if cfg.specs["valid"].clips != 1:
        raise BenchmarkError(
            f"{file} takes {cfg.specs['valid'].clips} clips of a video; PaddleVideo's helper of "
            "PP-TSM takes one"
        )
    return cfg


def resized_by(spec: ClipSpec, resize: str) -> ClipSpec:
    """The same with another filter; `pil` is PaddleVideo's."""
    return replace(spec, preprocess=replace(spec.preprocess, resize=resize))


def build_student(cfg: Config, checkpoint: Path | None, *, seed: int) -> nn.Sequential:
    """The config's network in evaluation mode, of a checkpoint or with random weights.

    Raises:
        ClipDuetError: the checkpoint cannot be read, or is of another network.
    """
    if checkpoint is None:
        return random_student(cfg, seed=seed)
    weights = model_weights(load_file(checkpoint), source=checkpoint)
    return strip(weights, cfg.model, source=checkpoint).network


def save_weights(student: nn.Sequential, path: Path) -> Path:
    """Write a state dict that PaddleVideo's export reads."""
    state = {}
    for key, value in student.state_dict().items():
        part, _, name = key.partition(".")
        state[f"{PREFIXES[part]}.{name}"] = value
    paddle.save(state, str(path))
    return path
