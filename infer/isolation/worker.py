"""A process that reads clips for another one: the inner side of `infer.isolation.reading`.

It may crash, hang or be killed at any time; it says nothing and writes nothing but its answers.
"""

from __future__ import annotations

import ctypes
import os
import queue
import resource
import signal
import socket
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2

from ..clips.preprocess import load_clips, reason_of
from ..clips.spec import ClipSpec
from ..containers.limits import Limits
from ..system.errors import NO_MEMORY, ClipDuetError
from .messages import ConnectionLost, receive, send

_SAID = 16 << 20
"""Bytes of what a process may write about one video."""
_NEW_USER, _NEW_NETWORK = 0x10000000, 0x40000000
"""Flags of `unshare`, of Linux."""


def serve(descriptor: int, memory: int, limits: Mapping[str, Any]) -> None:
    """Answer requests until the other side of the socket is closed.

    Args:
        descriptor: of the socket.
        memory: bytes that a video may take beside what the process has taken before.
        limits: of `Limits`.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)
    allowed = Limits(**limits)
    jobs: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    with socket.socket(fileno=descriptor) as connection:
        _leave_networks()  # before there are threads: else the system refuses it
        threading.Thread(target=_listen, args=(connection, jobs), daemon=True).start()
        _limit(memory)
        send(connection, {"ready": True})
        while True:
            _answer(connection, jobs.get(), allowed)


def _leave_networks() -> None:
    """Cut this process off from all networks, this machine's own addresses too.

    Where the system allows it to users, or this is root: else nothing is changed.
    """
    unshare = getattr(ctypes.CDLL(None), "unshare", None)
    if unshare is not None and unshare(_NEW_NETWORK):
        unshare(_NEW_USER | _NEW_NETWORK)


def _listen(connection: socket.socket, jobs: queue.SimpleQueue[dict[str, Any]]) -> None:
    try:
        while True:
            jobs.put(receive(connection))
    except ConnectionLost:
        # At once, also in the middle of a video: nobody is left who wants it.
        os._exit(0)


def _limit(memory: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # It writes no files; what decoders say goes into one that must not fill the disk.
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    said = _SAID if hard == resource.RLIM_INFINITY else min(_SAID, hard)
    resource.setrlimit(resource.RLIMIT_FSIZE, (said, hard))
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = min(taken + memory, sys.maxsize if hard == resource.RLIM_INFINITY else hard)
    resource.setrlimit(resource.RLIMIT_AS, (most, hard))


def _answer(connection: socket.socket, job: Mapping[str, Any], limits: Limits) -> None:
    spec = ClipSpec.from_dict(job["spec"])
    try:
        clips, info = load_clips(
            job["path"], spec, frames=job["frames"], suffix=job["suffix"], limits=limits
        )
    except Exception as error:
        reason = reason_of(error)
        if reason is None and isinstance(error, ClipDuetError):
            send(connection, {"kind": type(error).__name__, "text": str(error)})
            return
        text = " ".join(f"its reading failed: {type(error).__name__}: {error}".split())[:400]
        about = {"memory": reason == NO_MEMORY, "failure": getattr(error, "kind", "")}
        send(connection, {"error": reason or text, **about})
        return
    known = {key: value for key, value in vars(info).items() if key != "path"}
    send(connection, {"info": known, "shape": clips.shape}, clips)
