"""The losses equal reference values, take extreme logits, and pull whom they should."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.train.losses.reference import LABELS, RESPONSES, np_dml, np_log_softmax, tensor
from tests.train.tiny import LOSSES, PAIR
from train.config.load import ConfigError, load_config
from train.distill.build_recognizer import build_recognizer
from train.distill.terms import Outputs
from train.losses import (
    Target,
    cross_entropy,
    decoupled,
    dist,
    feature_distance,
    js_divergence,
    kl_divergence,
    margins,
    mutual,
    partial_l2,
    rkd_angle,
    rkd_distance,
)
from train.losses.rkd import BatchError


def logits(seed: int, scale: float = 1.0, clips: int = 6) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, scale, (clips, 10))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values_equal_the_reference(shared: Path, dtype: str) -> None:
    reference = json.loads((shared / "reference" / "losses.json").read_text())
    given = {
        name: paddle.to_tensor(np.asarray(value)).astype("int64" if name == "labels" else dtype)
        for name, value in reference["inputs"].items()
    }
    pair = given["student_logits"], given["teacher_logits"]
    embeddings = given["student_embedding"], given["teacher_embedding"]
    target = Target(given["labels"])
    margin = margins(given["teacher_bn_weight"], given["teacher_bn_bias"])
    found = {
        "dml": mutual(*pair),
        "kd_T1": kl_divergence(*pair, temperature=1.0),
        "kd_T4": kl_divergence(*pair, temperature=4.0),
        "dkd_T1_a1_b1": decoupled(*pair, target),
        "dkd_T4_a1_b8": decoupled(*pair, target, temperature=4.0, beta=8.0),
        "dist_b1_g1_tau1": dist(*pair),
        "dist_b2_g2_tau4": dist(*pair, beta=2.0, gamma=2.0, temperature=4.0),
        "rkd_distance": rkd_distance(*embeddings),
        "rkd_angle": rkd_angle(*embeddings),
        "overhaul": partial_l2(given["student_map"], given["teacher_map"], margin),
        "overhaul_margin": margin,
    }
    assert found.keys() == reference["values"].keys()
    for name, value in found.items():
        wanted = np.asarray(reference["values"][name])
        near = 2e-6 if dtype == "float32" else 1e-12
        np.testing.assert_allclose(value.numpy(), wanted, rtol=near, err_msg=name)


def test_mutual_loss_by_hand() -> None:
    """p = (3/4, 1/4), q = (1/4, 3/4): KL both ways is ln(3) / 2."""
    a = paddle.to_tensor([[np.log(3.0), 0.0]], dtype="float32")
    b = paddle.to_tensor([[0.0, np.log(3.0)]], dtype="float32")
    assert float(mutual(a, b)) == pytest.approx(np.log(3) / 2, rel=1e-6)


def test_eps_gives_paddlevideos_value_and_gradient() -> None:
    """Its formula in NumPy: class_num * target * log((target + eps) / (x + eps)), both ways, mean.

    The exact one differs where probabilities are as small as eps.
    """

    def by_paddlevideo(a: np.ndarray, b: np.ndarray, eps: float = 1e-12) -> float:
        p, q = np.exp(np_log_softmax(a)), np.exp(np_log_softmax(b))
        both = q * np.log((q + eps) / (p + eps)) + p * np.log((p + eps) / (q + eps))
        return float((both * p.shape[-1] / 2).mean())

    # As `normal(0, 8)` over 400 classes: many probabilities below eps.
    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 8, (2, 64, 400))
    wanted = by_paddlevideo(a, b)
    assert np_dml(a, b) > 1.05 * wanted
    given = [tensor(logits, "float64") for logits in (a, b)]
    for one in given:
        one.stop_gradient = False
    loss = mutual(*given, eps=1e-12)
    assert float(loss) == pytest.approx(wanted, rel=1e-9)
    assert float(mutual(*given)) == pytest.approx(np_dml(a, b), rel=1e-9)
    loss.backward()
    step = 1e-4
    for row, column in ((0, 3), (5, int(a[5].argmax())), (9, int(b[9].argmax()))):
        moved = [a.copy(), a.copy()]
        moved[0][row, column] += step
        moved[1][row, column] -= step
        slope = (by_paddlevideo(moved[0], b) - by_paddlevideo(moved[1], b)) / (2 * step)
        assert float(given[0].grad[row, column]) == pytest.approx(slope, rel=1e-4, abs=1e-9)


def test_paddlevideos_keys_of_the_mutual_loss_are_taken(experiment: Callable[..., Path]) -> None:
    def configured(**keys: Any) -> Any:
        dml = {**LOSSES["Train"][2], **keys}
        model = {**PAIR, "loss": {**LOSSES, "Train": [*LOSSES["Train"][:2], dml]}}
        return load_config(experiment(model)).model

    logits = np.random.default_rng(0).normal(0, 1, (2, 4, 3))
    values = []
    for keys in ({}, {"act": "softmax", "eps": 1e-12}, {"eps": 0.5}):
        recognizer = build_recognizer(configured(**keys), seed=0)
        outputs = Outputs({role: tensor(z) for role, z in zip(PAIR_ROLES, logits, strict=True)})
        terms = recognizer.losses(outputs, Target(paddle.to_tensor([0, 1, 2, 0])))
        values.append(float(terms["Student-Teacher.DML"]))
    assert values[0] == pytest.approx(values[1], rel=1e-5) and values[2] < 0.9 * values[0]
    for keys, words in (({"act": "sigmoid"}, "softmax"), ({"eps": -1e-12}, "eps")):
        with pytest.raises(ConfigError) as caught:
            configured(**keys)
        assert words in str(caught.value)


PAIR_ROLES = ("Student", "Teacher")


def test_margin_is_the_mean_of_the_negative_draws() -> None:
    rng = np.random.default_rng(0)
    weight, bias = np.array([1.5, -0.5, 2.0]), np.array([0.3, -0.2, -1.0])
    draws = rng.normal(bias, np.abs(weight), (400_000, 3))
    sampled = [column[column < 0].mean() for column in draws.T]
    np.testing.assert_allclose(margins(tensor(weight), tensor(bias)).numpy(), sampled, rtol=0.01)
    # Hardly ever negative, and a scale of 0: no division by nothing.
    edge = margins(tensor(np.array([0.1, 0.0, 0.0])), tensor(np.array([1.0, 1.0, -1.0]))).numpy()
    np.testing.assert_allclose(edge, [-0.3, 0.0, -1.0], atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("name", RESPONSES)
def test_logits_of_50_stay_finite_and_correct(name: str, dtype: str) -> None:
    """What mixed precision hands over is in half precision: the loss of just those numbers."""
    loss, reference = RESPONSES[name]
    rng = np.random.default_rng(7)
    s, t = (tensor(rng.choice([-50.0, 50.0], (6, 10)) + logits(seed), dtype) for seed in (1, 2))
    s.stop_gradient = False
    value = loss(s, t)
    value.backward()
    exact = reference(*(z.astype("float64").numpy() for z in (s.detach(), t)))
    assert float(value) == pytest.approx(exact, rel=1e-3)
    assert value.dtype == paddle.float32
    assert bool(paddle.isfinite(s.grad.astype("float32")).all())


DETACHED = {"kdcl_minlogit", "kdcl_naive"}
"""Their target follows the logits and takes no gradient; test_kdcl.py has theirs."""


@pytest.mark.parametrize("name", [*sorted(RESPONSES.keys() - DETACHED), "overhaul", "distance"])
def test_gradients_equal_finite_differences(name: str) -> None:
    if name in RESPONSES:
        loss, (a, b) = RESPONSES[name][0], (logits(1), logits(2))
    else:
        a, b = (z.reshape(3, 4, 5, 1) for z in (logits(1), logits(2)))
        margin = tensor(np.full(4, -0.5), "float64")
        loss = feature_distance if name == "distance" else lambda s, t: partial_l2(s, t, margin)

    def value(x: np.ndarray, y: np.ndarray) -> float:
        return float(loss(tensor(x, "float64"), tensor(y, "float64")))

    x, y = tensor(a, "float64"), tensor(b, "float64")
    x.stop_gradient = y.stop_gradient = False
    loss(x, y).backward()
    both_learn = name.startswith(("dml", "kdcl", "distance"))
    assert (y.grad is not None and float(y.grad.abs().sum()) > 0) == both_learn
    rng = np.random.default_rng(0)
    for own in (a, b) if both_learn else (a,):
        gradient = (x if own is a else y).grad.numpy()
        for _ in range(8):
            place = tuple(rng.integers(own.shape))
            step = np.zeros_like(own)
            step[place] = 1e-5
            up, down = ((a + d, b) if own is a else (a, b + d) for d in (step, -step))
            slope = (value(*up) - value(*down)) / 2e-5
            assert gradient[place] == pytest.approx(slope, rel=1e-4, abs=1e-9)


@given(seed=st.integers(0, 1000), temperature=st.sampled_from([0.5, 1.0, 4.0]))
def test_divergences_are_0_for_the_same_and_positive_for_others(
    seed: int, temperature: float
) -> None:
    a, b = (tensor(logits(seed + i), "float64") for i in (0, 1))
    target = Target(paddle.to_tensor(LABELS))
    losses: list[Callable[..., Any]] = [
        mutual,
        kl_divergence,
        js_divergence,
        lambda s, t, **settings: decoupled(s, t, target, **settings),
    ]
    for loss in losses:
        assert float(loss(a, a, temperature=temperature)) == pytest.approx(0, abs=1e-9)
        assert float(loss(a, b, temperature=temperature)) > 0
    # Classes that no clip is likely to be do not count as alike.
    assert 0 <= float(dist(a, a, temperature=4.0)) < 1e-3 < float(dist(a, b, temperature=4.0))
    for loss in (mutual, js_divergence):
        there, back = (float(loss(*pair, temperature=temperature)) for pair in ((a, b), (b, a)))
        assert there == pytest.approx(back, rel=1e-9)
    assert float(js_divergence(100 * a, 100 * b)) <= np.log(2) + 1e-12


@given(seed=st.integers(0, 1000), factor=st.floats(0.1, 10))
def test_relations_do_not_depend_on_place_scale_and_turn(seed: int, factor: float) -> None:
    embedding = logits(seed)
    turn, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(10, 10)))
    moved = factor * embedding @ turn + 3.0
    for loss in (rkd_distance, rkd_angle):
        pair = tensor(moved, "float64"), tensor(embedding, "float64")
        assert float(loss(*pair)) == pytest.approx(0, abs=1e-12)


def test_plain_distillation_is_the_decoupled_one_weighed_by_doubt() -> None:
    """KL = TCKD + (1 - p_teacher(label)) NCKD: the paper's starting point."""
    s, t = (tensor(logits(seed, clips=1), "float64") for seed in (1, 2))
    target = Target(paddle.to_tensor(LABELS[:1]))
    tckd, nckd = (float(decoupled(s, t, target, alpha=a, beta=1 - a)) for a in (1.0, 0.0))
    doubt = 1 - np.exp(np_log_softmax(t.numpy()))[0, LABELS[0]]
    whole = float(kl_divergence(s, t, temperature=1.0))
    assert whole == pytest.approx(tckd + doubt * nckd, rel=1e-9)


def test_cross_entropy_of_labels_mixed_labels_and_smoothed_ones() -> None:
    z = tensor(logits(3))
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


def test_decoupled_loss_of_mixed_labels_and_of_the_teachers_own() -> None:
    s, t = tensor(logits(1)), tensor(logits(2))
    one, other = paddle.to_tensor(LABELS), paddle.to_tensor(LABELS[::-1].copy())
    lam = paddle.full([6], 0.25)
    parts = [float(decoupled(s, t, Target(labels))) for labels in (one, other)]
    mixed = float(decoupled(s, t, Target(one, other, lam)))
    assert mixed == pytest.approx(0.25 * parts[0] + 0.75 * parts[1], rel=1e-5)
    own = float(decoupled(s, t, Target(t.argmax(axis=-1))))
    assert float(decoupled(s, t, Target(one), use_target_as_gt=True)) == pytest.approx(own)


@pytest.mark.parametrize("name", RESPONSES)
def test_a_batch_of_one_works_or_says_why_not(name: str) -> None:
    s, t = (tensor(logits(seed, clips=1)) for seed in (1, 2))
    s.stop_gradient = False
    if name.startswith("rkd"):
        with pytest.raises(BatchError, match=r"batch_size"):
            RESPONSES[name][0](s, t)
        return
    loss = RESPONSES[name][0] if name != "dkd" else _decoupled_first
    value = loss(s, t)
    value.backward()
    assert np.isfinite(float(value)) and np.isfinite(s.grad.numpy()).all()


def _decoupled_first(s: paddle.Tensor, t: paddle.Tensor) -> paddle.Tensor:
    return decoupled(s, t, Target(paddle.to_tensor(LABELS[:1])))


def test_equal_clips_make_no_relation_that_is_no_number() -> None:
    same = paddle.ones([4, 10])
    same.stop_gradient = False
    for loss in (rkd_distance, rkd_angle):
        value = loss(same, tensor(logits(1, clips=4)))
        value.backward()
        assert np.isfinite(float(value)) and np.isfinite(same.grad.numpy()).all()
