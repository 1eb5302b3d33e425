"""How many clips of a list may be unreadable, and what is said where more are."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from infer.system.errors import ClipDuetError

Failed = tuple[str, str]
"""A clip's path, and the reason why it cannot be read."""

SHOWN = 3
"""Reasons that a message spells out; the rest is counted."""
DOUBT = 0.01
"""Probability with which a sample of a list that is within the limit may be called beyond it."""


class UnreadableError(ClipDuetError):
    """So many clips cannot be read that what is left is another dataset."""

    exit_status = 1


def allowed_unreadable(listed: int, limit: float) -> int:
    """Clips of a list that may be unreadable.

    One may always be, so that a short list is no stricter than a long one; all of them never.

    Args:
        listed: clips of the list.
        limit: percent; 0 allows none.
    """
    if limit <= 0:
        return 0
    return min(max(1, math.floor(listed * limit / 100 + 1e-9)), listed - 1)


def unreadable_error(
    failed: Sequence[Failed], *, listed: int, limit: float, what: str, seen: int | None = None
) -> UnreadableError | None:
    """The error that says that too many clips cannot be read; None where it is not so.

    Args:
        failed: those that cannot be read.
        listed: clips of the list.
        limit: percent of them that may be unreadable, see `allowed_unreadable`.
        what: the clips in words, such as "training clips".
        seen: clips that were looked at, where they are a random sample of the list: then it is
            an error where a list within the limit gives such a sample with a probability below
            `DOUBT`. None: `failed` are all there are, or so many already.
    """
    permitted = allowed_unreadable(listed, limit)
    if seen is None or seen >= listed:
        beyond = len(failed) > permitted
    else:
        beyond = bool(failed) and sample_tail(len(failed), seen, permitted, listed) < DOUBT
    if not beyond:
        return None
    of = f"{listed}" if seen is None or seen >= listed else f"{seen} (of {listed} listed)"
    lines = [f"{len(failed)} of {of} {what} cannot be read, at most {limit:g} % may be:"]
    lines += [f"  {line}" for line in reasons(failed)]
    lines.append(
        "mend them or take them out of the list; max_unreadable is the limit in percent "
        "(-o max_unreadable=...)"
    )
    return UnreadableError("\n".join(lines))


def reasons(failed: Sequence[Failed]) -> list[str]:
    """The commonest reasons, each with its number and an example; the others counted."""
    counts = Counter(reason for _, reason in failed).most_common()
    first = {reason: path for path, reason in reversed(failed)}
    lines = [f"{n} x {reason}, such as {first[reason]}" for reason, n in counts[:SHOWN]]
    rest = sum(n for _, n in counts[SHOWN:])
    return [*lines, *([f"{rest} x other reasons"] if rest else [])]


def sample_tail(least: int, seen: int, marked: int, listed: int) -> float:
    """Probability that a sample without replacement holds `least` or more of the marked ones.

    Args:
        least: marked ones in the sample, at least.
        seen: size of the sample.
        marked: marked ones in the list.
        listed: size of the list.
    """
    ways = sum(
        math.comb(marked, k) * math.comb(listed - marked, seen - k)
        for k in range(max(0, least), min(marked, seen) + 1)
    )
    return ways / math.comb(listed, seen)
