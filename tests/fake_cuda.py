"""A GPU without a GPU: stands in for `pycuda.driver` and `cuda.bindings.driver` in tests.

It keeps account of what was taken and given back, refuses what CUDA refuses, and does what was
queued on a stream as late as it may (or, for uploads, as early): code that forgets to wait for
something gets wrong numbers here, every time.
"""

from __future__ import annotations

import enum
import sys
import threading
import types
import weakref
from collections import Counter

import numpy as np


class Error(Exception):
    pass


class MemoryError_(Error):
    pass


class FakeCuda:
    """`eager`: uploads are done when they are queued. `fail_at`: this call of all fails."""

    def __init__(self, *, devices=1, total=1 << 34, eager=False, fail_at=None):
        self.devices, self.total, self.eager, self.fail_at = devices, total, eager, fail_at
        self.live = Counter()
        self.bytes = Counter()
        self.calls: list[str] = []
        self.log: list[str] = []
        self.memory: dict[int, bytearray] = {}
        # Weakly: the runtime's references alone keep a stream.
        self.streams: weakref.WeakValueDictionary[int, Stream] = weakref.WeakValueDictionary()
        self.capturing: dict[int, list] = {}
        self._next = 0x1000
        self._local = threading.local()

    # --- the account --------------------------------------------------------------------------

    def tick(self, name):
        """Count a call; True if it is the one that has to fail."""
        self.calls.append(name)
        return len(self.calls) == self.fail_at

    def call(self, name, *, active=True):
        if active and not self.stack:
            raise Error(f"{name} failed: invalid device context")
        if self.tick(name):
            raise Error(f"{name} failed: made to fail")

    @property
    def stack(self):
        if not hasattr(self._local, "stack"):
            self._local.stack = []
        return self._local.stack

    def take(self, kind, size=0):
        self.live[kind] += 1
        self.bytes[kind] += size
        self._next += 0x1000 + size
        return self._next

    def give(self, kind, size=0):
        self.live[kind] -= 1
        self.bytes[kind] -= size
        assert self.live[kind] >= 0, f"{kind} was given back twice"

    def held(self):
        """What is still taken; empty when all was given back."""
        return {kind: count for kind, count in self.live.items() if count}

    def drain(self):
        for stream in list(self.streams.values()):
            stream.finish()

    # --- what takes the place of the packages --------------------------------------------------

    def install(self, monkeypatch):
        from infer.runtimes.tensorrt import cuda_memory
        from infer.system import hardware

        found = [
            hardware.GpuInfo(k, f"Fake GPU {k}", "9.0", self.total) for k in range(self.devices)
        ]
        problem = None if found else "the NVIDIA driver sees no GPU"
        gpus = hardware.Gpus(tuple(found), "12.8", problem)
        monkeypatch.setattr(hardware, "nvidia_gpus", lambda: gpus)
        cuda_memory._primary_context.cache_clear()
        package, driver = types.ModuleType("pycuda"), self.driver()
        package.driver = driver
        monkeypatch.setitem(sys.modules, "pycuda", package)
        monkeypatch.setitem(sys.modules, "pycuda.driver", driver)
        # Without cuda-bindings, unless a test adds them.
        monkeypatch.setitem(sys.modules, "cuda.bindings", None)
        return self

    def install_bindings(self, monkeypatch):
        package, bindings = types.ModuleType("cuda"), types.ModuleType("cuda.bindings")
        package.bindings, bindings.driver = bindings, self.bindings()
        monkeypatch.setitem(sys.modules, "cuda", package)
        monkeypatch.setitem(sys.modules, "cuda.bindings", bindings)
        monkeypatch.setitem(sys.modules, "cuda.bindings.driver", bindings.driver)

    def driver(self):
        cuda, driver = self, types.ModuleType("pycuda.driver")

        class Context:
            def push(self):
                cuda.stack.append(self)

            @staticmethod
            def pop():
                cuda.stack.pop()

        class Device:
            def __init__(self, index):
                cuda.call("Device", active=False)
                self.index = index

            def name(self):
                return f"Fake GPU {self.index}"

            def compute_capability(self):
                return (9, 0)

            def retain_primary_context(self):
                cuda.call("retain_primary_context", active=False)
                return Context()

        def mem_alloc(size):
            cuda.call("mem_alloc")
            if cuda.bytes["device"] + size > cuda.total:
                raise MemoryError_("mem_alloc failed: out of memory")
            return DeviceAllocation(cuda, size)

        def mem_get_info():
            return cuda.total - cuda.bytes["device"], cuda.total

        def pagelocked_empty(shape, dtype):
            cuda.call("pagelocked_empty")
            return np.asarray(PinnedAllocation(cuda, shape, dtype))

        def memcpy_htod_async(dest, src, stream):
            cuda.call("memcpy_htod_async")
            assert src.flags.c_contiguous and pinned(src), "a copy from memory that is not pinned"

            def copy():
                cuda.log.append(f"upload {dest:#x}")
                memory = cuda.memory[dest]
                memory[: src.nbytes] = src.tobytes()

            stream.queue(copy)
            if cuda.eager:
                stream.finish()

        def memcpy_dtoh_async(dest, src, stream):
            cuda.call("memcpy_dtoh_async")
            assert dest.flags.c_contiguous and pinned(dest), "a copy to memory that is not pinned"

            def copy():
                cuda.log.append(f"download {src:#x}")
                content = bytes(cuda.memory[src][: dest.nbytes])
                dest[:] = np.frombuffer(content, dest.dtype).reshape(dest.shape)

            stream.queue(copy)

        driver.Error, driver.MemoryError = Error, MemoryError_
        driver.init, driver.Device, driver.Context = lambda: None, Device, Context
        driver.mem_get_info = mem_get_info
        driver.mem_alloc, driver.pagelocked_empty = mem_alloc, pagelocked_empty
        driver.memcpy_htod_async, driver.memcpy_dtoh_async = memcpy_htod_async, memcpy_dtoh_async
        driver.Stream, driver.Event = lambda: Stream(cuda), lambda: Event(cuda)
        return driver

    def bindings(self):
        cuda, driver = self, types.ModuleType("cuda.bindings.driver")
        graphs: dict[int, list] = {}
        fine, bad = (0,), (1, None)

        class CUstreamCaptureMode(enum.IntEnum):
            CU_STREAM_CAPTURE_MODE_GLOBAL = 0
            CU_STREAM_CAPTURE_MODE_THREAD_LOCAL = 1
            CU_STREAM_CAPTURE_MODE_RELAXED = 2

        def begin(stream, mode):
            if cuda.tick("cuStreamBeginCapture"):
                return bad
            cuda.capturing[stream] = []
            return fine

        def end(stream):
            work = cuda.capturing.pop(stream)
            if cuda.tick("cuStreamEndCapture"):
                return bad
            handle = cuda.take("graph")
            graphs[handle] = work
            return (0, handle)

        def instantiate(graph, flags):
            if cuda.tick("cuGraphInstantiate"):
                return bad
            handle = cuda.take("graph_exec")
            graphs[handle] = graphs[graph]
            return (0, handle)

        def launch(run, stream):
            if cuda.tick("cuGraphLaunch"):
                return bad
            for work in graphs[run]:
                cuda.streams[stream].queue(work)
            return fine

        def destroy(kind):
            def free(handle):
                if handle is None:
                    return bad
                cuda.give(kind)
                return bad if cuda.tick(f"destroy {kind}") else fine

            return free

        driver.CUstreamCaptureMode = CUstreamCaptureMode
        driver.cuStreamBeginCapture, driver.cuStreamEndCapture = begin, end
        driver.cuGraphInstantiate, driver.cuGraphLaunch = instantiate, launch
        driver.cuGraphDestroy = destroy("graph")
        driver.cuGraphExecDestroy = destroy("graph_exec")
        return driver


def pinned(array):
    """Whether an array is a piece of a pinned one."""
    while isinstance(array, np.ndarray):
        array = array.base
    return isinstance(array, PinnedAllocation)


class DeviceAllocation:
    def __init__(self, cuda, size):
        self.cuda, self.size = cuda, size
        self.address = cuda.take("device", size)
        # What was not written yet is noise, not zeros.
        cuda.memory[self.address] = bytearray(b"\xcd" * size)

    def __int__(self):
        return self.address

    def free(self):
        self.cuda.drain()
        self.cuda.give("device", self.size)
        del self.cuda.memory[self.address]
        self.cuda.call("free")


class PinnedAllocation:
    """Page-locked memory; an array over it has it as its `base`, as PyCUDA's arrays do."""

    def __init__(self, cuda, shape, dtype):
        self.cuda, self.content = cuda, np.empty(shape, dtype)
        self.content.view(np.uint8)[...] = 0xCD
        cuda.take("pinned", self.content.nbytes)

    @property
    def __array_interface__(self):
        return self.content.__array_interface__

    def free(self):
        self.cuda.drain()
        self.cuda.give("pinned", self.content.nbytes)
        self.cuda.call("free pinned")


def compiled(method):
    """Leave nothing in an error's traceback that keeps objects alive: PyCUDA is C++."""

    def run(self, *args):
        try:
            return method(self, *args)
        except Error as caught:
            error = caught.with_traceback(None)
        del self, args
        raise error

    return run


class Stream:
    """Work in order; `finish` does it, and what it waits for on other streams first."""

    def __init__(self, cuda):
        cuda.call("Stream")
        self.cuda, self.work = cuda, []
        self.handle = cuda.take("stream")
        cuda.streams[self.handle] = self

    def queue(self, work):
        if self.handle in self.cuda.capturing:
            self.cuda.capturing[self.handle].append(work)
        else:
            self.work.append(work)

    @compiled
    def wait_for_event(self, event):
        self.cuda.call("wait_for_event")
        mark = event.mark
        self.queue(lambda: mark and mark.reach())

    def finish(self, until=None):
        while self.work and not (until is not None and until.reached):
            self.work.pop(0)()

    @compiled
    def synchronize(self):
        self.cuda.call("synchronize stream")
        self.finish()

    def __del__(self):
        if hasattr(self, "handle"):
            assert self.cuda.stack, "a stream was destroyed outside of its context"
            self.finish()
            self.cuda.give("stream")


class Mark:
    """One recording of an event."""

    def __init__(self, stream):
        self.stream, self.reached = stream, False

    def set(self):
        self.reached = True

    def reach(self):
        self.stream.finish(until=self)
        assert self.reached, "an event was waited for that can never be reached"


class Event:
    def __init__(self, cuda):
        cuda.call("Event")
        self.cuda, self.mark = cuda, None
        self.taken = cuda.take("event")

    @compiled
    def record(self, stream):
        self.cuda.call("record")
        self.mark = Mark(stream)
        stream.queue(self.mark.set)

    @compiled
    def synchronize(self):
        self.cuda.call("synchronize event")
        if self.mark is not None:
            self.mark.reach()

    def __del__(self):
        if hasattr(self, "taken"):
            assert self.cuda.stack, "an event was destroyed outside of its context"
            self.cuda.give("event")
