"""Frames that tests ask for, and reading that says why there are none."""

from __future__ import annotations

from infer.clips.decode import read_video
from infer.system.errors import VideoError


def uniform(count):
    return lambda frames: [(2 * k + 1) * frames // (2 * count) for k in range(count)]


PICKS = {
    "uniform": uniform(6),
    "dense": lambda n: range(n // 3, n // 3 + 8),
    "all": range,
    "first": lambda n: [0],
    "last": lambda n: [n - 1],
    "one, twice": lambda n: [n // 2, n // 2],
    "backwards": lambda n: range(n - 1, -1, -4),
}


def read_or_why(path, pick, every_frame):
    try:
        return read_video(path, pick, every_frame=every_frame)
    except VideoError as error:
        return None, error.reason
