"""Standardised logits: Z-scores by hand, and what they make of a loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import paddle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.train.losses.reference import tensor
from train.losses import Target, decoupled, kl_divergence, mutual
from train.losses.standardize import standardized

LABELS = np.array([8, 9, 1, 5, 7, 2])


def logits(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, (6, 10))


def test_standardized_logits_by_hand() -> None:
    """(0, 2, 4) and (10, 12, 14): Z-scores -a, 0, a with a = sqrt(3 / 2); the two are one."""
    near, far = ([[0.0, 2.0, 4.0]], [[10.0, 12.0, 14.0]])
    a, b = (tensor(np.array(z), "float64") for z in (near, far))
    np.testing.assert_allclose(standardized(b).numpy(), [[-(1.5**0.5), 0, 1.5**0.5]], rtol=1e-12)
    settings = {"temperature": 1.0, "standardize": True}
    assert float(kl_divergence(3 * a, b, **settings)) == pytest.approx(0, abs=1e-12)
    # Against (4, 2, 0), whose Z-scores are a, 0, -a: 2 a (e^a - e^-a) / (e^a + 1 + e^-a).
    up, down = np.exp(1.5**0.5), np.exp(-(1.5**0.5))
    wanted = 2 * 1.5**0.5 * (up - down) / (up + 1 + down)
    turned = tensor(np.array(near)[:, ::-1].copy(), "float64")
    for loss in (kl_divergence, mutual):
        assert float(loss(turned, b, **settings)) == pytest.approx(wanted, rel=1e-12)


def test_logits_that_are_all_alike_have_a_gradient_of_a_number() -> None:
    """A spread of 0 divides nothing, and a tiny one does not make a gradient of millions."""
    for spread in (0.0, 1e-7):
        same = tensor(3 + spread * logits(1), "float64")
        same.stop_gradient = False
        mutual(same, tensor(logits(2), "float64"), standardize=True).backward()
        assert 0 < float(same.grad.abs().max()) < 2e4


@given(seed=st.integers(0, 1000), factor=st.floats(0.1, 10), shift=st.floats(-5, 5))
def test_standardized_losses_do_not_depend_on_the_size_of_logits(
    seed: int, factor: float, shift: float
) -> None:
    s, t = (tensor(logits(seed + i), "float64") for i in (0, 1))
    target = Target(paddle.to_tensor(LABELS))
    losses: list[Callable[..., Any]] = [
        mutual,
        kl_divergence,
        lambda a, b, **settings: decoupled(a, b, target, **settings),
    ]
    for loss in losses:
        one, other = (float(loss(z, t, standardize=True)) for z in (s, factor * s + shift))
        assert one == pytest.approx(other, rel=1e-7, abs=1e-12)
