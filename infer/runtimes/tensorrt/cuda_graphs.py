"""Capture what is queued on a CUDA stream once, replay it with one call.

PyCUDA cannot capture; NVIDIA's cuda-bindings can, and both name streams by the same handles.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...system.errors import BackendError
from ...system.signals import importing


def capture_problem() -> str | None:
    """Why nothing can be captured here; None if it can be."""
    try:
        with importing():
            from cuda.bindings import driver  # noqa: F401
    except Exception as error:
        return f"cuda.bindings cannot be imported ({error}); pip install cuda-bindings"
    return None


class CudaGraph:
    """Work captured on a stream. The arrays and addresses in it are those of the capture.

    Args:
        stream: handle of the stream to capture.
        enqueue: queues the work on that stream; returns without waiting for it.

    Raises:
        BackendError: the work cannot be captured.
    """

    def __init__(self, stream: int, enqueue: Callable[[], None]) -> None:
        from cuda.bindings import driver

        self._driver: Any = driver
        self._run: Any = None
        # Other threads may allocate meanwhile: only this thread's calls are held to the rules.
        mode = driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
        self._call("cuStreamBeginCapture", stream, mode)
        try:
            enqueue()
        except BaseException:
            # A capture that is left open would make the stream useless.
            _, graph = driver.cuStreamEndCapture(stream)
            driver.cuGraphDestroy(graph)
            raise
        graph = self._call("cuStreamEndCapture", stream)
        try:
            self._run = self._call("cuGraphInstantiate", graph, 0)
        finally:
            driver.cuGraphDestroy(graph)

    def launch(self, stream: int) -> None:
        """Queue the captured work on a stream."""
        self._call("cuGraphLaunch", self._run, stream)

    def close(self) -> None:
        """Free it; calling it twice is fine."""
        run, self._run = self._run, None
        if run is not None:
            self._call("cuGraphExecDestroy", run)

    def _call(self, name: str, *args: Any) -> Any:
        error, *result = getattr(self._driver, name)(*args)
        if int(error) != 0:
            raise BackendError(f"CUDA graph: {name} failed ({error!r})")
        return result[0] if result else None
