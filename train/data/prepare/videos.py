"""Look at every video of a dataset, and make frames or smaller videos of it if asked.

The work is spread over processes. What became of each video is written down as it is known, in a
journal beside the lists: a run that was stopped goes on behind what it did, and a good video is
looked at again only when its file has changed. What had a problem gets another chance.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tqdm import tqdm

from infer.command.inputs import VIDEO_SUFFIXES
from infer.system.files import writing
from infer.system.hardware import cores
from train.data.prepare.media import GO_ON, Outcome, Work, process_video
from train.data.prepare.walk import walk
from train.data.processes import worker_pool

Do = Callable[[tuple[str, Work]], tuple[str, Outcome]]

CHUNK = 8
"""Videos that a process takes at a time."""


def videos_by_key(
    videos: Path, *, pictures: bool = False, replaced_by: str | None = None
) -> dict[str, str]:
    """Relative paths of all videos (or folders of pictures) below a folder, by their keys.

    A file is found by its name without ending and by `folder/name`; of two with one key, the one
    in a folder named `replaced_by` counts, then the one that lies less deep, then the first by
    name.
    """

    def rank(path: str) -> tuple[bool, int, str]:
        return replaced_by not in path.split("/")[:-1], path.count("/"), path

    found: dict[str, str] = {}
    for path in sorted(_folders(videos) if pictures else _files(videos), key=rank):
        place = Path(path)
        stem = place.name if pictures else place.stem
        found.setdefault(stem, path)
        if place.parent.name:
            found.setdefault(f"{place.parent.name}/{stem}", path)
    return found


def process(
    paths: Sequence[str],
    work: Work,
    journal: Path,
    *,
    workers: int | None = None,
    do: Do = process_video,
) -> dict[str, Outcome]:
    """Do the work on every path; returns what became of each.

    Raises:
        WriteError: the journal, or what is made of a video, cannot be written. What was done until
            then is in the journal.
    """
    known = _read_journal(journal, work)
    done = {}
    for path in paths:
        state = _state(Path(work.videos) / path)
        before, outcome = known.get(path, (None, None))
        if outcome and before == state and not outcome.problem and _still_there(outcome, work):
            done[path] = outcome
    rest = [path for path in paths if path not in done]
    with writing(journal, GO_ON):
        journal.parent.mkdir(parents=True, exist_ok=True)
        _append(journal, "")  # ends a line that was cut short
    count = workers if workers is not None else cores()
    if count == 1:
        outcomes: Iterable[tuple[str, Outcome]] = map(do, [(path, work) for path in rest])
    else:
        outcomes = _outcomes(rest, work, count, do)
    for path, outcome in tqdm(outcomes, total=len(rest), desc="videos", unit="video", disable=None):
        done[path] = outcome
        state = _state(Path(work.videos) / path)
        line = {"path": path, "state": state, "work": asdict(work), "outcome": asdict(outcome)}
        with writing(journal, GO_ON):
            _append(journal, json.dumps(line))
    return done


def _outcomes(
    paths: Sequence[str], work: Work, workers: int, do: Do
) -> Iterator[tuple[str, Outcome]]:
    """Outcomes in the order of the paths.

    Where a process is killed, the videos that it may have been reading are read again.
    """
    rest = list(paths)
    while rest:
        try:
            with worker_pool(workers) as executor:
                jobs = [(path, work) for path in rest]
                for path, outcome in executor.map(do, jobs, chunksize=CHUNK):
                    rest.pop(0)
                    yield path, outcome
        except BrokenProcessPool:
            suspects, rest = rest[: CHUNK * workers], rest[CHUNK * workers :]
            yield from _one_by_one(suspects, work, do)


def _one_by_one(paths: Sequence[str], work: Work, do: Do) -> Iterator[tuple[str, Outcome]]:
    """A video is broken if it kills a process that has read no other."""
    rest = list(paths)
    while rest:
        before = len(rest)
        try:
            with worker_pool(1) as executor:
                while rest:
                    found = executor.submit(do, (rest[0], work)).result()
                    rest.pop(0)
                    yield found
        except BrokenProcessPool:
            if len(rest) == before:
                path = rest.pop(0)
                yield path, Outcome(path, problem="the decoder crashed on it")


def _files(folder: Path) -> Iterator[str]:
    for root, folders, names in walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if Path(name).suffix.lower() in VIDEO_SUFFIXES and not name.startswith("."):
                yield Path(root, name).relative_to(folder).as_posix()


def _folders(folder: Path) -> Iterator[str]:
    """Folders that hold files and no folders."""
    for root, folders, names in walk(folder):
        if names and not folders and Path(root) != folder:
            yield Path(root).relative_to(folder).as_posix()


def _state(path: Path) -> list[int]:
    """What changes when a file does."""
    try:
        stat = path.stat()
    except OSError:
        return []
    return [stat.st_size, stat.st_mtime_ns]


def _still_there(outcome: Outcome, work: Work) -> bool:
    made = work.frames or work.smaller
    return made is None or (Path(made) / outcome.path).exists()


def _append(journal: Path, line: str) -> None:
    with open(journal, "a", encoding="utf-8") as file:
        file.write(f"{line}\n")


def _read_journal(journal: Path, work: Work) -> dict[str, tuple[list[int], Outcome]]:
    """Outcomes of the same work; the last line of a run that was killed may be broken."""
    known: dict[str, tuple[list[int], Outcome]] = {}
    wanted: Mapping[str, Any] = asdict(work)
    if journal.exists():
        for line in journal.read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(ValueError, KeyError, TypeError):
                entry = json.loads(line)
                if entry["work"] == wanted:
                    known[entry["path"]] = (entry["state"], Outcome(**entry["outcome"]))
    return known
