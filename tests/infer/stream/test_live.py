"""Cameras and addresses: servers on loopback that send, stop, come back, or are too fast."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import infer
from infer.api import Model
from infer.clips.preprocess import load_clips
from infer.stream.classify import WindowPrediction, classify
from infer.stream.cut import Cutter, Window
from infer.stream.reader import Counts, Gap, Patience, Reader
from infer.stream.source import PROTOCOLS, Source, SourceError, source_of
from infer.system.errors import ClipDuetError
from tests.infer.stream.peers import frames, http, rtsp, server, transport_stream, write
from tests.tiny_bundle import SPEC

COLOURS = [0] * 10 + [4] * 10 + [8] * 10


@pytest.fixture(scope="module")
def sent() -> bytes:
    return transport_stream(frames(COLOURS))


@pytest.fixture
def model(bundle: Path) -> Iterator[Model]:
    with infer.load(bundle, backend="onnxruntime", threads=1) as opened:
        yield opened


def raw(body: bytes) -> Callable[[socket.socket, int], None]:
    return lambda connection, number: connection.sendall(body)


PEERS = {"tcp": raw, "http": http, "rtsp": rtsp}


@pytest.mark.parametrize("scheme", PEERS)
def test_an_address_gives_what_the_same_file_gives(model, tmp_path, sent, scheme):
    path = tmp_path / "a.ts"
    path.write_bytes(sent)
    with server(PEERS[scheme](sent)) as port:
        found = list(
            classify(
                model, f"{scheme}://127.0.0.1:{port}/live", window=1, complete=True, reconnect=0
            )
        )
    assert all(isinstance(one, WindowPrediction) and one.lag is not None for one in found)
    of_file = list(classify(model, path, window=1))
    assert [one.label for one in of_file] == ["red", "green", "blue"]
    assert len(found) == 3
    if scheme == "rtsp":  # the end of the last frame is what begins the next one
        found.pop(), of_file.pop()
    for one, same in zip(found, of_file, strict=True):
        assert np.array_equal(one.logits, same.logits) and one.frames == same.frames


def test_one_window_of_an_address_is_the_file(model, tmp_path, sent):
    path = tmp_path / "a.ts"
    path.write_bytes(sent)
    with server(raw(sent)) as port:
        (one,) = classify(model, f"tcp://127.0.0.1:{port}", window=60, reconnect=0)
    clips, _ = load_clips(path, SPEC)
    assert np.array_equal(one.logits, model.logits(clips))


def test_what_cannot_be_done_in_time_is_left_out_the_newest_first(model, sent, monkeypatch):
    counts = Counts()
    logits = model.logits

    def slow(clips):
        until = time.monotonic() + 60  # the source is done before the first answer
        while counts.frames < len(COLOURS) and time.monotonic() < until:
            time.sleep(0.01)
        return logits(clips)

    monkeypatch.setattr(model, "logits", slow)
    with server(raw(sent)) as port:
        address = f"tcp://127.0.0.1:{port}"
        options = {"window": "0.5", "stride": "0.1", "reconnect": 0, "max_lag": 1e6}
        found = list(classify(model, address, counts=counts, **options))
    assert counts.left_out >= 15 and len(found) + counts.left_out == 26
    assert found[0].start < found[-1].start and found[-1].label == "blue"
    assert counts.frames == len(COLOURS)


def test_a_source_that_goes_away_is_opened_again_and_the_gap_is_told(model, sent):
    def serve(connection: socket.socket, number: int) -> None:
        connection.sendall(sent if number < 2 else b"")

    counts = Counts()
    with server(serve) as port:
        address = f"tcp://user:secret@127.0.0.1:{port}"
        found = []
        options = {"window": 1, "complete": True, "reconnect": 1, "timeout": 5}
        answers = classify(model, address, counts=counts, **options)
        with pytest.raises(SourceError, match="went away") as caught:
            found.extend(answers)
    assert "secret" not in str(caught.value)
    assert [getattr(one, "label", "gap") for one in found] == [
        *("red", "green", "blue", "gap", "red", "green", "blue"),
    ]
    gap = found[3]
    assert isinstance(gap, Gap) and gap.end - gap.start >= Fraction(1, 2)
    # Time goes on, though the source's stamps began anew.
    assert found[2].end <= float(gap.start) + 1e-6
    assert found[4].start == pytest.approx(float(gap.end))
    assert counts.reconnects == 1 and counts.frames == 2 * len(COLOURS)


def test_stopping_early_ends_the_connection(model, sent):
    gone = threading.Event()

    def serve(connection: socket.socket, number: int) -> None:
        try:
            while True:
                connection.sendall(sent)
        finally:
            gone.set()

    with server(serve) as port:
        found = classify(model, f"tcp://127.0.0.1:{port}", window=1, complete=True, timeout=1)
        assert isinstance(next(found), WindowPrediction)
        found.close()
        assert gone.wait(60)


@pytest.mark.parametrize(
    "address", ["ftp://x/a.mp4", "file:///etc/passwd", "concat://a|b", "s3://bucket/a.mp4"]
)
def test_other_schemes_are_refused(model, address):
    with pytest.raises(ClipDuetError, match="not opened") as caught:
        classify(model, address, window=1)
    assert all(f"{scheme}://" in str(caught.value) for scheme in PROTOCOLS)


def test_playlists_and_redirections_to_files_are_not_followed(model, tmp_path):
    path = tmp_path / "a.ts"
    path.write_bytes(transport_stream(frames(COLOURS)))
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\nfile://{path}\n#EXT-X-ENDLIST\n"

    def redirect(connection: socket.socket, number: int) -> None:
        connection.recv(4096)
        connection.sendall(f"HTTP/1.0 302 Found\r\nLocation: file://{path}\r\n\r\n".encode())

    for serve in (http(playlist.encode(), "application/vnd.apple.mpegurl"), redirect):
        with server(serve) as port, pytest.raises(SourceError, match="cannot be opened"):
            list(classify(model, f"http://127.0.0.1:{port}/a.m3u8", window=1, timeout=5))


def test_what_cannot_be_opened_says_why(model, tmp_path):
    with pytest.raises(SourceError, match="cannot be opened: No such file"):
        list(classify(model, "/dev/video987654", window=1))
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with pytest.raises(SourceError, match="refused"):
        list(classify(model, f"tcp://127.0.0.1:{port}", window=1, timeout=5))
    with pytest.raises(SourceError, match="host was not found"):
        list(classify(model, "http://no..such/a.mp4", window=1, timeout=5))
    assert source_of(str(tmp_path)).kind == "file"


class Clock:
    """Says what a test makes of it."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_frames_that_come_too_late_are_left_out_until_the_reader_has_caught_up(tmp_path):
    path = tmp_path / "a.mkv"
    write(str(path), frames(COLOURS * 3), gop=5)
    clock = Clock()
    cutter = Cutter(SPEC, window=Fraction(1), stride=Fraction(1))
    reader = Reader(_Live(str(path)), SPEC, cutter, patience=Patience(lag=2, tries=0), clock=clock)
    found: list[Any] = []
    for item in reader.items():
        found.append(item)
        # The first window takes five seconds longer than the source does, the others no time.
        clock.now = 5.0 + float(item.end) if len(found) == 1 else 0.0
    starts = [float(one.start) for one in found if isinstance(one, Window)]
    assert reader.counts.frames < 90 and reader.counts.left_out >= 1
    assert len(starts) + reader.counts.left_out == 9
    assert all(one.frames == 10 for one in found if not one.partial)


class _Live(Source):
    """A file that is read as a camera is."""

    def __init__(self, name: str) -> None:
        super().__init__(name, "file")

    @property
    def live(self) -> bool:
        return True
