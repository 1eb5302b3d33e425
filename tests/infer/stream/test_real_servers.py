"""Servers that others wrote: GStreamer's for RTSP, FFmpeg's for HTTP, TCP and UDP.

They are killed in the middle of a stream and started again.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import infer
from benchmarks.streams.watched import is_open
from infer.api import Model
from infer.clips.preprocess import load_clips
from infer.stream.classify import classify
from tests.conftest import ROOT
from tests.infer.stream.peers import frames, write
from tests.tiny_bundle import SPEC

pytestmark = pytest.mark.peer
COLOURS = [0] * 10 + [4] * 10 + [8] * 10
RTSP = Path(__file__).parent / "gstreamer_rtsp.py"
HAS_RTSP = (
    "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"
)
AWAY, SILENT = "the source went away", "the source sent nothing for 5 s (--timeout)"
PROGRAM = "http by ffmpeg"
PATIENCE = 300
"""Seconds until a test gives up; how long anything takes is no matter."""
Start = Callable[[str, int], AbstractContextManager["subprocess.Popen[str]"]]


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds, then a minute more: the red, green and blue of a source."""
    path = tmp_path_factory.mktemp("sent") / "a.mkv"
    write(str(path), frames(COLOURS * 20), gop=5)
    return path


@pytest.fixture(scope="module")
def gstreamer() -> str:
    """A Python that has GStreamer's RTSP server."""
    for python in (sys.executable, "/usr/bin/python3"):
        if shutil.which(python):
            done = subprocess.run([python, "-c", HAS_RTSP], capture_output=True)
            if done.returncode == 0:
                return python
    pytest.skip("no Python here has GStreamer's RTSP server (Debian: gir1.2-gst-rtsp-server-1.0)")


@contextlib.contextmanager
def ended(*command: str) -> Iterator[subprocess.Popen[str]]:
    """A process that does not outlive the body."""
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@contextlib.contextmanager
def rtsp_server(python: str, video: Path, port: int = 0) -> Iterator[tuple[Any, int]]:
    with ended(python, str(RTSP), str(video), str(port)) as process:
        line = process.stdout.readline()
        assert line, process.communicate()[1]
        yield process, int(line)


@contextlib.contextmanager
def ffmpeg_server(name: str, video: Path, port: int = 0) -> Iterator[tuple[Any, int]]:
    """Sends seconds of the video in one: FFmpeg as a library, or as a program."""
    scheme = name.partition(" ")[0]
    if not port:
        kind = socket.SOCK_DGRAM if scheme == "udp" else socket.SOCK_STREAM
        with socket.socket(socket.AF_INET, kind) as unused:
            unused.bind(("127.0.0.1", 0))
            port = unused.getsockname()[1]
    address = f"{scheme}://127.0.0.1:{port}"
    command = [sys.executable, "-m", "benchmarks.streams.camera", str(video), address]
    command += ["--speed", "2" if scheme == "udp" else "10"]  # datagrams may be lost
    if name == PROGRAM:
        command = ["ffmpeg", "-v", "error", "-readrate", "10", "-stream_loop", "-1"]
        command += ["-i", str(video), "-c", "copy", "-f", "mpegts", "-listen", "1", address]
    with ended(*command) as process:
        until = time.monotonic() + PATIENCE
        while scheme != "udp" and not is_open("tcp", port):
            assert process.poll() is None and time.monotonic() < until, process.communicate()
            time.sleep(0.05)
        yield process, port


@pytest.fixture(params=["rtsp", "http", PROGRAM, "tcp", "udp"])
def peer(request: pytest.FixtureRequest, sent: Path) -> tuple[str, Callable[..., Any]]:
    """The scheme, and what starts its server: a context of the process and its port."""
    if request.param == "rtsp":
        python = request.getfixturevalue("gstreamer")
        return "rtsp", lambda port=0: rtsp_server(python, sent, port)
    if request.param == PROGRAM and shutil.which("ffmpeg") is None:
        pytest.skip("the program ffmpeg is not installed")
    scheme = request.param.partition(" ")[0]
    return scheme, lambda port=0: ffmpeg_server(request.param, sent, port)


def test_a_server_that_is_killed_and_started_again_is_a_gap(bundle, peer):
    scheme, start = peer
    with contextlib.ExitStack() as servers:
        first, port = servers.enter_context(start())
        # A closed connection is noticed at once.
        silence, reason = ("5", SILENT) if scheme == "udp" else ("60", AWAY)
        options = ["--bundle", str(bundle), "--window", "0.5", "--complete", "--timeout", silence]
        address = f"{scheme}://127.0.0.1:{port}" + ("/live" if scheme == "rtsp" else "")
        stream = ended(sys.executable, "-m", "infer", "stream", address, *options)
        command = servers.enter_context(stream)
        found: list[dict[str, Any]] = []

        def read_until(enough: Callable[[], bool]) -> None:
            while not enough():
                line = command.stdout.readline()
                assert line, command.communicate()[1]
                found.append(json.loads(line))

        def windows_after(place: int) -> int:
            return sum(one["type"] == "window" for one in found[place:])

        def is_away() -> bool:
            return any(one.get("reason") == reason for one in found)

        read_until(lambda: windows_after(0) >= 2)
        first.send_signal(signal.SIGKILL)
        first.wait()
        refuse_once(scheme, port)
        servers.enter_context(start(port))
        read_until(is_away)
        gap = len(found)
        read_until(lambda: windows_after(gap) >= 2)
        command.send_signal(signal.SIGINT)
        rest, told = command.communicate(timeout=PATIENCE)
    found += map(json.loads, rest.splitlines())
    assert command.returncode == 130 and "Traceback" not in told
    # Half a second until the first try, which is refused, and one more until the second.
    away = next(one for one in found if one.get("reason") == reason)
    assert away["end"] - away["start"] >= (0.5 if scheme == "udp" else 1.5)
    for one in found:  # nothing lies across it
        if one["type"] in ("window", "event"):
            assert one["end"] <= away["start"] + 1e-6 or one["start"] >= away["end"] - 1e-6
    starts = [one["start"] for one in found if one["type"] == "window"]
    assert starts == sorted(starts)
    summary = found[-1]
    assert (summary["type"], summary["left_out"]) == ("summary", 0)
    assert summary["reconnects"] >= 1
    assert summary["gaps"] == sum(one["type"] == "gap" for one in found)


def refuse_once(scheme: str, port: int) -> None:
    """Take the next connection, and close it: nothing can be opened there.

    Without connections, wait until the silence is noticed: then the port is given up for a while.
    """
    if scheme == "udp":
        until = time.monotonic() + PATIENCE
        while is_open("udp", port):
            assert time.monotonic() < until
            time.sleep(0.02)
        return
    with socket.create_server(("127.0.0.1", port)) as away:
        away.settimeout(PATIENCE)
        away.accept()[0].close()


@pytest.fixture
def model(bundle: Path) -> Iterator[Model]:
    with infer.load(bundle, backend="onnxruntime", threads=1) as opened:
        yield opened


def test_one_window_of_a_real_rtsp_server_is_the_file(model, tmp_path, gstreamer):
    path = tmp_path / "short.mkv"
    write(str(path), frames(COLOURS[:20]), gop=5)
    with rtsp_server(gstreamer, path) as (_, port):
        address = f"rtsp://127.0.0.1:{port}/live"
        (one,) = classify(model, address, window=60, reconnect=0, complete=True)
    clips, _ = load_clips(path, SPEC)
    assert one.frames == 20 and one.partial
    assert np.array_equal(one.logits, model.logits(clips))


@pytest.mark.parametrize("scheme", ["http", "tcp"])
def test_windows_of_a_server_of_ffmpeg_are_those_of_the_file(model, sent, scheme):
    of_file = [one for one, _ in zip(classify(model, sent, window=1), range(3), strict=False)]
    assert [one.label for one in of_file] == ["red", "green", "blue"]
    with ffmpeg_server(scheme, sent) as (_, port):
        found = classify(model, f"{scheme}://127.0.0.1:{port}", window=1, complete=True)
        for same in of_file:
            one = next(found)
            assert np.array_equal(one.logits, same.logits) and one.frames == same.frames
        found.close()


def test_windows_come_over_udp(model, sent):
    """From wherever in the video: whoever sends datagrams does not know who listens."""
    with ffmpeg_server("udp", sent) as (_, port):
        found = classify(model, f"udp://127.0.0.1:{port}", window=1, complete=True)
        three = [next(found) for _ in range(3)]
        found.close()
    assert all(one.frames == 10 for one in three)
    assert {one.label for one in three} == {"red", "green", "blue"}
