"""A network that computes something else than the checkpoint, for tests of the export."""

from __future__ import annotations

from typing import Any

import numpy as np

from export.network.fuse import fuse


def wrong_weights(network: Any) -> Any:
    fused = fuse(network)
    for tensor in fused.state_dict().values():
        tensor.set_value(tensor.numpy() * np.float32(1.01))
    return fused
