"""The examples that train."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import yaml

from tests.conftest import RunExample
from tests.train.tiny import ALONE, PAIR
from train.checkpoints.checkpoint import LATEST, load_file
from train.config.load import load_config
from train.data.splits import training_datasets


def test_new_loss(run_example: RunExample, experiment: Callable[..., Path], tmp_path: Path) -> None:
    config = experiment(PAIR, epochs=1)
    done = run_example("04_new_loss.py", config, "--output", "[own]: a #1", "-o", "seed=3")
    assert done.returncode == 0, done.stderr
    (epoch,) = load_file(tmp_path / "[own]: a #1" / LATEST)["progress"]["history"]
    terms = {name for name in epoch if name.startswith("train.")}
    assert {"train.Student.CE", "train.Teacher.CE", "train.cosine"} <= terms
    assert not any("DML" in name for name in terms)
    assert 0 < epoch["train.cosine"] < 4  # twice 1 - cosine
    assert (tmp_path / "[own]: a #1" / "best.pdparams").is_file()


def test_a_new_loss_between_two_networks_needs_two(
    run_example: RunExample, experiment: Callable[..., Path], tmp_path: Path
) -> None:
    config = experiment(ALONE)
    done = run_example("04_new_loss.py", config, "--output", "own")
    assert done.returncode == 1
    assert f"error: {config} " in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "own").exists()


def test_new_dataset(
    run_example: RunExample, experiment: Callable[..., Path], clips: Path, tmp_path: Path
) -> None:
    names = ["abseiling", "juggling", "playing chess"]
    rows = [f"{k}.mp4,{names[k % 3]},{'train' if k < 6 else 'valid'}" for k in range(12)]
    folder = tmp_path / "videos"
    folder.mkdir()
    for clip in clips.glob("*.mp4"):
        (folder / clip.name).symlink_to(clip)
    annotations = folder / "annotations.csv"
    annotations.write_text("\n".join(["file,class,split", *rows, "gone.mp4,juggling,valid", ""]))
    done = run_example("05_new_dataset.py", annotations, "lists")
    assert done.returncode == 0, done.stderr
    assert "left out: " in done.stdout and "gone.mp4" in done.stdout

    block = done.stdout[done.stdout.index("DATASET:") :]
    config = yaml.safe_load(experiment(ALONE).read_text())
    config["DATASET"] = yaml.safe_load(block)["DATASET"] | {"batch_size": 2}
    file = tmp_path / "own.yaml"
    file.write_text(yaml.safe_dump(config))
    cfg = load_config(file)
    train_set, valid_set = training_datasets(cfg)
    assert list(cfg.class_names) == names
    assert [sample.label for sample in train_set.samples] == [0, 1, 2, 0, 1, 2]
    assert (len(train_set), len(valid_set)) == (6, 6)
    assert valid_set.load(0).shape == (4, 32, 32, 3)


def test_annotations_without_their_columns_are_refused(
    run_example: RunExample, tmp_path: Path
) -> None:
    annotations = tmp_path / "annotations.csv"
    annotations.write_text("video,label\na.mp4,0\n")
    done = run_example("05_new_dataset.py", annotations, "lists")
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and "file" in done.stderr
