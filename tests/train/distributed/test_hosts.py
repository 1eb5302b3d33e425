"""Machines that train together and share nothing but a cable."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.train.distributed.hosts import Host, no_hosts, two_hosts
from tests.train.distributed.teams import (
    CALM,
    SLOW,
    STARTED,
    finish,
    kill,
    launch,
    near,
    wait_for_step,
)
from tests.train.tiny import run, weights
from train.checkpoints.checkpoint import LATEST, load_file

REASON = no_hosts()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))


@pytest.fixture
def hosts() -> Iterator[list[Host]]:
    with two_hosts() as both:
        yield both
        # Before the hosts are gone, where nobody would find it again.
        while STARTED:
            kill(STARTED.pop())


@pytest.fixture
def start(
    experiment: Callable[..., Path], hosts: list[Host], tmp_path: Path, root: Path
) -> Callable[..., list[subprocess.Popen[str]]]:
    """`start(*arguments, told=(True, True))`: a launcher on each, told its address or not."""
    file = experiment({"framework": "Recognizer2D", **CALM}, OPTIMIZER=SLOW, epochs=3)
    master = ["--master", f"{hosts[0].address}:7130", "--nnodes", "2"]

    def both(
        *arguments: str, told: tuple[bool, bool] = (True, True)
    ) -> list[subprocess.Popen[str]]:
        return [
            launch(
                root, tmp_path / f"log{rank}", file, "-o", "DATASET.batch_size=2",
                "-o", "checkpoint_every_steps=1", "--output", str(tmp_path / "two"), *arguments,
                processes=1, host=host,
                machines=[
                    *master, "--rank", str(rank), *(["--host", host.address] if told[rank] else [])
                ],
            )
            for rank, host in enumerate(hosts)
        ]  # fmt: skip

    return both


def test_two_hosts_follow_one_process(
    start: Callable[..., list[subprocess.Popen[str]]], tmp_path: Path
) -> None:
    """For nine steps: each makes the difference of rounding about twice as large."""
    for process in start():
        finish(process)
    alone = run(tmp_path / "experiment.yaml", f"output_dir={tmp_path}/one")
    stored = load_file(tmp_path / "two" / LATEST)["progress"]
    assert stored["step"] == alone.step == 9 and stored["processes"] == 2
    assert near(weights(tmp_path / "one"), weights(tmp_path / "two"), 2e-4)


def test_a_host_that_dies_is_named_and_both_go_on_with_resume(
    start: Callable[..., list[subprocess.Popen[str]]], hosts: list[Host], tmp_path: Path
) -> None:
    long = ("-o", "epochs=1000", "--resume")
    both = start(*long)
    wait_for_step(tmp_path / "two", 2, both)
    kill(both[1])
    output, _ = both[0].communicate(timeout=120)
    assert both[0].returncode != 0
    assert "error: process 0 of 2" in output
    assert f"{hosts[1].name};" in output
    assert "Traceback" not in output
    stopped = load_file(tmp_path / "two" / LATEST)["progress"]["step"]
    wait_for_step(tmp_path / "two", stopped + 2, start(*long))


def test_hosts_that_do_not_reach_each_other_say_so(
    start: Callable[..., list[subprocess.Popen[str]]], hosts: list[Host]
) -> None:
    """The second host's own name is no address, so its launcher would take that of itself."""
    both = start(told=(True, False))
    output, _ = both[1].communicate(timeout=120)
    kill(both[0])
    assert both[1].returncode != 0
    assert "error: the 2 processes" in output
    assert "127.0.0.1" in output
    assert "--host ADDRESS" in output
    assert "Traceback" not in output
