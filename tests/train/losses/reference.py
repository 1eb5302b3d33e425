"""Losses of answers beside their formulas in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import paddle

from train.losses import (
    Target,
    collaborative,
    decoupled,
    dist,
    js_divergence,
    kl_divergence,
    mutual,
    rkd_angle,
    rkd_distance,
)

LABELS = np.array([8, 9, 1, 5, 7, 2])
"""Of the clips of a batch, among 10 classes."""


def tensor(array: np.ndarray, dtype: str = "float32") -> paddle.Tensor:
    return paddle.to_tensor(array.astype(np.float64)).astype(dtype)


def np_log_softmax(z: np.ndarray) -> np.ndarray:
    z = z - z.max(axis=-1, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=-1, keepdims=True))


def np_kl(log_p: np.ndarray, log_q: np.ndarray) -> float:
    return float((np.exp(log_p) * (log_p - log_q)).sum(axis=-1).mean())


def np_dml(a: np.ndarray, b: np.ndarray) -> float:
    p, q = np_log_softmax(a), np_log_softmax(b)
    return (np_kl(p, q) + np_kl(q, p)) / 2


def np_kd(s: np.ndarray, t: np.ndarray, temperature: float = 4.0) -> float:
    own, wanted = np_log_softmax(s / temperature), np_log_softmax(t / temperature)
    return temperature**2 * np_kl(wanted, own)


def np_js(s: np.ndarray, t: np.ndarray) -> float:
    p, q = np_log_softmax(s), np_log_softmax(t)
    m = np.logaddexp(p, q) - np.log(2)
    return (np_kl(p, m) + np_kl(q, m)) / 2


def np_standardized(z: np.ndarray) -> np.ndarray:
    """Z-scores over the K classes of a clip, as the paper defines them (Sun et al., 2024)."""
    mean = z.mean(axis=1, keepdims=True)
    return (z - mean) / np.sqrt(((z - mean) ** 2).mean(axis=1, keepdims=True))


def np_kdcl(a: np.ndarray, b: np.ndarray, ensemble: str, temperature: float) -> float:
    """Section 3 of Guo et al., 2020, clip by clip: the target's logits, and who learns from it."""
    total = 0.0
    for x, y, label in zip(a, b, LABELS, strict=True):
        if ensemble == "minlogit":
            wanted = np.minimum(x - x[label], y - y[label])
        elif ensemble == "naive":
            wanted = min((x, y), key=lambda z: -np_log_softmax(z)[label])
        else:
            wanted = (x + y) / 2
        target = np_log_softmax(wanted / temperature)
        total += sum(np_kl(target, np_log_softmax(z / temperature)) for z in (x, y))
    return temperature**2 * total / len(a)


def np_dkd(s: np.ndarray, t: np.ndarray, alpha: float = 1.0, beta: float = 8.0) -> float:
    total = 0.0
    for own, wanted, label in zip(s / 4, t / 4, LABELS, strict=True):
        others = np.arange(len(own)) != label

        def binary(z: np.ndarray, others: np.ndarray = others, label: int = label) -> np.ndarray:
            log_p = np_log_softmax(z)
            return np.array([log_p[label], np.logaddexp.reduce(log_p[others])])

        rest = np_log_softmax(wanted[others]), np_log_softmax(own[others])
        total += alpha * np_kl(binary(wanted), binary(own)) + beta * np_kl(*rest)
    return 16 * total / len(s)


def np_dist(s: np.ndarray, t: np.ndarray) -> float:
    p, q = np.exp(np_log_softmax(s)), np.exp(np_log_softmax(t))

    def correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
        lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
        return (a * b).sum(axis=1) / (lengths + 1e-8)

    return float(2 - correlation(p, q).mean() - correlation(p.T, q.T).mean())


def np_rkd(s: np.ndarray, t: np.ndarray, *, angles: bool) -> float:
    def relations(e: np.ndarray) -> np.ndarray:
        ways = e[None] - e[:, None]
        lengths = np.linalg.norm(ways, axis=-1, keepdims=True)
        if not angles:
            return lengths / lengths[lengths > 0].mean()
        unit = ways / np.where(lengths > 0, lengths, 1)
        return np.einsum("ijd,ikd->ijk", unit, unit)

    gap = np.abs(relations(s) - relations(t))
    return float(np.where(gap < 1, 0.5 * gap**2, gap - 0.5).mean())


RESPONSES: dict[str, tuple[Callable[..., Any], Callable[..., float]]] = {
    "dml": (mutual, np_dml),
    "dml_T4": (
        lambda a, b: mutual(a, b, temperature=4.0),
        lambda a, b: 16 * np_dml(a / 4, b / 4),
    ),
    "dml_standardized": (
        lambda a, b: mutual(a, b, temperature=2.0, standardize=True),
        lambda a, b: 4 * np_dml(np_standardized(a) / 2, np_standardized(b) / 2),
    ),
    "kd_standardized": (
        lambda s, t: kl_divergence(s, t, temperature=2.0, standardize=True),
        lambda s, t: np_kd(np_standardized(s), np_standardized(t), temperature=2.0),
    ),
    "dkd_standardized": (
        lambda s, t: decoupled(
            s,
            t,
            Target(paddle.to_tensor(LABELS[: len(s)])),
            temperature=4.0,
            beta=8.0,
            standardize=True,
        ),
        lambda s, t: np_dkd(np_standardized(s), np_standardized(t)),
    ),
    **{
        f"kdcl_{ensemble}": (
            lambda a, b, ensemble=ensemble, at=at: collaborative(
                a, b, Target(paddle.to_tensor(LABELS[: len(a)])), ensemble=ensemble, temperature=at
            ),
            lambda a, b, ensemble=ensemble, at=at: np_kdcl(a, b, ensemble, at),
        )
        for ensemble, at in (("minlogit", 2.0), ("naive", 3.0), ("mean", 1.0))
    },
    "kd": (kl_divergence, np_kd),
    "js": (js_divergence, np_js),
    "dkd": (
        lambda s, t: decoupled(
            s, t, Target(paddle.to_tensor(LABELS)), temperature=4.0, alpha=1.0, beta=8.0
        ),
        np_dkd,
    ),
    "dist": (dist, np_dist),
    "rkd_distance": (rkd_distance, lambda s, t: np_rkd(s, t, angles=False)),
    "rkd_angle": (rkd_angle, lambda s, t: np_rkd(s, t, angles=True)),
}
