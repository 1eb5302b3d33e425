"""Sources of which nothing, or not everything, can be read: what `clipduet stream` says of them."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import av
import numpy as np
import pytest

import infer.api
from infer.clips.preprocess import load_clips
from infer.pipeline.predictions import load_video
from infer.stream.__main__ import main
from infer.stream.source import source_of
from tests.infer.stream.peers import frames, http, server, transport_stream, write
from tests.tiny_bundle import SPEC

COLOURS = [0] * 20 + [4] * 10 + [8] * 15


@pytest.fixture
def stream(bundle, capsys):
    """`stream(source, ...) -> exit status, records, standard error`."""

    def run(source: str | Path, *options: str) -> tuple[int, list[dict], str]:
        try:
            status = main([str(source), "--bundle", str(bundle), "--window", "1", *options])
        except SystemExit as end:
            status = int(end.code or 0)
        out, err = capsys.readouterr()
        return status, [json.loads(line) for line in out.splitlines()], err

    return run


def without_pictures(path: Path) -> Path:
    """An MP4 file whose packets are no pictures."""
    write(str(path), frames(COLOURS))
    data = bytearray(path.read_bytes())
    start, end = data.index(b"mdat") + 4, data.index(b"moov") - 4
    data[start:end] = b"\xff" * (end - start)
    path.write_bytes(data)
    return path


def test_a_file_of_which_no_frame_decodes_is_an_error(stream, tmp_path):
    path = without_pictures(tmp_path / "a.mp4")
    status, found, err = stream(path)
    assert status == 1 and not found
    assert f"{path}: no frame decodes (h264)" in err and "windows 0" not in err


def test_an_address_of_which_no_frame_decodes_is_an_error(stream, tmp_path):
    path = tmp_path / "a.avi"
    write(str(path), frames(COLOURS), codec="mpeg4")
    data = bytearray(path.read_bytes())
    place, end = data.index(b"movi") + 4, data.index(b"idx1")
    while place < end:
        size = int.from_bytes(data[place + 4 : place + 8], "little")
        data[place + 8 : place + 8 + size] = b"\xff" * size
        place += 8 + size + size % 2

    def serve(connection: socket.socket, number: int) -> None:
        connection.sendall(data)

    with server(serve) as port:
        status, found, err = stream(f"tcp://127.0.0.1:{port}", "--reconnect", "0")
    assert (status, found) == (1, []) and "no frame decodes (mpeg4)" in err


@pytest.mark.parametrize("name", ["a.mkv", "a.ts", "a.avi"])
def test_half_a_file_is_no_whole_one(stream, tmp_path, name):
    """The warning is that of predict, in the summary too."""
    path = tmp_path / name
    write(str(path), frames(COLOURS, 96), codec="mpeg4")
    status, found, err = stream(path)
    assert status == 0 and "warning" not in found[-1] and "warning" not in err
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 3 // 5])
    status, found, err = stream(path)
    assert status == 0 and 0 < found[-1]["windows"] < 5
    told = load_video(path, SPEC, load_clips).warning
    assert told and found[-1]["warning"] == told
    assert f"warning: {path}: {told}" in err


def test_a_damaged_file_is_no_whole_one(stream, tmp_path):
    path = tmp_path / "a.mp4"
    write(str(path), frames(COLOURS))
    data = bytearray(path.read_bytes())
    middle = (data.index(b"mdat") + data.index(b"moov")) // 2
    data[middle : middle + 3000] = b"\xff" * 3000
    path.write_bytes(data)
    status, found, err = stream(path)
    assert status == 0 and "damaged" in found[-1]["warning"] and "damaged in places" in err
    # What was not read is not told of.
    assert "warning" not in stream(path, "--duration", "1")[1][-1]


def test_frames_that_are_too_large_are_told_of(stream, tmp_path):
    small, large = transport_stream(frames(COLOURS)), transport_stream(frames(COLOURS, 96))
    path = tmp_path / "a.ts"
    path.write_bytes(small + large)
    status, found, _ = stream(path, "--max-pixels", "4000")
    assert status == 0 and "(--max-pixels)" in found[-1]["warning"]


def test_a_source_that_fell_silent_is_told_of(stream):
    sent = transport_stream(frames(COLOURS))

    def serve(connection: socket.socket, number: int) -> None:
        connection.sendall(sent)
        connection.recv(1)

    with server(serve) as port:
        address = f"tcp://127.0.0.1:{port}"
        status, found, err = stream(address, "--timeout", "0.7", "--reconnect", "0", "--complete")
    assert status == 0 and found[-1]["windows"] == 5
    assert "sent nothing for 0.7 s" in found[-1]["warning"] and "(--timeout)" in err


def test_a_gap_says_whether_the_source_fell_silent_or_ended(stream):
    sent = transport_stream(frames(COLOURS))

    def serve(connection: socket.socket, number: int) -> None:
        connection.sendall(sent if number < 3 else b"")
        if number == 0:
            connection.recv(1)

    with server(serve) as port:
        address = f"tcp://127.0.0.1:{port}"
        status, found, err = stream(address, "--timeout", "0.7", "--reconnect", "1", "--complete")
    silent, away = (one["reason"] for one in found if one["type"] == "gap")
    assert "sent nothing for 0.7 s (--timeout)" in silent and "went away" in away
    assert status == 1 and "went away and did not come back" in err


def unreadable(folder: Path) -> dict[str, tuple[Path, str]]:
    """Files that cannot be read, and a word of why."""
    found = {name: (folder / name, word) for name, word in WORDS.items()}
    (folder / "empty.mp4").touch()
    write(str(folder / "moov.mp4"), frames(COLOURS))
    data = (folder / "moov.mp4").read_bytes()
    (folder / "moov.mp4").write_bytes(data[: data.index(b"moov") - 100])
    with av.open(str(folder / "sound.mp4"), "w") as container:
        sound = container.add_stream("aac", rate=8000)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), "fltp", "mono")
        silence.sample_rate = 8000
        container.mux([*sound.encode(silence), *sound.encode()])
    write(str(folder / "large.mp4"), frames(COLOURS, 96))
    np.save(folder / "clip.npy", frames(COLOURS))
    (folder / "text.mp4").write_text("no video")
    os.mkfifo(folder / "pipe.mp4")
    (folder / "folder").mkdir()
    return found


WORDS = {
    "none.mp4": "no such file",
    "empty.mp4": "empty",
    "moov.mp4": "cut off",
    "sound.mp4": "only audio",
    "large.mp4": "(--max-pixels)",
    "clip.npy": "not a video",
    "text.mp4": "not a video",
    "pipe.mp4": "not a regular file",
    "folder": "folder",
}


@pytest.mark.parametrize("name", WORDS)
def test_a_file_that_cannot_be_read_is_one_error(stream, tmp_path, monkeypatch, name):
    """It is seen before the network is loaded; there is nothing to sum up, and no file is lost."""
    path, word = unreadable(tmp_path)[name]
    old = tmp_path / "old.jsonl"
    old.write_text("kept")
    monkeypatch.setattr(infer.api, "load", lambda *_, **__: pytest.fail("the network is loaded"))
    options = ["--max-pixels", "4000", "--output", str(old), "--overwrite"]
    status, found, err = stream(path, *options, "--format", "jsonl")
    assert (status, found) == (1, []) and len(err.splitlines()) == 1
    assert f"{path}: " in err and word in err
    assert old.read_text() == "kept"


@pytest.mark.parametrize("name", ["old.jsonl", "old.csv", "old.vtt"])
def test_an_address_that_refuses_is_one_error(stream, tmp_path, name):
    """No file is lost to it."""
    old = tmp_path / name
    old.write_text("kept")
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    options = ["--output", str(old), "--overwrite", "--format", "jsonl"]
    status, found, err = stream(f"tcp://127.0.0.1:{port}", *options)
    assert (status, found) == (1, []) and "refused" in err and "windows 0" not in err
    assert old.read_text() == "kept"


@pytest.mark.parametrize(
    ("address", "word"),
    [
        ("tcp://host", "lacks its port"),
        ("tcp://name:secret@host/", "lacks its port"),
        ("udp://239.0.0.1", "lacks its port"),
        ("http://", "lacks its host"),
        ("http:///a.ts", "lacks its host"),
        ("rtsp://name:secret@/1", "lacks its host"),
        ("tcp://:5000", "lacks its host"),
        ("tcp://host:0", "65535"),
        ("tcp://host:99999", "65535"),
        ("https://host:secret/a", "65535"),
        ("http://[::1/a", "not valid"),
        ("gopher://name:secret@host/a", "not opened"),
    ],
)
def test_what_an_address_lacks_is_told(stream, address, word):
    status, found, err = stream(address)
    assert (status, found) == (2, []) and word in err and len(err.splitlines()) == 1
    assert "name:secret" not in err


@pytest.mark.parametrize(
    "address",
    ["tcp://h:1", "tcp://[::1]:1", "udp://:9", "udp://@239.0.0.1:9", "rtsp://n:s@h/1", "http://h"],
)
def test_whole_addresses_are_taken(address):
    assert source_of(address).kind == "address"


def test_a_playlist_is_told_to_be_refused(stream):
    playlist = b"#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\na.ts\n#EXT-X-ENDLIST\n"
    for body, word in ((playlist, "playlists"), (b"<html>" * 100, "no video")):
        with server(http(body)) as port:
            name = "a.m3u8" if word == "playlists" else "a"
            status, found, err = stream(f"http://127.0.0.1:{port}/{name}", "--timeout", "5")
        assert (status, found) == (1, []) and word in err


def test_an_address_that_sends_nothing_is_told_with_the_seconds(stream):
    with server(lambda connection, number: connection.recv(1)) as port:
        status, found, err = stream(f"tcp://127.0.0.1:{port}", "--timeout", "0.5")
    assert (status, found) == (1, []) and "sent nothing for 0.5 s (--timeout)" in err
