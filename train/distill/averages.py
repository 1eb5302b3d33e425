"""Networks that are moving averages of others: they teach, and no gradient trains them.

A network's average answers more steadily than the network, which moves with every batch. In peer
collaborative learning (Wu and Gong, 2021) each network learns from the average of its peer, as a
student from its own in mean teachers (Tarvainen and Valpola, 2017).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import paddle
from paddle import Tensor, nn

from train.models import build_network
from train.models.layers import BATCH_NORMS


@dataclass(frozen=True)
class AverageOf:
    """What a network is the average of.

    Attributes:
        role: the network that it follows.
        decay: share of the old average that stays after a step, at most.
    """

    role: str
    decay: float


def add_averages(
    model: Mapping[str, Any],
    networks: dict[str, nn.Sequential],
    blocks: dict[str, Mapping[str, Any]],
) -> dict[str, AverageOf]:
    """Build the networks of `MODEL.averages` beside those that they follow, as these are now.

    Args:
        model: the MODEL block.
        networks: by role; gets the averages.
        blocks: the networks' settings by role; gets those of the averages.
    """
    averages = {
        role: AverageOf(block["of"], float(block["decay"]))
        for role, block in (model.get("averages") or {}).items()
    }
    for role, of in averages.items():
        networks[role], blocks[role] = build_network(blocks[of.role]), blocks[of.role]
    start_averages(networks, averages)
    return averages


def averaged_norms(
    networks: Mapping[str, nn.Sequential], averages: Mapping[str, AverageOf]
) -> list[nn.Layer]:
    """The batch norms of averages, whose statistics follow those of other networks."""
    layers = [layer for role in averages for layer in networks[role].sublayers()]
    return [layer for layer in layers if isinstance(layer, BATCH_NORMS)]


def start_averages(
    networks: Mapping[str, nn.Sequential], averages: Mapping[str, AverageOf]
) -> None:
    """Let every average begin as the network that it follows is now."""
    for role, of in averages.items():
        networks[role].set_state_dict(networks[of.role].state_dict())


def update_averages(
    networks: Mapping[str, nn.Sequential], averages: Mapping[str, AverageOf], *, step: int
) -> None:
    """Take in the networks as they are after `step` steps, statistics of batch norms included."""
    for role, of in averages.items():
        # The tensors themselves; with hooks they may be copies in another type.
        own, other = (networks[name].state_dict(use_hook=False) for name in (role, of.role))
        follow(own, other, decay=decay_after(step, most=of.decay))


def decay_after(step: int, *, most: float) -> float:
    """Share of the average that a step leaves: small at first, so that the start is forgotten."""
    return min(most, (1 + step) / (10 + step))


@paddle.no_grad()
def follow(values: Mapping[str, Tensor], others: Mapping[str, Tensor], *, decay: float) -> None:
    """Let each of the float32 `values` become `decay * value + (1 - decay) * other`, by key."""
    for key, value in values.items():
        paddle.assign(decay * value + (1 - decay) * others[key].astype("float32"), value)
