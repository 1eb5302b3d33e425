"""What reading in processes costs: the answers are compared before anything is told."""

from __future__ import annotations

import json

import pytest

from benchmarks.common.errors import BenchmarkError
from benchmarks.isolation_cost import ISOLATED, PLAIN, in_turns, main
from tests.tiny_bundle import colour_frames, write_bundle


@pytest.fixture
def bundle(tmp_path):
    return write_bundle(tmp_path / "bundle")


def test_both_ways_are_timed_and_answer_alike(tmp_path, bundle, write_clip, capsys):
    videos = tmp_path / "videos"
    for colour in ("red", "green"):
        write_clip(videos / f"{colour}.mp4", colour_frames(colour, 6))
    (videos / "broken.mp4").write_bytes(b"no video")
    out = tmp_path / "cost.json"
    status = main(
        ["--bundle", str(bundle), "--video", str(videos), "--repetitions", "2", "--workers", "1",
         "--threads", "1", "--out", str(out)]
    )  # fmt: skip
    assert status == 0
    found = json.loads(out.read_text())
    assert found["format"] == "clipduet.isolation_cost"
    assert (found["videos"], found["answered"]) == (3, 2)
    assert {name: len(each) for name, each in found["seconds"].items()} == {PLAIN: 2, ISOLATED: 2}
    low, high = found["ratio_range"]
    assert 0 < low <= found["ratio"] <= high and found["start_seconds"] > 0
    assert "times as long" in capsys.readouterr().out


def test_other_answers_are_an_error():
    ways = {PLAIN: lambda: [("red",)], ISOLATED: lambda: [("green",)]}
    with pytest.raises(BenchmarkError, match=ISOLATED):
        in_turns(ways, [("red",)], 1)


def test_no_video_is_told(tmp_path, bundle, capsys):
    (tmp_path / "empty").mkdir()
    assert main(["--bundle", str(bundle), "--video", str(tmp_path / "empty")]) == 2
    assert "no video" in capsys.readouterr().err
