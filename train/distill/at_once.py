"""The networks of a step at the same time on a CPU, each in a thread of its own.

An operation of a small network is over before a second thread has begun with it, so that more
threads for each operation leave cores idle; two networks beside each other use them. What comes
out is the same, bit for bit, with and without a core for each: `python -m benchmarks.step_cost`
measures what it saves.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

import paddle
from paddle import Tensor, nn

from infer.system.hardware import cores
from train.distill.terms import Outputs
from train.distributed.launcher import process_count

VARIABLE = "CLIPDUET_AT_ONCE"
"""Set to `off`, networks run one after the other."""

Ends = list[tuple[Tensor, Tensor]]
"""Tensors of a network's graph, and what losses see in their place."""


def drawing(networks: Mapping[str, nn.Layer]) -> list[str]:
    """The networks, by role, that draw random numbers in training: those with dropout."""
    return [
        role
        for role, network in networks.items()
        if any(isinstance(layer, nn.Dropout) and layer.p > 0 for layer in network.sublayers())
    ]


def has_cores(networks: int) -> bool:
    """Whether there are cores for the threads that every network's operations take.

    They take `OMP_NUM_THREADS`, which Paddle sets to 1 where it is not set. Networks of several
    processes run one after the other: sums over processes, such as those of batch norms, need one
    order in all.
    """
    if os.environ.get(VARIABLE) == "off" or not _on_cpu() or process_count() > 1:
        return False
    return networks * int(os.environ.get("OMP_NUM_THREADS") or 1) <= cores()


def run_all(jobs: Iterable[Callable[[], None]]) -> None:
    """Call functions of a network each: at the same time where there are cores for it.

    Raises:
        Exception: the first one of a function, once all have ended.
    """
    own, *others = jobs
    if not has_cores(1 + len(others)):
        for job in (own, *others):
            job()
        return
    futures = [_threads(len(others)).submit(job) for job in others]
    try:
        own()
    finally:
        errors = [future.exception() for future in futures]
    for error in errors:
        if error is not None:
            raise error


def detach(outputs: Outputs) -> Callable[[], None]:
    """Detach what losses see from the graphs of the networks.

    Args:
        outputs: of several networks on a CPU; then holds the same values as leaves of a graph.
            Those of one network, and those on a GPU, stay as they are.

    Returns:
        To call when the gradient of a loss has reached the leaves: the backward passes of their
        networks, at the same time, each once.
    """
    ends: dict[str, Ends] = {role: [] for role in outputs}
    if len(outputs) > 1 and _on_cpu():
        for role, end in outputs.items():
            outputs[role] = _leaf(end)
            ends[role].append((end, outputs[role]))
        for (role, path), end in outputs.features.items():
            outputs.features[role, path] = _leaf(end)
            ends[role].append((end, outputs.features[role, path]))

    def backward_networks() -> None:
        reached = {
            role: [pair for pair in pairs if pair[1].grad is not None]
            for role, pairs in ends.items()
        }
        jobs = [functools.partial(_backward, ends) for ends in reached.values() if ends]
        if jobs:
            run_all(jobs)
        # A network's graph is gone once a gradient has passed it.
        for role, passed in reached.items():
            if passed:
                del ends[role]

    return backward_networks


def _leaf(end: Tensor) -> Tensor:
    leaf = end.detach()
    leaf.stop_gradient = end.stop_gradient
    return leaf


def _backward(ends: Ends) -> None:
    paddle.autograd.backward([end for end, _ in ends], [leaf.grad for _, leaf in ends])


def _on_cpu() -> bool:
    return bool(paddle.device.get_device() == "cpu")


@functools.cache
def _threads(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, thread_name_prefix="network")


# A forked process has the pool without its threads.
os.register_at_fork(after_in_child=_threads.cache_clear)
