"""Requests of the Open Inference Protocol: JSON, and tensors as bytes behind it.

Bytes behind the JSON are Triton's extension `binary_tensor_data`: a header says how long the JSON
is, and the parameter `binary_data_size` of an input how many of the bytes after it are its own.
"""

from __future__ import annotations

import base64
import binascii
import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...runtimes.base import Clips
from ...system.whole_numbers import is_whole
from ..refusal import Refused
from ..uploads import Upload, new_path

MOST_JSON = 16 << 20
"""Bytes; each number of a list takes several in memory."""
_MOST_SIZE = 1 << 31
_MOST_OUTPUTS = 16
_PIECE = 1 << 20


@dataclass(frozen=True)
class Input:
    """A tensor of a request: `data` of the JSON, or `part`, its first byte and its length."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: Any
    part: tuple[int, int] | None


@dataclass(frozen=True)
class Output:
    """A tensor that is asked for: as bytes, and as so many best classes (0: as it is)."""

    name: str
    binary: bool
    classes: int = 0


@dataclass(frozen=True)
class InferRequest:
    """What a client asks; `outputs` is None where it names none: all."""

    id: str
    input: Input
    outputs: tuple[Output, ...] | None
    binary: bool
    path: Path

    def without_data(self) -> InferRequest:
        """The same without the values of its JSON."""
        return replace(self, input=replace(self.input, data=None))


def wrong(reason: str) -> Refused:
    """A request that is not as the protocol says."""
    return Refused(400, "request", reason)


def read_request(path: Path, json_bytes: str | None) -> InferRequest:
    """The request in a file.

    Args:
        path: the body.
        json_bytes: the header `Inference-Header-Content-Length`; None: all of it is JSON.

    Raises:
        Refused: it is not as the protocol says.
    """
    size = path.stat().st_size
    if json_bytes is not None and not (json_bytes.isdecimal() and len(json_bytes) < 12):
        raise wrong("Inference-Header-Content-Length is not a number of bytes")
    length = size if json_bytes is None else int(json_bytes)
    if length > size:
        raise wrong(f"the JSON should have {length:,} bytes, but the body has {size:,}")
    if length > MOST_JSON:
        raise Refused(413, "bytes", f"the JSON may have at most {MOST_JSON:,} bytes; send tensors "
                      "as binary data")  # fmt: skip
    with path.open("rb") as file:
        text = file.read(length)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        raise wrong("the request is not valid JSON") from None
    if not isinstance(content, dict):
        raise wrong("the request is not a JSON object")
    found = content.get("inputs")
    if not isinstance(found, list) or len(found) != 1 or not isinstance(found[0], dict):
        raise wrong("inputs must be a list of one tensor: the clips, or the videos")
    parameters = _mapping(content, "parameters")
    one = _input(found[0], length)
    end = length if one.part is None else sum(one.part)
    if end != size:
        raise wrong(f"the tensors end at byte {end:,}, but the body has {size:,}")
    name = content.get("id", "")
    binary = parameters.get("binary_data_output") is True
    return InferRequest(str(name)[:256], one, _outputs(content), binary, path)


def _mapping(content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = content.get(name, {})
    if not isinstance(value, dict):
        raise wrong(f"{name} is not a JSON object")
    return value


def _input(content: Mapping[str, Any], begin: int) -> Input:
    shape = content.get("shape")
    if not isinstance(shape, list) or not 1 <= len(shape) <= 8:
        raise wrong("the input's shape must be a list of 1 to 8 whole numbers")
    if not all(is_whole(size, 1, _MOST_SIZE) for size in shape):
        raise wrong(f"the input's shape must be whole numbers from 1 to {_MOST_SIZE:,}")
    size = _mapping(content, "parameters").get("binary_data_size")
    if size is not None and not is_whole(size, 0, 1 << 50):
        raise wrong("binary_data_size must be a whole number")
    if (size is None) == ("data" not in content):
        raise wrong("the input needs either data or the parameter binary_data_size")
    part = None if size is None else (begin, int(size))
    name, datatype = str(content.get("name"))[:80], str(content.get("datatype"))[:80]
    return Input(name, datatype, tuple(shape), content.get("data"), part)


def _outputs(content: Mapping[str, Any]) -> tuple[Output, ...] | None:
    found = content.get("outputs")
    if found is None:
        return None
    if not isinstance(found, list) or not found or not all(isinstance(one, dict) for one in found):
        raise wrong("outputs must be a list of tensors, at least one")
    outputs: list[Output] = []
    for one in found:
        parameters = _mapping(one, "parameters")
        classes = parameters.get("classification", 0)
        if not is_whole(classes, 0, _MOST_SIZE):
            raise wrong("classification must be a whole number")
        binary = parameters.get("binary_data") is True
        name = str(one.get("name"))[:80]
        # Each is a tensor of the response: a short request must not make an endless one.
        if any(name == other.name for other in outputs):
            raise wrong(f"the output {name!r} is asked for more than once")
        outputs.append(Output(name, binary, classes))
        if len(outputs) > _MOST_OUTPUTS:
            raise wrong(f"outputs names more than {_MOST_OUTPUTS} tensors")
    return tuple(outputs)


def clips_of(request: InferRequest, clip_shape: Sequence[int]) -> Clips:
    """The clips of a request, uint8 [n, *clip_shape].

    Raises:
        Refused: they have another shape or type.
    """
    one = request.input
    if len(one.shape) != 5 or one.shape[1:] != tuple(clip_shape):
        sides = ", ".join(map(str, clip_shape))
        raise wrong(f"{one.name} has the shape {list(one.shape)}; allowed: [n, {sides}]")
    size = math.prod(one.shape)
    if one.part is not None:
        begin, length = one.part
        if length != size:
            raise wrong(f"{one.name} has {length:,} bytes, but its shape needs {size:,}")
        # Read as the network needs it: a request may be larger than what should be in memory.
        return np.memmap(request.path, np.uint8, "r", begin, one.shape)
    numbers = _flat(one)
    if len(numbers) != size:
        raise wrong(f"{one.name} has {len(numbers):,} numbers, but its shape needs {size:,}")
    try:
        # NumPy makes room for the longest of texts as often as there are elements: none gets there.
        if set(map(type, numbers)) != {int}:
            raise ValueError
        return np.frombuffer(bytes(numbers), np.uint8).reshape(one.shape)
    except ValueError:
        raise wrong(f"{one.name} must be whole numbers from 0 to 255") from None


def _flat(one: Input) -> list[Any]:
    """The elements of data, which may be a list for each dimension of the shape, or one list."""
    values = one.data
    for _ in one.shape[1:]:
        if not isinstance(values, list) or not values or not isinstance(values[0], list):
            break
        if set(map(type, values)) != {list} or len(set(map(len, values))) != 1:
            raise wrong(f"the data of {one.name} are lists of different lengths")
        values = list(itertools.chain.from_iterable(values))
    return values if isinstance(values, list) else [values]


def videos_of(request: InferRequest, folder: Path, most: int, found: list[Upload]) -> None:
    """Write the videos of a request to files, and add them to `found`.

    Args:
        request: its input holds files as bytes; in JSON, as base64.
        folder: where to.
        most: files that are allowed.
        found: also has those that were written before an error.

    Raises:
        Refused: they are not as the protocol says, or too many.
    """
    one = request.input
    if len(one.shape) > 2 or one.shape[1:] not in ((), (1,)):
        raise wrong(f"{one.name} has the shape {list(one.shape)}; allowed: [n] or [n, 1]")
    if one.shape[0] > most:
        raise Refused(413, "files", f"a request may have at most {most} videos")
    pieces = _from_json(one) if one.part is None else _from_file(one, request.path)
    number = 0
    for content in pieces:
        number += 1
        if number > one.shape[0]:
            break
        found.append(Upload(f"{one.name} {number}", new_path(folder)))
        with found[-1].path.open("xb") as file:
            for piece in content:
                file.write(piece)
    if number != one.shape[0]:
        raise wrong(f"{one.name} must have {one.shape[0]} elements, as its shape says")


def _from_json(one: Input) -> Iterator[Iterator[bytes]]:
    values: list[Any] = one.data if isinstance(one.data, list) else [None]
    if len(one.shape) == 2:
        values = [value[0] if isinstance(value, list) and value else value for value in values]
    for value in values:
        try:
            yield iter([base64.b64decode(value, validate=True)])
        except (TypeError, ValueError, binascii.Error):
            raise wrong(f"the data of {one.name} must be files in base64") from None


def _from_file(one: Input, path: Path) -> Iterator[Iterator[bytes]]:
    assert one.part is not None
    place, length = one.part
    end = place + length
    with path.open("rb") as file:
        while place < end:
            file.seek(place)
            size = int.from_bytes(file.read(4), "little")
            place += 4 + size
            if place > end:
                raise wrong(f"an element of {one.name} is longer than the rest of the tensor")
            yield _pieces(file, size)


def _pieces(file: Any, left: int) -> Iterator[bytes]:
    while left > 0:
        piece = file.read(min(left, _PIECE))
        left -= len(piece)
        yield piece
