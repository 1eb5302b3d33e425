"""What an ONNX file says beside its graph, read without the package `onnx`.

An ONNX file is one message of Protocol Buffers: fields, each a number and a value, and a value may
be a message again. Values that hold no answer are stepped over, weights among them.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

Fields = Mapping[int, str]

# Message -> the fields of it that lead to tensors or to metadata, by onnx.proto.
MESSAGES: Mapping[str, Fields] = {
    "model": {7: "graph", 14: "metadata", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse tensor"},
    "node": {5: "attribute"},
    "attribute": {
        5: "tensor",
        6: "graph",
        10: "tensor",
        11: "graph",
        22: "sparse tensor",
        23: "sparse tensor",
    },
    "sparse tensor": {1: "tensor", 2: "tensor"},
    "tensor": {13: "external data"},
}
PAIRS = ("metadata", "external data")
"""Messages of a key (field 1) and a value (field 2)."""
LOCATION = "location"
FIXED = {1: 8, 5: 4}
"""Kinds of values that have so many bytes."""
VARINT, DELIMITED = 0, 2


class OnnxProblem(ValueError):
    """Why a file is not usable ONNX, without its name."""


@dataclass(frozen=True)
class OnnxFile:
    """What a file says.

    Attributes:
        metadata: of the model, by key.
        external: the other files in which weights lie, as they are named; those of all tensors
            that name one, used or not.
    """

    metadata: Mapping[str, str]
    external: tuple[str, ...]


def read_onnx_file(path: Path) -> OnnxFile:
    """Read it.

    Raises:
        OnnxProblem: it is no ONNX file, or is damaged.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        try:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError:  # of no bytes
            raise OnnxProblem("is empty") from None
        with data:
            return _read(data)


def _read(data: mmap.mmap) -> OnnxFile:
    metadata: dict[str, str] = {}
    external: dict[str, None] = {}
    graphs = 0
    waiting = [("model", 0, len(data))]
    while waiting:
        message, start, end = waiting.pop()
        inside = MESSAGES[message]
        for number, first, last in _delimited(data, start, end):
            kind = inside.get(number)
            if kind is None:
                continue
            graphs += message == "model" and kind == "graph"
            if kind not in PAIRS:
                waiting.append((kind, first, last))
                continue
            key, value = _pair(data, first, last)
            if kind == "external data":
                if key == LOCATION:
                    external[value] = None
            elif metadata.setdefault(key, value) != value:
                raise OnnxProblem(f"has the metadata {key!r} twice")
    if not graphs:
        raise OnnxProblem("is no ONNX file: it has no graph")
    return OnnxFile(metadata, tuple(external))


def _pair(data: mmap.mmap, start: int, end: int) -> tuple[str, str]:
    """Key and value; of several the last counts, as for every reader."""
    found = {1: b"", 2: b""}
    for number, first, last in _delimited(data, start, end):
        if number in found:
            found[number] = data[first:last]
    try:
        return found[1].decode("utf-8"), found[2].decode("utf-8")
    except UnicodeDecodeError:
        raise OnnxProblem("is no ONNX file: a text is not UTF-8") from None


def _delimited(data: mmap.mmap, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """The fields of a message that have a length: number, first byte of the value, end of it."""
    place = start
    while place < end:
        # Readers differ in what they make of larger tags.
        tag, place = _varint(data, place, end, 5)
        number, kind = tag >> 3, tag & 7
        if kind == VARINT:
            _, place = _varint(data, place, end, 10)
            continue
        if kind == DELIMITED:
            size, first = _varint(data, place, end, 10)
            place = first + size
        elif kind in FIXED:
            place += FIXED[kind]
        if not number or tag >> 32 or place > end or kind not in (DELIMITED, *FIXED):
            raise OnnxProblem("is no ONNX file, or is damaged")
        if kind == DELIMITED:
            yield number, first, place


def _varint(data: mmap.mmap, place: int, end: int, most: int) -> tuple[int, int]:
    """A number of at most so many bytes, and the place behind it."""
    value = 0
    for shift in range(0, 7 * most, 7):
        if place >= end:
            break
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
    raise OnnxProblem("is no ONNX file, or is damaged")
