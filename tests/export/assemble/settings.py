"""What tests of the export share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from export.assemble.bundle import ExportOptions
from export.network.fuse import fuse

QUICK = ExportOptions(max_batch=3, calibration_clips=3, threads=1, workers=0)


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def wrong_weights(network: Any) -> Any:
    fused = fuse(network)
    for tensor in fused.state_dict().values():
        tensor.set_value(tensor.numpy() * np.float32(1.01))
    return fused
