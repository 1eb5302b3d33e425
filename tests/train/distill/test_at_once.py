"""Networks that run at the same time learn what they learn in turn, bit for bit."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest

from tests.train.distill.pairs import BLOCKS, CE, NORMS, SECOND_CE, STAGES, S, T, batch, model
from tests.train.tiny import STUDENT, TEACHER, run, same, weights
from train.config.load import parse_model
from train.distill import at_once
from train.distill.at_once import detach, has_cores, run_all
from train.distill.build_recognizer import build_recognizer
from train.models.heads import MoViNetHead

STILL = {**TEACHER, "head": {**TEACHER["head"], "drop_ratio": 0.0}}
"""A teacher without dropout: only the student draws."""
DML = {"name": "DistillationDMLLoss", "model_name_pairs": [S, T]}
OVERHAUL = {"name": "DistillationOverHaulLoss", "s_key": STAGES, "t_key": BLOCKS, "t_norm": NORMS}
AFD = {"name": "DistillationAFDLoss", "s_key": STAGES, "t_key": BLOCKS, "qk_dim": 16}
CASES: dict[str, dict[str, Any]] = {
    "dml with features": model(CE, SECOND_CE, DML, OVERHAUL, frozen=False),
    "in turns": model(CE, SECOND_CE, DML, frozen=False, update="alternating"),
    "attention": model(CE, SECOND_CE, AFD, frozen=False),
}


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Two cores, and the names of the threads that the student ran in."""
    seen: set[str] = set()
    forward = MoViNetHead.forward

    def noted(self: MoViNetHead, x: paddle.Tensor) -> paddle.Tensor:
        seen.add(threading.current_thread().name)
        return forward(self, x)

    monkeypatch.setattr(MoViNetHead, "forward", noted)
    monkeypatch.setattr(at_once, "cores", lambda: 2)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return seen


def test_networks_of_several_processes_run_in_turn(
    threads: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else their batch norms would be summed over processes in any order."""
    assert has_cores(2)
    monkeypatch.setenv("PADDLE_TRAINERS_NUM", "2")
    assert not has_cores(2)


@pytest.mark.parametrize("dropout", [False, True], ids=["one draws", "both draw"])
@pytest.mark.parametrize("name", CASES)
def test_at_once_is_in_turn_to_the_bit(
    name: str,
    dropout: bool,
    threads: set[str],
    experiment: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    models = [{T: TEACHER if dropout else STILL}, {S: STUDENT}]
    file = experiment({**CASES[name], "models": models}, epochs=1)
    at = run(file, f"output_dir={tmp_path / 'at once'}")
    # Draws come from one generator: of two networks that draw none may overtake the other.
    assert any(name.startswith("network") for name in threads) is not dropout
    threads.clear()
    monkeypatch.setenv(at_once.VARIABLE, "off")
    turn = run(file, f"output_dir={tmp_path / 'in turn'}")
    assert not any(name.startswith("network") for name in threads)
    assert at.history[0]["train.loss"] == turn.history[0]["train.loss"]
    assert same(weights(tmp_path / "at once"), weights(tmp_path / "in turn"))


@pytest.mark.parametrize("frozen", [False, True])
def test_gradients_arrive_once_and_where_they_did(frozen: bool, threads: set[str]) -> None:
    """Parameters get from the parts what they get from the whole graph."""
    block = {**CASES["dml with features"], "models": [{T: STILL}, {S: STUDENT}]}
    if frozen:
        block |= model(CE, {"name": "DistillationKLDivLoss"}, OVERHAUL, models=block["models"])
    found: list[dict[str, np.ndarray]] = []
    for parts in (False, True):
        recognizer = build_recognizer(parse_model(block), seed=1)
        recognizer.train()
        inputs, target = batch()
        outputs = recognizer(inputs, draw="one")
        backward_networks = detach(outputs) if parts else None
        paddle.add_n(list(recognizer.losses(outputs, target).values())).backward()
        if backward_networks is not None:
            backward_networks()
            backward_networks()  # nothing is left to take on
        found.append({
            key: parameter.grad.numpy()
            for key, parameter in recognizer.named_parameters()
            if parameter.grad is not None
        })  # fmt: skip
    assert len(found[0]) > 20
    assert any(key.startswith(T) for key in found[0]) is not frozen
    assert same(*found)


def test_an_error_of_any_network_is_raised(threads: set[str]) -> None:
    done = []

    def fails() -> None:
        raise ArithmeticError

    for jobs in ([fails, lambda: done.append(1)], [lambda: done.append(1), fails]):
        with pytest.raises(ArithmeticError):
            run_all(jobs)
    assert len(done) == 2
