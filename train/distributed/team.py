"""Processes that train the same networks together, each on its share of every batch.

`python -m paddle.distributed.launch --nproc_per_node 2 train/__main__.py -c CONFIG` starts them;
over NCCL on GPUs, over gloo on CPUs. The networks of all processes begin alike, see different
clips, and take the same step: that of the whole batch in one process. No wrapper stands around
them, so losses, taps and alternating updates are the same code for one process and for many.
"""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from paddle import Tensor, distributed

from infer.system.errors import ClipDuetError
from train.distributed.launcher import own_address, process_count, use_own_interface

NETWORK_ERRORS = (RuntimeError, ValueError, OSError)
"""What Paddle raises when another process does not answer; and much else."""


class TeamError(ClipDuetError):
    """Another process has ended, and this one cannot go on alone."""

    exit_status = 1


@dataclass(frozen=True)
class Team:
    """This process and its peers; of one process, every method is free.

    Attributes:
        rank: number of this process, from 0.
        size: how many there are.
        members: machine and process id of each, by rank, where known.
    """

    rank: int = 0
    size: int = 1
    members: tuple[tuple[str, int], ...] = ()

    @property
    def leads(self) -> bool:
        """Whether this process writes and reports."""
        return self.rank == 0

    def sums(self, values: Sequence[float]) -> list[float]:
        """Sums over all processes."""
        if self.size == 1:
            return list(values)
        tensor = paddle.to_tensor(np.asarray(values, np.float64))
        distributed.all_reduce(tensor)
        return [float(value) for value in tensor.numpy()]

    def means(self, values: Mapping[str, float], *, weight: float) -> dict[str, float]:
        """Means over all processes, each with its weight; the names are everybody's."""
        if self.size == 1:
            return dict(values)
        *totals, weights = self.sums([*(value * weight for value in values.values()), weight])
        return {name: total / weights for name, total in zip(values, totals, strict=True)}

    def add_gradients(self, parameters: Sequence[Tensor], *, divisor: float) -> None:
        """Replace every gradient by its sum over all processes, divided by `divisor`."""
        gradients = [p.grad for p in parameters if p.grad is not None]
        with paddle.no_grad():
            if self.size > 1:
                self._sum_in_place(gradients)
            for gradient in gradients:
                gradient.scale_(1.0 / divisor)

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors by their means over all processes."""
        if self.size > 1 and tensors:
            with paddle.no_grad():
                self._sum_in_place(tensors)
                for tensor in tensors:
                    tensor.scale_(1.0 / self.size)

    def gather(self, value: Any) -> list[Any]:
        """What every process has, by rank; plain data."""
        if self.size == 1:
            return [value]
        found: list[Any] = []
        distributed.all_gather_object(found, value)
        return found

    def wait(self) -> None:
        """Until all processes are here."""
        if self.size > 1:
            distributed.barrier()

    def lost(self, error: Exception, *, patience: float = 2.0) -> TeamError | None:
        """What to say of an error that other processes have caused; None where they have not.

        Args:
            error: what was raised here, perhaps because a sum was not answered.
            patience: seconds in which a process of this machine that is about to end may do so.
        """
        deadline = time.monotonic() + patience
        while self.size > 1:
            for rank, (machine, process) in enumerate(self.members):
                if machine == socket.gethostname() and rank != self.rank and _ended(process):
                    return TeamError(
                        f"process {rank} of {self.size} (pid {process}) has ended, and process "
                        f"{self.rank} cannot go on alone: what it said last is in the launcher's "
                        f"log/workerlog.{rank}; start all again with --resume"
                    )
            if time.monotonic() > deadline:
                break
            time.sleep(0.05)
        reason = network_reason(error)
        if self.size == 1 or reason is None:
            return None
        others = sorted({machine for machine, _ in self.members} - {socket.gethostname()})
        where = f", on {', '.join(others)}" if others else ""
        return TeamError(
            f"process {self.rank} of {self.size} has lost the others ({reason}): what they said "
            f"last is in log/workerlog.N of their launchers{where}; start all again with --resume"
        )

    def _sum_in_place(self, tensors: Sequence[Tensor]) -> None:
        """One message a dtype: hundreds of small ones would take longer than the sums."""
        for dtype in {tensor.dtype for tensor in tensors}:
            members = [tensor for tensor in tensors if tensor.dtype == dtype]
            flat = paddle.concat([tensor.flatten() for tensor in members])
            distributed.all_reduce(flat)
            begin = 0
            for tensor in members:
                part = flat[begin : begin + tensor.size].reshape(tensor.shape)
                paddle.assign(part, tensor)
                begin += tensor.size


def join() -> Team:
    """The team that the launcher has started this process for; alone without one.

    Raises:
        TeamError: the processes do not reach each other.
    """
    size = process_count()
    if size == 1:
        return Team()
    use_own_interface()
    try:
        distributed.init_parallel_env()
        team = Team(distributed.get_rank(), distributed.get_world_size())
        members = team.gather((socket.gethostname(), os.getpid()))
    except NETWORK_ERRORS as error:
        reason = network_reason(error)
        if reason is None:
            raise
        raise TeamError(
            f"the {size} processes do not reach each other ({reason}); this one is at "
            f"{own_address()}. If another one has ended, its log/workerlog.N says why; otherwise "
            "give every machine's launcher --host ADDRESS, its own address as the others see it"
        ) from error
    return replace(team, members=tuple(members))


def _ended(process: int) -> bool:
    """Whether a process of this machine has ended, also where nobody has taken notice yet."""
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except FileNotFoundError:
        return True
    return status.rpartition(")")[2].split()[0] in ("Z", "X")


def network_reason(error: Exception) -> str | None:
    """The reason in an error of gloo's, NCCL's or Paddle's store; None for any other error."""
    text = str(error)
    if not re.search(r"/gloo/\S+\.cc:\d+\]|/store/tcp_\w+\.cc|NCCL error", text):
        return None
    # Above it, Paddle may show the calls of its own that led there.
    found = re.search(r"/gloo/\S+\.cc:\d+\] (.+)", text)
    found = found or re.search(r"^\s*(?:\(\w+\)|\w+Error:)\s*(\S.+)", text, re.MULTILINE)
    return (found[1] if found else text.strip().splitlines()[0]).rstrip(". ")
