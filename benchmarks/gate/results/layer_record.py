"""How far the layers of the 8-bit files are from fp32, for the result file.

The clips are those of the gate's list, which ranges were not taken from. What stands in the way of
it, such as a package that is not installed, is recorded: what the gate is about does not need it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np

from benchmarks.deployments.deployment import Deployment
from infer.bundle.bundle import Bundle
from infer.libraries.install import pip_install
from infer.runtimes.registry import find_artifact
from infer.system.errors import VideoError
from infer.system.log import logger
from train.evaluation.evaluate import ListedClips

log = logger("benchmarks.gate")

CLIPS = 16
"""Of the list, evenly spread; the figures are ratios of sums over all values of a layer."""
PRECISION = "int8"


def layer_record(
    bundle: Bundle, cells: Sequence[Deployment], clips: ListedClips, *, threads: int
) -> dict[str, Any]:
    """Compare each 8-bit file that a deployment runs with the fp32 file, layer by layer.

    Args:
        bundle: of the student.
        cells: the deployments.
        clips: the listed clips, as the student sees them.
        threads: of ONNX Runtime.

    Returns:
        JSON-ready: `clips`, how many went through, and `artifacts` by key. Of each the `cells` that
        run it and its `layers`, the largest error first; or the `reason` why there are none.
    """
    runs: dict[str, list[str]] = {}
    for cell in cells:
        if cell.precision == PRECISION:
            key = find_artifact(bundle, cell.backend, cell.precision).key
            runs.setdefault(key, []).append(cell.key)
    chosen = _readable(clips) if runs else []
    artifacts = {
        key: {"cells": own, **_compared(bundle, key, chosen, threads)} for key, own in runs.items()
    }
    return {"clips": len(chosen), "artifacts": artifacts}


def _readable(clips: ListedClips) -> list[np.ndarray]:
    """uint8 [T, H, W, 3] of some clips that can be read, evenly spread."""
    found: list[np.ndarray] = []
    total = len(clips.samples)
    for place in np.linspace(0, total - 1, min(CLIPS, total)).round().astype(int).tolist():
        try:
            found.append(clips.read(place, rng=None)[0][0])
        except VideoError:
            continue
    return found


def _compared(
    bundle: Bundle, key: str, clips: Sequence[np.ndarray], threads: int
) -> dict[str, Any]:
    if find_spec("onnx") is None:
        return {"reason": f"the package onnx is not installed ({pip_install(extra='export')})"}
    if not clips:
        return {"reason": "none of the clips chosen for it can be read"}
    from export.int8.layer_errors import layer_errors

    try:
        fp32, int8 = (bundle.artifact(name).paths[0] for name in ("onnx.fp32", key))
        found = layer_errors(fp32, int8, clips, threads=threads)
    except Exception as error:  # onnxruntime raises a dozen unrelated types
        reason = " ".join(str(error).split())
        log.warning(f"the layers of {key} were not compared with fp32: {reason}")
        return {"reason": reason}
    return {
        "layers": [
            {
                "layer": one.layer,
                "kind": one.kind,
                "error": _finite(one.error),
                "rounding": _finite(one.rounding),
            }
            for one in found
        ]
    }


def _finite(value: float | None) -> float | None:
    """JSON has no infinity."""
    return value if value is not None and math.isfinite(value) else None
