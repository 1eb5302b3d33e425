"""The small part of PyCUDA that a runtime needs: one GPU, its memory, streams and events.

PyCUDA ties everything to the context that is current in the calling thread. `Gpu.active()` makes
the GPU's primary context current, which TensorRT and every other library in the process use too,
and gives the thread back as it was: a runtime works from any thread, beside any other.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from traceback import clear_frames
from typing import Any

import numpy.typing as npt

from ...system.errors import BackendError
from ...system.hardware import gpu_problem
from ...system.signals import importing


def cuda_problem(device: int = 0) -> str | None:
    """Why that GPU cannot be used from here; None if it can."""
    try:
        with importing():
            import pycuda.driver  # noqa: F401
    except Exception as error:  # a missing package, or a libcuda that does not load
        return f"pycuda cannot be imported ({error}); its installation needs the CUDA toolkit"
    return gpu_problem(device)


@contextmanager
def cuda_errors(what: str) -> Iterator[None]:
    """Turn PyCUDA's errors into BackendError, whose message begins with `what`."""
    import pycuda.driver as cuda

    try:
        yield
    except cuda.Error as error:
        # A stream that the traceback holds would outlive its context.
        clear_frames(error.__traceback__)
        if isinstance(error, cuda.MemoryError):
            error = f"not enough memory ({error}); use smaller batches"
        raise BackendError(f"{what}: {error}") from None


@cache
def _primary_context(device: int) -> Any:
    # Kept while the process lives, as the CUDA runtime does: giving it back would leave its handle
    # on the stack of the thread that did so.
    import pycuda.driver as cuda

    return cuda.Device(device).retain_primary_context()


class Gpu:
    """One GPU, and what was taken from it; `close` gives all of that back.

    Everything but `name` and `compute_capability` is used inside `active()`; `cuda` is PyCUDA's
    driver module, for streams, events and copies.
    """

    def __init__(self, device: int = 0) -> None:
        import pycuda.driver as cuda

        self.cuda: Any = cuda
        with cuda_errors(f"GPU {device} cannot be used"):
            cuda.init()
            found = cuda.Device(device)
            major, minor = found.compute_capability()
            self.name: str = found.name()
            self._context = _primary_context(device)
        self.compute_capability = f"{major}.{minor}"
        self._owned = ExitStack()

    @contextmanager
    def active(self) -> Iterator[None]:
        """Make the GPU's context current in this thread, for the body."""
        self._context.push()
        try:
            yield
        finally:
            self._context.pop()

    def device_memory(self, size: int) -> int:
        """Address of `size` bytes on the GPU."""
        memory = self.cuda.mem_alloc(size)
        self._owned.callback(memory.free)
        return int(memory)

    def pinned(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """An array in page-locked host memory: only such memory is copied while others work.

        Nothing may touch it after `close`.
        """
        array: npt.NDArray[Any] = self.cuda.pagelocked_empty(shape, dtype)
        self._owned.callback(array.base.free)  # type: ignore[union-attr]
        return array

    def close(self) -> None:
        """Free all memory, even when freeing some of it fails; calling it twice is fine."""
        self._owned.close()
