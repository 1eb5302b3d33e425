"""`benchmarks.shuffled_training`: what is left of a task without the order of frames."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.shuffled_training import ShuffledClips, main
from train.config.load import load_config
from train.data.splits import build_dataset


def test_a_clip_keeps_its_frames_and_loses_their_order(tiny: Path) -> None:
    cfg = load_config(tiny / "one.yaml")
    for split in ("train", "test"):
        plain = build_dataset(cfg, split)  # type: ignore[arg-type]
        shuffled = ShuffledClips(plain, seed=1)
        orders = set()
        for index in range(len(plain)):
            rngs = [np.random.default_rng(5) if plain.train else None for _ in range(2)]
            own, label = plain.read(index, rng=rngs[0])
            other, same = shuffled.read(index, rng=rngs[1])
            assert label == same and own.shape == other.shape
            order = [
                next(i for i, frame in enumerate(own[0]) if (frame == one).all())
                for one in other[0]
            ]
            assert sorted(order) == list(range(own.shape[1]))
            orders.add(tuple(order))
            again, _ = shuffled.read(index, rng=np.random.default_rng(5) if plain.train else None)
            np.testing.assert_array_equal(again, other)
        assert len(orders) > 1 or plain.train


def test_a_training_is_measured_and_goes_on(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.json"
    run = tmp_path / 'it\'s the "run"'  # quotes that a setting in YAML has to escape
    arguments = ["-c", f"{tiny}/one.yaml", "--run", str(run), "--out", str(out)]
    assert main([*arguments, "-o", "epochs=2"]) == 0
    found = json.loads(out.read_text(encoding="utf-8"))
    assert found["clips"] == 9 and found["classes"] == 3 and found["epochs"] == 2
    low, high = found["interval"]
    assert low <= found["top1"] <= high and found["checkpoint_sha256"]
    assert f"{100 * found['top1']:.2f} %" in capsys.readouterr().out
    # It goes on where it stopped: nothing is left to train.
    assert main([*arguments, "-o", "epochs=2"]) == 0
    assert json.loads(out.read_text(encoding="utf-8"))["top1"] == found["top1"]
    assert main([*arguments, "--seed", "-1"]) == 2
