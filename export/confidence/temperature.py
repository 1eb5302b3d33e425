"""Temperature scaling: one number that the logits are divided by (Guo et al., 2017).

It changes no answer, only how sure the network says that it is.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

LOWEST, HIGHEST = 0.02, 50.0


def log_softmax(logits: npt.ArrayLike, temperature: float = 1.0) -> Floats:
    """Logarithms of the softmax of logits [..., classes], divided by a temperature first."""
    values = np.asarray(logits, np.float64) / temperature
    values = values - values.max(axis=-1, keepdims=True)
    found: Floats = values - np.log(np.exp(values).sum(axis=-1, keepdims=True))
    return found


def nll(logs: Floats, labels: npt.ArrayLike) -> Floats:
    """Negative log-likelihood of the true class in nats, [clips].

    Args:
        logs: [clips, classes], of `log_softmax`.
        labels: int [clips].
    """
    truth = np.asarray(labels, np.int64)
    found: Floats = -logs[np.arange(len(truth)), truth]
    return found


def fit_temperature(logits: npt.ArrayLike, labels: npt.ArrayLike) -> float:
    """The temperature from `LOWEST` to `HIGHEST` with the least NLL.

    Args:
        logits: [clips, classes], finite.
        labels: int [clips].

    Raises:
        ValueError: no clip.
    """
    from scipy.optimize import minimize_scalar

    values, truth = np.asarray(logits, np.float64), np.asarray(labels, np.int64)
    if not len(truth):
        raise ValueError("a temperature cannot be fitted to no clip")

    # As a function of its inverse the NLL is convex: there is one minimum.
    def loss(inverse: float) -> float:
        return float(nll(log_softmax(values, 1 / inverse), truth).mean())

    # The search goes by the logarithm, so that small and large ones are found as precisely.
    found = minimize_scalar(
        lambda log: loss(math.exp(log)),
        bounds=(-math.log(HIGHEST), -math.log(LOWEST)),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return math.exp(-float(found.x))
