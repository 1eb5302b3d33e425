"""The comparison of resize filters, on clips whose answer is known."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import paddle
import pytest
import yaml

from benchmarks.pixels import main
from train.distill.build_recognizer import build_recognizer

MODEL = {
    "framework": "Recognizer2D",
    "backbone": {
        "name": "PPTSM_v2",
        "scale": 0.25,
        "depths": [1, 1, 1, 1],
        "class_expand": 32,
        "num_seg": 4,
        "class_num": 3,
    },
    "head": {"name": "MoViNetHead"},
}


@pytest.fixture
def config(tmp_path: Path, write_clip: Callable[..., Path]) -> Path:
    """An experiment whose clips are noise (0), plain (1), and noise that needs no resize (2)."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (4, 96, 128, 3), dtype=np.uint8)
    write_clip(tmp_path / "0.mp4", noise)
    write_clip(tmp_path / "1.mp4", np.full((4, 96, 128, 3), 90, np.uint8))
    write_clip(tmp_path / "2.mp4", noise[:, :40, :60])
    (tmp_path / "all.list").write_text("".join(f"{label}.mp4 {label}\n" for label in range(3)))

    def pipeline(crop: str, valid: bool) -> dict[str, object]:
        return {
            "decode": {"name": "VideoDecoder"},
            "sample": {"name": "Sampler", "num_seg": 4, "valid_mode": valid},
            "transform": [
                {"Scale": {"short_size": 40}},
                {crop: {"target_size": 32}},
                {"Image2Array": None},
                {"Normalization": {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}},
            ],
        }

    listed = {"format": "VideoDataset", "file_path": "all.list"}
    content = {
        "MODEL": MODEL,
        "DATASET": {"root": str(tmp_path), "train": listed, "valid": listed},
        "PIPELINE": {"train": pipeline("RandomCrop", False), "valid": pipeline("CenterCrop", True)},
        "OPTIMIZER": {"name": "AdamW", "learning_rate": 0.001},
        "epochs": 1,
    }
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(content))
    return file


def run(config: Path, *options: str) -> dict[str, dict[str, dict[str, float]]]:
    out = config.with_name("pixels.json")
    assert main(["-c", str(config), "--out", str(out), *options]) == 0
    result: dict[str, dict[str, dict[str, float]]] = json.loads(out.read_text())
    return result


def test_pixels_and_answers_are_compared(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("PIL")
    recognizer = build_recognizer(MODEL, seed=1)
    bias = recognizer.student[0].fc.bias
    bias.set_value(np.array([0, 1000, 0], np.float32))  # always answers 1
    paddle.save(recognizer.state_dict(), str(config.with_name("best.pdparams")))
    result = run(config, "--checkpoint", str(config.with_name("best.pdparams")))
    area, bilinear = result["pixels"]["area"], result["pixels"]["bilinear"]
    # Without a filter noise keeps its contrast; with either filter it loses it.
    assert 0 < area["mean"] < bilinear["mean"] / 3 and area["largest"] < bilinear["largest"]
    # The plain clip and the one that is not resized are equal.
    assert area["equal"] > 2 / 3
    assert result["frame_sizes"] == ["128x96", "60x40"]
    for name in ("pil", "area", "bilinear"):
        assert result["network"][name]["top1"] == pytest.approx(1 / 3)
    assert result["network"]["area"]["same_answer"] == 1
    assert 0 < result["network"]["area"]["largest_difference"] < 1000
    assert "3 clips" in capsys.readouterr().out


def test_a_clip_that_cannot_be_read_is_named(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("PIL")
    config.with_name("1.mp4").write_bytes(b"nothing")
    assert main(["-c", str(config)]) == 1
    assert "2 clips, 1 " in capsys.readouterr().out
    assert main(["-c", str(config), "--checkpoint", "nowhere.pdparams"]) == 2
    assert "nowhere.pdparams" in capsys.readouterr().err
