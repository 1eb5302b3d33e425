"""What INT8 costs over several pairs: the figures, the words, and the command on tiny networks."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
import yaml

from benchmarks.pages.markdown import markdown
from benchmarks.precisions import __main__ as precisions
from benchmarks.precisions import graphs, report
from benchmarks.precisions.pooled import METHODS, NO_GAIN, pool_methods
from benchmarks.precisions.sections import sections
from tests.export.conftest import MODELS, config_of
from train.config.load import load_config
from train.distill.build_recognizer import build_recognizer

BOOTSTRAP: Any = {"resamples": 400, "seed": 0, "level": 0.95}
CLIPS = 2000


def network(role: str, seed: int, shares: dict[str, float]) -> dict[str, Any]:
    """A run whose methods are right on the first so many clips, in per cent."""
    labels = np.zeros(CLIPS, np.int64)

    def answers(share: float) -> dict[str, Any]:
        right = np.arange(CLIPS) < round(share / 100 * CLIPS)
        score = {"loss": shares["fp32"] - share, "expected": 0.1, "agreement": 0.99}
        return {"top1": share / 100, "score": score, "predictions": (~right).astype(int).tolist()}

    both = {"valid": labels.tolist(), "test": labels.tolist()}
    search = {
        "spared": ["backbone.last_conv"],
        "work_in_float": 0.07,
        "before": {"expected": 0.8},
        "after": {"expected": 0.4},
    }
    return {
        "role": role,
        "seed": seed,
        "name": f"{role}-{seed}",
        "clips": {"valid": "v" * 64, "test": "t" * 64},
        "labels": both,
        "methods": {m: {"valid": answers(s), "test": answers(s)} for m, s in shares.items()},
        "searches": {"goal.int8": search, "goal.uint8": {"missed": "out of reach"}},
        "tuning": {"int8": {"epochs": 3, "steps": 300, "seconds": 80.0, "optimizer": {}}},
    }


def runs(student: dict[str, float], baseline: dict[str, float]) -> list[dict[str, Any]]:
    return [
        network(role, seed, shares)
        for seed in (1, 2, 3)
        for role, shares in (("baseline", baseline), ("student", student))
    ]


def test_figures_by_hand() -> None:
    found = pool_methods(
        runs({"fp32": 70.0, "ptq.int8": 69.0}, {"fp32": 60.0, "ptq.int8": 59.8}),
        seeds=[1, 2, 3],
        bootstrap=BOOTSTRAP,
    )
    assert list(found) == ["fp32", "ptq.int8"]
    row = found["ptq.int8"]
    assert row["gain"]["point"] == pytest.approx(0.092)
    assert row["share"]["point"] == pytest.approx(0.92)
    assert row["change"]["point"] == pytest.approx(-0.006)
    assert row["student_change"]["point"] == pytest.approx(-0.01)
    assert row["counted"]["test"] == pytest.approx(0.6)
    assert found["fp32"]["share"]["point"] == 1.0


@pytest.mark.parametrize(
    ("student", "baseline", "change", "kept"),
    [
        (70.0, 60.0, "shown", "shown"),
        (60.0, 60.0, "refuted", "refuted"),
        # 0.9 points lost by both: the gain is what it was.
        (69.1, 59.1, "refuted", "shown"),
        (69.5, 59.6, "clips", "shown"),
    ],
)
def test_verdicts_on_both_goals(student: float, baseline: float, change: str, kept: str) -> None:
    shares = {"fp32": 70.0, "qat.int8": student}, {"fp32": 60.0, "qat.int8": baseline}
    row = pool_methods(runs(*shares), seeds=[1, 2, 3], bootstrap=BOOTSTRAP)["qat.int8"]
    assert change in row["change"]["verdict"] and kept == row["kept"]["verdict"]


def test_losses_are_compared_over_the_same_seeds_and_clips() -> None:
    shares = {"fp32": 70.0, "ptq.int8": 68.5, "qat.int8": 69.0, "mutual.int8": 69.8}
    baseline = {"fp32": 60.0, "ptq.int8": 59.8, "qat.int8": 58.5}
    found = pool_methods(runs(shares, baseline), seeds=[1, 2, 3], bootstrap=BOOTSTRAP)
    assert list(found) == ["fp32", "ptq.int8", "qat.int8", "mutual.int8"]
    for method, student, own in (("ptq.int8", 0.015, 0.002), ("qat.int8", 0.01, 0.015)):
        row = found[method]
        assert row["student_loss"]["point"] == pytest.approx(student)
        assert row["baseline_loss"]["point"] == pytest.approx(own)
        assert row["loss_difference"]["point"] == pytest.approx(student - own)
        assert row["loss_difference"]["low"] < student - own < row["loss_difference"]["high"]
    assert found["ptq.int8"]["loss_difference"]["verdict"] == "shown"
    assert found["qat.int8"]["loss_difference"]["verdict"] != "shown"
    mutual = found["mutual.int8"]
    assert mutual["student_loss"]["point"] == pytest.approx(0.002)
    assert mutual["over_self"]["point"] == pytest.approx(0.008)
    assert mutual["counted"]["test"] == pytest.approx(0.2)  # of the students alone
    for name in ("baseline", "gain", "change", "share", "kept", "baseline_loss"):
        assert mutual[name] is None, name
    assert mutual["loss_difference"] is None


def test_a_baseline_without_a_partner_is_reported_as_such() -> None:
    shares = {"fp32": 70.0, "ptq.int8": 69.0, "qat.int8": 69.0, "mutual.int8": 70.5}
    some = runs(shares, {m: 60.0 for m in shares if m != "mutual.int8"})
    for run in some:
        lacking = ("mutual.int8", "mutual.uint8")
        run["skipped"] = dict.fromkeys(lacking, "no partner") if run["role"] == "baseline" else {}
        run["mutual_tuning"] = {} if run["role"] == "baseline" else run["tuning"]
    text = markdown("x", "y", sections(result_of(some)))
    assert re.search(r"with the partner, int8: .*\+0\.50.*no partner and is skipped.*\+1\.50", text)
    assert "| fine-tuned with the partner, int8 | no partner | 70.50 % |" in text
    assert re.search(
        r"\| fine-tuned with the partner, int8 \| no partner \| -0\.50 \[.*\] \|  \|", text
    )
    assert re.search(r"\| calibrated, int8 \| \+0\.00.* \| \+1\.00.* \| \+1\.00.* \|", text)
    assert re.search(r"calibrated, int8: \+1\.00 \[.*\] points, the DML student loses more", text)
    assert re.search(r"\| baseline-1 \|.*\| no partner \| no partner \|", text)
    assert "fine-tune with the partner | m.yaml (SHA-256 bbbb" in text


def test_a_result_file_of_before_there_was_a_partner_is_read(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Version 2, as the committed one was: its figures are what they were, and more are told."""
    shares = {m: 70.0 for m in METHODS if not m.startswith("mutual")} | {"ptq.int8": 68.0}
    old = {**result_of(runs(shares, shares)), "format": "clipduet-precisions", "format_version": 2}
    del old["conditions"]["mutual"]
    before = {method: dict(row) for method, row in old["pooled"].items()}
    for row in old["pooled"].values():
        for name in ("baseline_loss", "student_loss", "loss_difference"):
            row.pop(name, None)
    file = tmp_path / "results.json"
    file.write_text(json.dumps(old))
    assert report.read_results(file)["pooled"] == before
    assert report.main([str(file), "--out", str(tmp_path / "out")]) == 0
    text = (tmp_path / "out/report.md").read_text()
    assert "harder to quantise" in text and "partner" not in text
    assert "the DML student" in capsys.readouterr().out
    file.write_text(json.dumps({**old, "format_version": 4}))
    assert report.main([str(file), "--out", str(tmp_path / "out")]) == 2
    del old["runs"][0]["labels"]
    file.write_text(json.dumps(old))
    assert report.main([str(file), "--out", str(tmp_path / "out")]) == 2
    assert "lacks a part" in capsys.readouterr().err


def test_the_committed_result_file_is_read(root: Path, tmp_path: Path) -> None:
    folder = root / "reports/precisions"
    report.write_report(report.read_results(folder / "results.json"), tmp_path)
    tables = {
        name: [line for line in file.read_text().splitlines() if line.startswith("|")]
        for name, file in (("now", tmp_path / "report.md"), ("then", folder / "report.md"))
    }
    assert tables["then"] and set(tables["then"]) <= set(tables["now"])


def test_what_is_lacking_is_named_and_without_a_gain_there_is_no_share() -> None:
    def pooled(top: float, students: list[float], baselines: list[float]) -> dict[str, Any]:
        some = [
            network(role, seed, {"fp32": exact, "qat.int8": share})
            for role, exact, shares in (("baseline", 60.0, baselines), ("student", top, students))
            for seed, share in enumerate(shares, start=1)
        ]
        return pool_methods(some, seeds=[1, 2, 3], bootstrap=BOOTSTRAP)["qat.int8"]

    # The pairs differ by far more than the luck of 2,000 clips.
    uneven = pooled(70.0, [74.0, 70.0, 69.5], [60.0, 60.0, 60.0])
    assert "pairs" in uneven["student_change"]["verdict"]
    assert pooled(60.0, [60.0] * 3, [60.0] * 3)["kept"]["verdict"] == NO_GAIN


def test_a_method_that_missed_its_goal_for_one_network_is_not_pooled() -> None:
    some = runs({"fp32": 70.0, "goal.int8": 70.0}, {"fp32": 60.0, "goal.int8": 60.0})
    del some[3]["methods"]["goal.int8"]
    assert list(pool_methods(some, seeds=[1, 2, 3], bootstrap=BOOTSTRAP)) == ["fp32"]
    text = markdown("x", "y", sections(result_of(some)))
    assert "int8: missed its goal for student-2" in text


def result_of(some: list[dict[str, Any]]) -> dict[str, Any]:
    host = {
        "cpu": "a CPU", "cores": 2, "cpu_features": [], "memory_bytes": None, "system": "Linux",
        "kernel": "6", "python": "3.11", "packages": {},
    }  # fmt: skip
    return {
        "created": "2024-01-01",
        "command": "python -m benchmarks.precisions",
        "conditions": {
            "machine": host, "threads": 1, "goal": 0.5, "calibration_clips": 128, "overrides": [],
            "qat": {"file": "q.yaml", "sha256": "a" * 64},
            "mutual": {"file": "m.yaml", "sha256": "b" * 64},
            "configs": ["a=b", "c=d"], **BOOTSTRAP,
        },
        "seeds": [1, 2, 3],
        "pooled": pool_methods(some, seeds=[1, 2, 3], bootstrap=BOOTSTRAP),
        "runs": some,
    }  # fmt: skip


def test_the_report_says_what_was_found() -> None:
    shares = dict.fromkeys(METHODS, 70.0) | {"ptq.int8": 68.0}
    text = markdown("What INT8 costs", "now", sections(result_of(runs(shares, shares))))
    assert re.search(r"calibrated, int8: .*-2\.00.*refuted.*-2\.00", text)
    assert re.search(r"fine-tuned, uint8: .*\+0\.00.*not meaningful", text)
    assert "| student-2 | 70.00 % | 68.00 % (-2.00) |" in text
    assert "backbone.last\\_conv | 7.0% | 0.80 to 0.40" in text
    assert "out of reach" in text


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory, write_clip: Callable[..., Path]) -> Path:
    """A folder with clips, two configs, settings of a fine-tune, and runs of one seed."""
    folder = tmp_path_factory.mktemp("study")
    rng = np.random.default_rng(0)
    for name, count in (("train", 6), ("val", 4), ("test", 5)):
        lines = []
        for index in range(count):
            frames = rng.integers(0, 256, (9, 48, 64, 3), dtype=np.uint8)
            write_clip(folder / name / f"{index}.mp4", frames)
            lines.append(f"{name}/{index}.mp4 {index % 5}\n")
        (folder / f"{name}.list").write_text("".join(lines))
    settings = {"epochs": 1, "OPTIMIZER": {"name": "AdamW", "learning_rate": 0.001}}
    (folder / "qat.yaml").write_text(yaml.safe_dump(settings))
    mutual = {"_BASE_": "qat.yaml", "QAT": {"loss": "run"}}
    (folder / "mutual.yaml").write_text(yaml.safe_dump(mutual))
    for name, kind in (("baseline", "single"), ("dml", "pair")):
        content = config_of(MODELS[kind], folder)
        content["DATASET"]["test"] = {"format": "VideoDataset", "file_path": "test.list"}
        content["DATASET"]["batch_size"] = 3
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content))
        recognizer = build_recognizer(load_config(folder / f"{name}.yaml").model, seed=3)
        run = folder / f"runs/{name}-3"
        run.mkdir(parents=True)
        paddle.save(recognizer.state_dict(), str(run / "best.pdparams"))
    return folder


def command(study: Path, *more: str) -> list[str]:
    return [
        "--configs", f"baseline={study}/baseline.yaml", f"dml={study}/dml.yaml", "--seeds", "3",
        "--runs", str(study / "runs"), "--work", str(study / "work"), "--out", str(study / "out"),
        "--qat", str(study / "qat.yaml"), "--mutual", str(study / "mutual.yaml"),
        "--calibration-clips", "4", "--threads", "1", "--goal", "50", "--resamples", "200", *more,
    ]  # fmt: skip


def test_the_command_measures_every_way_and_goes_on_where_it_was(
    study: Path, trains_here: None, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    assert precisions.main(command(study)) == 0, capsys.readouterr().err
    result = json.loads((study / "out/results.json").read_text())
    assert list(result["pooled"]) == list(METHODS)
    for one in result["runs"]:
        assert len(one["labels"]["test"]) == 5
        assert len(one["labels"]["valid"]) == 4
        mutual = {m for m in METHODS if m.startswith("mutual")}
        assert set(one["skipped"]) == (mutual if one["role"] == "baseline" else set())
        assert set(one["methods"]) == set(METHODS) - set(one["skipped"])
        assert list(one["mutual_tuning"]) == ([] if one["skipped"] else ["int8", "uint8"])
        for method in one["methods"]:
            for split, clips in (("valid", 4), ("test", 5)):
                assert len(one["methods"][method][split]["predictions"]) == clips
        made = {method: found["sha256"] for method, found in one["methods"].items()}
        assert len(set(made.values())) >= 5
        for method in set(made) & mutual:
            assert list(made.values()).count(made[method]) == 1
    assert "# What INT8 costs" in (study / "out/report.md").read_text()

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("made or measured a second time")

    monkeypatch.setattr(graphs, "_command", refuse)
    monkeypatch.setattr(precisions, "_evaluate", refuse)
    assert precisions.main(command(study)) == 0
    again = json.loads((study / "out/results.json").read_text())
    assert again["runs"] == result["runs"]
    assert again["pooled"] == result["pooled"]

    # Another calibration, other settings of a fine-tune, another clip under an old name.
    with pytest.raises(AssertionError, match="a second time"):
        precisions.main(command(study, "--calibration-clips", "3"))
    qat, clip = study / "qat.yaml", study / "test/0.mp4"
    for file, content in ((qat, qat.read_bytes() + b"\nlog_interval: 7\n"), (clip, b"no video")):
        before = file.read_bytes()
        file.write_bytes(content)
        with pytest.raises(AssertionError, match="a second time"):
            precisions.main(command(study))
        file.write_bytes(before)
    assert precisions.main(command(study)) == 0


def test_settings_that_do_not_fit_are_told_before_anything_is_made(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for option, settings in (
        ("--mutual", {"QAT": {"loss": "run", "label_weight": 1.0}}),
        ("--qat", {"QAT": {"loss": "run"}}),
    ):
        (tmp_path / "wrong.yaml").write_text(yaml.safe_dump({"epochs": 1, **settings}))
        given = command(
            study, "--work", str(tmp_path / "work"), option, str(tmp_path / "wrong.yaml")
        )
        assert precisions.main(given) == 2
        assert "QAT.l" in capsys.readouterr().err
    assert not (tmp_path / "work").exists()


def test_runs_that_are_not_there_are_named(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert precisions.main(command(study, "--seeds", "3", "4")) == 2
    error = capsys.readouterr().err
    assert "baseline-4/best.pdparams" in error
    assert "baseline-3" not in error
