"""Wide vector instructions for Paddle's matrix products on AMD processors.

Paddle's CPU build multiplies matrices with an MKL of 2019, which gives processors of other makers
than Intel its slowest kernels, those of SSE2. A variable that it reads when it is loaded makes it
take AVX2: a training step of the embedded pair then takes about half the time on an AMD EPYC.
"""

from __future__ import annotations

import os
from pathlib import Path

from ..system.hardware import CPUINFO, cpuinfo

VARIABLE = "MKL_DEBUG_CPU_TYPE"
AVX2 = "5"


def use_avx2_on_amd(file: Path = CPUINFO) -> None:
    """Set the variable where it helps, unless the user has set it; call it before Paddle loads."""
    cpu = cpuinfo(file)
    if cpu.get("vendor_id") == "AuthenticAMD" and {"avx2", "fma"} <= set(
        cpu.get("flags", "").split()
    ):
        os.environ.setdefault(VARIABLE, AVX2)
