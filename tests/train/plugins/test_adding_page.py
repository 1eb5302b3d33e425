"""docs/adding.md, followed: its files are written, its commands are run."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.train.plugins.conftest import WriteModule
from train.checkpoints.checkpoint import LATEST, load_file

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "adding.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
FILES = {
    code.splitlines()[0].removeprefix("# "): code
    for language, code in BLOCKS
    if language in ("python", "yaml")
}
COMMANDS = [
    shlex.split(line) for language, code in BLOCKS if language == "sh" for line in code.splitlines()
]


def command(word: str) -> list[str]:
    """The arguments of the one command of the page that holds a word."""
    (found,) = [command for command in COMMANDS if word in command]
    assert found[:2] == ["python", "-m"]
    return found[3:]


@pytest.fixture
def followed(write_module: WriteModule, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the page's files, beside `configs/`, as the working folder."""
    for name, code in FILES.items():
        if name.endswith(".py"):
            write_module(name.removesuffix(".py"), code)
        else:
            (tmp_path / name).write_text(code)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_page_has_one_of_each() -> None:
    modules = {"my_losses.py", "my_augmentations.py", "my_datasets.py"}
    assert FILES.keys() == modules | {"cosine.yaml", "repeated.yaml"}


def test_a_loss_and_an_augmentation_train_and_the_run_is_evaluated_without_them(
    followed: Path, clips: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from train.__main__ import main
    from train.evaluate import main as evaluate
    from train.plugins import load, registry

    tiny = [
        *("epochs=1", f"DATASET.root={clips}", "DATASET.classes=null", "DATASET.batch_size=4"),
        *("DATASET.valid_batch_size=6", "DATASET.test=null", "DATASET.label_flip=allowed"),
        "OPTIMIZER.learning_rate.warmup_epochs=0",
    ]
    options = [part for change in tiny for part in ("-o", change)]
    arguments = command("repeated.yaml")
    assert main([*arguments, *options]) == 0
    said = capsys.readouterr().err
    assert "my_losses.py" in said and "my_augmentations.py" in said
    run = followed / arguments[arguments.index("--output") + 1]
    (epoch,) = load_file(run / LATEST)["progress"]["history"]
    assert 0 < epoch["train.Student-Teacher.Cosine"] < 2 * 2**1.5
    stored: dict[str, Any] = yaml.safe_load((run / "config.yaml").read_text())
    assert stored["MODEL"]["loss"]["Train"][2]["power"] == 1.5

    # Another process, where the modules are not.
    for kind, name in [key for key, origin in registry.ORIGINS.items() if origin.startswith("my_")]:
        registry.forget(kind, name)
    monkeypatch.setattr(load, "_LOADED", set())
    monkeypatch.setattr(sys, "path", [one for one in sys.path if not one.endswith("users")])
    listed = ["--data", str(clips / "val.list"), "--root", str(clips), "--out", "evaluated"]
    assert evaluate(["--checkpoint", str(run), *listed]) == 0
    assert (followed / "evaluated" / "results.json").is_file()
    assert "my_losses" not in capsys.readouterr().err


def test_the_config_of_the_loss_alone_is_valid(followed: Path) -> None:
    from train.config.load import load_config

    cfg = load_config(command("cosine.yaml")[1], ["DATASET.classes=null"])
    assert cfg.model["loss"]["Train"][2]["name"] == "CosineLoss"


def test_a_dataset_is_prepared(followed: Path, write_clip: Callable[..., Path]) -> None:
    import numpy as np

    from train.data.prepare.__main__ import main

    arguments = command("gestures")
    root = followed / arguments[arguments.index("--root") + 1]
    (root / "annotations").mkdir(parents=True)
    (root / "videos").mkdir()
    for split, listed in (("train", ["a,wave", "b,nod"]), ("val", ["c,nod"])):
        for video in listed:
            frames = np.full((4, 32, 32, 3), 90, np.uint8)
            write_clip(root / "videos" / f"{video[0]}.mp4", frames)
        lines = ["video,class", *(video.replace(",", ".mp4,") for video in listed)]
        (root / "annotations" / f"{split}.csv").write_text("\n".join(lines) + "\n")
    assert main([*arguments, "--workers", "1"]) == 0
    lists = {file.stem: file.read_text().split() for file in (root / "lists").glob("*.list")}
    assert lists == {"train": ["a.mp4", "1", "b.mp4", "0"], "val": ["c.mp4", "0"]}
    assert (root / "lists" / "classes.txt").read_text().split() == ["nod", "wave"]
