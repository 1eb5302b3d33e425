"""Answers that were measured before are found again, also those of earlier versions."""

import hashlib
import json
from pathlib import Path

import numpy as np

from benchmarks.deployments.answer_cache import AnswerCache
from train.data.lists import Sample
from train.evaluation.evaluate import Evaluation

SAMPLES = [Sample(Path("a.mp4"), 1, None, 1), Sample(Path("b.mp4"), 0, None, 2)]
SEEN = Evaluation(
    np.array([[0.25, 0.5], [np.nan, np.nan]], np.float32),
    np.array([1, 0]),
    ("a.mp4", "b.mp4"),
    (("b.mp4", "cut off"),),
)


def never() -> Evaluation:
    raise AssertionError("measured a second time")


def test_answers_are_measured_once(tmp_path: Path) -> None:
    cache = AnswerCache(tmp_path / "answers", SAMPLES, {"threads": 1})
    assert cache.load({"cell": "x"}) is None
    assert cache.answered({"cell": "x"}, lambda: SEEN) is SEEN
    same = AnswerCache(tmp_path / "answers", SAMPLES, {"threads": 1})
    again = same.answered({"cell": "x"}, never)
    assert np.array_equal(again.logits, SEEN.logits, equal_nan=True)
    assert (again.paths, again.failed, again.top1) == (SEEN.paths, SEEN.failed, 0.5)
    assert AnswerCache(tmp_path / "answers", SAMPLES, {"threads": 2}).load({"cell": "x"}) is None
    assert cache.load({"cell": "y"}) is None


def test_a_file_that_does_not_fit_the_list_is_left_out(tmp_path: Path) -> None:
    cache = AnswerCache(tmp_path, SAMPLES, {})
    cache.save({}, SEEN)
    (file,) = tmp_path.iterdir()
    np.savez(file, logits=np.zeros((3, 2), np.float32), failed="[]")
    assert cache.load({}) is None
    np.savez(file, logits=np.zeros((2, 2), np.float32), failed="[1")
    assert cache.load({}) is None


def test_the_files_of_earlier_versions_are_found(tmp_path: Path) -> None:
    about = {"clips": [["a.mp4", 1]], "cell": "onnxruntime:fp32"}
    name = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
    np.savez(tmp_path / f"{name}.npz", logits=SEEN.logits, failed=json.dumps(SEEN.failed))
    cache = AnswerCache(tmp_path, SAMPLES, {"clips": about["clips"]})
    assert cache.load({"cell": "onnxruntime:fp32"}) is not None
