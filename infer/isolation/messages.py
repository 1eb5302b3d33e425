"""Messages between two processes over a socket: JSON, and pixels after it, with a deadline.

Nothing that arrives is run or trusted: the other side may have read an untrusted file.
"""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

LONGEST = 1 << 20
"""Bytes of the JSON of a message."""


class ConnectionLost(Exception):
    """The other side has ended, or says what makes no sense."""


def send(
    connection: socket.socket,
    message: Mapping[str, Any],
    pixels: npt.NDArray[np.uint8] | None = None,
) -> None:
    """Send a message; raises ConnectionLost."""
    data = json.dumps(message).encode()
    try:
        connection.sendall(struct.pack(">I", len(data)) + data)
        if pixels is not None:
            connection.sendall(np.ascontiguousarray(pixels).reshape(-1).data)
    except OSError:
        raise ConnectionLost from None


def receive(connection: socket.socket, until: float | None = None) -> dict[str, Any]:
    """A message, without its pixels.

    Args:
        connection: to the other process.
        until: `time.monotonic()` at which to give up.

    Raises:
        ConnectionLost: there will be none.
        TimeoutError: there is none yet.
    """
    head = bytearray(4)
    receive_into(connection, memoryview(head), until)
    (length,) = struct.unpack(">I", head)
    if length > LONGEST:
        raise ConnectionLost
    data = bytearray(length)
    receive_into(connection, memoryview(data), until)
    try:
        message = json.loads(data)
    except (ValueError, RecursionError):
        raise ConnectionLost from None
    if not isinstance(message, dict):
        raise ConnectionLost
    return message


def receive_into(connection: socket.socket, room: memoryview, until: float | None = None) -> None:
    """Fill `room`, bytes; arguments and errors as of `receive`."""
    while len(room):
        # What has arrived is taken even if the time is over: this process may have been stopped.
        left = None if until is None else max(until - time.monotonic(), 0)
        try:
            connection.settimeout(left)
            count = connection.recv_into(room)
        except (TimeoutError, BlockingIOError):
            raise TimeoutError from None
        except OSError:
            raise ConnectionLost from None
        if not count:
            raise ConnectionLost
        room = room[count:]
