"""From a file to a label, PaddleVideo's way and ours: answers are compared, then both are timed."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import paddle
import pytest

from benchmarks.common.errors import BenchmarkError
from benchmarks.peers.__main__ import goals, main
from benchmarks.peers.answers import Readable, compare
from benchmarks.peers.network import build_student, plain_config, save_weights
from benchmarks.peers.paddlevideo import users_environment
from infer.clips.decode import VideoInfo
from infer.libraries.mkl import AVX2, VARIABLE
from tests.benchmarks.peers.checkout import make_checkout, write_yaml
from train.distill.build_recognizer import build_recognizer

TINY = {"scale": 0.25, "depths": [1, 1, 1, 1], "class_expand": 16}
FAST = ["--threads", "1", "--seconds", "0", "--repetitions", "2", "--count", "3"]


@pytest.fixture(scope="module")
def yaml_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_yaml(tmp_path_factory.mktemp("config") / "tiny.yaml", **TINY)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkout(tmp_path_factory.mktemp("checkout") / "PaddleVideo")


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory, write_clip: Callable[..., Path]) -> Path:
    """Two good clips, one that has other frames there, two that one side cannot read."""
    pytest.importorskip("PIL")
    folder = tmp_path_factory.mktemp("clips")
    rng = np.random.default_rng(0)
    for name in ("a", "b", "differs", "unread"):
        write_clip(folder / f"{name}.mp4", rng.integers(0, 256, (9, 48, 64, 3), dtype=np.uint8))
    (folder / "broken.mp4").write_bytes(b"no video")
    return folder


def ask(checkout: Path, yaml_file: Path, *more: str | Path) -> int:
    arguments = ["--paddlevideo", checkout, "--yaml", yaml_file, *FAST, *more]
    return main([str(one) for one in arguments])


def test_both_are_timed_on_clips_that_they_answer_alike(
    checkout: Path,
    yaml_file: Path,
    clips: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("matplotlib")
    out, plot = tmp_path / "peers.json", tmp_path / "peers.svg"
    cells = ["onnxruntime:fp32", "onnxruntime:int8"]
    status = ask(
        checkout, yaml_file, "--clips", clips, "--leave-out-differing", "--batch-size", "2",
        "--cells", *cells, "--out", out, "--plot", plot,
    )  # fmt: skip
    found = json.loads(out.read_text())
    assert (found["format"], found["format_version"]) == ("clipduet-peers", 1)
    assert status == (0 if all(goal["met"] for goal in found["goals"].values()) else 1)
    assert [one["clip"] for one in found["clips"]] == ["a.mp4", "b.mp4"]
    assert {one["frames"] for one in found["clips"]} == {9}
    assert found["unread"].keys() == {"broken.mp4", "unread.mp4"}
    assert "cannot read this" in found["unread"]["unread.mp4"]
    assert found["differing"].keys() == {"differs.mp4"}
    exact = found["difference_to_paddlevideo"]["onnxruntime:fp32"]
    assert exact["largest_share"] < 1e-3 and exact["same_answers"] == 1
    assert found["resize"] == {"compared": "pil", "timed": "pil"}
    assert found["paddlevideo"]["packages"]["numpy"] == np.__version__
    assert found["machine"]["packages"]["onnxruntime"] and found["threads"] == 1

    theirs = found["latency"].pop("PaddleVideo")["stages"]
    assert theirs.keys() == {"prepare", "network", "rest", "total"}
    assert found["latency"].keys() == set(cells)
    for row in found["latency"].values():
        stages = row["stages"]
        assert stages.keys() == {"read", "prepare", "network", "rest", "total"}
        assert stages["read"]["p50"] <= stages["prepare"]["p50"] < stages["total"]["p50"]
        assert stages["total"]["repetitions"] == 2
        low, high = row["times_as_fast"]["ratio_spread"]
        assert 0 < low <= high
        times = row["times_as_fast"]["ratio"]
        assert times == pytest.approx(theirs["total"]["p50"] / stages["total"]["p50"])
        assert 0 < row["limit"]["share_of_reading"]["ratio"] < 1
        assert row["limit"]["times_as_fast"]["ratio"] > times
    rates = {name: row["clips_per_second"] for name, row in found["throughput"].items()}
    assert rates.keys() == {"PaddleVideo", *cells}
    for cell in cells:
        row = found["throughput"][cell]
        assert (row["batch"], row["calls"]) == (3, 2)
        low, high = row["times_as_fast"]["ratio_spread"]
        assert 0 < low <= row["times_as_fast"]["ratio"] <= high
    said = capsys.readouterr()
    assert "times as fast" in said.out and "differing: differs.mp4" in said.out
    assert "prints this" not in said.out + said.err
    drawn = plot.read_text()
    assert drawn.startswith("<svg") and "onnxruntime:int8" in drawn and "PaddleVideo" in drawn


def test_other_answers_are_not_timed(
    checkout: Path,
    yaml_file: Path,
    clips: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("benchmarks.peers.timed.latency", lambda *_, **__: pytest.fail("timed"))
    out = tmp_path / "peers.json"
    files = [clips / "a.mp4", clips / "differs.mp4"]
    cells = ["--cells", "onnxruntime:fp32", "--out", out]
    assert ask(checkout, yaml_file, *cells, "--clips", *files) == 2
    said = capsys.readouterr().err
    assert "differs.mp4" in said and "a.mp4" not in said and "nothing was timed" in said
    assert "--leave-out-differing" in said and not out.exists()
    # Where nothing is left, it helps nothing.
    assert ask(checkout, yaml_file, *cells, "--leave-out-differing", "--clips", files[1]) == 2
    assert "nothing was timed" in capsys.readouterr().err and not out.exists()


def test_a_clip_that_ends_paddlevideo_is_named(
    checkout: Path, yaml_file: Path, clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    crash = tmp_path / "crash.mp4"
    crash.write_bytes((clips / "a.mp4").read_bytes())
    out = tmp_path / "peers.json"
    assert ask(checkout, yaml_file, "--clips", crash, "--out", out) == 2
    said = capsys.readouterr().err
    assert "status 9" in said and "crash.mp4" in said and "Traceback" not in said


# --- what is missing ------------------------------------------------------------------------------


def test_what_paddlevideo_lacks_is_told_at_once(
    tmp_path: Path, yaml_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--out", tmp_path / "peers.json"]
    assert ask(tmp_path, yaml_file, *out) == 2
    assert "no checkout" in capsys.readouterr().err
    names = ("no_such_reader", "no_such_frames.inner")
    lacking = make_checkout(tmp_path / "PaddleVideo", imports=names)
    assert ask(lacking, yaml_file, *out) == 2
    said = capsys.readouterr().err
    assert "no_such_frames, no_such_reader" in said and "--paddlevideo-python" in said
    nowhere = ["--paddlevideo-python", tmp_path / "python"]
    assert ask(lacking, yaml_file, *nowhere, *out) == 2
    assert "does not start" in capsys.readouterr().err


def test_answers_in_float32_are_needed(
    checkout: Path, yaml_file: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    cells = ["--cells", "openvino:int8", "--out", tmp_path / "peers.json"]
    assert ask(checkout, yaml_file, *cells) == 2
    assert "fp32" in capsys.readouterr().err


def test_the_variable_for_amd_is_not_paddlevideos(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, AVX2)
    started = tmp_path / "environ"
    started.write_bytes(b"HOME=/nowhere\0")
    assert VARIABLE not in users_environment(started)
    started.write_bytes(b"HOME=/nowhere\0" + f"{VARIABLE}={AVX2}\0".encode())
    assert users_environment(started)[VARIABLE] == AVX2


# --- parts ----------------------------------------------------------------------------------------


def test_both_sides_get_the_weights_of_a_checkpoint(yaml_file: Path, tmp_path: Path) -> None:
    cfg = plain_config(yaml_file)
    trained = build_recognizer(cfg.model, seed=5)
    paddle.save(trained.state_dict(), str(tmp_path / "trained.pdparams"))
    student = build_student(cfg, tmp_path / "trained.pdparams", seed=0)
    saved = paddle.load(str(save_weights(student, tmp_path / "weights.pdparams")))
    expected = trained.state_dict()
    assert saved.keys() == expected.keys() and len(saved) > 20
    assert all(np.array_equal(saved[key].numpy(), expected[key].numpy()) for key in saved)
    made_up = build_student(cfg, None, seed=0).state_dict()
    assert not np.array_equal(made_up["0.fc.weight"], saved["backbone.fc.weight"])


def model(precision: str, logits: list[float]) -> Any:
    answer = np.asarray([logits], np.float32)
    return SimpleNamespace(precision=precision, logits=lambda clips: answer)


def test_fewer_bits_may_differ_but_not_compute_something_else() -> None:
    info = VideoInfo(Path("a.mp4"), "h264", 64, 48, 10.0, 9, 9, damaged=False)
    clip = Readable(Path("a.mp4"), info, np.zeros((1, 1)), np.asarray([[1.0, 2, -3]], np.float32))
    exact = {"onnxruntime:fp32": model("fp32", [1, 2.001, -3])}
    near = exact | {"onnxruntime:int8": model("int8", [2, 1.5, -3])}
    kept, differing, found = compare(near, [clip], leave_out=False)
    assert kept == [clip] and not differing
    assert found["onnxruntime:int8"]["same_answers"] == 0
    assert found["onnxruntime:int8"]["typical_share"] == pytest.approx((1.25 / 14) ** 0.5)
    far = exact | {"onnxruntime:int8": model("int8", [-1, -2, 3])}
    with pytest.raises(BenchmarkError, match="something else"):
        compare(far, [clip], leave_out=False)
    nan = exact | {"onnxruntime:int8": model("int8", [float("nan"), 2, -3])}
    with pytest.raises(BenchmarkError, match="something else"):
        compare(nan, [clip], leave_out=False)
    # Nearly the same logits, and another answer.
    tied = Readable(clip.file, info, clip.clips, np.asarray([[2, 2.001, -3]], np.float32))
    other = {"onnxruntime:fp32": model("fp32", [2.001, 2, -3])}
    with pytest.raises(BenchmarkError, match=r"a\.mp4.*class 0.*PaddleVideo's 1"):
        compare(other, [tied], leave_out=False)


def test_goals_are_those_of_the_best_cell() -> None:
    def rows(**times: float) -> dict[str, Any]:
        told = {name: {"times_as_fast": {"ratio": value}} for name, value in times.items()}
        return {"PaddleVideo": {}, **told}

    found = goals(rows(slow=2.0, fast=4.5), rows(slow=4.9, fast=1.0))
    assert (found["latency"]["by"], found["latency"]["met"]) == ("fast", True)
    assert (found["throughput"]["by"], found["throughput"]["met"]) == ("slow", False)


# --- PaddleVideo itself ---------------------------------------------------------------------------


def test_paddlevideos_own_predictor_answers_as_ours(
    paddlevideo: Path, clips: Path, tmp_path: Path
) -> None:
    python = os.environ.get("CLIPDUET_PADDLEVIDEO_PYTHON", sys.executable)
    if python == sys.executable and not importlib.util.find_spec("decord"):
        pytest.skip("no decord here, and CLIPDUET_PADDLEVIDEO_PYTHON names no Python that has it")
    out = tmp_path / "peers.json"
    full = write_yaml(tmp_path / "full.yaml")
    files = [clips / "a.mp4", clips / "b.mp4"]
    more = ["--paddlevideo-python", python, "--cells", "onnxruntime:fp32", "--out", out]
    assert ask(paddlevideo, full, "--clips", *files, *more) in (0, 1)
    found = json.loads(out.read_text())
    assert [one["clip"] for one in found["clips"]] == ["a.mp4", "b.mp4"]
    assert found["difference_to_paddlevideo"]["onnxruntime:fp32"]["largest_share"] < 1e-4
    assert found["paddlevideo"]["packages"]["decord"]
