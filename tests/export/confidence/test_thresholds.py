"""Temperature and thresholds of validation clips: by brute force, and in a bundle and its files."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import infer
from export.assemble.bundle import export_bundle
from export.confidence.thresholds import (
    LEAST_TAKEN,
    confidence_entry,
    thresholds,
    why_no_temperature,
)
from export.describe import describe
from infer.bundle.bundle import Bundle, write_bundle_json
from infer.bundle.onnx_metadata import CONFIDENCE
from infer.system.errors import BundleError
from tests.export.conftest import QUICK


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([0.2, 0.35, 0.5, 0.5000001, 0.65, 0.8, 0.99]), st.booleans()),
        min_size=1,
        max_size=80,
    )
)
def test_a_threshold_is_the_lowest_that_reaches_the_goal(clips: list[tuple[float, bool]]) -> None:
    scores, right = np.array([one[0] for one in clips]), np.array([one[1] for one in clips])
    found = {one.goal: one for one in thresholds(scores, right, (0.5, 0.8, 1.0))}
    for goal in (0.5, 0.8, 1.0):
        good = [
            score
            for score in {0.2, 0.35, 0.5, 0.65, 0.8, 0.99}
            if (scores >= score).sum() >= LEAST_TAKEN and right[scores >= score].mean() >= goal
        ]
        assert (goal in found) == bool(good)
        if good:
            one = found[goal]
            taken = scores >= one.score
            assert (taken.sum(), right[taken].sum()) == (one.taken, one.right)
            assert taken.sum() == (scores >= min(good)).sum()


def sampled(clips: int, temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are calibrated once they are divided by the temperature; and labels."""
    rng = np.random.default_rng(0)
    honest = rng.normal(0, 2, (clips, 4))
    chances = np.exp(honest) / np.exp(honest).sum(axis=1, keepdims=True)
    labels = (chances.cumsum(axis=1) < rng.random((clips, 1))).sum(axis=1)
    return temperature * honest, np.minimum(labels, 3)


def test_the_temperature_of_logits_that_are_too_sure_is_found() -> None:
    values, labels = sampled(4000, 3.0)
    found = confidence_entry(values, labels, list_file="val.list")
    assert found is not None and found["temperature"] == pytest.approx(3, rel=0.1)
    table = found["thresholds"]
    assert [one["precision"] for one in table][:2] == [0.8, 0.9]
    assert [one["threshold"] for one in table] == sorted(one["threshold"] for one in table)
    assert all(one["right"] >= one["precision"] * one["clips"] for one in table)


def test_few_clips_and_clips_without_a_mistake_fix_none() -> None:
    values, labels = sampled(49, 1.0)
    assert confidence_entry(values, labels, list_file="") is None
    assert "49 clips" in why_no_temperature(values, labels)
    values, _ = sampled(200, 1.0)
    assert confidence_entry(values, values.argmax(axis=1), list_file="") is None
    assert "all 200 clips" in why_no_temperature(values, values.argmax(axis=1))
    constant, wrong = np.tile([1.0, 0, 0, 0], (200, 1)), np.ones(200, np.int64)
    assert confidence_entry(constant, wrong, list_file="") is None
    assert "scores" in why_no_temperature(constant, wrong)


def test_a_bundle_and_its_files_have_them(
    experiment: Callable[..., Any], exported: Callable[..., Any], clips: Path, tmp_path: Path
) -> None:
    names = [line.rpartition(" ")[0] for line in (clips / "val.list").read_text().splitlines()]
    with infer.load(exported("pair").folder, threads=1) as model:
        answers = [one.topk[0].index for one in model.predict([clips / name for name in names])]
    # Four of five are right.
    lines = [
        f"{name} {(answer + (turn < 3)) % 5}\n"
        for turn in range(15)
        for name, answer in zip(names, answers, strict=True)
    ]
    (clips / "long.list").write_text("".join(lines))
    made = experiment("pair", valid={"format": "VideoDataset", "file_path": "long.list"})
    options = replace(QUICK, fp16=False, int8=())
    folder = export_bundle(made.cfg, made.checkpoint, tmp_path / "b", options=options)
    bundle = Bundle.load(folder)
    entry = bundle.raw["confidence"]
    assert (entry["clips"], entry["right"]) == (60, 48) and entry["list"].endswith("long.list")
    assert bundle.confidence is not None and bundle.confidence.temperature == entry["temperature"]
    said = describe(folder / "model.fp32.onnx")["confidence"]
    assert said == entry
    metadata = {p.key: p.value for p in onnx.load(str(folder / "model.fp32.onnx")).metadata_props}
    assert json.loads(metadata[CONFIDENCE]) == entry


@pytest.mark.parametrize(
    "wrong",
    [
        *(3, {}, {"temperature": 0, "thresholds": []}, {"temperature": 1, "thresholds": {}}),
        {"temperature": True, "thresholds": []},
        {"temperature": 1, "thresholds": [{"precision": 0.9, "threshold": 1.5}]},
        {"temperature": 1, "thresholds": [{"precision": "0.9", "threshold": 0.5}]},
    ],
)
def test_what_makes_no_sense_is_refused(
    exported: Callable[..., Any], tmp_path: Path, wrong: object
) -> None:
    data = json.loads((exported("pair").folder / "bundle.json").read_text())
    assert "confidence" not in data  # four clips say nothing
    with pytest.raises(BundleError, match="confidence"):
        write_bundle_json(tmp_path, {**data, "confidence": wrong})
