"""A look at some clips of each list before a training: can they be read at all?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from infer.clips.frames_folder import Numbering
from infer.system.errors import VideoError
from train.data.dataset import ClipDataset
from train.data.unreadable import reasons, unreadable_error
from train.distributed.team import Team

PROBED = 64
"""Clips of a list that are opened; all of a shorter one."""
WORKERS = 4


@dataclass(frozen=True)
class ClipCheck:
    """What was found of a clip.

    Attributes:
        path: of the clip.
        problem: why it cannot be read, or "".
        claimed: frames that the list claims of a folder.
        numbering: of the folder's pictures; None of a video, and of what cannot be read.
    """

    path: str
    problem: str = ""
    claimed: int = 0
    numbering: Numbering | None = None


def probe_clips(
    datasets: Mapping[str, ClipDataset],
    *,
    limit: float,
    seed: int,
    note: Callable[[str], None],
    team: Team | None = None,
) -> None:
    """Open a sample of the clips of each list, decode a frame of each, and say what was found.

    The same seed draws the same clips. The processes of a team share the work.

    Args:
        datasets: by their words in messages, such as "training".
        limit: percent of a list that may be unreadable.
        seed: draws the clips.
        note: takes a line.
        team: the processes that call this together; None: this one alone.

    Raises:
        UnreadableError: a list has more unreadable clips than the limit, as far as its sample
            tells; see `train.data.unreadable.unreadable_error`.
    """
    told: list[str] = []
    for name, dataset in datasets.items():
        listed = len(dataset)
        draw = np.random.default_rng([seed, listed]).permutation(listed)[:PROBED]
        checks = _checks(dataset, sorted(draw.tolist()), team or Team())
        failed = [(check.path, check.problem) for check in checks if check.problem]
        error = unreadable_error(
            failed, seen=len(draw), listed=listed, limit=limit, what=f"{name} clips"
        )
        if error is not None:
            raise error
        unread = f", {len(failed)} unreadable" if failed else ""
        told.append(f"{len(draw)} of {listed} {name} clips{unread}")
        for line in (*reasons(failed), *_about_folders(checks)):
            note(f"{name}: {line}")
    note(f"looked at {' and '.join(told)}")


def _checks(dataset: ClipDataset, indices: list[int], team: Team) -> list[ClipCheck]:
    def check(index: int) -> ClipCheck:
        sample = dataset.samples[index]
        try:
            dataset.look(index)
            return ClipCheck(str(sample.path), "", sample.frames or 0, dataset.numbering(index))
        except VideoError as error:
            return ClipCheck(str(sample.path), error.reason)

    with ThreadPoolExecutor(WORKERS, thread_name_prefix="probe") as pool:
        mine = list(pool.map(check, indices[team.rank :: team.size]))
    return sorted((one for part in team.gather(mine) for one in part), key=lambda one: one.path)


def _about_folders(checks: Sequence[ClipCheck]) -> Iterator[str]:
    """How frames are numbered where that is not from 1, and where they are not those claimed."""
    folders = [(check, check.numbering) for check in checks if check.numbering is not None]
    from_0 = sum(found.first == 0 for _, found in folders)
    if from_0:
        yield f"frames are numbered from 0 in {from_0} of {len(folders)} folders, and read so"
    gaps = [(check, found) for check, found in folders if found.missing]
    if gaps:
        check, found = gaps[0]
        yield (
            f"warning: {len(gaps)} of {len(folders)} folders lack frames that the list claims, "
            f"such as {check.path}: {check.claimed} claimed, {found.pictures} there, "
            f"not there: {found.gaps}"
        )
    more = [(check, found) for check, found in folders if found.pictures > check.claimed]
    if more:
        check, found = more[0]
        yield (
            f"warning: {len(more)} of {len(folders)} folders hold more frames than the list "
            f"claims, such as {check.path}: {check.claimed} claimed, {found.pictures} there; the "
            "last ones are not used"
        )
