"""Batch-norm statistics of the weights as they are, instead of a trail of past ones.

Running averages lag behind weights that move with every step. Before a validation, the recipe's
`PRECISEBN` recomputes them with fixed weights as true averages over training batches (Wu and
Johnson, Rethinking "Batch" in BatchNorm, 2021, section 3).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import paddle
from paddle import Tensor, nn


@paddle.no_grad()
def recompute_statistics(
    network: nn.Layer, forward: Callable[[Tensor], object], batches: Iterable[Tensor]
) -> int:
    """Set every trained batch norm of `network` to its averages over `batches`.

    Args:
        network: in training mode; batch norms that are not (those of frozen parts) stay.
        forward: runs the network on one batch.
        batches: inputs of `forward`.

    Returns:
        The number of batches averaged; with none, nothing changes.
    """
    norms = [
        layer
        for layer in network.sublayers()
        if isinstance(layer, nn.BatchNorm2D) and layer.training
    ]
    kept = [layer._momentum for layer in norms]
    count = 0
    try:
        for count, batch in enumerate(batches, start=1):
            for layer in norms:
                # new = old * momentum + batch * (1 - momentum): with this, the mean so far.
                layer._momentum = 1 - 1 / count
            forward(batch)
    finally:
        for layer, momentum in zip(norms, kept, strict=True):
            layer._momentum = momentum
    return count
