"""Which processors this machine has, asked without any package: the kernel and the driver."""

from __future__ import annotations

import ctypes
import math
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

MOST_DECODERS = 8
"""Threads that read videos at once; more would hold memory that the network cannot keep up with."""
LARGEST_LIMIT = 1e9
"""Of time in seconds, and of memory in MiB: the system takes no larger ones."""
CPUINFO = Path("/proc/cpuinfo")
CGROUPS, OWN_CGROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
# What decides how fast a network runs: vector width, 8-bit and 16-bit dot products, tiles.
FEATURES = (
    *("avx2", "fma", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "avx512_fp16"),
    *("amx_tile", "amx_int8", "amx_bf16"),
    *("asimd", "asimddp", "i8mm", "bf16", "sve", "sve2"),
)
NO_DRIVER = (
    "no NVIDIA driver here (libcuda.so.1 cannot be loaded); in a container, start it with "
    "access to the GPUs (docker run --gpus all)"
)


@dataclass(frozen=True)
class Cpu:
    """name; cores this process may use; the instruction sets of `FEATURES` that it has."""

    name: str
    cores: int
    features: tuple[str, ...]


@dataclass(frozen=True)
class GpuInfo:
    """number, as `device` counts; name; compute capability, like "8.6"; bytes of memory."""

    number: int
    name: str
    capability: str
    memory: int


@dataclass(frozen=True)
class Gpus:
    """The NVIDIA GPUs that this process sees.

    cuda      the newest CUDA the driver supports, like "12.4"; None without a driver
    problem   why there are none; None if there are some
    """

    found: tuple[GpuInfo, ...]
    cuda: str | None
    problem: str | None


def cores() -> int:
    """CPU cores that this process may use: those it may run on, as many as its quota pays for."""
    return min(_seen(), quota() or _seen())


def threads_of(asked: int | None) -> int | None:
    """Threads for a package that would take all cores it sees.

    Returns:
        Those asked for, or the quota where that is less; None leaves it to the package.
    """
    allowed = cores()
    return allowed if asked is None and allowed < _seen() else asked


def _seen() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def quota(root: Path = CGROUPS, own: Path = OWN_CGROUPS) -> int | None:
    """Cores' worth of time that control groups allow this process (`docker run --cpus`).

    Args:
        root: where control groups are mounted, of version 1 or 2.
        own: which groups this process is in.

    Returns:
        Rounded up; None: there is no limit.
    """
    return _least_limit("cpu", _quota_of, root, own)


def memory_bytes(root: Path = CGROUPS, own: Path = OWN_CGROUPS) -> int | None:
    """The memory of this machine, or what control groups allow of it (`docker run --memory`).

    Args:
        root: as for `quota`.
        own: as for `quota`.

    Returns:
        None where the system does not tell.
    """
    try:
        installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
    # Of version 1, no limit is a number larger than any memory.
    return min(installed, _least_limit("memory", _memory_of, root, own) or installed)


def _least_limit(
    controller: str, limit_of: Callable[[Path], int | None], root: Path, own: Path
) -> int | None:
    """The least limit of a process's control groups and those above them; None: there is none."""
    try:
        lines = own.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    limits = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        for base in (root / controllers, root / (controller if controllers else "unified")):
            # Within a container the path may be that of the host, and the mount begins at its end.
            group = base / path.strip("/")
            above = [folder for folder in group.parents if folder.is_relative_to(base)]
            limits += [limit_of(folder) for folder in (group, *above)]
    return min((limit for limit in limits if limit), default=None)


def _quota_of(group: Path) -> int | None:
    try:
        if (group / "cpu.max").is_file():
            time, period = (group / "cpu.max").read_text().split()
        else:
            names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
            time, period = ((group / name).read_text().strip() for name in names)
        return None if time in ("max", "-1") else max(1, math.ceil(int(time) / int(period)))
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _memory_of(group: Path) -> int | None:
    for name in ("memory.max", "memory.limit_in_bytes"):
        try:
            return int((group / name).read_text())
        except (OSError, ValueError):  # not there; `max`: no limit
            continue
    return None


def peak_bytes() -> int | None:
    """The largest resident memory of this process so far; None where the system does not tell.

    Linux tells it of the program that runs now. `getrusage` would also count the process that
    started this one, before it was replaced.
    """
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    values = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    return 1024 * int(values[0]) if values else None


def cpuinfo(file: Path = CPUINFO) -> dict[str, str]:
    """What the kernel tells of the first processor, names in lower case; empty where it does not.

    Some names stand only behind the last processor: those count as well.
    """
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    known: dict[str, str] = {}
    for line in lines:
        key, _, value = line.partition(":")
        known.setdefault(key.strip().lower(), value.strip())
    return known


def cpu(file: Path = CPUINFO) -> Cpu:
    """The CPU, as far as the kernel tells."""
    known = cpuinfo(file)
    flags = set(f"{known.get('flags', '')} {known.get('features', '')}".split())
    name = known.get("model name") or platform.processor() or platform.machine() or "unknown"
    return Cpu(name, cores(), tuple(f for f in FEATURES if f in flags))


def nvidia_gpus() -> Gpus:
    """The GPUs, asked of the driver itself, as every CUDA runtime does; makes no context."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return Gpus((), None, NO_DRIVER)
    try:
        return _ask(driver)
    except AttributeError as error:
        return Gpus((), None, f"libcuda.so.1 is not an NVIDIA driver ({error})")


def _ask(driver: ctypes.CDLL) -> Gpus:
    version, count = ctypes.c_int(), ctypes.c_int()
    driver.cuDriverGetVersion(ctypes.byref(version))
    cuda = f"{version.value // 1000}.{version.value % 1000 // 10}" if version.value else None
    for status in (driver.cuInit(0), driver.cuDeviceGetCount(ctypes.byref(count))):
        if status:
            return Gpus((), cuda, f"the NVIDIA driver sees no GPU: {_reason(driver, status)}")
    if not count.value:
        shown = os.environ.get("CUDA_VISIBLE_DEVICES")
        hint = "" if shown is None else f" (CUDA_VISIBLE_DEVICES is {shown!r})"
        return Gpus((), cuda, f"the NVIDIA driver sees no GPU{hint}")
    return Gpus(tuple(_gpu(driver, number) for number in range(count.value)), cuda, None)


def _gpu(driver: ctypes.CDLL, number: int) -> GpuInfo:
    device, name = ctypes.c_int(), ctypes.create_string_buffer(256)
    major, minor, memory = ctypes.c_int(), ctypes.c_int(), ctypes.c_size_t()
    driver.cuDeviceGet(ctypes.byref(device), number)
    driver.cuDeviceGetName(name, len(name), device)
    # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR of cuda.h.
    driver.cuDeviceGetAttribute(ctypes.byref(major), 75, device)
    driver.cuDeviceGetAttribute(ctypes.byref(minor), 76, device)
    driver.cuDeviceTotalMem_v2(ctypes.byref(memory), device)
    shown = name.value.decode(errors="replace")
    return GpuInfo(number, shown, f"{major.value}.{minor.value}", memory.value)


def _reason(driver: ctypes.CDLL, status: int) -> str:
    text = ctypes.c_char_p()
    driver.cuGetErrorString(status, ctypes.byref(text))
    said = (text.value or b"unknown error").decode(errors="replace")
    hint = ""
    if status == 100:  # CUDA_ERROR_NO_DEVICE
        shown = os.environ.get("CUDA_VISIBLE_DEVICES")
        hint = f"; CUDA_VISIBLE_DEVICES is {shown!r}" if shown is not None else ""
    return f"{said} (CUDA error {status}{hint})"


def gpu_problem(device: int) -> str | None:
    """Why that GPU cannot be used, or None if it is there."""
    gpus = nvidia_gpus()
    if gpus.problem is not None:
        return gpus.problem
    if device >= len(gpus.found):
        names = ", ".join(f"{gpu.number}: {gpu.name}" for gpu in gpus.found)
        return f"device is {device}; there is {names}"
    return None
