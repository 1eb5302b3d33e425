"""How much memory a run has needed so far."""

from __future__ import annotations

import resource
import sys

import paddle


def peak_memory() -> int:
    """The most bytes held at once: on the GPU where there is one, else by the process."""
    if paddle.device.get_device().startswith("gpu"):
        return int(paddle.device.cuda.max_memory_allocated())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
