"""Where and with what a number was measured: hardware, system, versions, threads.

A measurement without its conditions cannot be compared with anything, so every result file
carries this record. Nothing in it identifies the machine (no host name, no user, no address).
"""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Iterable
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

from infer.runtimes.registry import backend_packages
from infer.system.hardware import cores, cpuinfo, memory_bytes

PACKAGES = (
    "numpy", "opencv-python", "opencv-python-headless", "av", "onnx", *backend_packages(),
    "paddle2onnx", "numba",
)  # fmt: skip
THREAD_VARIABLES = (
    "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS",
    "MKL_DEBUG_CPU_TYPE",  # not about threads, but as decisive: see infer.libraries.mkl
)  # fmt: skip
# What decides how fast a convolution can be on x86 and Arm.
CPU_FEATURES = (
    "avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "avx512_fp16", "amx_int8",
    "amx_bf16", "asimd", "asimddp", "i8mm", "bf16", "sve",
)  # fmt: skip


def machine() -> dict[str, Any]:
    """Hardware, system and package versions, as JSON-ready values; unknown ones are None."""
    cpu = cpuinfo()
    flags = set(cpu.get("flags", cpu.get("features", "")).split())
    return {
        "cpu": cpu.get("model name") or platform.processor() or platform.machine() or None,
        "architecture": platform.machine(),
        "cores": cpu_count(),
        "cpu_features": [name for name in CPU_FEATURES if name in flags],
        "memory_bytes": memory_bytes(),
        "system": _system_name(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "packages": package_versions(),
        "thread_variables": {
            name: os.environ[name] for name in THREAD_VARIABLES if name in os.environ
        },
    }


def cpu_count() -> int:
    """Cores that this process may use (a container may see more than it is allowed)."""
    return cores()


def load_average() -> float | None:
    """How many processes wanted to run in the last minute; more than ours means a busy machine."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def cpu_times() -> tuple[float, float, float] | None:
    """Seconds so far: all processors busy, this process, the wall clock; None where unknown."""
    try:
        line = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0]
        # user nice system idle iowait irq softirq steal; what follows is counted in user already.
        ticks = [int(value) for value in line.split()[1:9]]
        busy = (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None
    own = os.times()
    return busy, own.user + own.system, time.monotonic()


def cores_of_others(
    before: tuple[float, float, float] | None, after: tuple[float, float, float] | None
) -> float | None:
    """How many cores other processes kept busy between two `cpu_times`, on average."""
    if before is None or after is None or after[2] <= before[2]:
        return None
    busy, own, wall = (b - a for a, b in zip(before, after, strict=True))
    return round(max(0.0, busy - own) / wall, 2)


def package_versions(names: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Versions of those packages that are installed."""
    versions = {}
    for name in names:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def now() -> str:
    """This second, UTC, ISO 8601."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def command_line() -> str:
    """The command that is running, as a user would type it."""
    name = getattr(sys.modules.get("__main__"), "__spec__", None)
    module = name.name.removesuffix(".__main__") if name is not None else None
    start = f"python -m {module}" if module else f"python {Path(sys.argv[0]).name}"
    return " ".join([start, *(_quote(argument) for argument in sys.argv[1:])])


def _quote(argument: str) -> str:
    return f"'{argument}'" if any(c.isspace() for c in argument) else argument


def _system_name() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return f"{platform.system()} {platform.release()}"
