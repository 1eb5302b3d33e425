"""Known answers: a few clips and what the 8-bit files say for them, kept in the bundle."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from export.assemble.options import FP32, ONNX_FILES
from export.network.sessions import cpu_session
from infer.bundle.bundle import Bundle, describe_file
from infer.bundle.known_answers import KNOWN_CLIPS
from infer.runtimes.known_answers import AnswersDiffer
from infer.runtimes.open import open_runtime
from infer.system.files import replacing

CLIPS = 4
BYTES = 8 << 20
"""Fewer clips are kept where so many would take more, but one always is."""
DIGITS = 6
"""Of a logit."""
LEAST_LIMIT = 0.1
"""Of the difference that an engine may make, as a share of the logits, both as root mean squares.
Where nothing saturates, engines differ by up to 0.02: they round ties otherwise, or less often."""
ROUNDINGS = 3
"""The limit in differences between the 8-bit file and fp32, where these are large: an engine need
not be nearer to the file than the file is to the network."""


def write_known_answers(
    folder: Path, keys: Collection[str], clips: np.ndarray, *, threads: int | None
) -> dict[str, Any]:
    """Write the clips; the logits are those of the files as they are written.

    Args:
        folder: the bundle's.
        keys: artefacts of 8 bits, at least one.
        clips: uint8 `[n, T, H, W, 3]`, of which the first are kept.
        threads: of ONNX Runtime; None: all cores.

    Returns:
        The `known_answers` entry of `bundle.json`.
    """
    kept = np.ascontiguousarray(clips[: max(1, min(CLIPS, BYTES // clips[0].nbytes))])
    with replacing(folder / KNOWN_CLIPS) as file:
        kept.tofile(file)
    whole = _as_written(folder / ONNX_FILES[FP32], kept, threads)
    logits, limits = {}, {}
    for key in keys:
        found = _as_written(folder / ONNX_FILES[key], kept, threads)
        logits[key] = found.tolist()
        size = float(np.square(found).mean()) or 1.0
        rounding = float(np.sqrt(np.square(found - whole).mean() / size))
        limits[key] = round(max(LEAST_LIMIT, ROUNDINGS * rounding), DIGITS)
    clips_file = describe_file(folder, KNOWN_CLIPS)
    return {"clips": clips_file, "logits": logits, "limits": limits}


def refusal_here(bundle: Bundle, *, threads: int | None) -> AnswersDiffer | None:
    """Why ONNX Runtime must not run the bundle's 8-bit file on this processor; None: it may."""
    try:
        open_runtime(bundle, precision="int8", threads=threads).close()
    except AnswersDiffer as error:
        return error
    return None


def _as_written(file: Path, clips: np.ndarray, threads: int | None) -> np.ndarray:
    """Logits float64 `[n, classes]`, node by node.

    Kernels of 8 bits may saturate here; node by node there are floats between the roundings.
    """
    session = cpu_session(file, threads=threads, exact=True)
    feed = session.get_inputs()[0].name
    rows = [session.run(None, {feed: clip[None]})[0][0] for clip in clips]
    return np.stack(rows).astype(np.float64).round(DIGITS)
