"""What docs/paddlevideo.md tells one to type works on a tree laid out as PaddleVideo's checkout."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import paddle
import pytest
import yaml

from export.clips.selection import verification
from tests.train.tiny import ALONE, PAIR
from train.__main__ import main
from train.config.load import load_config
from train.data.splits import training_datasets
from train.distill.build_recognizer import build_recognizer

NAMES = ["playing chess", "juggling balls", "abseiling"]


@pytest.fixture(scope="module")
def page(root: Path) -> str:
    return (root / "docs" / "paddlevideo.md").read_text(encoding="utf-8")


@pytest.fixture
def checkout(tmp_path: Path, experiment: Callable[..., Path]) -> Path:
    """`PaddleVideo/` with its configs' names and DATASET block, tiny networks and pictures."""
    folder = tmp_path / "PaddleVideo"
    data = folder / "data" / "k400"
    for clip in range(4):
        (data / "rawframes" / str(clip)).mkdir(parents=True)
        for number in range(1, 7):
            picture = np.random.default_rng([clip, number]).integers(0, 255, (40, 40, 3), np.uint8)
            cv2.imwrite(str(data / "rawframes" / str(clip) / f"img_{number:05}.jpg"), picture)
    for name in ("train", "val"):
        (data / f"{name}.list").write_text("".join(f"{clip} 6 {clip % 3}\n" for clip in range(4)))
    labels = "".join(f"{label} {name}\n" for label, name in enumerate(NAMES))
    (data / "Kinetics-400_label_list.txt").write_text(labels)
    weights = folder / "data" / "PPLCNetV2_base_ssld_pretrained.pdparams"
    student = build_recognizer(ALONE, seed=9).student[0]
    paddle.save(student.state_dict(), str(weights))
    configs = folder / "configs" / "recognition" / "pptsm" / "v2"
    configs.mkdir(parents=True)
    for pair, model in (("", ALONE), ("_dml_distillation", PAIR)):
        config = yaml.safe_load(experiment(model, epochs=1, output_dir="").read_text())
        listed = {
            "format": "FrameDataset",
            "data_prefix": "data/k400/rawframes",
            "suffix": "img_{:05}.jpg",
        }
        splits = (("train", "train"), ("valid", "val"), ("test", "val"))
        config["DATASET"] = {
            "batch_size": 2,
            **{name: {**listed, "file_path": f"data/k400/{f}.list"} for name, f in splits},
        }
        config["PIPELINE"]["test"] = yaml.safe_load(yaml.safe_dump(config["PIPELINE"]["valid"]))
        for block in config["PIPELINE"].values():
            block["decode"]["name"] = "FrameDecoder"
        backbone = config["MODEL"].get("backbone")
        if backbone:
            backbone["pretrained"] = "data/PPLCNetV2_base_ssld_pretrained.pdparams"
        (configs / f"pptsm_lcnet_k400_8frames_uniform{pair}.yaml").write_text(
            yaml.safe_dump(config)
        )
    return folder


def commands(page: str) -> list[list[str]]:
    """The words of every command of the page's shell blocks."""
    blocks = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [shlex.split(line) for line in lines if line.strip()]


def test_the_training_command(
    page: str, checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (words,) = [words for words in commands(page) if words[:3] == ["python", "-m", "train"]]
    assert main(words[3:]) == 0
    assert len(list((tmp_path / "runs").rglob("best.pdparams"))) == 1


def test_the_export_command(
    page: str, checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its config with its overrides names clips and classes that are there."""
    monkeypatch.chdir(tmp_path)
    (words,) = [words for words in commands(page) if words[:2] == ["make", "export"]]
    given = dict(word.split("=", 1) for word in words[2:])
    cfg = load_config(given["CONFIG"], given["OVERRIDES"].split())
    assert list(cfg.class_names) == NAMES
    assert verification(cfg, count=0, parity=4).clips.shape == (4, 4, 32, 32, 3)


def test_the_config_for_videos_instead_of_frames(
    page: str, checkout: Path, clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"```yaml\n(_BASE_: .*?)```", page, re.DOTALL)
    root = tmp_path / "k400"
    (root / "lists").mkdir(parents=True)
    (root / "videos").symlink_to(clips)
    for name in ("train", "val"):
        (root / "lists" / f"{name}.list").write_text((clips / f"{name}.list").read_text())
    (root / "lists" / "classes.txt").write_text("".join(f"{name}\n" for name in NAMES))
    (tmp_path / "own.yaml").write_text(block.replace("/data/k400", str(root)))
    cfg = load_config(tmp_path / "own.yaml")
    train_set, valid_set = training_datasets(cfg)
    assert (len(train_set), len(valid_set), list(cfg.class_names)) == (12, 6, NAMES)
    assert valid_set.load(0).shape == (4, 32, 32, 3)
