"""`python -m benchmarks.streams.camera VIDEO ADDRESS`: send a video again and again, as a camera.

As MPEG-TS, at the video's own rate or a multiple of it, by FFmpeg. At an address with `http://` or
`tcp://` it waits for one client; to one with `udp://` it sends at once. It ends when the client
goes away, or by a signal.
"""

from __future__ import annotations

import contextlib
import re
import socket
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import av

from benchmarks.common.errors import BenchmarkError
from benchmarks.streams.material import repeated
from infer.command.option_values import above_zero
from infer.command.parser import Parser
from infer.command.runner import command, run_and_exit

SCHEMES = ("http", "tcp", "udp")
_ANSWER = b"HTTP/1.0 200 OK\r\nContent-Type: video/mp2t\r\n\r\n"
_DATAGRAM = 7 * 188
"""Bytes: whole packets of MPEG-TS, as many as Ethernet takes."""


@command(stopped=None)
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 the client went away, 2 wrong use."""
    parser = Parser(
        prog="python -m benchmarks.streams.camera",
        description="Send a video again and again as MPEG-TS, as a camera does.",
    )
    add = parser.add_argument
    add("video", type=Path, help="without pictures that need later ones (B-frames)")
    add("address", help=f"{', '.join(SCHEMES)}://HOST:PORT")
    add("--speed", type=above_zero, default=1.0, help="times the video's rate (%(default)s)")
    options = parser.parse_args(arguments)
    scheme, _, place = options.address.partition("://")
    if scheme not in SCHEMES or not re.fullmatch(r"[^/?]+:\d+", place):
        allowed = f"{', '.join(SCHEMES)}://HOST:PORT"
        raise BenchmarkError(f"{options.address} is no address to serve at; allowed: {allowed}")
    if not options.video.is_file():
        raise BenchmarkError(f"{options.video}: no such file")
    send(options.video, options.address, speed=options.speed)
    return 0


def send(video: Path, address: str, *, speed: float) -> None:
    """Send until the client goes away.

    Args:
        video: without pictures that need later ones.
        address: where FFmpeg serves it, or sends it to.
        speed: seconds of the video in a second.
    """
    try:
        with av.open(str(video)) as source, _client(address) as out:
            stream = source.streams.video[0]
            copy = out.add_stream_from_template(stream)
            begin = time.monotonic()
            for packet in repeated(source, stream):
                due = begin + float(packet.pts * packet.time_base) / speed
                time.sleep(max(due - time.monotonic(), 0))
                packet.stream = copy
                out.mux(packet)
    except (BrokenPipeError, ConnectionResetError):  # that is how a client goes
        return


@contextlib.contextmanager
def _client(address: str) -> Iterator[Any]:
    """What a container is written to."""
    options = {"flush_packets": "1"}
    scheme, _, rest = address.partition("://")
    if scheme != "http":
        query = "listen=1" if scheme == "tcp" else f"pkt_size={_DATAGRAM}"
        with av.open(f"{address}?{query}", "w", format="mpegts", options=options) as out:
            yield out
        return
    host, _, port = rest.rpartition(":")  # FFmpeg's own server needs an option that PyAV cannot set
    with socket.create_server((host, int(port))) as server:
        connection, _ = server.accept()
    with connection, connection.makefile("rb") as request:
        while request.readline().strip():
            pass
        connection.sendall(_ANSWER)
        with av.open(_Connection(connection), "w", format="mpegts", options=options) as out:
            yield out


class _Connection:
    """A socket as a file that is written."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def write(self, data: bytes) -> int:
        """Send all of it."""
        self._connection.sendall(data)
        return len(data)


if __name__ == "__main__":
    run_and_exit(main)
