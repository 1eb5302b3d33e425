"""From class folders to lists and configs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from tests.train.init.clip_classes import CLASSES
from train.config.load import load_config
from train.data.class_folders import Clip, find_clips, no_class
from train.data.folders import main as folders
from train.data.lists import read_list
from train.evaluation.shares import wilson_of_share
from train.init.__main__ import main
from train.init.choices import choose
from train.init.configs import baseline, mutual, teacher
from train.init.look import Look
from train.init.networks import STARTS, Machine

WRITTEN = {"train.list", "val.list", "test.list", "classes.txt"} | {
    "baseline.yaml",
    "dml.yaml",
    "teacher.yaml",
}
PARTS = ("train", "val", "test")


def lists(out: Path = Path("my")) -> dict[str, list[str]]:
    """The paths of each list, with their labels checked."""
    found = {}
    for part in PARTS:
        samples = read_list(out / f"{part}.list", root="clips", num_classes=3)
        assert all(CLASSES[sample.path.parent.name] == sample.label for sample in samples)
        found[part] = [sample.path.relative_to("clips").as_posix() for sample in samples]
    return found


def test_configs_fit_the_clips(clips: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--clips", "clips", "--out", "lists of mine"]) == 0
    alone, pair = (load_config(f"lists of mine/{name}.yaml") for name in ("baseline", "dml"))
    for cfg in (alone, pair):
        assert cfg.class_num == 3 and cfg.class_names == tuple(CLASSES)
        assert cfg.DATASET.label_flip == {"turn left": "turn right", "turn right": "turn left"}
        assert cfg.specs["valid"].preprocess.crop == 32  # the clips' short side is 40
        assert cfg.output_dir == f"runs/lists of mine-{'baseline' if cfg is alone else 'dml'}"
    assert alone.DATASET.train.balance == 0
    assert alone.DATASET == pair.DATASET and alone.PIPELINE == pair.PIPELINE
    student = pair.model["models"][1]["Student"]
    assert student["backbone"] == alone.model["backbone"]
    text = Path("lists of mine/baseline.yaml").read_text()
    lines = text.splitlines()
    chosen = ("batch_size:", "num_workers:", "cache:", "label_flip:", "epochs:", "backbone:")
    for key in (*chosen, "PIPELINE:"):
        (place,) = [i for i, line in enumerate(lines) if line.strip().startswith(key)]
        assert lines[place - 1].strip().startswith("#"), key
    assert "'lists of mine/baseline.yaml'" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["my", "lists of mine", "a$b"])
def test_make_is_told_where_it_takes_the_name(
    clips: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--clips", "clips", "--out", name]) == 0
    told = f"make train-baseline train-dml export benchmark CONFIG={name}"
    assert (told in capsys.readouterr().out) == (name == "my")


def test_the_configs_can_be_studied_over_folds(clips: Path) -> None:
    from benchmarks.study.jobs import Job, add_jobs

    assert main(["--clips", "clips"]) == 0
    jobs: dict[str, Job] = {}
    for name in ("baseline", "dml"):
        add_jobs(jobs, Path(f"my/{name}.yaml"), 1, runs=Path("runs"), overrides=())
    assert {job.config.name for job in jobs.values()} == {
        "baseline.yaml", "dml.yaml", "teacher.yaml"
    }  # fmt: skip
    assert len({job.folder for job in jobs.values()}) == 3


def test_a_class_that_has_a_side_and_no_opposite_is_not_mirrored(clips: Path) -> None:
    (clips / "turn right").rename(clips / "turn back")
    assert main(["--clips", "clips"]) == 0
    cfg = load_config("my/baseline.yaml")
    assert cfg.DATASET.label_flip == "forbidden"
    assert "RandomFlip" not in [step.name for step in cfg.PIPELINE.train.transform]


def test_clips_that_cannot_be_read_stop_nothing_and_are_told(
    clips: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (clips / "wait" / "bad.mp4").write_bytes(b"no video at all")
    (clips / "wait" / "empty.mp4").touch()
    assert main(["--clips", "clips"]) == 1
    told = capsys.readouterr().out
    assert "2 clips cannot be read" in told and "26 clips" in told
    named = [name for part in lists().values() for name in part]
    assert len(named) == 24 and not {"wait/bad.mp4", "wait/empty.mp4"} & set(named)


def broken_folders(root: Path) -> None:
    """Folders beside the classes that no class comes from."""
    for name in ("allbad", "empty", "gone", ".hidden"):
        (root / name).mkdir()
    for name in ("a", "b"):
        (root / "allbad" / f"{name}.mp4").write_bytes(b"no video at all")
    (root / "gone" / "link.mp4").symlink_to(root / "nowhere.mp4")


def test_folders_that_give_no_class_are_named(
    clips: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken_folders(clips)
    assert main(["--clips", "clips"]) == 1
    (said,) = [line for line in capsys.readouterr().out.splitlines() if "no class" in line]
    assert said.startswith("warning: 3 folders")
    assert "allbad (none of 2 clips" in said and "empty (no video files)" in said
    assert "gone (" in said and "hidden" not in said
    assert Path("my/classes.txt").read_text().split("\n")[:-1] == list(CLASSES)
    assert folders(["--root", "clips", "--out", "lists"]) == 0
    said = capsys.readouterr().out
    assert (
        "2 folders give no class: empty" in said
        and "links that lead to no file are in no list: gone/link.mp4" in said
    )


def test_classes_that_are_missing_are_named_where_two_are_needed(
    clips: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in list(CLASSES)[1:]:
        shutil.rmtree(clips / name)
    broken_folders(clips)
    assert main(["--clips", "clips"]) == 2
    said = capsys.readouterr().err
    assert "two classes" in said and all(name in said for name in ("allbad", "empty", "gone"))
    shutil.rmtree(clips / next(iter(CLASSES)))
    assert main(["--clips", "clips"]) == 2
    assert "two classes" in capsys.readouterr().err


def test_links_to_class_folders_are_named_and_lists_beside_them_are_not(
    clips: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(clips / "wait", "elsewhere")
    (clips / "linked").symlink_to(Path("elsewhere").resolve())
    (clips / "dead").symlink_to(Path("nowhere").resolve())
    for _ in range(2):  # the second finds the folder of the first
        assert folders(["--root", "clips", "--out", "clips/lists"]) == 0
        (said,) = [line for line in capsys.readouterr().out.splitlines() if "no class" in line]
        assert said.startswith("warning: 2 folders")
        assert "linked (a link" in said and "dead (a link" in said
    shutil.rmtree(clips / "lists")
    for _ in range(2):
        assert main(["--clips", "clips", "--out", "clips/my/lists"]) == 0
        assert "warning: 2 folders" in capsys.readouterr().out


def test_an_empty_class_of_some_scenes_is_no_class(tmp_path: Path) -> None:
    for scene in ("one", "two"):
        for name in ("walk", "run", "wait"):
            (tmp_path / scene / name).mkdir(parents=True)
            if name == "walk" or (scene, name) == ("one", "run"):
                (tmp_path / scene / name / "0.mp4").touch()
    found = find_clips(tmp_path)
    assert no_class(tmp_path, found, found) == ["wait (no video files)"]


def test_what_is_there_is_replaced_only_on_demand(
    clips: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--clips", "clips"]) == 0
    assert {len(part) for part in lists().values()} == {18, 3}
    assert main(["--clips", "clips"]) == 0  # the same again is no loss
    Path("my/baseline.yaml").write_text("epochs: 3\n")
    before = {file: file.read_bytes() for file in Path("my").iterdir()}
    (clips / "wait" / "0.mp4").unlink()
    assert main(["--clips", "clips"]) == 2
    assert "baseline.yaml" in capsys.readouterr().err
    assert {file: file.read_bytes() for file in Path("my").iterdir()} == before
    assert main(["--clips", "clips", "--overwrite"]) == 0
    assert load_config("my/baseline.yaml").epochs > 3


@pytest.mark.parametrize("how", ["groups.txt", "scenes"])
def test_groups_stand_in_one_list(
    clips: Path, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def group(path: str) -> int:
        return int(Path(path).stem) // 2

    if how == "groups.txt":
        names = [path.relative_to(clips).as_posix() for path in clips.rglob("*.mp4")]
        (clips / "groups.txt").write_text("".join(f"{n} camera{group(n)}\n" for n in names))
    else:
        for path in sorted(clips.rglob("*.mp4")):
            target = clips / f"camera{group(path.name)}" / path.parent.name / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            path.rename(target)
    assert main(["--clips", "clips"]) == 0
    assert how in capsys.readouterr().out
    parts = [{group(name) for name in part} for part in lists().values()]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 4


def test_too_few_groups_are_told_and_not_kept_apart(
    clips: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [path.relative_to(clips).as_posix() for path in clips.rglob("*.mp4")]
    (clips / "groups.txt").write_text("".join(f"{n} camera{i % 2}\n" for i, n in enumerate(names)))
    assert main(["--clips", "clips"]) == 0
    assert "too few groups" in capsys.readouterr().out
    assert {len(part) for part in lists().values()} == {18, 3}


def test_copies_stand_in_one_list_and_two_labels_are_told(
    clips: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for index in range(3):
        shutil.copy(clips / "wait" / f"{index}.mp4", clips / "wait" / f"{index}0.mp4")
    shutil.copy(clips / "turn left" / "0.mp4", clips / "turn right" / "70.mp4")
    assert main(["--clips", "clips"]) == 0
    told = capsys.readouterr().out
    assert "4 pairs of clips look the same" in told and "two labels" in told
    of = {name: part for part, names in lists().items() for name in names}
    for index in range(3):
        assert of[f"wait/{index}.mp4"] == of[f"wait/{index}0.mp4"]
    assert of["turn left/0.mp4"] == of["turn right/70.mp4"]


def test_rare_classes_and_small_test_lists_are_told(
    clips: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for index in range(1, 8):
        (clips / "wait" / f"{index}.mp4").unlink()
    assert main(["--clips", "clips"]) == 0
    told = capsys.readouterr().out
    assert "warning: turn left has 8 clips, wait only 1" in told
    assert "wait/0.mp4" in lists()["train"]
    cfg = load_config("my/baseline.yaml")
    assert cfg.DATASET.train.balance == 0.5 and cfg.DATASET.valid.balance == 0
    assert "test clips show little" in told


def test_a_class_of_three_clips_is_in_every_list(clips: Path) -> None:
    for index in range(3, 8):
        (clips / "wait" / f"{index}.mp4").unlink()
    assert main(["--clips", "clips"]) == 0
    assert all(any(n.startswith("wait/") for n in part) for part in lists().values())


def test_clips_that_fill_no_three_lists_are_told(
    clips: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in clips.rglob("*.mp4"):
        if path.stem != "0" or path.parent.name == "wait":
            path.unlink()
    assert main(["--clips", "clips"]) == 2
    assert "no clip for val" in capsys.readouterr().err
    assert not Path("my").exists()


def test_wrong_use_is_told(clips: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--clips", "nowhere"]) == 2
    assert "--clips" in capsys.readouterr().err
    Path("afile").touch()
    for out in ("afile", "afile/inside"):
        assert main(["--clips", "nowhere", "--out", out]) == 2
        assert "afile is a file" in capsys.readouterr().err
        assert folders(["--root", "nowhere", "--out", out]) == 2
        assert "afile is a file" in capsys.readouterr().err
    shutil.rmtree(clips / "wait")
    shutil.rmtree(clips / "turn left")
    assert main(["--clips", "clips"]) == 2
    assert "two classes" in capsys.readouterr().err
    assert main(["--clips", "clips", "--seed", "-1"]) == 2
    assert not Path("my").exists()


def test_the_block_that_folders_prints_fits_its_lists(
    clips: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--clips", "clips"]) == 0
    capsys.readouterr()
    for out in ("clips/lists", "other $ {lists}"):
        assert folders(["--root", "clips", "--out", out]) == 0
        block = yaml.safe_load("DATASET:" + capsys.readouterr().out.split("DATASET:")[1])
        cfg = load_config("my/baseline.yaml", [f"DATASET={json.dumps(block['DATASET'])}"])
        assert cfg.class_names == tuple(CLASSES)
        for split, files in cfg.lists.items():
            assert files is not None
            name = {"valid": "val"}.get(split, split)
            assert files.list_file.samefile(Path(out) / f"{name}.list")
            assert read_list(files.list_file, root=files.root)


@pytest.mark.parametrize("side", [30, 100, 240])
@pytest.mark.parametrize("frames", [3, 4000])
@pytest.mark.parametrize(
    "machine",
    [Machine(1, gpu=False, memory=2**31), Machine(32, gpu=False, memory=2**36),
     Machine(8, gpu=True, memory=2**36)],
)  # fmt: skip
def test_what_is_chosen_is_a_config(
    tmp_path: Path, machine: Machine, frames: int, side: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = ["ccw", "clockwise", "cw", "counterclockwise"]
    Path("classes.txt").write_text("\n".join(names))
    for training in (2, 5000):
        looks = [Look(Clip(f"{n}/{i}.mp4", n, ""), frames, 25.0, 2 * side, side, False)
                 for n in names for i in range(training // 2)]  # fmt: skip
        choices = choose(looks, [training // 2, training // 2, 0, 0], names, machine)
        assert choices.crop <= max(side, 32) and choices.batch_size <= training
        assert machine.gpu or choices.crop <= 112
        assert choices.num_seg <= 8 and (frames >= 8 or choices.num_seg == 4)
        assert not choices.cache or frames * training * choices.short_size**2 < machine.memory
        here = Path()
        texts = {
            "baseline": baseline(choices, root=here, out=here, run="a", head=["one", "two"]),
            "teacher": teacher(choices, run="b"),
            "dml": mutual(choices, run="c"),
        }
        for name, text in texts.items():
            Path(f"{name}.yaml").write_text(text)
        for name in texts:
            cfg = load_config(f"{name}.yaml")
            assert cfg.class_num == 4 and cfg.output_dir in "abc"
            flips = {"ccw": "cw", "cw": "ccw", "clockwise": "counterclockwise"}
            assert cfg.DATASET.label_flip == flips | {"counterclockwise": "clockwise"}


def test_the_interval_of_a_test_list_is_wilsons() -> None:
    assert wilson_of_share(0.8, 30) == pytest.approx((0.6269, 0.9049), abs=1e-4)
    assert wilson_of_share(0.5, 100) == pytest.approx((0.4038, 0.5962), abs=1e-4)


def test_steps_that_are_told_are_those_that_a_run_takes(clips: Path) -> None:
    """An epoch leaves out a last batch that is not full."""
    assert main(["--clips", "clips"]) == 0
    cfg = load_config("my/baseline.yaml")
    lines = Path("my/baseline.yaml").read_text().splitlines()
    steps = 18 // cfg.DATASET.batch_size
    assert 18 % cfg.DATASET.batch_size
    (place,) = [i for i, line in enumerate(lines) if line.startswith("  batch_size:")]
    assert f"18 training clips an epoch make {steps} steps" in " ".join(lines[place - 2 : place])
    (place,) = [i for i, line in enumerate(lines) if line.startswith("epochs:")]
    assert lines[place - 1].startswith(f"# {cfg.epochs * steps} steps")


@pytest.mark.parametrize("gpu", [False, True])
@pytest.mark.parametrize("start", STARTS)
def test_what_networks_start_from_is_in_the_configs(
    clips: Path, start: str, gpu: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By name, for student and teacher alike; features are learnt of a teacher that has one."""
    from train.config.networks import blocks_of
    from train.distill.build_recognizer import build_recognizer

    monkeypatch.setattr("train.init.__main__.this_machine", lambda: Machine(4, gpu, 2**34))
    assert main(["--clips", "clips", "--start", start]) == 0
    alone, pair, teacher = (load_config(f"my/{n}.yaml") for n in ("baseline", "dml", "teacher"))
    blocks = blocks_of(pair.model)
    starts = {
        "baseline": alone.model["backbone"]["pretrained"],
        "student": blocks["Student"]["backbone"]["pretrained"],
        "teacher": teacher.model["backbone"]["pretrained"],
    }
    named = None if start == "none" else start
    assert starts["baseline"] == starts["student"]
    assert starts["teacher"] == starts["student"] == named
    assert blocks["Teacher"]["backbone"]["pretrained"] is None
    names = [term["name"] for term in pair.model["loss"]["Train"]]
    assert ("DistillationOverHaulLoss" in names) == (start != "none")
    mean = alone.specs["valid"].preprocess.mean
    assert mean == ((0.5, 0.5, 0.5) if start == "embedded" else (0.485, 0.456, 0.406))
    if start != "none":
        # Building the term looks for the layers that it reads.
        recognizer = build_recognizer(pair.model, seed=0)
        assert len(recognizer.tapped("Student")) == len(recognizer.tapped("Teacher")) == 3
