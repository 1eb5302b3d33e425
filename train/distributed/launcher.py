"""What a process arranges that Paddle's launcher has started, before it looks for the others."""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import socket
import struct
import sys
from pathlib import Path

_PR_SET_PDEATHSIG = 1
"""prctl(2): the signal that comes when the parent has ended."""
_SIOCGIFADDR = 0x8915
"""Linux's request for the address of an interface (netdevice(7))."""


def end_with_the_launcher() -> None:
    """Be asked to stop when the launcher is killed, which then asks nobody itself.

    It gives its processes sessions of their own, so they would train on unseen. Called first of
    all: what is loaded afterwards takes seconds.

    Raises:
        SystemExit: the launcher has ended already.
    """
    # Only the launcher sets it; others of its variables may be a scheduler's.
    if "PADDLE_BACKUP_ENV_PATH" not in os.environ or sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    parent = os.getppid()
    command = Path(f"/proc/{parent}/cmdline").read_bytes()
    if b"paddle.distributed.launch" in command or b"paddle/distributed/launch" in command:
        return
    if parent == 1:
        raise SystemExit("error: the launcher that has started this process has ended")
    # Between the two is a script of the user's, whose business it is.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, 0)


def process_count() -> int:
    """How many processes the launcher has started on all machines; 1 without one."""
    return int(os.environ.get("PADDLE_TRAINERS_NUM", "1"))


def own_address() -> str:
    """Where the launcher has told the others that this process is; "" where it has not."""
    name = os.environ.get("PADDLE_CURRENT_ENDPOINT", "").rpartition(":")[0]
    try:
        return socket.gethostbyname(name) if name else ""
    except OSError:
        return name


def use_own_interface() -> None:
    """Let gloo use the interface of that address, unless the user has chosen one.

    It would ask for the address of the machine's own name, which is 127.0.0.1 on many.
    """
    interface = _interface_of(own_address())
    if interface and not own_address().startswith("127."):
        os.environ.setdefault("GLOO_SOCKET_IFNAME", interface)


def _interface_of(address: str) -> str | None:
    """The network interface of this machine that has an IPv4 address; None where none has."""
    if sys.platform != "linux":
        return None
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        for _, name in socket.if_nameindex():
            request = struct.pack("256s", name.encode())
            try:
                answer = fcntl.ioctl(asked.fileno(), _SIOCGIFADDR, request)
            except OSError:  # an interface without an address
                continue
            if socket.inet_ntoa(answer[20:24]) == address:
                return name
    return None
