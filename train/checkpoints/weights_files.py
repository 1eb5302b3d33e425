"""The file of weights that a config names without one: of the checkout, or fetched once.

Fetched files lie in `$CLIPDUET_CACHE/weights`, without that variable in `clipduet/weights` of the
user's cache (`$XDG_CACHE_HOME`, `~/.cache`). Their makers publish no checksums: a note beside each
has the SHA-256 of what came, which is compared whenever the file is used. `CLIPDUET_OFFLINE=1`
fetches nothing.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infer.system.cache import CACHE, cache_folder
from infer.system.errors import os_reason
from infer.system.files import sha256_of, write_text
from infer.system.log import logger
from train.checkpoints.checkpoint import CheckpointError
from train.config.weights_by_name import NamedWeights, Published, Shipped
from train.data.prepare.download import DownloadError, fetch, file_name

log = logger(__name__)

OFFLINE = "CLIPDUET_OFFLINE"
"""Variable of the environment."""
PICKLE = b"\x80"
"""What a checkpoint of Paddle begins with; a server's page of an error does not."""


def weights_file(weights: NamedWeights) -> Path:
    """The file of weights, fetched where it is not there yet.

    Raises:
        CheckpointError: it cannot be had, or is not what it was.
    """
    return _shipped(weights) if isinstance(weights, Shipped) else _fetched(weights)


def _shipped(weights: Shipped) -> Path:
    file = weights.file
    try:
        about = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
        expected = str(about["sha256"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"the weights of {weights.title} are not in this checkout: {file} and its JSON are "
            "looked for; name a file, or leave pretrained out"
        ) from error
    _compare(file, expected, "get the checkout's file again, or name another")
    return file


def _fetched(weights: Published) -> Path:
    folder = cache_folder("weights")
    file = folder / file_name(weights.url)
    by_hand = f"get {weights.url} another way and put it at {file}"
    note = file.with_suffix(".json")
    if file.is_file():
        _check_note(file, note)
        return file
    if os.environ.get(OFFLINE, "") not in ("", "0"):
        raise CheckpointError(f"{weights.title} is not at {file}, and {OFFLINE} is set: {by_hand}")
    with _alone(folder, file.name):
        if file.is_file():
            return file
        log.info(
            f"fetching {weights.title} (ImageNet top-1 {weights.top1:g} %), about "
            f"{weights.megabytes} MB, from {weights.url} to {folder}; {weights.licence}"
        )
        new = file.with_name(f".{file.name}")
        try:
            fetch(weights.url, new)
        except DownloadError as error:
            raise CheckpointError(f"{error}\nwithout a connection: {by_hand}") from error
        with new.open("rb") as content:
            start = content.read(1)
        if start != PICKLE:
            new.unlink()
            raise CheckpointError(
                f"{weights.url} sent something else than weights of Paddle; it was deleted: "
                f"try again, or {by_hand}"
            )
        digest = sha256_of(new)
        about = {"url": weights.url, "bytes": new.stat().st_size, "sha256": digest}
        write_text(note, json.dumps(about, indent=1) + "\n")
        new.replace(file)
        log.info(f"fetched {file}, {about['bytes']:,} bytes, SHA-256 {digest}")
    return file


def _check_note(file: Path, note: Path) -> None:
    """Compare a file with what was fetched; one that was put there by hand has no note."""
    if note.is_file():
        try:
            expected = str(json.loads(note.read_text(encoding="utf-8"))["sha256"])
        except (ValueError, KeyError, TypeError) as error:
            raise CheckpointError(
                f"{note} is damaged; delete it and {file}, and both are made again"
            ) from error
        _compare(file, expected, "delete it, and it is fetched again")


def _compare(file: Path, expected: str, remedy: str) -> None:
    digest = sha256_of(file) if file.is_file() else "nothing"
    if digest != expected:
        raise CheckpointError(
            f"{file} has changed: its SHA-256 was {expected}, it is {digest}; {remedy}"
        )


@contextmanager
def _alone(folder: Path, name: str) -> Iterator[None]:
    """One process at a time fetches a file; the others wait, and find it there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / f".{name}.lock").open("a")
    except OSError as error:
        raise CheckpointError(
            f"{folder} cannot be written: {os_reason(error)}; {CACHE} names another folder"
        ) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
