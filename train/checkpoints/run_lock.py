"""One process at a time in the folder of a run.

The lock's file holds the number of the process, so that a message can name who trains there: a
lock of the package filelock does not tell.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from infer.system.errors import ClipDuetError, os_reason
from train.config.run_folder import BEST, BEST_RECORD, LATEST, RUN_CONFIG

LOCK = "lock"


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Make a run's folder and keep other trainings out of it for the body.

    The lock goes with the process, however that ends; the file stays. A folder that was made here
    goes again where the body raises something and has written nothing there.

    Raises:
        ClipDuetError: the folder cannot be written, or another process trains in it.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / LOCK).open("a+")
    except OSError as error:
        raise ClipDuetError(f"--output {folder} cannot be written: {os_reason(error)}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise ClipDuetError(
                f"process {file.read().strip() or '(unknown)'} is training in {folder}: wait for "
                "it or end it, or choose another --output"
            ) from None
        # What a killed training was writing when it died.
        for name in (LATEST, BEST, BEST_RECORD, RUN_CONFIG):
            for pattern in ("????????", "*.partial"):  # the first: of older versions
                for partial in folder.glob(f".{name}.{pattern}"):
                    partial.unlink(missing_ok=True)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        try:
            yield
        except BaseException:
            _remove_unused(folder, made)
            raise


def _remove_unused(folder: Path, made: Sequence[Path]) -> None:
    """Remove a run's folder, and those above it that were made for it, if only the lock is there.

    Args:
        folder: the run's.
        made: folders that were not there before, the innermost first.
    """
    with suppress(OSError):
        if folder in made and os.listdir(folder) == [LOCK]:
            (folder / LOCK).unlink()
            for path in made:
                path.rmdir()
