"""An optimiser's state under the networks' keys, to be stored and found again.

Paddle names it after the parameters' global names, which count up over the process: the same
network built a second time would not find its own state again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from paddle import nn
from paddle.optimizer import Optimizer

MASTERS = "master_weights"
"""Where Paddle's state dict has the float32 weights of which the networks' are rounded."""

_MASTER = re.compile(r"fp32_master_\d+")


def optimizer_state(networks: nn.Layer, optimizer: Optimizer) -> dict[str, Any]:
    """Everything an optimiser knows of the parameters, by `key|what`; master weights too."""
    prefixes = _names(networks)
    whole = optimizer.state_dict()
    masters = {value.name: value for value in whole.pop(MASTERS, {}).values()}
    state = {}
    for name, value in (whole | masters).items():
        if name == "LR_Scheduler":
            continue
        key, rest = next(
            (key, name[len(prefix) :])
            for prefix, key in prefixes.items()
            if name.startswith(prefix)
        )
        state[f"{key}|{rest}"] = value
    return state


def set_optimizer_state(networks: nn.Layer, optimizer: Optimizer, state: Mapping[str, Any]) -> None:
    """Restore what `optimizer_state` has returned, for networks with the same keys."""
    prefixes = {key: prefix for prefix, key in _names(networks).items()}
    named: dict[str, Any] = {}
    masters = {}
    for entry, value in state.items():
        key, rest = entry.split("|")
        if _MASTER.fullmatch(rest):
            # By this name, Paddle looks for the master's momentum.
            value.name = prefixes[key] + rest
            masters[prefixes[key].removesuffix("_")] = value
        else:
            named[prefixes[key] + rest] = value
    optimizer.set_state_dict({**named, MASTERS: masters} if masters else named)


def _names(networks: nn.Layer) -> dict[str, str]:
    return {parameter.name + "_": key for key, parameter in networks.named_parameters()}
