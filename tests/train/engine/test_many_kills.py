"""What has to hold over many tries. `make torture` runs it; `make test` leaves it out."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.train.engine.kills import killed_and_resumed
from tests.train.tiny import PAIR, run, same, weights
from train.checkpoints.checkpoint import load_file

pytestmark = [pytest.mark.torture, pytest.mark.timeout(3600)]


def test_thirty_six_kills_lose_nothing(
    experiment: Callable[..., Path], tmp_path: Path, root: Path
) -> None:
    file = experiment(PAIR, epochs=40, checkpoint_every_steps=1)
    whole = run(file, f"output_dir={tmp_path / 'whole'}")
    environment = {**os.environ, "PYTHONPATH": str(root)}
    latest = killed_and_resumed(file, tmp_path / "killed", environment, kills=36)
    progress = load_file(latest)["progress"]
    assert (progress["step"], progress["best"]) == (whole.step, whole.best)
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "killed"))
