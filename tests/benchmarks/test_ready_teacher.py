"""`benchmarks.ready_teacher`, and the teacher that comes with the checkout."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.ready_teacher import TEACHER, main
from infer.system.files import sha256_of
from train.__main__ import main as train
from train.checkpoints.checkpoint import BEST, load_file
from train.checkpoints.teachers import load_networks
from train.config.load import load_config
from train.distill.build_recognizer import build_recognizer
from train.models.pixels import PixelInput

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("config", ["motions_dml", "methods/kd"])
def test_the_teacher_of_the_checkout_is_what_its_json_says(config: str) -> None:
    file = ROOT / TEACHER
    about = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
    assert sha256_of(file) == about["sha256"]
    assert about["validation_top1"] > 0.9
    own = load_config(ROOT / "configs/motions_teacher.yaml")
    assert about["config"] == "configs/motions_teacher.yaml" and about["epochs"] == own.epochs
    cfg = load_config(ROOT / f"configs/{config}.yaml")
    ready = cfg.ready("TEACHER")
    assert ready is not None and ready.resolve() == file.resolve()
    spec = cfg.specs["valid"]
    pixels = PixelInput(spec.preprocess.mean, spec.preprocess.std)
    recognizer = build_recognizer(cfg.model, seed=1, pixels=pixels)
    (line,) = load_networks(recognizer, cfg.model)
    assert line.startswith("Teacher: all of the network from ")


def test_a_run_is_published_when_it_is_finished(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert train(["-c", f"{tiny}/one.yaml", "--output", str(run), "--seed", "7"]) == 0
    out = tmp_path / "new" / "teacher.pdparams"
    assert main([str(run), "--out", str(out)]) == 0
    about = json.loads(out.with_suffix(".json").read_text(encoding="utf-8"))
    assert out.read_bytes() == (run / BEST).read_bytes()
    assert about["sha256"] == sha256_of(out) and about["seed"] == 7
    assert about["machine"]["cores"] and set(about["clips"]) == {"training", "validation"}
    assert main([str(tmp_path), "--out", str(out)]) == 2
    assert BEST in capsys.readouterr().err


def test_one_network_of_a_pair_is_published(tiny: Path, tmp_path: Path) -> None:
    run, out = tmp_path / "run", tmp_path / "student.pdparams"
    assert train(["-c", f"{tiny}/two.yaml", "--output", str(run)]) == 0
    assert main([str(run), "--role", "Student", "--out", str(out)]) == 0
    about = json.loads(out.with_suffix(".json").read_text(encoding="utf-8"))
    assert about["sha256"] == sha256_of(out) and about["role"] == "Student"
    held = {k: v for k, v in load_file(run / BEST).items() if k.startswith("Student.")}
    kept = load_file(out)
    assert {f"Student.{key}" for key in kept} == set(held)
    assert all((kept[key.removeprefix("Student.")] == held[key]).all() for key in held)
    assert main([str(run), "--role", "Nobody", "--out", str(out)]) == 2
