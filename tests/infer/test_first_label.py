"""The waiting time benchmark measures real starts and checks what comes out."""

from __future__ import annotations

import json

import pytest

from benchmarks.first_label import main


def test_real_starts_are_measured_and_checked(make_bundle, colour_clip, tmp_path, capsys):
    clip = colour_clip("a.mp4", "green")
    out = tmp_path / "first_label.json"
    args = ["--bundle", str(make_bundle()), "--video", str(clip), "--starts", "2"]
    status = main([*args, "--out", str(out)])
    assert "first label after" in capsys.readouterr().out
    result = json.loads(out.read_text())
    assert result["label"] == "green"
    assert len(result["seconds"]) == result["starts"] == 2
    assert 0 < result["min_seconds"] <= result["median_seconds"] <= result["max_seconds"]
    assert result["met"] == (result["max_seconds"] <= 1.5) == (status == 0)
    assert result["machine"]["packages"]["onnxruntime"]


@pytest.mark.parametrize(
    ("starts", "reason"), [("1", "no bundle in"), ("0", "--starts is 0; allowed: 1 to ")]
)
def test_what_cannot_be_measured_is_said(colour_clip, tmp_path, capsys, starts, reason):
    clip = colour_clip("a.mp4", "green")
    assert main(["--bundle", str(tmp_path), "--video", str(clip), "--starts", starts]) == 2
    assert reason in capsys.readouterr().err
