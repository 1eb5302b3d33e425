"""Reading is measured against what grows, on clips that the command makes."""

from __future__ import annotations

import json
import signal
import sys
import time

import numpy as np
import psutil
import pytest

from benchmarks.reading_growth import main, make_clip
from infer.clips.decode import read_video


def test_a_long_clip_repeats_a_short_one(tmp_path):
    path = make_clip(tmp_path / "a.mp4", 64, 20)
    frames, info = read_video(path, lambda n: [0, 30, 250, 280])
    assert info.frames == 500 and info.fps == 25 and not info.damaged and info.decoded is not None
    assert np.array_equal(frames[:2], frames[2:]) and not np.array_equal(frames[0], frames[1])


def test_every_part_is_measured_and_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    out, plot = tmp_path / "a.json", tmp_path / "a.svg"
    small = [
        "--parts",
        "length",
        "files",
        "--longest",
        "1",
        "--highest",
        "64",
        "--most-files",
        "2",
        "--repetitions",
        "2",
    ]
    assert main([*small, "--out", str(out), "--plot", str(plot)]) == 0
    result = json.loads(out.read_text())
    assert [one["size"] for one in result["points"]["files"]] == [1]
    for points in result["points"].values():
        for one in points:
            assert len(one["cpu"]) == len(one["passed"]) == 2 and min(one["cpu"]) > 0
            assert one["memory"] >= one["memory_before"] > 10
    assert "seconds of video" in plot.read_text() and "math" not in plot.read_text()


def test_memory_is_that_of_the_process_that_reads(tmp_path):
    held = np.ones(50 * 2**20)  # 400 MiB that this process has, and one that it starts has not
    out = tmp_path / "a.json"
    small = ["--parts", "length", "--longest", "1", "--highest", "64", "--repetitions", "1"]
    assert main([*small, "--out", str(out)]) == 0
    (point,) = json.loads(out.read_text())["points"]["length"]
    assert 10 < point["memory_before"] <= point["memory"] < held.nbytes / 2**20


def test_a_number_beyond_its_range_is_refused(tmp_path, capsys):
    assert main(["--repetitions", "0", "--out", str(tmp_path / "a.json")]) == 2
    assert "repetitions" in capsys.readouterr().err


def test_a_plot_without_matplotlib_is_refused_before_anything_is_measured(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr("benchmarks.reading_growth.can_draw", lambda: False)
    out = tmp_path / "a.json"
    assert main(["--out", str(out), "--plot", str(tmp_path / "a.svg")]) == 2
    assert "matplotlib" in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_a_stop_ends_the_process_that_reads_too(tmp_path, root):
    command = [sys.executable, "-m", "benchmarks.reading_growth", "--parts", "length"]
    small = ["--longest", "1", "--highest", "64", "--repetitions", "10000"]
    running = psutil.Popen([*command, *small, "--out", str(tmp_path / "a.json")], cwd=root)
    reading = []
    while not reading and running.poll() is None:
        time.sleep(0.1)
        reading = [one for one in running.children() if one.cpu_times().user > 1]
    running.send_signal(signal.SIGTERM)
    assert running.wait(20) == 128 + signal.SIGTERM
    assert psutil.wait_procs(reading, timeout=5)[1] == []
