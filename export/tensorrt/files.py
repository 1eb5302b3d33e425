"""Files of engines: written whole or not at all, and by one process at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from infer.system.errors import ClipDuetError
from infer.system.files import WriteError, replacing
from infer.system.log import logger

log = logger(__name__)


class EngineError(ClipDuetError):
    """An engine cannot be built, computes something else, or cannot be written."""

    exit_status = 1


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock `path` for the body; waits for the process that holds it, and says so.

    The file stays, empty; the lock on it goes with the process, however that ends.

    Raises:
        EngineError: its folder cannot be made or written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("ab")
    except OSError as error:
        raise EngineError(str(WriteError(path, error))) from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info(f"wait      another process works in {path.parent}")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def write_all(contents: Mapping[Path, bytes]) -> None:
    """Write files that belong together; those that were there stay until all new ones are whole.

    Raises:
        EngineError: one cannot be written; nothing has changed then.
    """
    try:
        with ExitStack() as stack:
            for path, content in contents.items():
                with stack.enter_context(replacing(path)).open("wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
    except WriteError as error:
        raise EngineError(f"{error}; what was there is still there") from None
