"""AFD: the attention between the layers of two networks."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from tests.train.losses.reference import np_log_softmax, tensor
from train.losses import AttentionTransfer

STUDENT_SHAPES, TEACHER_SHAPES = [(4, 6), (6, 3)], [(3, 6), (5, 3), (8, 2)]


def attention_inputs(clips: int) -> list[list[paddle.Tensor]]:
    rng = np.random.default_rng(0)
    return [
        [tensor(rng.normal(size=(clips, width, size, size))) for width, size in shapes]
        for shapes in (STUDENT_SHAPES, TEACHER_SHAPES)
    ]


@pytest.mark.parametrize("clips", [1, 3])
def test_attention_equals_the_papers_formula(clips: int) -> None:
    paddle.seed(1)
    layer = AttentionTransfer([4, 6], [3, 5, 8], qk_dim=16)
    layer.eval()
    student, teacher = attention_inputs(clips)
    state = {key: value.numpy().astype(np.float64) for key, value in layer.state_dict().items()}

    def project(name: str, x: np.ndarray) -> np.ndarray:
        """The linear layer; a batch norm at its start only divides by sqrt(1 + 1e-5)."""
        y = x @ state[f"{name}.linear.weight"]
        return np.asarray(y / np.sqrt(1 + 1e-5))

    def value(x: np.ndarray, size: int) -> np.ndarray:
        energy, cell = (x**2).mean(axis=1), x.shape[2] // size
        pooled = energy.reshape(len(x), size, cell, size, cell).mean(axis=(2, 4))
        flat = pooled.reshape(len(x), -1)
        return np.asarray(flat / np.linalg.norm(flat, axis=1, keepdims=True))

    s, t = ([f.numpy().astype(np.float64) for f in features] for features in (student, teacher))
    total = 0.0
    for n in range(clips):
        for j, h_t in enumerate(t):
            query = project(f"queries.{j}", h_t.mean(axis=(2, 3)))[n]
            scores, gaps = [], []
            for i, h_s in enumerate(s):
                key = np.maximum(project(f"keys.{i}", h_s.mean(axis=(2, 3)))[n], 0)
                paired = project("bilinear", key).reshape(3, 16)[j]
                places = state["positions_t"][j] @ state["positions_s"][i]
                scores.append((query @ paired + places) / 4)
                size = h_t.shape[2]
                own = value(_up(h_s, size), size)[n]
                gaps.append(((own - value(h_t, size)[n]) ** 2).mean())
            total += float(np.exp(np_log_softmax(np.array(scores))) @ np.array(gaps)) / clips
    assert float(layer(student, teacher)) == pytest.approx(total, rel=1e-5)


def _up(x: np.ndarray, size: int) -> np.ndarray:
    """Adaptive pooling to a finer grid repeats; to one that does not divide, it overlaps."""
    if x.shape[2] < size:
        return x.repeat(size // x.shape[2], axis=2).repeat(size // x.shape[3], axis=3)
    if x.shape[2] % size:
        # 3 to 2: rows 0-1 and 1-2. Squares are averaged, so the root of the mean is what repeats.
        rows = np.stack([(x**2)[:, :, i : i + 2].mean(axis=2) for i in (0, 1)], axis=2)
        cells = np.stack([rows[..., i : i + 2].mean(axis=-1) for i in (0, 1)], axis=-1)
        return np.asarray(np.sqrt(cells))
    return x


def test_gradients_of_the_attention_equal_finite_differences() -> None:
    paddle.set_default_dtype("float64")
    try:
        layer = AttentionTransfer([4, 6], [3, 5, 8], qk_dim=16)
    finally:
        paddle.set_default_dtype("float32")
    student, teacher = ([f.astype("float64") for f in fs] for fs in attention_inputs(3))
    student[0].stop_gradient = False
    layer(student, teacher).backward()
    rng = np.random.default_rng(0)
    start = student[0].numpy()
    for _ in range(5):
        place = tuple(rng.integers(start.shape))
        step = np.zeros_like(start)
        step[place] = 1e-5
        up, down = (
            float(layer([tensor(start + d, "float64"), student[1]], teacher)) for d in (step, -step)
        )
        slope = (up - down) / 2e-5
        assert student[0].grad.numpy()[place] == pytest.approx(slope, rel=1e-3, abs=1e-9)


def test_attention_learns_and_leaves_the_teacher_alone() -> None:
    layer = AttentionTransfer([4, 6], [3, 5, 8], qk_dim=16)
    student, teacher = attention_inputs(3)
    for feature in (*student, *teacher):
        feature.stop_gradient = False
    layer(student, teacher).backward()
    assert all(feature.grad is None for feature in teacher)
    assert all(float(feature.grad.abs().sum()) > 0 for feature in student)
    learning = {key: p for key, p in layer.named_parameters() if not p.stop_gradient}
    silent = {key for key, p in learning.items() if float(p.grad.abs().sum()) < 1e-6}
    # A softmax takes no notice of what is the same for all.
    assert silent == {"bilinear.bn.bias"}
    rows = layer.attention(student, teacher).sum(axis=-1)
    np.testing.assert_allclose(rows.numpy(), 1, rtol=1e-5)
