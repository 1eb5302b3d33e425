"""`clipduet stream`: records as they happen, subtitles, a clean end."""

from __future__ import annotations

import csv
import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from infer.bundle.bundle import write_bundle_json
from infer.stream.__main__ import main
from tests.infer.stream.peers import frames, server, transport_stream, write

COLOURS = [0] * 20 + [4] * 10 + [8] * 15


@pytest.fixture
def long(tmp_path: Path) -> Path:
    path = tmp_path / "long.mp4"
    write(str(path), frames(COLOURS))
    return path


def records(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def test_windows_and_events_are_lines_of_json(bundle, long, capsys):
    command = [str(long), "--bundle", str(bundle), "--window", "1"]
    assert main([*command, "--top-k", "2"]) == 0
    out, err = capsys.readouterr()
    found = records(out)
    windows = [one for one in found if one["type"] == "window"]
    assert [one["label"] for one in windows] == ["red", "red", "green", "blue", "blue"]
    assert [one["start"] for one in windows] == [0, 1, 2, 3, 4]
    assert windows[-1]["partial"] and windows[-1]["end"] == 4.5 and len(windows[0]["topk"]) == 2
    events = [one for one in found if one["type"] == "event"]
    assert [(e["start"], e["end"], e["label"]) for e in events] == [
        *((0, 2, "red"), (2, 3, "green"), (3, 4.5, "blue")),
    ]
    # An event comes as soon as the next window ends it.
    assert [one["type"] for one in found] == [
        *("window", "window", "window", "event", "window", "event", "window", "event", "summary"),
    ]
    summary = found[-1]
    assert (summary["windows"], summary["events"], summary["left_out"]) == (5, 3, 0)
    assert summary["frames"] == 45 and "windows 5" in err


def test_events_are_subtitles_and_rows(bundle, long, tmp_path, capsys):
    command = [str(long), "--bundle", str(bundle), "--window", "1", "--min-event", "1.2"]
    for name in ("a.vtt", "a.csv", "a.jsonl"):
        command += ["--output", str(tmp_path / name)]
    assert main(command) == 0 and capsys.readouterr().out == ""
    cues = (tmp_path / "a.vtt").read_text().split("\n\n")
    assert cues[0] == "WEBVTT" and len(cues) == 3
    assert cues[1].startswith("00:00:00.000 --> 00:00:02.000\nred ")
    assert cues[2].startswith("00:00:03.000 --> 00:00:04.500\nblue ")
    rows = list(csv.DictReader((tmp_path / "a.csv").open()))
    assert [row["type"] for row in rows].count("window") == 5
    assert [row["label"] for row in rows if row["type"] == "event"] == ["red", "blue"]
    assert records((tmp_path / "a.jsonl").read_text())[-1]["type"] == "summary"
    assert main(command) == 2 and "--overwrite" in capsys.readouterr().err
    assert main([*command, "--overwrite"]) == 0


def test_rows_have_the_fields_of_lines(bundle, tmp_path):
    sent = transport_stream(frames(COLOURS))
    command = ["--bundle", str(bundle), "--window", "1", "--complete", "--reconnect", "0"]
    for name in ("a.csv", "a.jsonl"):
        command += ["--output", str(tmp_path / name)]
    with server(lambda connection, number: connection.sendall(sent)) as port:
        assert main([f"tcp://127.0.0.1:{port}", *command]) == 0
    rows = list(csv.DictReader((tmp_path / "a.csv").open()))
    lines = records((tmp_path / "a.jsonl").read_text())[:-1]
    assert len(rows) == len(lines)
    assert any(one.get("partial") for one in lines) and any("lag" in one for one in lines)
    for row, line in zip(rows, lines, strict=True):
        line.pop("topk", None)
        told = {name: "true" if value is True else str(value) for name, value in line.items()}
        assert {name: value for name, value in row.items() if value} == told


def test_a_window_is_as_long_as_a_training_clip(bundle, long, capsys):
    data = json.loads((bundle / "bundle.json").read_text())
    write_bundle_json(bundle, {**data, "clip_length": {"median_seconds": 1.5, "clips": 9}})
    assert main([str(long), "--bundle", str(bundle)]) == 0
    starts = [one["start"] for one in records(capsys.readouterr().out) if one["type"] == "window"]
    assert starts == [0, 1.5, 3]
    assert main([str(long), "--bundle", str(bundle), "--window", "3", "--stride", "1"]) == 0
    assert len(records(capsys.readouterr().out)) > 4


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--window", "0"], "above 0"),
        (["--window", "1/3"], "seconds"),
        ([], "--window"),
        (["--window", "1", "--keep-threshold", "0.9"], "--keep-threshold"),
        (["--window", "1", "--threshold", "2"], "up to 1"),
        (["--window", "1", "--output", "a.txt"], ".vtt"),
    ],
)
def test_wrong_use_is_told(bundle, long, capsys, arguments, word):
    try:
        status = main([str(long), "--bundle", str(bundle), *arguments])
    except SystemExit as end:
        status = end.code
    assert status == 2 and word in capsys.readouterr().err


def test_a_source_that_is_not_there_fails(bundle, tmp_path, capsys):
    command = ["--bundle", str(bundle), "--window", "1"]
    assert main([str(tmp_path / "none.mp4"), *command]) != 0
    assert "no such file" in capsys.readouterr().err
    assert main(["/dev/video987654", *command]) == 1
    assert main(["gopher://x/a", *command]) == 2
    assert main([str(tmp_path), *command]) != 0


def test_an_interrupted_stream_ends_its_events_and_gives_a_summary(bundle, tmp_path, root):
    sent = transport_stream(frames(COLOURS))

    def serve(connection: socket.socket, number: int) -> None:
        connection.sendall(sent)
        connection.recv(1)  # and then silence

    with server(serve) as port:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "infer", "stream", f"tcp://127.0.0.1:{port}"),
                *("--bundle", str(bundle), "--window", "1", "--complete", "--timeout", "300"),
            ],
            cwd=root,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        first = [process.stdout.readline() for _ in range(3)]
        process.send_signal(signal.SIGINT)
        rest, err = process.communicate(timeout=120)
    found = records("".join(first) + rest)
    assert process.returncode == 130 and "Traceback" not in err
    assert [one["type"] for one in found[-2:]] == ["event", "summary"]
    assert found[-1]["windows"] == sum(one["type"] == "window" for one in found) >= 2


def test_the_video_is_written_with_the_answer_of_each_window(bundle, long, tmp_path, capsys):
    """Between two windows and after the last one there is no answer, and no bar."""
    command = [str(long), "--bundle", str(bundle), "--window", "0.8", "--stride", "1"]
    command += ["--top-k", "2", "--save-video", str(tmp_path / "out")]
    assert main([*command, "--duration", "4"]) == 0
    answered = records(capsys.readouterr().out)
    starts = [one["start"] for one in answered if one["type"] == "window"]
    assert starts == [0, 1, 2, 3]
    with av.open(str(tmp_path / "out" / "long.mp4")) as container:
        shown = list(container.decode(video=0))
    assert np.allclose([float(one.time) for one in shown], np.arange(45) / 10, atol=2e-3)
    for number, one in enumerate(shown):
        panel = one.to_ndarray(format="rgb24")[240:].astype(int)
        has_bar = (panel[..., 1] - panel[..., 0] > 20).mean() > 0.2
        assert has_bar == (number < 40 and number % 10 < 8), number
    assert main(command) == 2 and "--overwrite" in capsys.readouterr().err
    assert main([*command, "--overwrite"]) == 0


def test_where_an_annotated_video_cannot_be(bundle, long, tmp_path, capsys):
    window = ["--bundle", str(bundle), "--window", "1", "--save-video"]
    assert main([str(long), *window, str(tmp_path)]) == 2  # it would replace the source
    assert main([str(long), *window, str(long)]) == 2
    assert main([str(long), *window, str(bundle / "videos")]) == 2
    assert main(["tcp://127.0.0.1:9", *window, str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.count("--save-video") == 4
    assert not (tmp_path / "out").exists() and not (bundle / "videos").exists()
