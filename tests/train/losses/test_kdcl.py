"""KDCL: what the target is, and that it takes no gradient."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from tests.train.losses.reference import np_log_softmax, tensor
from train.losses import Target, collaborative

LABELS = np.array([8, 9, 1, 5, 7, 2])


def logits(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, (6, 10))


def test_ensembles_by_hand() -> None:
    """Logits ln 4, 0, 0 and 0, ln 2, 0; the label is the first class, of which a is surer.

    minlogit: from a, b less the label's, (0, -ln 4, -ln 4) and (0, ln 2, 0), the smaller ones are
    a's own: p = (2/3, 1/6, 1/6). naive: a's again. mean: (ln 2, ln 2 / 2, 0).
    """
    a = tensor(np.log([[4.0, 1.0, 1.0]]), "float64")
    b = tensor(np.log([[1.0, 2.0, 1.0]]), "float64")
    target = Target(paddle.to_tensor([0]))
    p, q = np.array([4, 1, 1]) / 6, np.array([1, 2, 1]) / 4
    from_a = float((p * np.log(p / q)).sum())
    for ensemble in ("minlogit", "naive"):
        found = collaborative(a, b, target, ensemble=ensemble)
        assert float(found) == pytest.approx(from_a, rel=1e-12)
    t = np.array([2, np.sqrt(2), 1]) / (3 + np.sqrt(2))
    both = float((t * np.log(t / p) + t * np.log(t / q)).sum())
    assert float(collaborative(a, b, target, ensemble="mean")) == pytest.approx(both, rel=1e-12)
    # The label is the second class: less its logit, (ln 4, 0, 0) and (-ln 2, 0, -ln 2) give b's.
    other = Target(paddle.to_tensor([1]))
    from_b = float((q * np.log(q / p)).sum())
    for ensemble in ("minlogit", "naive"):
        found = collaborative(a, b, other, ensemble=ensemble)
        assert float(found) == pytest.approx(from_b, rel=1e-12)
    # Classes on which the networks differ: each gives the smaller one.
    c = tensor(np.log([[4.0, 8.0, 1.0]]), "float64")
    d = tensor(np.log([[1.0, 1.0, 2.0]]), "float64")
    small = np.array([4, 4, 1]) / 9
    given = [np.array([4, 8, 1]) / 13, np.array([1, 1, 2]) / 4]
    wanted = sum(float((small * np.log(small / own)).sum()) for own in given)
    assert float(collaborative(c, d, target)) == pytest.approx(wanted, rel=1e-12)


def test_ensembles_take_no_gradient_and_count_both_labels_of_a_mixed_clip() -> None:
    a, b = (tensor(logits(seed), "float64") for seed in (1, 2))
    one, other = paddle.to_tensor(LABELS), paddle.to_tensor(LABELS[::-1].copy())
    for ensemble in ("minlogit", "naive", "mean"):
        a.stop_gradient = b.stop_gradient = False
        a.clear_gradient(), b.clear_gradient()
        collaborative(a, b, Target(one), ensemble=ensemble).backward()
        # softmax(own) - target: the two differ by the networks' own answers alone.
        own = [np.exp(np_log_softmax(z.numpy())) for z in (a, b)]
        targets = [p - 6 * z.grad.numpy() for p, z in zip(own, (a, b), strict=True)]
        np.testing.assert_allclose(*targets, atol=1e-12)
        for lam, labels in ((1.0, one), (0.0, other)):
            mixed = Target(one, other, paddle.full([6], lam, dtype="float64"))
            found = [
                float(collaborative(a, b, t, ensemble=ensemble)) for t in (mixed, Target(labels))
            ]
            assert found[0] == pytest.approx(found[1], rel=1e-12)
