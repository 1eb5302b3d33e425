"""What lies in folders: searched to the bottom, links followed, nothing left out in silence."""

from __future__ import annotations

import fnmatch
import glob
import os
import stat
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ..system.errors import os_reason


@dataclass
class FolderScan:
    """What a search comes upon beside what it looks for.

    Attributes:
        problems: (path, why it could not be looked at).
        met_again: links to folders that are searched under another name.
    """

    problems: list[tuple[str, str]] = field(default_factory=list)
    met_again: list[str] = field(default_factory=list)

    def tree(self, folder: str) -> Iterator[tuple[str, list[os.DirEntry[str]]]]:
        """Every folder from `folder` downwards, each once, with what lies in it but folders.

        Links to folders are followed. A folder that is reached in several ways bears the name
        without a link, if there is one, else the first. Hidden names are left out. Sorted, a
        folder's own files first.
        """
        found: dict[str, list[os.DirEntry[str]]] = {}
        seen: set[tuple[int, int]] = set()
        waiting, linked = deque([folder]), deque[str]()
        while waiting or linked:
            # Links last, so that in a circle the folder itself comes before the link to it.
            here, is_link = (waiting.popleft(), False) if waiting else (linked.popleft(), True)
            try:
                state = os.stat(here)
                if (state.st_dev, state.st_ino) in seen:
                    if is_link:
                        self.met_again.append(here)
                    continue
                seen.add((state.st_dev, state.st_ino))
                with os.scandir(here) as entries:
                    listed = sorted(entries, key=lambda entry: entry.name)
            except OSError as error:
                self._cannot(here, error)
                continue
            found[here] = []
            for entry in listed:
                if entry.name.startswith("."):
                    continue
                if not self._is_folder(entry):
                    found[here].append(entry)
                elif entry.is_symlink():
                    linked.append(entry.path)
                else:
                    waiting.append(entry.path)
        yield from sorted(found.items(), key=lambda item: Path(item[0]).parts)

    def matches(self, pattern: str) -> list[str]:
        """Names that a pattern with `* ? [ ]` and `**` matches, sorted, as `glob` finds them.

        Other than `glob`, this notes folders that cannot be read, and takes a linked folder once.
        """
        parts = Path(pattern).parts
        return sorted(dict.fromkeys(self._matches("", parts)), key=lambda name: Path(name).parts)

    def _matches(self, base: str, parts: tuple[str, ...]) -> Iterator[str]:
        part, rest = parts[0], parts[1:]
        if part == "**":
            for folder, entries in self.tree(base or os.curdir):
                below = "" if folder == os.curdir and not base else folder.removeprefix("./")
                if rest:
                    yield from self._matches(below, rest)
                else:
                    yield from (os.path.join(below, entry.name) for entry in entries)
            return
        names = [part]
        if glob.has_magic(part):
            hidden = part.startswith(".")
            names = [
                name
                for name in self._names(base or os.curdir)
                if fnmatch.fnmatchcase(name, part) and (hidden or not name.startswith("."))
            ]
        for name in names:
            path = os.path.join(base, name)
            if not rest:
                if glob.has_magic(part) or os.path.lexists(path):
                    yield path
            elif self._leads_on(path):
                yield from self._matches(path, rest)

    def _names(self, folder: str) -> list[str]:
        try:
            return sorted(os.listdir(folder))
        except OSError as error:
            self._cannot(folder, error)
            return []

    def _leads_on(self, path: str) -> bool:
        """Whether a folder is there; one that cannot be looked at is a problem."""
        try:
            return stat.S_ISDIR(os.stat(path).st_mode)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            self._cannot(path, error)
            return False

    def _is_folder(self, entry: os.DirEntry[str]) -> bool:
        try:
            return entry.is_dir()
        except OSError:  # said when it is its turn
            return False

    def _cannot(self, path: str, error: OSError) -> None:
        problem = (path, f"cannot be searched: {os_reason(error)}")
        if problem not in self.problems:
            self.problems.append(problem)
