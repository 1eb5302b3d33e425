"""TensorRT, natively: runs an engine that `python -m export.tensorrt` built on this machine.

A batch travels through one of two slots, each with its own memory on the host and on the GPU.
While one slot computes, the other one uploads: copies have a stream of their own, and events hold
the compute stream back until its pixels are there.
"""

from __future__ import annotations

from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from importlib.metadata import PackageNotFoundError
from threading import Lock
from typing import Any

import numpy as np

from ...bundle.bundle import Artifact, Bundle
from ...bundle.engines import Machine, Profile, Stamp, choose_engine, read_engine
from ...system.errors import BackendError, BackendUnavailable
from ...system.signals import importing
from ..backend import Backend
from ..base import Clips, Logits, RuntimeOptions, check_clips
from ..process import check_process, in_other_process, this_process
from . import cuda_graphs, cuda_memory
from .backend import TENSORRT
from .cuda_memory import Gpu, cuda_errors
from .engine import Engine, engine_machine, load_engine

SLOTS = 2


def tensorrt_problem(device: int = 0) -> str | None:
    """Why TensorRT cannot run on that GPU; None if it can."""
    try:
        with importing():
            import tensorrt  # noqa: F401
    except Exception as error:  # a missing package, or libraries of it that do not load
        return f"tensorrt cannot be imported ({error})"
    # Asked before any object of TensorRT is made: without a GPU some crash instead of failing.
    return cuda_memory.cuda_problem(device)


def open_artifact(
    backend: Backend, bundle: Bundle, artifact: Artifact, *, precision: str, options: RuntimeOptions
) -> TensorRTRuntime:
    """As `Implementation.open_artifact`; runs an engine that was built from the artifact."""
    return TensorRTRuntime(
        bundle, precision=precision, max_batch=options.max_batch, device=options.device
    )


def version(backend: Backend) -> str | None:
    """As `Implementation.version`; tells it without importing the package."""
    for package in ("tensorrt", "tensorrt-cu13", "tensorrt-cu12"):
        with suppress(PackageNotFoundError):
            return metadata.version(package)
    return None


def check(backend: Backend) -> None:
    """As `Implementation.check`; makes no object of TensorRT."""
    why = tensorrt_problem()
    if why:
        raise BackendUnavailable(backend.name, why, backend.install)


def buffer_bytes(batch: int, clip_shape: tuple[int, ...], classes: int) -> int:
    """Bytes of all slots' uint8 clips and float32 logits: on the GPU, and again pinned on the host.

    What TensorRT needs beside them for what is between the layers, it takes by itself.
    """
    return SLOTS * batch * (int(np.prod(clip_shape)) + 4 * classes)


@dataclass
class _Slot:
    """Memory of one batch; `pending` is (first clip, clips) of what it is busy with."""

    pixels: Clips
    logits: Logits
    pixels_at: int
    logits_at: int
    uploaded: Any
    done: Any
    graph: cuda_graphs.CudaGraph | None = None
    pending: tuple[int, int] | None = None


class TensorRTRuntime:
    """Runs an engine of a bundle on one GPU; several threads may use it, one runs at a time.

    Args:
        bundle: what `export` wrote.
        precision: of the engine.
        max_batch: clips at once, at most; None: as many as the engine takes.
        device: the GPU's number.
        graphs: replay full batches as CUDA graphs where cuda-bindings is installed; `cuda_graph`
            says whether it does, `why_no_graph` why not.
        engine: a plan and its stamp that are not in the bundle's folder yet.

    Raises:
        BackendError: TensorRT, the GPU or a fitting engine is missing.
        BundleError: the engine's file is damaged, or does not fit the bundle.
    """

    backend = TENSORRT.name

    def __init__(
        self,
        bundle: Bundle,
        *,
        precision: str = "fp32",
        max_batch: int | None = None,
        device: int = 0,
        graphs: bool = True,
        engine: tuple[bytes, Stamp] | None = None,
    ) -> None:
        if max_batch is not None and max_batch < 1:
            raise BackendError(f"max_batch is {max_batch}; allowed: from 1")
        why = tensorrt_problem(device)
        if why is not None:
            raise BackendUnavailable(TENSORRT.name, why, TENSORRT.install)
        self.precision = precision
        self.cuda_graph = False
        self.why_no_graph = cuda_graphs.capture_problem() if graphs else "it was not asked for"
        self._bundle = bundle
        self._process = this_process(self)
        self._lock = Lock()
        self._slots: list[_Slot] = []
        self._engine: Engine | None = None
        self._copies: Any = None
        self._computes: Any = None
        self._gpu: Gpu | None = Gpu(device)
        try:
            name, plan, profile = self._find(engine_machine(self._gpu), max_batch, engine)
            self.max_batch = min(max_batch or profile.max_batch, profile.max_batch)
            self._min_batch = profile.min_batch
            with self._gpu.active(), cuda_errors("TensorRT cannot be set up"):
                self._engine = load_engine(plan, self._bundle, profile, name=name)
                self._allocate(self._gpu)
                self._capture(self._gpu)
        except BaseException:
            self.close()
            raise

    def run(self, clips: Clips) -> Logits:
        """Logits float32 [n, classes] of uint8 [n, T, H, W, 3]; one thread at a time."""
        check_process(self._process, self.backend)
        with self._lock:
            if self._gpu is None:
                raise BackendError("this runtime was closed; open it again")
            check_clips(clips, self._bundle)
            logits = np.empty((len(clips), len(self._bundle.classes)), np.float32)
            with self._gpu.active(), cuda_errors("TensorRT failed"):
                try:
                    for k, start in enumerate(range(0, len(clips), self.max_batch)):
                        slot = self._slots[k % SLOTS]
                        self._collect(slot, logits)
                        self._submit(self._gpu, slot, clips[start : start + self.max_batch], start)
                    # From the older to the younger of what is still under way.
                    for slot in sorted(self._slots, key=lambda s: s.pending or (0, 0)):
                        self._collect(slot, logits)
                except BaseException:
                    self._abandon()
                    raise
            return logits

    def close(self) -> None:
        """Free the engine and all memory; calling it twice is fine."""
        if in_other_process(self._process):
            return
        with self._lock:
            gpu, self._gpu = self._gpu, None
            if gpu is None:
                return
            with gpu.active(), cuda_errors("TensorRT cannot be closed"):
                try:
                    self._drop_graphs()
                finally:
                    # Streams and events go with their last reference: here, where the context is,
                    # even if the traceback of an error still knows a slot.
                    for slot in self._slots:
                        slot.uploaded = slot.done = None
                    self._slots.clear()
                    self._copies = self._computes = None
                    self._engine = None
                    gpu.close()

    def _find(
        self, here: Machine, max_batch: int | None, engine: tuple[bytes, Stamp] | None
    ) -> tuple[str, bytes, Profile]:
        """Name, plan and batches of the engine to run."""
        if engine is not None:
            plan, stamp = engine
            return "the new engine", plan, stamp.profile
        path, stamp = choose_engine(
            self._bundle, precision=self.precision, machine=here, max_batch=max_batch
        )
        return str(path), read_engine(path, stamp), stamp.profile

    def _allocate(self, gpu: Gpu) -> None:
        clip, classes = self._bundle.spec.clip_shape, len(self._bundle.classes)
        self._copies, self._computes = gpu.cuda.Stream(), gpu.cuda.Stream()
        for _ in range(SLOTS):
            pixels = gpu.pinned((self.max_batch, *clip), np.uint8)
            logits = gpu.pinned((self.max_batch, classes), np.float32)
            addresses = gpu.device_memory(pixels.nbytes), gpu.device_memory(logits.nbytes)
            events = gpu.cuda.Event(), gpu.cuda.Event()
            self._slots.append(_Slot(pixels, logits, *addresses, *events))

    def _capture(self, gpu: Gpu) -> None:
        """Run every slot, which loads all kernels; capture it, and compare what a replay gives."""
        for slot in self._slots:
            noise = np.resize(np.arange(251, dtype=np.uint8), slot.pixels.shape)
            first = self._once(gpu, slot, noise)
            if self.why_no_graph is not None:
                continue
            self._once(gpu, slot, 255 - noise)  # a replay that does nothing must not look right
            try:
                slot.graph = cuda_graphs.CudaGraph(
                    self._computes.handle, partial(self._enqueue, slot)
                )
            except BackendError as error:
                self.why_no_graph = str(error)
                continue
            if not np.array_equal(first, self._once(gpu, slot, noise), equal_nan=True):
                self.why_no_graph = "a replayed CUDA graph gave other logits"
        self.cuda_graph = self.why_no_graph is None
        if not self.cuda_graph:
            self._drop_graphs()

    def _drop_graphs(self) -> None:
        with ExitStack() as stack:
            for slot in self._slots:
                if slot.graph is not None:
                    stack.callback(slot.graph.close)
                    slot.graph = None

    def _once(self, gpu: Gpu, slot: _Slot, clips: Clips) -> Logits:
        """Logits of one batch in one slot."""
        logits = np.empty((len(clips), len(self._bundle.classes)), np.float32)
        self._submit(gpu, slot, clips, 0)
        self._collect(slot, logits)
        return logits

    def _submit(self, gpu: Gpu, slot: _Slot, part: Clips, start: int) -> None:
        """Queue one batch; the slot is busy until `_collect`."""
        count = len(part)
        size = max(count, self._min_batch)
        slot.pixels[:count] = part
        slot.pixels[count:size] = 0
        gpu.cuda.memcpy_htod_async(slot.pixels_at, slot.pixels[:size], self._copies)
        slot.uploaded.record(self._copies)
        self._computes.wait_for_event(slot.uploaded)
        if slot.graph is not None and size == self.max_batch:
            slot.graph.launch(self._computes.handle)
        else:
            self._enqueue(slot, size)
        gpu.cuda.memcpy_dtoh_async(slot.logits[:size], slot.logits_at, self._computes)
        slot.done.record(self._computes)
        slot.pending = (start, count)

    def _enqueue(self, slot: _Slot, size: int | None = None) -> None:
        """Queue the network over the first `size` clips of a slot; None: all of them."""
        assert self._engine is not None
        context, bundle = self._engine.context, self._bundle
        shape = (size or self.max_batch, *bundle.spec.clip_shape)
        done = (
            context.set_input_shape(bundle.input_name, shape)
            and context.set_tensor_address(bundle.input_name, slot.pixels_at)
            and context.set_tensor_address(bundle.output_name, slot.logits_at)
            and context.execute_async_v3(self._computes.handle)
        )
        if not done:
            why = self._engine.logger.last()
            raise BackendError(f"TensorRT did not run a batch of {shape[0]}: {why}")

    def _collect(self, slot: _Slot, logits: Logits) -> None:
        """Wait for a slot and copy what it computed to its place in `logits`."""
        if slot.pending is not None:
            start, count = slot.pending
            slot.done.synchronize()
            logits[start : start + count] = slot.logits[:count]
            slot.pending = None

    def _abandon(self) -> None:
        """Wait until nothing is under way, so that the slots can be used again."""
        for slot in self._slots:
            slot.pending = None
        try:
            self._copies.synchronize()
        finally:
            self._computes.synchronize()

    def __enter__(self) -> TensorRTRuntime:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
