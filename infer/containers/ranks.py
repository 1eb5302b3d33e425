"""Frame numbers by the time stamps of packets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .bits import require

ORDER = "time stamps that are not in the order of the pictures"


def ranks(packets: Sequence[Any]) -> tuple[list[int], list[int]]:
    """Time stamps of packets, and the place of each among them.

    Raises:
        NotProven: there are none, or they are not unique, or the first packet's is not the first.
    """
    times = [packet.pts for packet in packets]
    require(None not in times, "a packet has no time stamp")
    order = sorted(range(len(times)), key=times.__getitem__)
    numbers = [0] * len(times)
    for number, k in enumerate(order):
        numbers[k] = number
    require(len(set(times)) == len(times) and numbers[0] == 0, ORDER)
    return times, numbers
