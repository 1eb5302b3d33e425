"""Fetch files over HTTP: what is there already is not fetched again, whatever was interrupted.

A file grows as `NAME.part` beside a note of which version of the file it is (its ETag or date).
A connection that breaks is taken up where it broke; a server that cannot do that, or that has
another version by now, begins anew. Only a file of the announced length and, where one is known,
the right checksum gets its name.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import ssl
import sys
import time
from collections.abc import Iterable
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit
from urllib.request import Request, urlopen

from tqdm import tqdm

from infer.system.errors import ClipDuetError, os_reason
from infer.system.terminal import can_redraw

BLOCK = 1 << 20
TRIES = 5
"""Attempts in a row that may bring nothing new before it is given up."""
PAUSE = 2.0
"""Seconds before the second attempt, doubled before each further one."""
TIMEOUT = 60.0
"""Seconds without a byte after which a connection counts as broken."""
AGENT = "clipduet"

PARTIAL_CONTENT, RANGE_NOT_SATISFIABLE = 206, 416


class DownloadError(ClipDuetError):
    """A file cannot be had, does not fit on the disk, or is not what was expected."""


class _BrokenOff(Exception):
    """A connection ended before the file did, or the server asks to come back later."""


_NETWORK = (URLError, HTTPException, TimeoutError, ConnectionError, ssl.SSLError, _BrokenOff)


def file_name(url: str) -> str:
    """The last part of a URL's path.

    Raises:
        DownloadError: it is no plain web address of a file.
    """
    parts = urlsplit(url)
    name = Path(unquote(parts.path)).name
    if parts.scheme not in ("http", "https") or not name or name in (".", ".."):
        raise DownloadError(f"{url!r} is no web address of a file")
    return name


def sizes(urls: Iterable[str]) -> dict[str, int | None]:
    """Bytes behind each URL; None where the server does not say.

    A server that does not answer after several attempts is not asked for the others.

    Raises:
        DownloadError: an address leads nowhere.
    """
    found: dict[str, int | None] = {}
    silent: set[str] = set()
    for url in urls:
        server = urlsplit(url).netloc
        for failures in range(TRIES if server not in silent else 0):
            _pause(failures)
            with contextlib.suppress(*_NETWORK), _open(url, {}, method="HEAD") as answer:
                found[url] = _length(answer)
                break
        if url not in found:
            found[url] = None
            silent.add(server)
    return found


def check_space(folder: Path, wanted: int) -> None:
    """Raise DownloadError unless `wanted` bytes fit on the disk of `folder`."""
    free = shutil.disk_usage(folder).free
    if wanted > free:
        raise DownloadError(
            f"{wanted / 1e9:.1f} GB are needed below {folder}, {free / 1e9:.1f} GB are free; "
            "make room, or choose another folder"
        )


def fetch(url: str, target: Path, *, checksum: str | None = None) -> None:
    """Download a file to `target`; a download that was interrupted is resumed.

    Args:
        url: the file.
        target: its path here; one that exists is left alone.
        checksum: `md5:...` or `sha256:...`, or None.

    Raises:
        DownloadError: the address is wrong, the server fails again and again, the checksum
            differs, or the disk is full.
    """
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    failures, reached = 0, _size(part)
    while True:
        try:
            _continue(url, part)
            break
        except _NETWORK as error:
            # A server that always begins anew may break off before or after where it did last.
            failures = 0 if _size(part) > reached else failures + 1
            reached = max(reached, _size(part))
            if failures >= TRIES:
                raise DownloadError(
                    f"{url}: {TRIES} attempts brought nothing new, the last: {error}; "
                    f"{_size(part):,} bytes are kept, the same command resumes there"
                ) from error
            _pause(max(failures, 1))
    if checksum is not None:
        _verify(url, part, checksum)
    os.replace(part, target)
    _note(part).unlink(missing_ok=True)


def _pause(failures: int) -> None:
    """Wait before another attempt, longer after each that failed in a row."""
    if failures:
        time.sleep(PAUSE * 2 ** (failures - 1))


def _continue(url: str, part: Path) -> None:
    """Read until the file is complete; _BrokenOff and network errors leave what came."""
    start, version = _size(part), _version(part)
    headers: dict[str, str] = {}
    if start and version:
        headers = {"Range": f"bytes={start}-", "If-Range": version}
    with _open(url, headers) as answer:
        if answer.status == RANGE_NOT_SATISFIABLE:
            # No bytes come after those that are here: this is the whole file, or another file.
            if answer.headers.get("Content-Range", "").rpartition("/")[2] == str(start):
                return
            part.unlink()
            raise _BrokenOff("what was here is longer than the file")
        have = start if answer.status == PARTIAL_CONTENT and _resumes_at(answer, start) else 0
        length = _length(answer)
        total = None if length is None else have + length
        check_space(part.parent, length or 0)
        _write_version(part, answer)
        with (
            open(part, "ab" if have else "wb") as file,
            tqdm(
                total=total,
                initial=have,
                desc=file_name(url),
                unit="B",
                unit_scale=True,
                disable=not can_redraw(sys.stderr),
            ) as bar,
        ):
            while block := _read(answer):
                _append(file, block)
                bar.update(len(block))
    if total is not None and _size(part) != total:
        raise _BrokenOff(f"the connection ended after {_size(part):,} of {total:,} bytes")


def _read(answer: Any) -> bytes:
    try:
        return bytes(answer.read(BLOCK))
    except HTTPException as error:
        # What came with the end of the connection counts.
        return bytes(getattr(error, "partial", b""))


def _append(file: IO[bytes], block: bytes) -> None:
    try:
        file.write(block)
    except OSError as error:
        raise DownloadError(f"{file.name} cannot be written: {os_reason(error)}") from error


def _open(url: str, headers: dict[str, str], *, method: str = "GET") -> Any:
    file_name(url)
    request = Request(url, headers={"User-Agent": AGENT, **headers}, method=method)
    try:
        return urlopen(request, timeout=TIMEOUT)
    except HTTPError as error:
        if error.code == RANGE_NOT_SATISFIABLE:
            return error
        if error.code >= 500 or error.code == 429:
            raise _BrokenOff(f"the server answers {error.code} {error.reason}") from error
        raise DownloadError(f"{url}: the server answers {error.code} {error.reason}") from error


def _length(answer: Any) -> int | None:
    value = answer.headers.get("Content-Length")
    return int(value) if value and value.isdigit() else None


def _resumes_at(answer: Any, start: int) -> bool:
    where: str = answer.headers.get("Content-Range", "")
    return where.startswith(f"bytes {start}-")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _note(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _version(part: Path) -> str:
    try:
        return str(json.loads(_note(part).read_text())["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _write_version(part: Path, answer: Any) -> None:
    """Weak ETags promise the same meaning, not the same bytes."""
    tag = answer.headers.get("ETag") or ""
    version = answer.headers.get("Last-Modified") if tag.startswith("W/") or not tag else tag
    _note(part).write_text(json.dumps({"version": version or ""}))


def _verify(url: str, part: Path, checksum: str) -> None:
    kind, _, expected = checksum.partition(":")
    digest = hashlib.new(kind)
    with open(part, "rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    if digest.hexdigest() != expected:
        part.unlink()
        _note(part).unlink(missing_ok=True)
        raise DownloadError(
            f"{url}: the {kind} of the file is {digest.hexdigest()}, expected {expected}; it was "
            "deleted. Try again; if it stays so, the file there is another one"
        )
