"""The whole gate on real video files and tiny ONNX networks made by hand."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import gain
from benchmarks.deployments import answers, deployment
from benchmarks.deployments.answer_cache import files_of, gate_cache
from benchmarks.deployments.deployment import Deployment
from benchmarks.gain import main
from benchmarks.gate.result_file import load_results
from infer.bundle.bundle import Bundle, describe_file, write_bundle_json
from infer.clips.spec import ClipSpec, PreprocessSpec, SamplingSpec
from infer.runtimes.registry import BACKENDS
from infer.runtimes.status import Status
from infer.system.errors import BackendUnavailable
from train.data.lists import Sample
from train.evaluation.evaluate import Evaluation

COLOURS = {"red": (200, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 200)}
SPEC = ClipSpec(SamplingSpec(num_seg=2), PreprocessSpec(short_size=16, fixed_ratio=False, crop=16))
SEES = np.eye(3) / 50
BLIND = SEES * [1, 1, 0] - [0, 0, 1]  # never says blue
STUCK = np.array([[1.0, 0, 0]] * 3)


def write_network(path: Path, weights: np.ndarray, first: np.ndarray | None = None) -> None:
    """uint8 [batch, 2, 16, 16, 3] -> mean colour -> two linear layers, as ONNX."""
    onnx = pytest.importorskip("onnx")
    helper, tensor = onnx.helper, onnx.TensorProto
    layers = {"first": np.eye(3) if first is None else first, "second": weights}
    nodes = [
        helper.make_node("Cast", ["clip"], ["pixels"], to=tensor.FLOAT),
        helper.make_node("ReduceMean", ["pixels"], ["colour"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("MatMul", ["colour", "first"], ["hidden"]),
        helper.make_node("MatMul", ["hidden", "second"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("clip", tensor.UINT8, ["batch", *SPEC.clip_shape])],
        [helper.make_tensor_value_info("logits", tensor.FLOAT, ["batch", len(COLOURS)])],
        [onnx.numpy_helper.from_array(v.astype(np.float32), name) for name, v in layers.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, str(path))


def write_bundle(
    folder: Path,
    fp32: np.ndarray,
    int8: np.ndarray,
    *,
    noise: np.ndarray | None = None,
    **changes: object,
) -> Path:
    """A bundle of two files; `noise` is the first layer of the one called int8."""
    folder.mkdir()
    artifacts = {}
    for precision, weights, first in (("fp32", fp32, None), ("int8", int8, noise)):
        name = f"model.{precision}.onnx"
        write_network(folder / name, weights, first)
        artifacts[f"onnx.{precision}"] = {
            "precision": precision,
            "format": "onnx",
            "files": [describe_file(folder, name)],
            "parity": {},
            "accuracy": {},
        }
    write_bundle_json(
        folder,
        {
            "format_version": 1,
            "name": folder.name,
            "model": {"class_num": 3, "num_seg": 2, "parameters": 9},
            "classes": list(COLOURS),
            "spec": SPEC.to_dict(),
            "input": {"name": "clip", "dtype": "uint8", "shape": ["batch", *SPEC.clip_shape]},
            "output": {"name": "logits", "dtype": "float32", "shape": ["batch", 3]},
            "max_batch": 4,
            "artifacts": artifacts,
            "origin": {"config": "tiny.yaml", "seed": 3},
        }
        | changes,
    )
    return folder


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, write_clip: Callable[..., Path]) -> Path:
    """A list of 30 clips (one of them broken) and bundles of every kind of health."""
    folder = tmp_path_factory.mktemp("world")
    lines = []
    rng = np.random.default_rng(0)
    for number in range(30):
        label = number % 3
        colour = np.array(list(COLOURS.values())[label])
        frames = np.clip(colour + rng.integers(-20, 20, (3, 16, 16, 3)), 0, 255).astype(np.uint8)
        write_clip(folder / "clips" / f"clip {number}.mp4", frames)
        lines.append(f"clip {number}.mp4 {label}")
    (folder / "clips" / "clip 29.mp4").write_bytes(b"this is no video")
    (folder / "test.list").write_text("\n".join(lines) + "\n", encoding="utf-8")
    write_bundle(folder / "good", SEES, SEES + 1e-4)
    write_bundle(folder / "blind", BLIND, BLIND)
    write_bundle(folder / "lossy", SEES, BLIND)
    noise = np.random.default_rng(0).normal(0, 3, (3, 3))
    write_bundle(folder / "noisy", SEES, SEES, noise=np.eye(3) + noise)
    write_bundle(folder / "stuck", SEES, STUCK)
    write_bundle(folder / "collapsed", STUCK, STUCK)
    write_bundle(folder / "nan", SEES, SEES * np.nan)
    return folder


@pytest.fixture(autouse=True)
def tried(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Backends are not tried anew in every test: that imports each of them."""
    if request.function is not test_what_runs_here_is_found_by_trying_it:
        known = [Status(name, name == "onnxruntime", "not tried") for name in BACKENDS]
        monkeypatch.setattr(
            deployment, "statuses", lambda names: [s for s in known if s.backend in names]
        )


def run(world: Path, baseline: str, student: str, out: Path, *more: str) -> int:
    return main(
        [
            "--baseline", *(str(world / name) for name in baseline.split()),
            "--student", *(str(world / name) for name in student.split()),
            "--data", str(world / "test.list"), "--root", str(world / "clips"),
            "--out", str(out), "--resamples", "500", "--threads", "1",
            "--backends", "onnxruntime", *more,
        ]
    )  # fmt: skip


def cell(results: dict[str, Any], key: str) -> dict[str, Any]:
    return next(row for row in results["cells"] if row["cell"] == key)


def test_a_gain_that_deployment_lost_fails_the_gate(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "deep" / "results.json"
    assert run(world, "blind", "lossy", out, "--no-latency") == 1
    results = load_results(out)
    fp32, int8 = results["cells"]
    assert results["reference"] == fp32["cell"] == "onnxruntime:fp32"
    assert "paddle" in results["reference_instead_of"]  # Paddle is the usual one
    assert fp32["baseline"]["top1"]["point"] == pytest.approx(20 / 30)
    assert fp32["student"]["top1"]["point"] == pytest.approx(29 / 30)  # the broken clip is wrong
    assert fp32["gain"]["distinguishable"] and fp32["gain"]["only_second"] == 9
    assert int8["gain"]["point"] == 0 and int8["gain_left"]["share"]["point"] == 0
    assert int8["verdict"]["verdict"] == "fail"
    assert results["data"]["listed"] == 30 and results["data"]["decoded"] == 29
    assert [row["path"] for row in results["data"]["failed"]] == ["clip 29.mp4"]
    assert fp32["pairs"][0]["student"]["predictions"][29] == -1
    # These networks look at mean colours: the order of the frames is nothing to them.
    shuffled = {r["model"]: r["top1"] for r in results["controls"] if "order" in r["control"]}
    assert shuffled == {model: fp32[model]["top1"] for model in ("baseline", "student")}
    said = capsys.readouterr().out
    assert "30.00 points" in said and "ONNX Runtime int8 fails" in said


def test_noise_in_one_layer_fails_the_gate(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "results.json"
    assert run(world, "blind", "noisy", out, "--no-latency") == 1
    results = load_results(out)
    assert cell(results, "onnxruntime:fp32")["student"]["top1"]["point"] > 0.9
    assert cell(results, "onnxruntime:int8")["verdict"]["verdict"] == "fail"
    # The same without noise: no loss of 15 points, which is what 30 clips can show.
    assert run(world, "blind", "good", out, "--no-latency", "--margin", "15") == 0
    assert cell(load_results(out), "onnxruntime:int8")["verdict"]["verdict"] == "pass"
    assert "ONNX Runtime int8 passes" in capsys.readouterr().out


def test_identical_models_give_no_gain_and_no_share_of_it(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "results.json"
    assert run(world, "good", "good", out, "--no-latency") == 0
    results = load_results(out)
    for row in results["cells"]:
        assert row["gain"]["point"] == 0 and row["gain"]["p"] == 1
    # Thirty clips on which nothing changed prove no loss below half a point.
    found = results["cells"][1]["verdict"]
    assert found["verdict"] == "unclear" and not found["gain_is_real"]
    assert found["clips_needed"] > 700 and found["clips_range"][0] <= found["clips_needed"]
    said = capsys.readouterr().out
    assert "significant" in said and "gains" not in said
    assert run(world, "good", "good", out, "--no-latency", "--strict") == 1
    assert run(world, "good", "good", out, "--no-latency", "--strict", "--margin", "20") == 0


def test_several_pairs_are_one_recipe(world: Path, tmp_path: Path) -> None:
    out = tmp_path / "results.json"
    assert run(world, "blind blind", "good lossy", out, "--no-latency", "--margin", "12") == 0
    results = load_results(out)
    assert len(results["pairs"]) == 2
    int8 = cell(results, "onnxruntime:int8")
    assert [pair["verdict"] for pair in int8["pairs"]] == ["pass", "fail"]
    assert int8["gain"]["point"] == pytest.approx((9 + 0) / 60)
    assert int8["verdict"]["verdict"] == "unclear"
    assert run(world, "blind blind", "good", out, "--no-latency") == 2


def test_a_failed_gate_writes_its_report_and_may_be_told_only(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pages = tmp_path / "pages"
    for more, status in (([], 1), (["--tell-only"], 0)):
        options = ["--no-latency", "--report", str(pages), *more]
        assert run(world, "good", "stuck", tmp_path / "results.json", *options) == status
        assert "a deployment fails the gate" in capsys.readouterr().err
        (pages / "report.md").unlink()


def test_one_answer_for_every_clip_is_named(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(world, "good", "stuck", tmp_path / "results.json", "--no-latency") == 1
    said = capsys.readouterr().out
    assert "student" in said and "29 of 29 clips" in said
    found = cell(load_results(tmp_path / "results.json"), "onnxruntime:int8")["verdict"]
    (model,) = found["collapsed"]
    assert model["model"] == "student" and model["answers"] == model["clips"] == 29
    assert found["verdict"] == "fail"


def test_a_collapsed_pair_that_is_equal_everywhere_does_not_pass(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both answer one class in every deployment alike, to rounding: nothing is lost, or gained."""
    assert run(world, "collapsed", "collapsed", tmp_path / "results.json", "--no-latency") == 1
    said = capsys.readouterr().out
    results = load_results(tmp_path / "results.json")
    assert not any(row["verdict"]["verdict"] == "pass" for row in results["cells"])
    assert {one["model"] for one in results["cells"][0]["verdict"]["collapsed"]} == {
        "baseline",
        "student",
    }
    assert "no deployment passes" in said and "passes the gate" not in said


def test_what_gives_no_numbers_fails_and_is_not_timed(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "results.json"
    assert run(world, "good", "nan", out, "--seconds", "0.1") == 1
    results = load_results(out)
    (broken,) = results["broken"]
    assert broken["cell"] == "onnxruntime:int8" and "NaN" in broken["reason"]
    assert [row["cell"] for row in results["cells"]] == ["onnxruntime:fp32"]
    assert [row["cell"] for row in results["speed"]["cells"]] == ["onnxruntime:fp32"]
    assert "ONNX Runtime int8 fails" in capsys.readouterr().out


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

    for name in ("time_all", "answer_all", "cell_rows"):
        monkeypatch.setattr(gain, name, spied(name))
    assert run(world, "blind", "good", tmp_path / "results.json", "--seconds", "0.1") == 0
    assert order == ["answer_all", "cell_rows", "time_all"]


@pytest.fixture
def harmless() -> Iterator[None]:
    """A signal that the command under test does not take is lost, and does not end the tests."""
    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, lambda *_: None) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.usefixtures("harmless")
def test_a_gate_that_was_stopped_goes_on_where_it_was(
    world: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: signal.Signals,
) -> None:
    out, asked = tmp_path / "results.json", 0
    original = answers.evaluate

    def stopped(*positional: Any, **named: Any) -> Any:
        nonlocal asked
        asked += 1
        if asked == 3:
            os.kill(os.getpid(), number)
        return original(*positional, **named)

    monkeypatch.setattr(answers, "evaluate", stopped)
    assert run(world, "blind", "good", out, "--no-latency") == 128 + number
    assert "stopped" in capsys.readouterr().err and not out.exists()
    assert run(world, "blind", "good", out, "--no-latency") == 0
    assert asked == 5  # two before, two after, and the one that was stopped
    assert [file.name for file in tmp_path.iterdir()] == ["results.json"]
    resumed = load_results(out)
    assert run(world, "blind", "good", out, "--no-latency") == 0
    assert load_results(out)["cells"] == resumed["cells"]
    assert asked == 9  # nothing of a finished gate is taken over


def test_answers_of_other_files_are_not_taken_over(world: Path, tmp_path: Path) -> None:
    good, lossy = (Bundle.load(world / name) for name in ("good", "lossy"))
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"video")
    samples = [Sample(clip, 1, None, 1)]
    seen = Evaluation(np.ones((1, 3), np.float32), np.array([1]), (str(clip),))
    fp32, int8 = Deployment("onnxruntime", "fp32"), Deployment("onnxruntime", "int8")
    cache, about = gate_cache(tmp_path / "kept", samples, threads=1), files_of(good, int8)
    cache.save(about, seen)
    found = cache.load(about)
    assert found is not None and np.array_equal(found.logits, seen.logits)
    assert cache.load(files_of(good, fp32)) is None and cache.load(files_of(lossy, int8)) is None
    assert gate_cache(tmp_path / "kept", samples, threads=2).load(about) is None
    clip.write_bytes(b"another video")
    assert gate_cache(tmp_path / "kept", samples, threads=1).load(about) is None
    (file,) = (tmp_path / "kept").iterdir()
    file.write_bytes(file.read_bytes()[:50])
    assert cache.load(about) is None  # cut off


def test_answers_of_an_engine_that_was_built_anew_are_not_taken_over(
    world: Path, tmp_path: Path
) -> None:
    shutil.copytree(world / "good", tmp_path / "good")
    good, engine = Bundle.load(tmp_path / "good"), Deployment("tensorrt", "fp32")
    stamp = tmp_path / "good" / "engines" / "x.engine.json"
    stamp.parent.mkdir()
    stamp.write_text("{}")
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"video")
    cache = gate_cache(tmp_path / "kept", [Sample(clip, 1, None, 1)], threads=1)
    seen = Evaluation(np.ones((1, 3), np.float32), np.array([1]), (str(clip),))
    cache.save(files_of(good, engine), seen)
    assert cache.load(files_of(good, engine)) is not None
    stamp.write_text('{"new": 1}')
    assert cache.load(files_of(good, engine)) is None


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


def test_what_runs_here_is_found_by_trying_it(world: Path, tmp_path: Path) -> None:
    bundles = [Bundle.load(world / name) for name in ("blind", "good")]
    choice = deployment.choose_deployments(bundles)
    assert choice.reference == Deployment(
        "onnxruntime", "fp32"
    )  # these bundles have nothing for Paddle
    assert Deployment("onnxruntime", "int8") in choice.cells
    named = {one.what.partition(":")[0] for one in choice.left_out}
    assert named | {cell.backend for cell in choice.cells} == set(BACKENDS)
    assert all(one.reason for one in choice.left_out)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--cells", "onnxruntime:fp32"], "--backends or --cells"),
        (["--backends", "tensorflow"], "'tensorflow'"),
        (["--threads", "0", "--batch", "0"], "--threads 0 (allowed: 1 or more); --batch 0"),
        (["--keep", "0", "--margin", "-1"], "--keep 0 (allowed"),
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
    before = {file: file.read_bytes() for file in world.rglob("*") if file.is_file()}
    assert run(world, "good", "blind", world / place, "--no-latency") == 2
    assert str(world / place) in capsys.readouterr().err
    assert before == {file: file.read_bytes() for file in world.rglob("*") if file.is_file()}


@pytest.mark.parametrize("option", ["--data", "--baseline", "--out"])
def test_a_circle_of_links_is_wrong_use(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    out = tmp_path / "results.json"
    circle = [option, str(tmp_path / "one")]
    assert run(world, "good", "blind", out, "--no-latency", *circle) == 2
    assert "symbolic links" in capsys.readouterr().err


def test_other_classes_are_not_comparable(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    write_bundle(other, np.eye(3), np.eye(3), classes=["green", "red", "blue"])
    arguments = ["--student", str(other)]
    assert run(world, "good", "good", tmp_path / "r.json", "--no-latency", *arguments) == 2
    assert "different classes" in capsys.readouterr().err
