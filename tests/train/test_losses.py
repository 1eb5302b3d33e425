"""The losses equal reference values, take extreme logits, and pull both networks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import paddle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from train.losses import Target, cross_entropy, mutual


def logits(seed: int, scale: float = 1.0) -> paddle.Tensor:
    array = np.random.default_rng(seed).normal(0, scale, (6, 10)).astype(np.float32)
    return paddle.to_tensor(array, stop_gradient=False)


def test_mutual_loss_equals_the_reference(shared: Path) -> None:
    reference = json.loads((shared / "reference" / "losses.json").read_text())
    a, b = (
        paddle.to_tensor(np.asarray(reference["inputs"][name], np.float32))
        for name in ("student_logits", "teacher_logits")
    )
    assert float(mutual(a, b)) == pytest.approx(reference["values"]["dml"], rel=1e-5)


def test_mutual_loss_by_hand() -> None:
    """p = (3/4, 1/4), q = (1/4, 3/4): KL both ways is ln(3) / 2."""
    a = paddle.to_tensor([[np.log(3.0), 0.0]], dtype="float32")
    b = paddle.to_tensor([[0.0, np.log(3.0)]], dtype="float32")
    assert float(mutual(a, b)) == pytest.approx(np.log(3) / 2, rel=1e-6)


@given(seed=st.integers(0, 1000), temperature=st.sampled_from([0.5, 1.0, 4.0]))
def test_mutual_loss_is_symmetric_and_never_negative(seed: int, temperature: float) -> None:
    a, b = logits(seed), logits(seed + 1)
    there, back = (float(mutual(*pair, temperature=temperature)) for pair in ((a, b), (b, a)))
    assert there == pytest.approx(back, rel=1e-5)
    assert there > 0
    assert float(mutual(a, a)) == 0


@pytest.mark.parametrize("scale", [1.0, 50.0])
def test_gradients_of_the_mutual_loss_equal_finite_differences(scale: float) -> None:
    a, b = (logits(seed, scale).numpy().astype(np.float64) for seed in (1, 2))

    def value(x: np.ndarray, y: np.ndarray) -> float:
        def log_softmax(z: np.ndarray) -> np.ndarray:
            z = z - z.max(axis=1, keepdims=True)
            return z - np.log(np.exp(z).sum(axis=1, keepdims=True))

        p, q = log_softmax(x), log_softmax(y)
        return float(((np.exp(p) - np.exp(q)) * (p - q)).sum(axis=1).mean() / 2)

    x, y = (paddle.to_tensor(z.astype(np.float32), stop_gradient=False) for z in (a, b))
    loss = mutual(x, y)
    loss.backward()
    assert float(loss) == pytest.approx(value(a, b), rel=1e-4)
    rng = np.random.default_rng(0)
    for own, gradient in ((a, x.grad.numpy()), (b, y.grad.numpy())):
        for _ in range(5):
            row, column = rng.integers(6), rng.integers(10)
            step = np.zeros_like(own)
            step[row, column] = 1e-5
            pairs = ((a + step, b), (a - step, b)) if own is a else ((a, b + step), (a, b - step))
            slope = (value(*pairs[0]) - value(*pairs[1])) / 2e-5
            assert gradient[row, column] == pytest.approx(slope, rel=1e-3, abs=1e-5)


def test_cross_entropy_of_labels_mixed_labels_and_smoothed_ones() -> None:
    z = logits(3)
    labels = paddle.to_tensor(np.array([0, 1, 2, 3, 4, 5]))
    others = paddle.to_tensor(np.array([9, 8, 7, 6, 5, 4]))
    log_p = paddle.nn.functional.log_softmax(z, axis=-1).numpy()
    own = -log_p[np.arange(6), labels.numpy()]
    other = -log_p[np.arange(6), others.numpy()]
    assert float(cross_entropy(z, Target(labels))) == pytest.approx(own.mean(), rel=1e-5)
    lam = np.array([0.1, 0.3, 0.5, 0.7, 0.9, 1.0], np.float32)
    mixed = float(cross_entropy(z, Target(labels, others, paddle.to_tensor(lam))))
    assert mixed == pytest.approx((lam * own + (1 - lam) * other).mean(), rel=1e-5)
    smoothed = float(cross_entropy(z, Target(labels), label_smoothing=0.1))
    assert smoothed == pytest.approx(0.9 * own.mean() + 0.1 * -log_p.mean(), rel=1e-5)
