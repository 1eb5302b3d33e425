"""A training that cannot read its clips is an error, told before it begins where that shows."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.train.tiny import ALONE, KD, TEACHER, distilled, run
from train.__main__ import main
from train.checkpoints.checkpoint import BEST, LATEST, load_file
from train.config.load import load_config
from train.data.splits import training_datasets
from train.data.unreadable import UnreadableError, allowed_unreadable, reasons, unreadable_error
from train.engine.loop import train

POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 123456\n"


@pytest.fixture
def pointers(clips: Path, tmp_path: Path) -> Callable[[int], Path]:
    """`pointers(whole)`: a root with 64 listed clips, all but `whole` of them Git LFS pointers."""

    def make(whole: int) -> Path:
        root = tmp_path / "root"
        shutil.copytree(clips, root)
        lines = []
        for index in range(64):
            name = f"{index % 12}.mp4" if index < whole else f"pointer {index}.mp4"
            if index >= whole:
                (root / name).write_text(POINTER)
            lines.append(f"{name} {index % 3}")
        (root / "train.list").write_text("\n".join(lines))
        return root

    return make


@pytest.mark.parametrize("whole", [0, 4])
def test_pointers_for_clips_are_told_before_training(
    experiment: Callable[..., Path],
    pointers: Callable[[int], Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    whole: int,
) -> None:
    arguments = ["-c", str(experiment(ALONE)), "-o", f"DATASET.root={pointers(whole)}"]
    assert main(arguments) == 1
    told = capsys.readouterr().err
    assert f"{64 - whole} of 64 training clips" in told
    assert "Git LFS pointer" in told and "git lfs pull" in told and "root/pointer " in told
    assert "skipped" not in told and "epoch" not in told and "Traceback" not in told
    assert not list((tmp_path / "run").glob("*.pdparams"))
    assert not (tmp_path / "run" / LATEST).exists()


def test_the_limit_is_an_option_and_a_few_are_allowed(
    experiment: Callable[..., Path],
    pointers: Callable[[int], Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["-c", str(experiment(ALONE, epochs=1)), "-o", f"DATASET.root={pointers(58)}"]
    assert main(arguments) == 1, "6 of 64 are 9 %"
    assert main([*arguments, "--max-unreadable", "10"]) == 0
    told = capsys.readouterr().err
    assert "looked at 64 of 64 training clips, 6 unreadable and 6 of 6 validation clips" in told
    assert told.count("skipped: ") == 6
    saved = load_file(tmp_path / "run" / LATEST)["progress"]
    assert len(saved["skipped"]) == 6


def test_validation_clips_count_alike(
    experiment: Callable[..., Path], pointers: Callable[[int], Path]
) -> None:
    root = pointers(64)
    for index in (1, 2):
        (root / f"val {index}.mp4").write_bytes(b"<!DOCTYPE html><html>not found</html>")
    (root / "val.list").write_text("0.mp4 0\nval 1.mp4 1\nval 2.mp4 2\n")
    with pytest.raises(UnreadableError, match="2 of 3 validation clips") as caught:
        run(experiment(ALONE), f"DATASET.root={root}")
    assert "HTML page" in str(caught.value)


def test_clips_that_go_bad_while_training_stop_it_and_lose_nothing(
    experiment: Callable[..., Path], clips: Path, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    shutil.copytree(clips, root)
    file = experiment(ALONE, epochs=2, OPTIMIZER=yaml.safe_load(STEADY))
    whole = run(file, f"output_dir={tmp_path / 'whole'}")
    cfg = load_config(file, [f"DATASET.root={root}"])
    datasets = training_datasets(cfg)

    def pull_the_plug() -> bool:
        # The files stay, so that the run's clips are the same; their bytes do not come.
        for clip in root.glob("*.mp4"):
            clip.write_bytes(bytes(clip.stat().st_size))
        return False

    with pytest.raises(UnreadableError, match=r"4 of 12 training clips"):
        train(cfg, train_set=datasets[0], valid_set=datasets[1], should_stop=pull_the_plug)
    assert load_file(tmp_path / "run" / LATEST)["progress"]["step"] == 1
    assert not (tmp_path / "run" / BEST).exists()
    for clip in clips.glob("*.mp4"):
        shutil.copy(clip, root)
    resumed = run(file, f"DATASET.root={root}", resume=True)
    assert (resumed.epoch, resumed.step) == (2, whole.step - 1)


STEADY = "{name: Momentum, learning_rate: {name: Constant, learning_rate: 0.001}}"


def test_an_epoch_without_a_step_is_an_error(
    experiment: Callable[..., Path], clips: Path, tmp_path: Path
) -> None:
    """Whatever the limit: the one clip that can be read stands in the batch that is left out."""
    root = tmp_path / "root"
    shutil.copytree(clips, root)
    file = experiment(ALONE)
    cfg = load_config(file, [f"DATASET.root={root}", "DATASET.batch_size=8", "max_unreadable=100"])
    sets = training_datasets(cfg)
    from train.data.loader import epoch_order

    order = epoch_order(12, seed=cfg.seed, epoch=0, shuffle=True)
    for place in order[:8]:
        sets[0].samples[place].path.write_text(POINTER)
    with pytest.raises(UnreadableError, match="epoch 1 ended without a step") as caught:
        train(cfg, train_set=sets[0], valid_set=sets[1])
    assert "8 x not a video, but a Git LFS pointer" in str(caught.value)
    assert not list((tmp_path / "run").glob("*.pdparams"))


def test_a_teachers_clips_and_those_to_label_are_told_before_anything_is_trained(
    method: Callable[..., Path],
    pointers: Callable[[int], Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    root = pointers(0)
    shutil.copy(root / "val.list", root / "fine.list")
    method("teacher", {"framework": "Recognizer2D", **TEACHER})
    listed = {"format": "VideoDataset", "file_path": "train.list"}
    labelling = {"label": "teacher.yaml", "weights": "${TEACHER}", "clips": listed}
    before = {"TEACHER": {"train": "teacher.yaml"}, "PSEUDO": labelling}
    file = method("semi", distilled(KD), BEFORE=before)
    output = tmp_path / "out"
    arguments = ["-c", str(file), "--output", str(output), "-o", f"DATASET.root={root}"]
    assert main([*arguments, "-o", "DATASET.train.file_path=fine.list"]) == 2
    told = capsys.readouterr().err
    assert "teacher.yaml: 1 mistake" in told and "64 of 64 training clips" in told
    assert "BEFORE.PSEUDO.clips: 64 of 64 PSEUDO clips" in told
    assert not output.exists()


@given(listed=st.integers(1, 5000), limit=st.floats(0, 100), data=st.data())
def test_the_limit_is_fair_to_short_lists(listed: int, limit: float, data: Any) -> None:
    permitted = allowed_unreadable(listed, limit)
    assert 0 <= permitted < listed, "all unreadable is never allowed"
    assert permitted <= max(1, listed * limit / 100 + 1e-6)
    if limit > 0 and listed > 1:
        assert permitted >= 1, "one of a short list is"
    failed = data.draw(st.integers(0, listed))
    lines = [(f"{i}.mp4", "no frames") for i in range(failed)]
    error = unreadable_error(lines, listed=listed, limit=limit, what="clips")
    assert (error is not None) == (failed > permitted)
    whole = unreadable_error(lines, seen=listed, listed=listed, limit=limit, what="clips")
    assert (whole is None) == (error is None), "a sample of everything is everything"


def test_a_sample_within_chance_of_the_limit_is_no_error() -> None:
    """1,600 clips of which 5 % may be unreadable: samples of 64 hold 3 on average, 9 hardly."""

    def told(failed: int, limit: float = 5.0) -> bool:
        lines = [("x.mp4", "no frames")] * failed
        return bool(unreadable_error(lines, seen=64, listed=1600, limit=limit, what="clips"))

    assert [told(n) for n in (0, 3, 7, 9, 60)] == [False, False, False, True, True]
    assert told(1, limit=0)


def test_reasons_are_counted_with_an_example() -> None:
    lines = [("a", "x"), ("b", "y"), ("c", "x"), ("d", "z"), ("e", "w")]
    assert reasons(lines) == [
        "2 x x, such as a",
        "1 x y, such as b",
        "1 x z, such as d",
        "1 x other reasons",
    ]
