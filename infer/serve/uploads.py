"""The body of a request as it arrives: counted, timed, and written to files of our own naming."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from .limits import BodyLimits
from .refusal import ClientGone, Refused

Receive = Callable[[], Awaitable[Any]]
"""Of ASGI."""

RAW_NAME = "body"
"""What the video of a request is called that is no form."""
LONGEST_NAME = 255
"""Characters of a file's name that are given back."""
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Upload:
    """A file that a client has sent.

    Attributes:
        name: as the client calls it; only ever given back.
        path: where its bytes are.
    """

    name: str
    path: Path


async def body_chunks(
    receive: Receive, headers: Mapping[str, str], limits: BodyLimits
) -> AsyncIterator[bytes]:
    """The bytes of a body, no more and no later than allowed.

    Raises:
        Refused: 413 too many bytes, 408 too slow, 415 compressed.
        ClientGone: the client has closed the connection.
    """
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        why = f"the body has the content encoding {encoding[:40]!r}; send it uncompressed"
        raise Refused(415, "encoding", why)
    _check_length(headers.get("content-length"), limits)
    now = asyncio.get_running_loop().time
    until = now() + limits.seconds
    seen = 0
    while True:
        left = max(min(limits.idle, until - now()), 0)
        try:
            message = await asyncio.wait_for(receive(), left)
        except asyncio.TimeoutError:
            rule = f"within {limits.seconds:g} seconds, with no pause of {limits.idle:g}"
            raise Refused(408, "slow", f"the body must arrive {rule}") from None
        if message["type"] == "http.disconnect":
            raise ClientGone
        chunk = message.get("body", b"")
        seen += len(chunk)
        if seen > limits.bytes:
            raise _too_large(limits)
        if chunk:
            yield chunk
        if not message.get("more_body"):
            return


def _check_length(declared: str | None, limits: BodyLimits) -> None:
    if declared is not None and declared.isdecimal() and len(declared) < 20:
        if int(declared) > limits.bytes:
            raise _too_large(limits)
    elif declared is not None:
        raise Refused(400, "request", "Content-Length is not a number of bytes")


def _too_large(limits: BodyLimits) -> Refused:
    return Refused(413, "bytes", f"a request may have at most {limits.bytes:,} bytes")


@contextlib.asynccontextmanager
async def uploads(
    receive: Receive,
    headers: Mapping[str, str],
    limits: BodyLimits,
    folder: Path,
    *,
    form: bool = True,
) -> AsyncIterator[list[Upload]]:
    """The files of a request, which are removed at the end: those of a form, or its body as one.

    Args:
        receive: of ASGI.
        headers: of the request.
        limits: of its body.
        folder: where the files are written.
        form: whether a form is taken apart.

    Raises:
        Refused: no file, too many, a form that makes no sense, or as `body_chunks`.
    """
    chunks = body_chunks(receive, headers, limits)
    kind = headers.get("content-type", "")
    found: list[Upload] = []
    try:
        if form and kind.partition(";")[0].strip().lower() == "multipart/form-data":
            await _save_form(chunks, kind, limits, folder, found)
        else:
            await _save_body(chunks, folder, found)
        yield found
    finally:
        for upload in found:
            upload.path.unlink(missing_ok=True)


async def _save_body(chunks: AsyncIterator[bytes], folder: Path, found: list[Upload]) -> None:
    found.append(Upload(RAW_NAME, new_path(folder)))
    size = 0
    with found[0].path.open("xb") as file:
        async for chunk in chunks:
            size += file.write(chunk)
    if not size:
        raise Refused(422, "empty", "the body is empty")


def new_path(folder: Path) -> Path:
    """A path that no other upload has: nothing in it is the client's choice, no suffix either."""
    return folder / f"{next(_numbers)}"


async def _save_form(
    chunks: AsyncIterator[bytes], kind: str, limits: BodyLimits, folder: Path, found: list[Upload]
) -> None:
    from python_multipart.exceptions import FormParserError
    from python_multipart.multipart import MultipartParser, parse_options_header

    boundary = parse_options_header(kind)[1].get(b"boundary")
    if not boundary:
        raise Refused(400, "form", "multipart/form-data without a boundary")
    form = _Form(folder, limits.files, found)
    try:
        parser = MultipartParser(boundary, form.callbacks())
        async for chunk in chunks:
            parser.write(chunk)
        parser.finalize()
    except FormParserError:
        raise Refused(400, "form", "the form is not valid multipart/form-data") from None
    finally:
        form.close()
    if not form.ended:
        raise Refused(400, "form", "the form ends too early: its last boundary is missing")
    if not found:
        raise Refused(422, "empty", "the form has no file; add one with a file name")


class _Form:
    """What the parser of a form calls."""

    def __init__(self, folder: Path, most: int, found: list[Upload]) -> None:
        self.ended = False
        self._folder, self._most, self._found = folder, most, found
        self._field, self._value = bytearray(), bytearray()
        self._disposition = b""
        self._file: BinaryIO | None = None

    def callbacks(self) -> dict[str, Callable[..., None]]:
        return {
            "on_part_begin": self._part_begin,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._part_data,
            "on_part_end": self._part_end,
            "on_end": self._end,
        }

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _part_begin(self) -> None:
        self._disposition = b""

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._field.lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._field.clear()
        self._value.clear()

    def _headers_finished(self) -> None:
        from python_multipart.multipart import parse_options_header

        options = parse_options_header(self._disposition)[1]
        if b"filename" not in options:
            field = options.get(b"name", b"").decode(errors="replace")[:40]
            why = f"the field {field!r} is no file; options belong into the address"
            raise Refused(422, "form", f"{why}: /predict?top_k=3")
        if len(self._found) == self._most:
            raise Refused(413, "files", f"a request may have at most {self._most} files")
        name = options[b"filename"].decode(errors="replace")[:LONGEST_NAME]
        self._found.append(Upload(name, new_path(self._folder)))
        self._file = self._found[-1].path.open("xb")

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._file is not None:
            self._file.write(memoryview(data)[start:end])

    def _part_end(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _end(self) -> None:
        self.ended = True
