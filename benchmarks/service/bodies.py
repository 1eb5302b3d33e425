"""What clients send: good files, broken ones and hostile ones, each with what must come back."""

from __future__ import annotations

import random
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

GOOD, BROKEN, HOSTILE, SLOW = "good", "broken", "hostile", "slow"
RIGHT, KILLED = "right", "killed"
"""Verdicts on an answer: it is what must come back; the file's process was killed."""
BOMB_SIDE = 60_000
"""Pixels of each side of a frame that a small file claims."""


@dataclass(frozen=True)
class Body:
    """A request.

    Attributes:
        name: for the report.
        group: GOOD, BROKEN, HOSTILE or SLOW (which is sent in part only, and counts as hostile).
        content: its bytes.
        headers: beside the usual ones.
        statuses: of HTTP that are right.
        result: what predict says of these bytes; None: it is not compared.
    """

    name: str
    group: str
    content: bytes
    headers: Mapping[str, str]
    statuses: tuple[int, ...]
    result: Mapping[str, Any] | None = None


def file_body(name: str, group: str, content: bytes, result: Mapping[str, Any]) -> Body:
    """A file, with what predict says of it."""
    return Body(name, group, content, {}, (422,) if "error" in result else (200,), result)


def broken_files(good: Sequence[bytes]) -> dict[str, bytes]:
    """Files that are damaged or no videos, made of good ones."""
    video = good[0]
    middle = len(video) // 2
    return {
        "cut to half": video[:middle],
        "cut to 100 bytes": video[:100],
        "zeros in the middle": video[:middle] + bytes(2000) + video[middle + 2000 :],
        "a text": b"this is no video\n" * 100,
        "zeros": bytes(10_000),
        "a picture": _png(),
    }


def hostile_bodies() -> list[Body]:
    """Requests that want to take more than is theirs, or to break something."""
    form = {"Content-Type": "multipart/form-data; boundary=b"}
    head = b'--b\r\nContent-Disposition: form-data; name="v"; filename="'
    bomb = _gif(BOMB_SIDE)
    return [
        Body("a frame of 3.6 gigapixels", HOSTILE, bomb, {}, (422,)),
        Body("a playlist of another host", HOSTILE,
             b"#EXTM3U\n#EXT-X-VERSION:3\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n", {}, (422,)),
        Body("a list of other files", HOSTILE, b"ffconcat version 1.0\nfile /etc/passwd\n", {},
             (422,)),
        Body("gzip that unpacks to a gigabyte", HOSTILE, _gzip_bomb(),
             {"Content-Encoding": "gzip"}, (415,)),
        Body("a form without end", HOSTILE, head + b'a"\r\n\r\n' + bytes(1000), form, (400,)),
        Body("a form of 5,000 files", HOSTILE, (head + b'a"\r\n\r\nx\r\n') * 5000 + b"--b--\r\n",
             form, (413,)),
        Body("a name that climbs", HOSTILE,
             head + b'../../../../etc/passwd"\r\n\r\n' + bomb + b"\r\n--b--\r\n", form, (422,)),
        Body("an empty body", HOSTILE, b"", {}, (422,)),
        Body("a body that stops", SLOW, bytes(1000), {}, (408,)),
    ]  # fmt: skip


def drawn(
    bodies: Sequence[Body], count: int, *, broken: float, hostile: float, seed: int
) -> list[Body]:
    """A random order of requests, the shares of broken and hostile ones exact.

    Args:
        bodies: to choose from.
        count: requests.
        broken: share of them.
        hostile: share of them.
        seed: of the order.
    """
    dice = random.Random(seed)
    groups = {GOOD: [], BROKEN: [], HOSTILE: []}  # type: dict[str, list[Body]]
    for body in bodies:
        groups[HOSTILE if body.group == SLOW else body.group].append(body)
    bad = {BROKEN: round(count * broken), HOSTILE: round(count * hostile)}
    found = []
    for group, many in {**bad, GOOD: max(count - sum(bad.values()), 0)}.items():
        found += [groups[group][number % len(groups[group])] for number in range(many)]
    dice.shuffle(found)
    return found


def _gif(side: int) -> bytes:
    """A GIF of a few bytes whose frame has `side` squared pixels."""
    size = side.to_bytes(2, "little") * 2
    head = b"GIF89a" + size + b"\x80\0\0" + b"\0\0\0\xff\xff\xff"
    return head + b"," + b"\0\0\0\0" + size + b"\0" + b"\x02\x02\x4c\x01\0" + b";"


def _png() -> bytes:
    import cv2
    import numpy as np

    return bytes(cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))[1].tobytes())


def _gzip_bomb() -> bytes:
    packed = zlib.compressobj(9, zlib.DEFLATED, 31)
    piece = bytes(1 << 20)
    return b"".join(packed.compress(piece) for _ in range(64)) + packed.flush()
