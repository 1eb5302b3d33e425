"""The command of the gate: what it compares and measures, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import gain
from benchmarks.deployments import answers
from benchmarks.deployments.accuracy import answers_of
from benchmarks.deployments.logits import read_logits
from benchmarks.gain import main
from benchmarks.gate.results.result_file import load_results
from benchmarks.report.__main__ import main as report
from infer.bundle.bundle import Bundle
from infer.system.errors import BackendUnavailable
from tests.benchmarks.gate.networks import run, write_bundle
from tests.trees import tree

pytestmark = pytest.mark.usefixtures("tried")


def test_what_needs_another_machine_is_left_out_unless_asked_for(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    original = answers.open_runtime
    reason = "int8 needs another CPU"

    def lacking(bundle: Any, **named: Any) -> Any:
        if named["precision"] == "int8":
            raise BackendUnavailable("onnxruntime", reason)
        return original(bundle, **named)

    monkeypatch.setattr(answers, "open_runtime", lacking)
    out = tmp_path / "results.json"
    assert run(world, "blind", "good", out, "--no-latency") == 0
    results = load_results(out)
    assert [row["cell"] for row in results["cells"]] == ["onnxruntime:fp32"]
    assert results["broken"] == []
    assert {"what": "onnxruntime:int8", "reason": reason} in results["left_out"]
    asked = [
        "--baseline", str(world / "blind"), "--student", str(world / "good"),
        "--data", str(world / "test.list"), "--root", str(world / "clips"),
        "--cells", "onnxruntime:int8", "--no-latency", "--out", str(tmp_path / "other.json"),
    ]  # fmt: skip
    assert main(asked) == 2
    assert f"onnxruntime:int8 cannot run here: {reason}" in capsys.readouterr().err
    assert not (tmp_path / "other.json").exists()


def test_outputs_are_compared_before_anything_is_timed(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []

    def spied(name: str) -> Callable[..., Any]:
        original = getattr(gain, name)

        def call(*positional: Any, **named: Any) -> Any:
            order.append(name)
            return original(*positional, **named)

        return call

    for name in ("time_all", "answer_listed", "cell_rows"):
        monkeypatch.setattr(gain, name, spied(name))
    assert run(world, "blind", "good", tmp_path / "results.json", "--seconds", "0.1") == 0
    assert order == ["answer_listed", "cell_rows", "time_all"]


def test_costs_cover_every_cell(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "results.json"
    opened: list[dict[str, Any]] = []
    original = answers.open_runtime

    def spy(bundle: Bundle, **options: Any) -> Any:
        opened.append(options)
        return original(bundle, **options)

    monkeypatch.setattr(answers, "open_runtime", spy)
    more = ("--seconds", "0.2", "--batch", "6", "--repetitions", "2")
    assert run(world, "blind", "good", out, *more) == 0
    results = json.loads(out.read_text())
    # As in predictions: threads that stay awake would take the cores from reading.
    assert opened and not any(options["spinning"] for options in opened)
    speed = results["speed"]
    keys = ["onnxruntime:fp32", "onnxruntime:int8"]
    assert [row["cell"] for row in speed["cells"]] == keys
    assert speed["clips"] == 29  # the broken one is not timed
    for row in speed["cells"]:
        stages = row["stages"]
        assert set(stages) == {"read", "preprocess", "network", "rank", "total"}
        for found in (*stages.values(), row["throughput"]):
            assert 0 < found["p50"] <= found["p90"] <= found["p99"]
        assert len({found["calls"] for found in stages.values()}) == 1
        assert row["throughput"]["batch"] == 6 and row["throughput"]["clips_per_second"] > 0
    assert speed["cells"][0]["stages"]["network"]["ratio"] == 1
    assert [row["cell"] for row in speed["memory"]] == keys
    for row in speed["memory"]:
        assert row["bytes"] is None or 1e6 < row["bytes"] < 2e9
    assert results["conditions"]["threads"] == 1
    assert results["conditions"]["machine"]["packages"]["onnxruntime"]


def test_the_logits_of_every_model_and_deployment_are_kept(world: Path, tmp_path: Path) -> None:
    out = tmp_path / "results.json"
    more = ("--no-latency", "--report", str(tmp_path / "report"))
    assert run(world, "blind noisy", "good good", out, *more) in (0, 1)
    results = load_results(out)
    logits = read_logits(out, results["logits"])
    labels, paths = np.asarray(results["data"]["labels"]), results["data"]["paths"]
    listed = [line.rpartition(" ") for line in (world / "test.list").read_text().splitlines()]
    assert paths == [path for path, _, _ in listed]
    assert labels.tolist() == [int(label) for _, _, label in listed]
    assert len(logits) == 2 * 2 * len(results["cells"])
    for row in results["cells"]:
        for place, pair in enumerate(row["pairs"]):
            for model in ("baseline", "student"):
                table = logits[f"{model}/{place}/{row['cell']}"]
                assert table.shape == (30, 3) and np.isnan(table[29]).all()  # no video
                assert answers_of(table, labels).predictions.tolist() == pair[model]["predictions"]
    copied = tmp_path / "report" / "results.json"
    assert read_logits(copied, load_results(copied)["logits"]).keys() == logits.keys()


def test_a_report_is_made_of_a_result_whose_logits_are_gone(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "results.json"
    assert run(world, "blind", "good", out, "--no-latency") == 0
    (tmp_path / "logits.npz").unlink()
    assert report([str(out), "--out", str(tmp_path / "report")]) == 0
    assert "logits.npz" in capsys.readouterr().err


def test_a_config_names_its_test_list(
    world: Path, tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "config.yaml"
    lists = {"train": "gone.list", "valid": "gone.list", "test": "test.list"}
    dataset = {
        "_replace_": True,
        "root": str(world),
        "classes": ["red", "green", "blue"],
        **{
            split: {"format": "VideoDataset", "file_path": name, "data_prefix": "clips"}
            for split, name in lists.items()
        },
    }
    base = str(root / "configs" / "motions_baseline.yaml")
    settings = {"_BASE_": base, "MODEL": {"backbone": {"class_num": 3}}}
    config.write_text(json.dumps({**settings, "DATASET": dataset}))
    given = ["--baseline", str(world / "blind"), "--student", str(world / "good"),
             "--no-latency", "--cells", "onnxruntime:fp32"]  # fmt: skip
    named = ["--data", str(world / "test.list"), "--root", str(world / "clips")]
    found = {}
    for name, wanted in (("config", ["-c", str(config)]), ("list", named)):
        out = tmp_path / f"{name}.json"
        assert main([*given, *wanted, "--out", str(out)]) == 0
        found[name] = load_results(out)
    assert found["config"]["data"] == found["list"]["data"]
    assert found["config"]["cells"] == found["list"]["cells"]
    out = tmp_path / "none.json"
    assert main([*given, *named, "-c", str(config), "--out", str(out)]) == 2
    assert "--config and --data" in capsys.readouterr().err
    for name, value in (("--suffix", ".jpg"), ("--format", "FrameDataset")):
        assert main([*given, "-c", str(config), name, value, "--out", str(out)]) == 2
        assert f"--config and {name}" in capsys.readouterr().err
    del dataset["test"]
    config.write_text(json.dumps({**settings, "DATASET": dataset}))
    assert main([*given, "-c", str(config), "--out", str(out)]) == 2
    assert "no test list" in capsys.readouterr().err and not out.exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--cells", "onnxruntime:fp32"], "--backends or --cells"),
        (["--backends", "tensorflow"], "'tensorflow'"),
        (["--threads", "0"], "--threads is 0; allowed: 1 to 1024"),
        (["--keep", "0"], "--keep is 0; allowed: a percentage above 0"),
        (["--student", "nowhere"], "nowhere"),
    ],
)
def test_wrong_use_is_one_message_and_status_2(
    world: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    out = tmp_path / "results.json"
    assert run(world, "good", "blind", out, "--no-latency", *arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and words in error and "Traceback" not in error
    assert not out.exists()


@pytest.mark.parametrize("place", ["test.list", "good/bundle.json", "good"])
def test_the_result_never_takes_the_place_of_an_input(
    world: Path, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    before = tree(world)
    assert run(world, "good", "blind", world / place, "--no-latency") == 2
    assert str(world / place) in capsys.readouterr().err
    assert before == tree(world)


@pytest.mark.parametrize("place", ["good", "good/report", "test.list", "test.list/report"])
def test_a_report_that_cannot_be_written_is_told_before_the_work(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    before = tree(world)
    out = tmp_path / "out" / "results.json"
    more = ("--no-latency", "--report", str(world / place))
    assert run(world, "good", "blind", out, *more) == 2
    said = capsys.readouterr().err
    assert "--report" in said and str(world / place) in said
    assert before == tree(world) and not out.parent.exists()


def test_other_classes_are_not_comparable(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    write_bundle(other, np.eye(3), np.eye(3), classes=["green", "red", "blue"])
    arguments = ["--student", str(other)]
    assert run(world, "good", "good", tmp_path / "r.json", "--no-latency", *arguments) == 2
    assert "different classes" in capsys.readouterr().err
