"""Two hosts on this machine: network namespaces, joined by a cable and by nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Host:
    """One of them.

    Attributes:
        name: its host name, which stands for no address.
        address: what the other reaches it by.
        command: put before a command, runs it there.
    """

    name: str
    address: str
    command: tuple[str, ...]


def no_hosts() -> str | None:
    """Why there cannot be any here; None where there can."""
    if os.geteuid() != 0:
        return "network namespaces want root"
    if shutil.which("ip") is None or shutil.which("unshare") is None:
        return "network namespaces want `ip` (iproute2) and `unshare` (util-linux)"
    name = f"clipduet-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True)
    subprocess.run(["ip", "netns", "delete", name], capture_output=True)
    return None if made.returncode == 0 else f"no network namespaces here: {made.stderr.strip()}"


@contextmanager
def two_hosts() -> Iterator[list[Host]]:
    """Both, with an interface `eth0` and a loopback each; gone afterwards."""
    names = [f"clipduet-{os.getpid()}-{number}" for number in (1, 2)]
    try:
        for name in names:
            _ip("netns", "add", name)
        _ip("link", "add", "eth0", "netns", names[0], "type", "veth",
            "peer", "name", "eth0", "netns", names[1])  # fmt: skip
        for number, name in enumerate(names, 1):
            _ip("-n", name, "address", "add", f"10.99.0.{number}/24", "dev", "eth0")
            for interface in ("lo", "eth0"):
                _ip("-n", name, "link", "set", interface, "up")
        yield [_host(name, f"10.99.0.{number}") for number, name in enumerate(names, 1)]
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True)


def _host(name: str, address: str) -> Host:
    renamed = 'echo "$0" > /proc/sys/kernel/hostname && exec "$@"'
    inside = ("ip", "netns", "exec", name, "unshare", "--uts", "sh", "-c", renamed, name)
    return Host(name, address, inside)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
