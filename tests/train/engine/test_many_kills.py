"""What has to hold over many tries. `make torture` runs it; `make test` leaves it out."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.train.engine.kills import killed_and_resumed
from tests.train.tiny import PAIR, run, same, weights
from train.checkpoints.checkpoint import load_file

pytestmark = [pytest.mark.torture, pytest.mark.timeout(7200)]


@pytest.mark.parametrize(
    "signals",
    [[signal.SIGKILL] * 36, [signal.SIGINT, signal.SIGTERM, signal.SIGHUP] * 8],
    ids=["kills", "signals"],
)
def test_kills_and_signals_lose_nothing(
    experiment: Callable[..., Path], tmp_path: Path, root: Path, signals: list[signal.Signals]
) -> None:
    file = experiment(PAIR, epochs=40, checkpoint_every_steps=1)
    whole = run(file, f"output_dir={tmp_path / 'whole'}")
    environment = {**os.environ, "PYTHONPATH": str(root)}
    latest = killed_and_resumed(file, tmp_path / "killed", environment, signals=signals)
    progress = load_file(latest)["progress"]
    assert (progress["step"], progress["best"]) == (whole.step, whole.best)
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "killed"))
