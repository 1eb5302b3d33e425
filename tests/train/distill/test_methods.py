"""The methods' own configs: each loads, builds and takes a step; terms that do not fit are told."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest

from tests.train.tiny import KD, STUDENT, TEACHER, distilled, same, weights
from train.__main__ import main
from train.checkpoints.checkpoint import LATEST, load_file
from train.config.load import ConfigError, load_config
from train.data.lists import UNLABELLED, ListError, read_list
from train.distill.build_recognizer import build_recognizer
from train.losses import Target
from train.models.pixels import PixelInput

FOLDER = Path(__file__).parents[3] / "configs" / "methods"
METHODS = sorted(file.stem for file in FOLDER.glob("[a-z]*.yaml"))

TERMS = {
    "kd": {"Student-Teacher.KD"},
    "dkd": {"Student-Teacher.DKD"},
    "kd_standardized": {"Student-Teacher.KD"},
    "dkd_standardized": {"Student-Teacher.DKD"},
    "dist": {"Student-Teacher.DIST"},
    "rkd": {"Student-Teacher.RKD"},
    "rkd_kd": {"Student-Teacher.RKD", "Student-Teacher.KD"},
    "overhaul": {"Student-Teacher.OverHaul"},
    "recipe_frozen": {"Student-Teacher.DML", "Student-Teacher.OverHaul"},
    "afd": {"Student-Teacher.AFD", "Student-Teacher.KD"},
    "self": {"Student-Teacher.KD"},
    "cml": {"Student-Teacher.KD", "Student2-Teacher.KD", "Student-Student2.DML", "Student2.CE"},
    "cohort": {"Student-Teacher.DML", "Student-Student2.DML", "Student2-Teacher.DML",
               "Student2.CE", "Teacher.CE"},
    "dml": {"Student-Teacher.DML", "Teacher.CE"},
    "dml_alternating": {"Student-Teacher.KD", "Teacher-Student.KD", "Teacher.CE"},
    "dml_standardized": {"Student-Teacher.DML", "Teacher.CE"},
    "dml_temperature": {"Student-Teacher.DML", "Teacher.CE"},
    "dml_decaying": {"Student-Teacher.DML", "Teacher.CE"},
    "dml_pretrained": {"Student-Teacher.DML", "Teacher.CE"},
    "mean_peer": {"Student-TeacherMean.KD", "Teacher-StudentMean.KD", "Teacher.CE"},
    "kdcl": {"Student-Teacher.KDCL", "Teacher.CE"},
    "udml": {"Student-Teacher.DML", "Student-Teacher.Distance", "Teacher.CE"},
    "ssld": {"Student-Teacher.JS"},
    "refinery": {"Student-Teacher.KD"},
    "refinery_second": {"Student-Teacher.KD"},
}  # fmt: skip
"""Terms besides the student's own cross-entropy; methods that are not named have none."""

WITHOUT_LABELS = {"ssld", "refinery", "refinery_second"}


def test_every_method_has_a_config_of_its_own() -> None:
    assert TERMS.keys() <= set(METHODS)


@pytest.mark.parametrize("name", METHODS)
def test_a_method_takes_a_step_from_its_config(name: str) -> None:
    cfg = load_config(FOLDER / f"{name}.yaml")
    spec = cfg.specs["train"]
    pixels = PixelInput(spec.preprocess.mean, spec.preprocess.std)
    recognizer = build_recognizer(cfg.model, seed=cfg.seed, pixels=pixels)
    recognizer.train()
    rng = np.random.default_rng(0)
    clips = rng.integers(0, 256, (4, *spec.clip_shape), dtype=np.uint8)
    outputs = recognizer(pixels(paddle.to_tensor(clips)))
    terms = recognizer.losses(outputs, Target(paddle.to_tensor(np.arange(4))), progress=1.0)
    own = set() if name in WITHOUT_LABELS else {"Student.CE"}
    assert set(terms) == TERMS.get(name, set()) | own
    total = paddle.add_n(list(terms.values()))
    total.backward()
    assert np.isfinite(float(total))
    for role, network in recognizer.networks.items():
        moved = [p for p in network.parameters() if p.grad is not None and p.grad.abs().sum() > 0]
        assert bool(moved) == (role not in recognizer.frozen)


def test_the_students_of_all_methods_are_the_baselines() -> None:
    """And start from the same weights, or the comparison would be one of draws."""
    baseline = load_config(FOLDER.parent / "motions_baseline.yaml")
    wanted = build_recognizer(baseline.model, seed=3).student.state_dict()
    for name in METHODS:
        cfg = load_config(FOLDER / f"{name}.yaml")
        found = build_recognizer(cfg.model, seed=3).student.state_dict()
        assert same(*({k: v.numpy() for k, v in d.items()} for d in (wanted, found))), name


# --- what must be there before -------------------------------------------------------------------


# --- clips without labels ------------------------------------------------------------------------


def test_lists_without_labels(clips: Path, tmp_path: Path) -> None:
    listed = tmp_path / "some.list"
    listed.write_text("0.mp4\n1.mp4 2\n\n# no clip\n")
    samples = read_list(listed, root=clips, labelled=False, num_classes=3)
    assert [(s.path.name, s.label) for s in samples] == [
        ("0.mp4", UNLABELLED),
        ("1.mp4", UNLABELLED),
    ]
    with pytest.raises(ListError, match=r"some\.list:1: too few fields"):
        read_list(listed, root=clips, num_classes=3)
    folder = tmp_path / "frames of one"
    folder.mkdir()
    (folder / "img_00001.jpg").write_bytes(b"")
    listed.write_text("frames of one 12\nframes of one 12 4\n")
    frames = read_list(listed, root=tmp_path, format="FrameDataset", labelled=False)
    assert [(s.path.name, s.frames) for s in frames] == [("frames of one", 12)] * 2


def test_a_student_learns_without_labels(
    method: Callable[..., Path], clips: Path, tmp_path: Path
) -> None:
    """The same steps whatever the list says the labels are."""
    teacher = build_recognizer({"framework": "Recognizer2D", **TEACHER}, seed=0)
    paddle.save(teacher.state_dict(), str(tmp_path / "teacher.pdparams"))
    lines = (clips / "train.list").read_text().splitlines()
    (clips / "bare.list").write_text("\n".join(line.split()[0] for line in lines))
    loss = {"name": "DistillationJSDivLoss"}
    file = method("ssld", distilled(loss, pretrained=str(tmp_path / "teacher.pdparams")))
    base = ["-c", str(file), "-o", "DATASET.train.labelled=false"]
    for name in ("train", "bare"):
        change = ["-o", f"DATASET.train.file_path={name}.list"]
        assert main([*base, *change, "--output", str(tmp_path / name)]) == 0
    assert same(weights(tmp_path / "train"), weights(tmp_path / "bare"))


@pytest.mark.parametrize("update", ["together", "alternating"])
def test_batches_too_small_for_every_term_are_left_out(
    method: Callable[..., Path],
    clips: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    update: str,
) -> None:
    """One clip of two cannot be read: no relation is left, and nothing else teaches the student."""
    broken = tmp_path / "broken"
    shutil.copytree(clips, broken)
    (broken / "3.mp4").write_bytes(b"no video")
    teacher = build_recognizer({"framework": "Recognizer2D", **TEACHER}, seed=0)
    paddle.save(teacher.state_dict(), str(tmp_path / "teacher.pdparams"))
    model = distilled(
        {"name": "DistillationRKDLoss"}, pretrained=str(tmp_path / "teacher.pdparams")
    )
    alternating = update == "alternating"
    if alternating:
        labels = {**model["loss"]["Val"][0], "model_name_pairs": ["Teacher", "GroundTruth"]}
        model["loss"]["Train"].append(labels)
        model |= {"freeze_params_list": [False, False], "update": update}
    arguments = ["-c", str(method("rkd", model)), "--output", str(tmp_path / "out")]
    arguments += ["-o", f"DATASET.root={broken}", "-o", "DATASET.batch_size=2"]
    assert main(arguments) == 0
    progress = load_file(tmp_path / "out" / LATEST)["progress"]
    assert progress["step"] == (6 if alternating else 5) and progress["batch"] == 0
    said = "left out: too few clips in a batch for any term of the loss: 1"
    assert (said in capsys.readouterr().err) != alternating


def test_losses_that_need_labels_are_told(method: Callable[..., Path]) -> None:
    changes = ["DATASET.train.labelled=false", "DATASET.valid.labelled=false"]
    dkd = {"name": "DistillationDKDLoss"}
    with pytest.raises(ConfigError) as caught:
        load_config(method("x", distilled(dkd, KD, pretrained="x")), changes)
    told = {".".join(map(str, m.where)) for m in caught.value.mistakes}
    assert told == {"MODEL.loss.Train.0.name", "DATASET.valid.labelled"}
    kdcl = {"name": "DistillationEnsembleLoss", "model_name_pairs": ["Student", "Teacher"]}
    for ensemble, works in (("minlogit", False), ("naive", False), ("mean", True)):
        file = method("x", distilled({**kdcl, "ensemble": ensemble}, pretrained="x"))
        if works:
            assert not load_config(file, changes[:1]).DATASET.train.labelled
            continue
        with pytest.raises(ConfigError) as caught:
            load_config(file, changes[:1])
        assert [m.where for m in caught.value.mistakes] == [("MODEL", "loss", "Train", 0, "name")]
    own = {"name": "DistillationDKDLoss", "use_target_as_gt": True}
    file = method("x", distilled(own, pretrained="x"))
    assert not load_config(file, changes[:1]).DATASET.train.labelled


# --- losses that do not fit ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "where", "words"),
    [
        ({"model_name_pairs": ["Teacher", "Student"]}, "0.model_name_pairs", "is frozen"),
        ({"model_name_pairs": [["Student"]]}, "0.model_name_pairs", "such pairs"),
        ({"model_name_pairs": ["Student", "Techer"]}, "0.model_name_pairs", "Teach"),
        ({"ramp": [0.1, 0.5]}, "", "has a ramp"),
        ({"decay": [0.1, 0.5]}, "", "a decay to 0"),
        ({"loss_weight": 0}, "", "has loss_weight 0"),
        ({"temperature": 0}, "0.temperature", "above 0"),
        ({"tau": 1.0}, "0.tau", "unknown key"),
    ],
)
def test_terms_that_do_not_fit(
    method: Callable[..., Path], change: dict[str, Any], where: str, words: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(method("x", distilled({**KD, **change}, pretrained="x.pdparams")))
    told = {".".join(map(str, m.where)): m.text for m in caught.value.mistakes}
    place = f"MODEL.loss.Train.{where}".rstrip(".")
    assert words in told[place], told


def test_settings_of_networks_that_do_not_fit(method: Callable[..., Path]) -> None:
    model = distilled(KD, pretrained="x.pdparams", trainable="head")
    model["models"][1] = {"Student": {**STUDENT, "amp": "float16", "input": {"size": 48}}}
    model["update"] = "alternating"
    rkd = {"name": "DistillationRKDLoss", "model_name_pairs": ["Student", "Teacher"]}
    layer = {"s_key": "backbone.fc:input", "t_key": "head.fc:input"}
    afd = {"name": "DistillationOverHaulLoss", "s_key": ["backbone.stages.3"], "t_key": ["a", "b"]}
    model["loss"]["Train"] += [rkd, {**afd, "model_name_pairs": ["Student", "Teacher"]}]
    model["loss"]["Val"] = [{**rkd, **layer}]
    with pytest.raises(ConfigError) as caught:
        load_config(method("x", model), ["DATASET.batch_size=1"])
    told = {".".join(map(str, m.where)): m.text for m in caught.value.mistakes}
    assert "nothing learns" in told["MODEL.models.0.Teacher.trainable"]
    assert "frozen networks" in told["MODEL.models.1.Student.amp"]
    assert "as deployment does" in told["MODEL.models.1.Student.input"]
    assert "two networks" in told["MODEL.update"]
    assert "batch_size is 1" in told["MODEL.loss.Train.1.name"]
    assert "they are pairs" in told["MODEL.loss.Train.2.t_key"]
    assert "in training only" in told["MODEL.loss.Val.0.name"]
