"""One way to run a bundle, whatever runs it: open, run uint8 clips, get float32 logits, close."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol

import numpy as np
import numpy.typing as npt

from infer.bundle import Bundle
from infer.errors import BackendError

Clips = npt.NDArray[np.uint8]
Logits = npt.NDArray[np.float32]

# Backend name -> the format of the artefacts it reads.
BACKENDS = {"onnxruntime": "onnx", "paddle": "paddle"}


class Runtime(Protocol):
    """A network ready to run; a context manager.

    `run` takes uint8 [n, T, H, W, 3], n at least 1 and as large as you like (it is split into
    parts of `max_batch`), and returns float32 [n, classes], an array of its own. A clip gives the
    same logits alone and in any batch, up to the rounding of one float32 matrix product.
    """

    @property
    def backend(self) -> str:
        """Name as in `BACKENDS`."""
        ...

    @property
    def precision(self) -> str:
        """Precision of the artefact: fp32, fp16, int8."""
        ...

    @property
    def max_batch(self) -> int:
        """Clips that go through the network at once, at most."""
        ...

    def run(self, clips: Clips) -> Logits:
        """Logits of clips. Raises BackendError for a wrong shape or dtype."""
        ...

    def close(self) -> None:
        """Give back what it holds; calling it twice is fine."""
        ...

    def __enter__(self) -> Runtime: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def open_runtime(
    bundle: Bundle,
    *,
    backend: str = "onnxruntime",
    precision: str = "fp32",
    threads: int | None = None,
) -> Runtime:
    """Load an artefact of a bundle into a runtime.

    Args:
        backend: a key of `BACKENDS`.
        precision: one the bundle has for that backend.
        threads: CPU threads of the network; None: all cores.

    Raises:
        BackendError: unknown or not installed backend, precision the bundle lacks, wrong threads.
        BundleError: the artefact's files are not those that were exported, or do not load.
    """
    if backend not in BACKENDS:
        raise BackendError(f"backend is {backend!r}; allowed: {', '.join(BACKENDS)}")
    if threads is not None and threads < 1:
        raise BackendError(f"threads is {threads}; allowed: from 1, or none for all cores")
    key = f"{BACKENDS[backend]}.{precision}"
    if key not in bundle.artifacts:
        there = [a.precision for a in bundle.artifacts.values() if a.format == BACKENDS[backend]]
        has = f"it has: {', '.join(sorted(there))}" if there else "it has none for this backend"
        raise BackendError(f"{bundle.root} has no {precision} model for {backend}; {has}")
    artifact = bundle.artifact(key)
    if backend == "paddle":
        from infer.runtimes.paddle_inference import PaddleRuntime

        return PaddleRuntime(bundle, artifact, threads=threads)
    from infer.runtimes.ort import OrtRuntime

    return OrtRuntime(bundle, artifact, threads=threads)


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
