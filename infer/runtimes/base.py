"""What every runtime is: uint8 clips in, float32 logits out, and memory given back on exit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ..bundle.bundle import Artifact, Bundle
from ..system.errors import BackendError
from .backend import Backend

Clips = npt.NDArray[np.uint8]
Logits = npt.NDArray[np.float32]


class Runtime(Protocol):
    """A network ready to run; a context manager that owns its memory and frees it on exit.

    `run` takes uint8 [n, T, H, W, 3], n at least 1 and as large as you like (it is split into
    parts of `max_batch`), and returns float32 [n, classes], an array of its own that nothing
    else writes to. A clip gives the same logits alone and in any batch, up to the rounding of one
    float32 matrix product.

    Threads: one at a time may use a runtime, unless its class promises more. Threads that work
    at once open one each.

    Processes: only the one that opened it may run it. In a process that was forked from that one
    `run` is an error and `close` frees nothing.
    """

    @property
    def backend(self) -> str:
        """Name as in `BACKENDS`."""
        ...

    @property
    def precision(self) -> str:
        """The precision that was asked for: fp32, fp16, bf16, int8."""
        ...

    @property
    def max_batch(self) -> int:
        """Clips that go through the network at once, at most."""
        ...

    def run(self, clips: Clips) -> Logits:
        """Logits of clips. Raises BackendError for a wrong shape or dtype."""
        ...

    def close(self) -> None:
        """Give back what it holds; calling it twice is fine, running afterwards is an error."""
        ...

    def __enter__(self) -> Runtime: ...

    def __exit__(self, *error: object) -> None: ...


MOST_THREADS = 1024
"""More are a slip of the keyboard, and starting them would take minutes."""


@dataclass(frozen=True)
class RuntimeOptions:
    """The options of `open_runtime` that a backend sees, checked."""

    threads: int | None
    max_batch: int
    device: int
    streams: int
    spinning: bool


class Implementation(Protocol):
    """What the module that `Backend.runtime` names has. To import it needs no package of it."""

    def open_artifact(
        self,
        backend: Backend,
        bundle: Bundle,
        artifact: Artifact,
        *,
        precision: str,
        options: RuntimeOptions,
    ) -> Runtime:
        """A runtime for an artifact, whose files are those that were exported.

        Raises:
            BackendUnavailable: the backend cannot run here.
            BundleError: the artifact does not load.
        """
        ...

    def version(self, backend: Backend) -> str | None:
        """The version of its package, None where it does not say.

        Raises:
            BackendUnavailable: the package cannot be imported.
        """
        ...

    def check(self, backend: Backend) -> None:
        """Do something cheap with it, such as a sum; raises whatever goes wrong."""
        ...


def check_clips(clips: Clips, bundle: Bundle) -> None:
    """Raises BackendError unless `clips` is uint8 [n, *bundle.spec.clip_shape] with n >= 1."""
    shape = bundle.spec.clip_shape
    if not isinstance(clips, np.ndarray) or clips.dtype != np.uint8:
        found = getattr(clips, "dtype", type(clips).__name__)
        raise BackendError(f"clips are {found}; this bundle takes uint8 pixels, 0 to 255, RGB")
    if clips.ndim != 5 or clips.shape[1:] != shape or clips.shape[0] < 1:
        want = ", ".join(str(n) for n in shape)
        raise BackendError(f"clips have the shape {clips.shape}; this bundle takes (n, {want})")


def in_parts(clips: Clips, size: int) -> list[Clips]:
    """`clips` in contiguous parts of at most `size`, in order."""
    return [np.ascontiguousarray(clips[i : i + size]) for i in range(0, len(clips), size)]
