"""Look at every video of a dataset, and make frames or smaller videos of it if asked.

The work is spread over processes. What became of each video is written down as it is known, in a
journal beside the lists: a run that was stopped goes on behind what it did, and a video is looked
at again only when its file has changed.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tqdm import tqdm

from infer.inputs import VIDEO_SUFFIXES
from train.data.prepare.media import Outcome, Work, use_one


def find(videos: Path, *, pictures: bool = False) -> dict[str, str]:
    """Relative paths of all videos (or folders of pictures) below a folder, by their keys.

    A file is found by its name without ending and by ``folder/name``; of two with one key, the one
    that lies less deep counts, then the first by name.
    """
    found: dict[str, str] = {}
    paths = _folders(videos) if pictures else _files(videos)
    for path in sorted(paths, key=lambda path: (path.count("/"), path)):
        place = Path(path)
        stem = place.name if pictures else place.stem
        found.setdefault(stem, path)
        if place.parent.name:
            found.setdefault(f"{place.parent.name}/{stem}", path)
    return found


def process(
    paths: Sequence[str], work: Work, journal: Path, *, workers: int | None = None
) -> dict[str, Outcome]:
    """Do the work on every path; returns what became of each."""
    known = _read_journal(journal, work)
    done = {}
    for path in paths:
        state = _state(Path(work.videos) / path)
        if known.get(path, (None,))[0] == state and _still_there(known[path][1], work):
            done[path] = known[path][1]
    rest = [path for path in paths if path not in done]
    journal.parent.mkdir(parents=True, exist_ok=True)
    with open(journal, "a", encoding="utf-8") as file:
        for path, outcome in _outcomes(rest, work, workers):
            done[path] = outcome
            state = _state(Path(work.videos) / path)
            line = {"path": path, "state": state, "work": asdict(work), "outcome": asdict(outcome)}
            file.write(json.dumps(line) + "\n")
            file.flush()
    return done


def _outcomes(
    paths: Sequence[str], work: Work, workers: int | None
) -> Iterator[tuple[str, Outcome]]:
    count = workers if workers is not None else os.cpu_count() or 1
    bar: Callable[[Iterable[Any]], Any] = lambda items: tqdm(  # noqa: E731
        items, total=len(paths), desc="videos", unit="video", disable=None
    )
    jobs = [(path, work) for path in paths]
    if count <= 1 or len(jobs) < 2:
        yield from bar(map(use_one, jobs))
        return
    # Spawned, not forked: see train.data.motions.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, mp_context=context) as pool:
        try:
            yield from bar(pool.map(use_one, jobs, chunksize=8))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _files(folder: Path) -> Iterator[str]:
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if Path(name).suffix.lower() in VIDEO_SUFFIXES and not name.startswith("."):
                yield Path(root, name).relative_to(folder).as_posix()


def _folders(folder: Path) -> Iterator[str]:
    """Folders that hold files and no folders."""
    for root, folders, names in os.walk(folder):
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
    return made is None or bool(outcome.problem) or (Path(made) / outcome.path).exists()


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
