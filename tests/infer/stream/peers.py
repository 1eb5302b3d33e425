"""Videos made in a test, and servers on loopback that send them as cameras do."""

from __future__ import annotations

import contextlib
import io
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def frames(colours: Sequence[int], size: int = 48) -> np.ndarray:
    """uint8 [n, size, size, 3]: one frame for each number; channel by it, with some noise."""
    rng = np.random.default_rng(3)
    made = rng.integers(20, 60, (len(colours), size, size, 3), np.uint8)
    for number, colour in enumerate(colours):
        made[number, ..., colour % 3] += np.uint8(100 + colour // 3 % 60)
    return made


def write(
    target: str | io.BytesIO,
    pictures: np.ndarray,
    *,
    form: str | None = None,
    codec: str = "libx264",
    stamps: Sequence[int] | None = None,
    gop: int = 1,
) -> None:
    """A video of 10 frames a second, or of stamps in milliseconds; no frame needs a later one."""
    with av.open(target, "w", format=form) as container:
        stream = container.add_stream(codec, rate=10)
        stream.height, stream.width = pictures.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.gop_size = gop
        stream.codec_context.max_b_frames = 0
        if codec == "libx264":
            stream.codec_context.options = {"crf": "18", "preset": "ultrafast"}
        if stamps is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            if stamps is not None:
                frame.pts, frame.time_base = stamps[number], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def transport_stream(pictures: np.ndarray) -> bytes:
    """The same as MPEG-TS."""
    made = io.BytesIO()
    write(made, pictures, form="mpegts")
    return made.getvalue()


def piece(video: Path, target: Path, start: float, end: float) -> Path:
    """The packets of a video of which every frame is a key frame, from one time to another."""
    with av.open(str(video)) as source, av.open(str(target), "w") as out:
        stream = source.streams.video[0]
        copy = out.add_stream_from_template(stream)
        for packet in source.demux(stream):
            if packet.pts is not None and start <= packet.pts * packet.time_base < end:
                packet.stream = copy
                out.mux(packet)
    return target


@contextlib.contextmanager
def server(serve: Callable[[socket.socket, int], None]) -> Iterator[int]:
    """A TCP server, which calls `serve` with each connection and its number; yields its port."""
    listening = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        for number in range(100):
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                serve(connection, number)

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        with contextlib.suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(10)


def http(body: bytes, kind: str = "video/mp2t") -> Callable[[socket.socket, int], None]:
    """Answers any request over HTTP with this."""

    def serve(connection: socket.socket, number: int) -> None:
        _request(connection)
        head = f"HTTP/1.0 200 OK\r\nContent-Type: {kind}\r\n\r\n"
        connection.sendall(head.encode() + body)

    return serve


def rtsp(body: bytes) -> Callable[[socket.socket, int], None]:
    """A camera that sends MPEG-TS in RTP over its RTSP connection."""

    def serve(connection: socket.socket, number: int) -> None:
        while True:
            lines = _request(connection).split("\r\n")
            verb = lines[0].split(" ")[0]
            sequence = next(line for line in lines if line.lower().startswith("cseq"))
            more, content = "Session: 1\r\n", ""
            if verb == "DESCRIBE":
                content = (
                    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=video 0 RTP/AVP 33\r\n"
                )
                more = f"Content-Type: application/sdp\r\nContent-Length: {len(content)}\r\n"
            elif verb == "SETUP":
                more += "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n"
            elif verb == "OPTIONS":
                more = "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
            connection.sendall(f"RTSP/1.0 200 OK\r\n{sequence}\r\n{more}\r\n{content}".encode())
            if verb == "PLAY":
                break
        for count, place in enumerate(range(0, len(body), 7 * 188)):
            packet = struct.pack(">BBHII", 0x80, 33, count & 0xFFFF, count * 900, 7)
            packet += body[place : place + 7 * 188]
            connection.sendall(struct.pack(">BBH", 0x24, 0, len(packet)) + packet)

    return serve


def _request(connection: socket.socket) -> str:
    data = b""
    while not data.endswith(b"\r\n\r\n"):
        part = connection.recv(1)
        if not part:
            raise OSError("closed")
        data += part
    return data.decode()
