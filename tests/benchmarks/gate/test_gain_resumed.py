"""A gate that was stopped takes over the answers it has, and no others."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.deployments import answers
from benchmarks.deployments.answer_cache import files_of, gate_cache
from benchmarks.deployments.deployment import Deployment
from benchmarks.gate.results.result_file import load_results
from infer.bundle.bundle import Bundle
from tests.benchmarks.gate.networks import run
from train.data.lists import Sample
from train.evaluation.evaluate import Evaluation

pytestmark = pytest.mark.usefixtures("tried")


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
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "logits.npz",
        "results.json",
        "sheets.json",
        "summary.json",
    ]
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
