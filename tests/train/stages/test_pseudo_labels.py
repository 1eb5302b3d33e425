"""Clips that a teacher labels before a run: which, when anew, and how the run reads their list."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import paddle
import pytest
import yaml

from tests.train.tiny import ALONE, TEACHER
from train.__main__ import main
from train.config.load import ConfigError, load_config
from train.data.lists import read_list
from train.distill.build_recognizer import build_recognizer
from train.models.pixels import PixelInput
from train.stages.before import make, plan
from train.stages.pseudo_labels import surest


def test_mistakes_in_labelling_are_told_before_a_teacher_is_trained(
    method: Callable[..., Path], clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    method("teacher", {"framework": "Recognizer2D", **TEACHER})
    labeller = method("student", ALONE)
    listed = {"format": "VideoDataset", "file_path": "train.list"}
    labelling = {"label": "student.yaml", "weights": "${TEACHER}", "clips": listed, "top_k": 1}
    before = {"TEACHER": {"train": "teacher.yaml"}, "PSEUDO": labelling}
    file = method("semi", ALONE, BEFORE=before)
    output = tmp_path / "out"
    arguments = ["-c", str(file), "--output", str(output)]
    arguments += ["-o", "DATASET.train.file_path=${PSEUDO}"]
    assert main(arguments) == 2
    told = capsys.readouterr().err
    assert f"{file}: 2 mistakes" in told and str(labeller) not in told
    assert "BEFORE.PSEUDO.weights: " in told and "does not fit" in told
    # One clip of each of the three classes, at most.
    assert "batch of 4" in told
    assert main([*arguments, "-o", "BEFORE.PSEUDO.clips.file_path=none.list"]) == 2
    told = capsys.readouterr().err
    assert "BEFORE.PSEUDO.clips: " in told and "none.list" in told
    assert "do not fill" not in told and not output.exists()


@pytest.mark.parametrize(
    ("clips", "train", "where", "words"),
    [
        ({}, {"suffix": ".webm"}, "suffix", "whole paths"),
        ({"suffix": ".mp4"}, {"suffix": ".mp4"}, "suffix", "whole paths"),
        ({"format": "FrameDataset"}, {}, "format", "is FrameDataset"),
        ({"format": "FrameDataset"}, {"format": "FrameDataset", "suffix": "{:03}.png"}, "suffix",
         "BEFORE.PSEUDO.clips.suffix is \"img_{:05}.jpg\": they name the same frames"),
        ({"suffix": ".mp4"}, {}, "", ""),
        ({"format": "FrameDataset"}, {"format": "FrameDataset", "suffix": "img_{:05}.jpg"}, "", ""),
    ],
)  # fmt: skip
def test_a_list_of_labelled_clips_is_read_as_it_is_written(
    method: Callable[..., Path],
    clips: dict[str, str],
    train: dict[str, str],
    where: str,
    words: str,
) -> None:
    listed = {"format": "VideoDataset", "file_path": "unlabelled.list", **clips}
    labelling = {"label": "teacher.yaml", "weights": "x.pdparams", "clips": listed}
    file = method("semi", ALONE, BEFORE={"PSEUDO": labelling})
    config = yaml.safe_load(file.read_text())
    config["DATASET"]["train"] |= {"file_path": "${PSEUDO}", **train}
    frames = config["DATASET"]["train"]["format"] == "FrameDataset"
    config["PIPELINE"]["train"]["decode"]["name"] = "FrameDecoder" if frames else "VideoDecoder"
    file.write_text(yaml.safe_dump(config))
    if not where:
        assert load_config(file).DATASET.train.suffix == train.get("suffix", "")
        return
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    (mistake,) = caught.value.mistakes
    assert mistake.where == ("DATASET", "train", where) and words in mistake.text


def test_a_teacher_labels_clips_for_a_student(
    method: Callable[..., Path], clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (clips / "no video.mp4").write_bytes(b"no video " * 100)
    names = [f"{index}.mp4" for index in range(12)] + ["no video.mp4"]
    (clips / "unlabelled.list").write_text("\n".join(names))
    method("teacher", {"framework": "Recognizer2D", **TEACHER}, epochs=2)
    listed = {"format": "VideoDataset", "file_path": "unlabelled.list"}
    labelling = {"label": "teacher.yaml", "weights": "${TEACHER}", "clips": listed, "top_k": 5}
    start = tmp_path / "start.pdparams"
    paddle.save(build_recognizer(ALONE, seed=0).state_dict(), str(start))
    before = {"TEACHER": {"train": "teacher.yaml"}, "PSEUDO": labelling}
    file = method("semi", ALONE, BEFORE=before, weights=str(start))
    config = yaml.safe_load(file.read_text())
    config["DATASET"] |= {"train": {**listed, "file_path": "${PSEUDO}"}, "batch_size": 2}
    file.write_text(yaml.safe_dump(config))
    output = tmp_path / "out"
    arguments = ["-c", str(file), "--output", str(output), "--resume"]
    assert main(arguments) == 0
    list_file = output / "before" / "pseudo.list"
    samples = read_list(list_file, root=clips, num_classes=3)
    assert all(sample.path.is_file() for sample in samples)
    about = json.loads(list_file.with_suffix(".json").read_text())
    assert about["clips"] == 13 and len(about["failed"]) == 1 and "no video" in about["failed"][0]
    counts = np.bincount([sample.label for sample in samples], minlength=3)
    assert about["by_class"] == counts.tolist() and counts.max() <= 5
    assert about["chosen"] == len(samples)
    written = list_file.stat().st_mtime_ns
    assert main(arguments) == 0
    assert list_file.stat().st_mtime_ns == written
    assert "PSEUDO" in capsys.readouterr().err
    # A run that has begun makes a list that is gone again, and needs nothing else.
    text = list_file.read_text()
    list_file.unlink()
    start.unlink()
    assert main(arguments) == 0
    assert list_file.read_text() == text


def test_clips_are_labelled_again_where_they_or_the_config_changed(
    method: Callable[..., Path], clips: Path, tmp_path: Path
) -> None:
    root = tmp_path / "clips"
    shutil.copytree(clips, root)
    teacher = build_recognizer({"framework": "Recognizer2D", **TEACHER}, seed=0)
    paddle.save(teacher.state_dict(), str(tmp_path / "teacher.pdparams"))
    label = method("teacher", {"framework": "Recognizer2D", **TEACHER})
    listed = {"format": "VideoDataset", "file_path": "train.list"}
    weights = str(tmp_path / "teacher.pdparams")
    labelling = {"label": "teacher.yaml", "weights": weights, "clips": listed}
    file = method("semi", ALONE, BEFORE={"PSEUDO": labelling})

    def made() -> int:
        changes = [f"DATASET.root={root}", f"output_dir={tmp_path / 'out'}"]
        (stage,) = plan(load_config(file, changes))
        make(stage, should_stop=lambda: False)
        return stage.target.stat().st_mtime_ns

    first = made()
    assert made() == first
    with (root / "0.mp4").open("ab") as clip:
        clip.write(bytes(8))
    second = made()
    assert second != first and made() == second
    label.write_text(label.read_text().replace("short_size: 36", "short_size: 40"))
    third = made()
    assert third != second and made() == third


def test_labelling_takes_no_more_clips_at_once_than_an_evaluation(
    method: Callable[..., Path], clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Views of a video are clips of a batch: dense sampling takes ten of each, or thirty."""
    teacher = build_recognizer({"framework": "Recognizer2D", **TEACHER}, seed=0)
    weights = str(tmp_path / "teacher.pdparams")
    paddle.save(teacher.state_dict(), weights)
    label = method("teacher", {"framework": "Recognizer2D", **TEACHER})
    config = yaml.safe_load(label.read_text())
    config["PIPELINE"]["valid"]["sample"]["views"] = 5
    label.write_text(yaml.safe_dump(config))
    listed = {"format": "VideoDataset", "file_path": "train.list"}
    labelling = {"label": "teacher.yaml", "weights": weights, "clips": listed}
    file = method("semi", ALONE, BEFORE={"PSEUDO": labelling})
    (stage,) = plan(load_config(file, [f"output_dir={tmp_path / 'out'}"]))
    seen, forward = [], PixelInput.forward

    def watched(self: PixelInput, taken: paddle.Tensor) -> paddle.Tensor:
        seen.append(taken.shape[0])
        return forward(self, taken)

    monkeypatch.setattr(PixelInput, "forward", watched)
    make(stage, should_stop=lambda: False)
    assert sum(seen) == 12 * 5 and max(seen) <= stage.cfg.DATASET.batch_size == 4
    scores = json.loads(stage.target.with_suffix(".json").read_text())
    assert scores["chosen"] == 12 and 1 / 3 <= scores["least_score"] <= 1


def test_the_surest_of_each_class_are_kept() -> None:
    scores = np.array(
        [[0.9, 0.1], [0.6, 0.4], [0.7, 0.3], [np.nan, np.nan], [0.2, 0.8], [0.8, 0.2]]
    )
    assert surest(scores, top_k=2) == [0, 4, 5]
    assert surest(scores, top_k=None) == [0, 1, 2, 4, 5]
