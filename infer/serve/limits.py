"""What the service takes in at most; the defaults are those of the command line."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class BodyLimits:
    """What a request's body may be at most.

    Attributes:
        bytes: in all.
        files: of a form.
        seconds: from its first byte to its last.
        idle: seconds without any byte.
    """

    bytes: int = 256 << 20
    files: int = 32
    seconds: float = 60.0
    idle: float = 10.0


@dataclass(frozen=True)
class ServiceLimits:
    """What the service takes in.

    Attributes:
        workers: processes that read videos, and videos that are read at once.
        queue: requests that wait beside those that are worked on.
        wait: seconds that a video may wait before it is read.
        body: of each request.
    """

    workers: int = 2
    queue: int = 64
    wait: float = 60.0
    body: BodyLimits = field(default_factory=BodyLimits)
