"""Calibrated scores and precision goals, in predict, stream, serve and Python."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import infer
from infer.bundle.bundle import write_bundle_json
from infer.pipeline.rank import calibrated_scores, mean_scores, top_k
from infer.predict import main as predict
from infer.stream.__main__ import main as stream
from infer.system.errors import BundleError

TEMPERATURE = 4.0
TABLE = [
    {"precision": 0.8, "threshold": 0.5, "clips": 90, "right": 75},
    {"precision": 0.9, "threshold": 0.9, "clips": 40, "right": 37},
]


@pytest.fixture
def calibrated(bundle):
    data = json.loads((bundle / "bundle.json").read_text())
    said = {"temperature": TEMPERATURE, "thresholds": TABLE}
    write_bundle_json(bundle, {**data, "confidence": said})
    return bundle


@given(
    hnp.arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(2, 5)),
               elements=st.floats(-50, 50, width=32)),
    st.floats(0.1, 10),
)  # fmt: skip
def test_a_temperature_changes_scores_and_no_order(logits, temperature):
    scores = calibrated_scores(logits, temperature)
    assert scores.sum() == pytest.approx(1)
    plain = mean_scores(logits)
    assert scores[plain.argmax()] == pytest.approx(scores.max())
    if len(logits) == 1:
        z = logits[0].astype(np.float64) / temperature
        np.testing.assert_allclose(scores, np.exp(z - z.max()) / np.exp(z - z.max()).sum())
        np.testing.assert_allclose(calibrated_scores(logits, 1.0), plain, atol=1e-12)


def test_python_gives_calibrated_scores(calibrated, colour_clip):
    clip = colour_clip("a.mp4", "green")
    with infer.load(calibrated, threads=1) as plain:
        (first,) = plain.predict(clip)
        assert plain.threshold(0.8) == 0.5 and plain.threshold(0.85) == 0.9
        with pytest.raises(BundleError, match=r"0\.95"):
            plain.threshold(0.95)
    with infer.load(calibrated, threads=1, calibrated=True) as model:
        (second,) = model.predict(clip)
        clips = np.zeros((1, *model.clip_shape), np.uint8)
        logits = model.logits(clips)
        assert model.ranked(logits, 3) == top_k(logits, 3, model.classes, temperature=TEMPERATURE)
    assert first.label == second.label == "green" and first.score > second.score


def test_a_bundle_without_a_temperature_says_so(bundle, colour_clip, capsys):
    with pytest.raises(BundleError, match="temperature"):
        infer.load(bundle, calibrated=True)
    clip = str(colour_clip("a.mp4", "red"))
    assert predict(["--video", clip, "--bundle", str(bundle), "--calibrated"]) == 2
    assert stream([clip, "--bundle", str(bundle), "--window", "1", "--precision-goal", "0.8"]) == 2
    assert capsys.readouterr().err.count("temperature") == 2


def test_predict_marks_answers_below_the_threshold(calibrated, colour_clip, tmp_path, capsys):
    clip = str(colour_clip("a.mp4", "red"))
    command = ["--video", clip, "--bundle", str(calibrated), "--format", "jsonl"]
    assert predict(command) == 0
    plain = json.loads(capsys.readouterr().out)
    assert plain["score"] > 0.99 and "accepted" not in plain
    assert predict([*command, "--calibrated"]) == 0
    scaled = json.loads(capsys.readouterr().out)
    assert 0.5 < scaled["score"] < 0.9 and "accepted" not in scaled
    for goal, accepted in (("0.8", True), ("0.9", False)):
        assert predict([*command, "--precision-goal", goal]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["score"] == scaled["score"] and found["accepted"] is accepted
    assert predict([*command[:-2], "--precision-goal", "0.9"]) == 0
    assert "not accepted" in capsys.readouterr().out
    target = tmp_path / "a.csv"
    assert predict([*command[:-2], "--precision-goal", "0.9", "--output", str(target)]) == 0
    (row,) = csv.DictReader(target.open())
    assert row["accepted"] == "False"
    assert predict([*command, "--precision-goal", "0.99"]) == 2
    assert "0.9" in capsys.readouterr().err


def test_events_of_a_stream_begin_at_the_goal(calibrated, colour_clip, capsys):
    command = [str(colour_clip("a.mp4", "red")), "--bundle", str(calibrated), "--window", "1"]

    def events(*more):
        assert stream([*command, *more]) == 0
        found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        return sum(one["type"] == "event" for one in found)

    assert events() == 1
    assert events("--precision-goal", "0.8") == 1
    assert events("--precision-goal", "0.9") == 0
    assert stream([*command, "--precision-goal", "0.9", "--threshold", "0.2"]) == 2
