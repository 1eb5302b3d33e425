"""A look at some clips of each list before a training: can they be read at all?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from infer.errors import VideoError
from train.data.dataset import ClipDataset
from train.team import Team
from train.unreadable import Failed, excess, reasons

PROBED = 64
"""Clips of a list that are opened; all of a shorter one."""
WORKERS = 4


def probe(
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
            tells; see :func:`train.unreadable.excess`.
    """
    told: list[str] = []
    for name, dataset in datasets.items():
        listed = len(dataset)
        draw = np.random.default_rng([seed, listed]).permutation(listed)[:PROBED]
        failed = _failed(dataset, sorted(draw.tolist()), team or Team())
        error = excess(failed, seen=len(draw), listed=listed, limit=limit, what=f"{name} clips")
        if error is not None:
            raise error
        unread = f", {len(failed)} unreadable" if failed else ""
        told.append(f"{len(draw)} of {listed} {name} clips{unread}")
        for line in reasons(failed):
            note(f"{name}: {line}")
    note(f"looked at {' and '.join(told)}")


def _failed(dataset: ClipDataset, indices: list[int], team: Team) -> list[Failed]:
    def look(index: int) -> list[Failed]:
        try:
            dataset.look(index)
        except VideoError as error:
            return [(str(dataset.samples[index].path), error.reason)]
        return []

    with ThreadPoolExecutor(WORKERS, thread_name_prefix="probe") as pool:
        mine = [one for found in pool.map(look, indices[team.rank :: team.size]) for one in found]
    return sorted(one for part in team.gather(mine) for one in part)
