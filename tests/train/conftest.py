"""Real, tiny clips, and configs that train on them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from tests.train.config.config_cases import PAIR

WriteClip = Callable[..., Path]


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    """A test that fails leaves no training behind."""
    yield
    teams = sys.modules.get("tests.train.distributed.teams")  # not loaded where nothing is launched
    while teams is not None and teams.STARTED:
        teams.kill(teams.STARTED.pop())


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    """A file that holds the config of a pair."""
    file = tmp_path / "pair.yaml"
    file.write_text(PAIR)
    return file


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory, write_clip: WriteClip) -> Path:
    """Twelve clips of three classes: the class is the colour that grows brighter."""
    folder = tmp_path_factory.mktemp("clips")
    rng = np.random.default_rng(0)
    lines = []
    for index in range(12):
        frames = rng.integers(0, 60, (6, 40, 40, 3), dtype=np.uint8)
        frames[..., index % 3] += (np.arange(6, dtype=np.uint8) * 30)[:, None, None]
        write_clip(folder / f"{index}.mp4", frames)
        lines.append(f"{index}.mp4 {index % 3}")
    (folder / "train.list").write_text("\n".join(lines))
    (folder / "val.list").write_text("\n".join(lines[:6]))
    return folder


@pytest.fixture
def experiment(clips: Path, tmp_path: Path) -> Callable[..., Path]:
    """`experiment(model, **top_level) -> config file`."""

    def write(model: dict[str, Any], **changes: Any) -> Path:
        def pipeline(crop: str) -> dict[str, Any]:
            return {
                "decode": {"name": "VideoDecoder"},
                "sample": {"num_seg": 4, "valid_mode": crop == "CenterCrop"},
                "transform": [
                    {"Scale": {"short_size": 36, "fixed_ratio": False}},
                    {crop: {"target_size": 32}},
                    {"Image2Array": None},
                    {"Normalization": {"mean": [0.5] * 3, "std": [0.25] * 3}},
                ],
            }

        config = {
            "MODEL": model,
            "DATASET": {
                "root": str(clips),
                "batch_size": 4,
                "train": {"format": "VideoDataset", "file_path": "train.list"},
                "valid": {"format": "VideoDataset", "file_path": "val.list"},
            },
            "PIPELINE": {"train": pipeline("RandomCrop"), "valid": pipeline("CenterCrop")},
            "OPTIMIZER": {
                "name": "AdamW",
                "learning_rate": {
                    "name": "CustomWarmupCosineDecay",
                    "cosine_base_lr": 0.003,
                    "warmup_epochs": 0.5,
                },
                "weight_decay": 0.01,
            },
            "epochs": 3,
            "seed": 5,
            "output_dir": str(tmp_path / "run"),
            **changes,
        }
        file = tmp_path / "experiment.yaml"
        file.write_text(yaml.safe_dump(config))
        return file

    return write


@pytest.fixture
def method(experiment: Callable[..., Path], tmp_path: Path) -> Callable[..., Path]:
    """`method(name, model, **top_level) -> config file`, several in one folder."""

    def write(name: str, model: dict[str, Any], **changes: Any) -> Path:
        file = experiment(model, **{"epochs": 1, "output_dir": "", **changes})
        return Path(file.rename(tmp_path / f"{name}.yaml"))

    return write
