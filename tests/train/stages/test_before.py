"""What comes before a run: teachers that are trained, generations, what is told of them."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
import yaml

from tests.train.tiny import ALONE, KD, STUDENT, TEACHER, distilled, same, weights
from train.__main__ import main
from train.checkpoints.checkpoint import BEST, LATEST, load_file
from train.checkpoints.teachers import load_networks
from train.config.identity import identity
from train.config.load import ConfigError, load_config
from train.distill.build_recognizer import build_recognizer
from train.stages.before import plan

FOLDER = Path(__file__).parents[3] / "configs" / "methods"


def test_a_teacher_is_trained_first_and_only_where_it_is_not_there(
    method: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    method("teacher", {"framework": "Recognizer2D", **TEACHER})
    file = method("kd", distilled(KD), BEFORE={"TEACHER": {"train": "teacher.yaml"}})
    output = tmp_path / "out"
    arguments = ["-c", str(file), "--output", str(output), "--seed", "7", "--resume"]
    assert main(arguments) == 0
    teacher = output / "before" / "teacher"
    assert json.loads((teacher / "best.json").read_text())["seed"] == 7
    trained = {k: v.numpy() for k, v in load_file(teacher / BEST).items()}
    for own, key in (("backbone.", "Teacher.0."), ("head.", "Teacher.1.")):
        for name, value in trained.items():
            if name.startswith(own):
                kept = weights(output)[key + name.removeprefix(own)]
                np.testing.assert_array_equal(kept, value)
    before = (teacher / LATEST).stat().st_mtime_ns
    assert main(arguments) == 0
    assert (teacher / LATEST).stat().st_mtime_ns == before
    said = capsys.readouterr().err
    assert "stage 1 of 2: pretraining the teacher" in said and "Teacher: all" in said

    # A run that has begun holds its teacher, wherever it is kept since.
    (output / "before").rename(tmp_path / "before")
    assert main([*arguments[:-1], "-o", "epochs=2"]) == 2
    assert "holds a run already" in capsys.readouterr().err and not (output / "before").exists()
    moved = output.rename(tmp_path / "moved")
    assert main(["-c", str(file), "--output", str(moved), "--seed", "7", "--resume"]) == 0
    assert not (moved / "before").exists()
    assert load_config(file, [f"output_dir={moved}"]).sha256() == load_config(file).sha256()
    output, teacher = moved, tmp_path / "before" / "teacher"

    # Its own config goes on with it, and trains it again, whatever lies beside that.
    own = ["-c", str(output / "config.yaml"), "--output"]
    (tmp_path / "teacher.yaml").rename(tmp_path / "away.yaml")
    assert main([*own, str(output), "--resume"]) == 0
    (tmp_path / "away.yaml").rename(tmp_path / "teacher.yaml")
    assert main([*own, str(tmp_path / "again")]) == 0
    assert same(weights(tmp_path / "again"), weights(output))

    monkeypatch.setenv("TEACHER", str(teacher / BEST))
    other = tmp_path / "other"
    assert main(["-c", str(file), "--output", str(other), "--seed", "7"]) == 0
    assert not (other / "before").exists()
    assert same(weights(other), weights(output))


def test_overrides_that_do_not_reach_a_teacher_are_told(
    method: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And what is told reaches it."""
    method("teacher", {"framework": "Recognizer2D", **TEACHER})
    listed = {"train": "teacher.yaml", "override": ["grad_clip=0.5"]}
    file = method("kd", distilled(KD), BEFORE={"TEACHER": listed})
    arguments = ["-c", str(file), "-o", "epochs=1", "-o", "DATASET.classes=[up, down, still]"]
    assert main([*arguments, "--output", str(tmp_path / "one")]) == 0
    (told,) = [line for line in capsys.readouterr().err.splitlines() if "BEFORE.TEACHER" in line]
    assert "stage 2" in told
    option, value = shlex.split(told)[-2:]
    assert option == "-o" and "grad_clip=0.5" in value and "epochs=1" in value
    output = tmp_path / "two"
    assert main([*arguments, option, value, "--output", str(output)]) == 0
    assert "BEFORE.TEACHER" not in capsys.readouterr().err
    history = (output / "before" / "teacher" / "history.csv").read_text().splitlines()
    assert len(history) == 2
    assert main(["-c", str(file), "--output", str(tmp_path / "three")]) == 0
    assert "BEFORE.TEACHER" not in capsys.readouterr().err


def test_a_teacher_that_is_ready_is_taken(
    method: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    teacher = method("teacher", {"framework": "Recognizer2D", **TEACHER})
    block = {"train": "teacher.yaml", "ready": "ready/teacher.pdparams"}
    file = method("kd", distilled(KD), BEFORE={"TEACHER": block})
    assert [stage.name for stage in plan(load_config(file))] == ["TEACHER"]
    assert main(["-c", str(teacher), "--output", str(tmp_path / "one"), "--seed", "3"]) == 0
    (tmp_path / "ready").mkdir()
    shutil.copy(tmp_path / "one" / BEST, tmp_path / "ready" / "teacher.pdparams")
    cfg = load_config(file)
    assert plan(cfg) == [] and cfg.ready("TEACHER") == tmp_path / "ready" / "teacher.pdparams"
    assert plan(load_config(file, ["BEFORE.TEACHER.ready="])) != []
    # Where it lies is no part of what a run is.
    assert cfg.to_dict()["MODEL"]["models"][0]["Teacher"]["pretrained"] == "${TEACHER}"

    output = tmp_path / "out"
    assert main(["-c", str(file), "--output", str(output), "--seed", "7"]) == 0
    assert not (output / "before").exists() and "Teacher: all" in capsys.readouterr().err
    trained = {k: v.numpy() for k, v in load_file(tmp_path / "one" / BEST).items()}
    for name, value in trained.items():
        key = name.replace("backbone.", "Teacher.0.", 1).replace("head.", "Teacher.1.", 1)
        np.testing.assert_array_equal(weights(output)[key], value)

    # The run's own config takes it again, from another folder too; the environment comes first.
    monkeypatch.chdir(output)
    assert main(["-c", "config.yaml", "--output", str(tmp_path / "again")]) == 0
    assert same(weights(tmp_path / "again"), weights(output))
    monkeypatch.setenv("TEACHER", str(tmp_path / "nowhere.pdparams"))
    assert main(["-c", str(file), "--output", str(tmp_path / "other")]) == 2
    assert "nowhere.pdparams" in capsys.readouterr().err


def test_wrong_layers_are_told_before_a_teacher_is_trained(
    method: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    method("teacher", {"framework": "Recognizer2D", **TEACHER})
    rkd = {"name": "DistillationRKDLoss", "s_key": "backbone.stage.1", "t_key": "backbone.res5b"}
    file = method("rkd", distilled(rkd), BEFORE={"TEACHER": {"train": "teacher.yaml"}})
    output = tmp_path / "out"
    assert main(["-c", str(file), "--output", str(output)]) == 2
    told = capsys.readouterr().err
    assert f"{file}: 1 mistake" in told and "no layer 'backbone.stage.1'; the nearest" in told
    assert not output.exists()


def test_all_mistakes_are_told_before_a_teacher_is_trained(
    method: Callable[..., Path], clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "two.txt").write_text("a\nb\n")
    backbone = {**TEACHER["backbone"], "pretrained": "/nowhere/imagenet.pdparams"}
    own = method("teacher", {"framework": "Recognizer2D", **TEACHER, "backbone": backbone})
    narrow = {
        "backbone": {**TEACHER["backbone"], "width": 0.25},
        "head": {**TEACHER["head"], "in_channels": 128},
    }
    before = {"TEACHER": {"train": "teacher.yaml", "override": ["DATASET.batch_size=13"]}}
    file = method("kd", distilled(KD, **narrow), BEFORE=before, weights="/nowhere/all.pdparams")
    output = tmp_path / "out"
    changes = ["GRADIENT_ACCUMULATION.global_batch_size=17"]
    changes += [f"DATASET.classes={tmp_path / 'two.txt'}", f"output_dir={output}"]
    arguments = ["-c", str(file), *(part for change in changes for part in ("-o", change))]
    assert main(arguments) == 2
    of_teacher, of_run = capsys.readouterr().err.split(f"{file}: 4 mistakes in the config")
    assert str(own) in of_teacher and "2 mistakes" in of_teacher
    assert "/nowhere/imagenet.pdparams" in of_teacher
    assert "batch of 13" in of_teacher
    assert "two.txt names 2 classes" in of_run
    assert "/nowhere/all.pdparams" in of_run
    target = output / "before" / "teacher" / BEST
    assert f"MODEL.models.0.Teacher.pretrained: {target} does not fit" in of_run
    assert "0.conv1_1._conv.weight [4, 3, 3, 3], expected [8, 3, 3, 3]" in of_run
    assert f"{target}: what {own} will train" in of_run
    assert "global_batch_size is 17, allowed: multiples of 4" in of_run
    assert not output.exists()


def test_generations_build_on_each_other(method: Callable[..., Path]) -> None:
    method("first", ALONE)
    refined = distilled(KD, **STUDENT)
    method("second", refined, BEFORE={"TEACHER": {"train": "first.yaml"}})
    third = method("third", refined, BEFORE={"TEACHER": {"train": "second.yaml"}})
    stages = plan(load_config(third, ["output_dir=x"]))
    assert [Path(stage.cfg.source).stem for stage in stages] == ["first", "second"]
    assert [stage.target.parent.parts[-1] for stage in stages] == ["teacher", "teacher"]
    assert stages[1].cfg.model["models"][0]["Teacher"]["pretrained"] == str(stages[0].target)
    assert plan(load_config(third, ["output_dir=x"]), environment={"TEACHER": "file"}) == []


def test_labels_are_refined_by_the_last_generation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEACHER", str(tmp_path / "second.pdparams"))
    second, third = (load_config(FOLDER / f"{n}.yaml") for n in ("refinery_second", "refinery"))
    donor = build_recognizer(second.model, seed=1)
    paddle.save(donor.state_dict(), str(tmp_path / "second.pdparams"))
    recognizer = build_recognizer(third.model, seed=2)
    load_networks(recognizer, third.model)
    networks = (recognizer.networks["Teacher"], donor.student)
    assert same(*({k: v.numpy() for k, v in n.state_dict().items()} for n in networks))


def test_a_run_says_where_its_other_configs_are(
    method: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    method("teacher", {"framework": "Recognizer2D", **TEACHER})
    listed = {"format": "VideoDataset", "file_path": "train.list"}
    labelling = {"label": "teacher.yaml", "weights": "${TEACHER}", "clips": listed}
    before = {"TEACHER": {"train": "teacher.yaml"}, "PSEUDO": labelling}
    monkeypatch.chdir(tmp_path)
    cfg = load_config(method("x", distilled(KD), BEFORE=before).relative_to(tmp_path))
    kept = tmp_path / "elsewhere" / "config.yaml"
    kept.parent.mkdir()
    data = cfg.to_dict()
    kept.write_text(yaml.safe_dump(data))
    monkeypatch.chdir(kept.parent)
    again = load_config(kept)
    assert again.to_dict() == data
    assert again.sha256() == cfg.sha256() and identity(again) == identity(cfg)
    assert not any("relative_to" in block for block in identity(cfg)["BEFORE"].values())
    found = [Path(stage.cfg.source).resolve() for stage in plan(again)]
    assert found == [tmp_path / "teacher.yaml"] * 2


def test_configs_that_need_each_other_are_refused(
    method: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    method("a", distilled(KD), BEFORE={"TEACHER": {"train": "b.yaml"}})
    file = method("b", distilled(KD), BEFORE={"TEACHER": {"train": "a.yaml"}})
    assert main(["-c", str(file)]) == 2
    assert "needs itself" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("before", "where", "words"),
    [
        ({"teacher": {"train": "x.yaml"}}, "BEFORE.teacher", "in capitals"),
        ({"TEACHER": {"trian": "x.yaml"}}, "BEFORE.TEACHER", ""),
        ({"TEACHER": {"train": "x.yaml", "overide": []}}, "BEFORE.TEACHER", ""),
    ],
)
def test_mistakes_in_what_comes_before(
    method: Callable[..., Path], before: dict[str, Any], where: str, words: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(method("x", ALONE, BEFORE=before))
    told = {".".join(map(str, m.where)): m.text for m in caught.value.mistakes}
    assert any(place.startswith(where) and words in text for place, text in told.items()), told
