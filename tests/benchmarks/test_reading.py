"""Readers are compared before they are timed, and those that are not there are named."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

from benchmarks import reading
from benchmarks.reading import FULL, SHORT, main
from tests.infer.clips.made import X264, make


@pytest.fixture
def clips(tmp_path):
    folder = tmp_path / "clips"
    folder.mkdir()
    for made in X264:
        if made.name in ("flat.mp4", "a.avi"):
            make(folder, made)
    (folder / "broken.mp4").write_bytes(b"no video")
    return folder


def test_clips_are_compared_and_timed(clips, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", os.environ["PATH"])  # decord changes it as it is imported
    monkeypatch.setitem(reading.PEERS, "absent", ("no_such_reader", reading.read_short))
    out = tmp_path / "reading.json"
    args = ["--clips", str(clips), "--frames", "4", "--repetitions", "2", "--out", str(out)]
    assert main(args) == 0
    result = json.loads(out.read_text())
    assert "no_such_reader" in result["absent"]["absent"]
    assert list(result["failed"]) == ["broken.mp4"]
    by_name = {one["clip"]: one for one in result["clips"]}
    avi, mp4 = by_name["libx264-a.avi"], by_name["libx264-flat.mp4"]
    assert not avi["short_way"] and avi["decoded"] == {FULL: 30, SHORT: 30}
    assert mp4["short_way"] and mp4["decoded"][SHORT] < mp4["decoded"][FULL] == 30
    assert mp4["difference"]["OpenCV"] == 0
    for name in (FULL, SHORT, "OpenCV"):
        assert len(mp4["seconds"][name]) == 2 and mp4["milliseconds"][name] > 0
    assert result["times_as_fast_where_short"] > 0
    told = capsys.readouterr().out
    assert "without absent" in told and "of 30 frames decoded" in told


def test_a_peer_that_differs_is_timed_and_one_that_fails_is_not(clips, monkeypatch, tmp_path):
    def wrong(path, wanted):
        return reading.read_short(path, wanted) ^ np.uint8(4)

    monkeypatch.setattr(
        reading,
        "PEERS",
        {"wrong": ("cv2", wrong), "fails": ("cv2", lambda path, wanted: 1 // 0)},
    )
    out = tmp_path / "reading.json"
    file = str(clips / "libx264-flat.mp4")
    assert main(["--clips", file, "--repetitions", "1", "--out", str(out)]) == 0
    (one,) = json.loads(out.read_text())["clips"]
    assert one["difference"]["wrong"] == 4 and "ZeroDivisionError" in one["difference"]["fails"]
    assert "wrong" in one["milliseconds"] and "fails" not in one["milliseconds"]


def test_other_frames_by_selective_decoding_are_an_error(clips, monkeypatch, capsys):
    real = reading.read_video

    def read(path, pick, **options):
        frames, info = real(path, pick, **options)
        return (frames if options else frames[::-1]), info

    monkeypatch.setattr(reading, "read_video", read)
    assert main(["--clips", str(clips / "libx264-flat.mp4"), "--repetitions", "0"]) == 2
    assert "other frames" in capsys.readouterr().err


def test_no_clips(tmp_path, capsys):
    assert main(["--clips", str(tmp_path)]) == 2
    assert "no videos" in capsys.readouterr().err
