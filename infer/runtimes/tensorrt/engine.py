"""A TensorRT engine from its plan: what it is compared with, and what it takes and gives."""

from __future__ import annotations

import ctypes
from typing import Any, NamedTuple

from ...bundle.bundle import Bundle
from ...bundle.engines import Machine, Profile
from ...system.errors import BackendError, BundleError
from .cuda_memory import Gpu


class Engine(NamedTuple):
    """An engine that is ready to run; it needs its runtime and its logger as long as it lives.

    A tuple lets go of its last element first: nothing here outlives what it needs.
    """

    logger: Any
    runtime: Any
    engine: Any
    context: Any


def engine_machine(gpu: Gpu) -> Machine:
    """What engines are compared with."""
    import tensorrt as trt

    return Machine(trt.__version__, gpu.name, gpu.compute_capability)


def make_logger() -> Any:
    """A logger for TensorRT that keeps its errors (`errors`, `last`) and prints nothing."""
    import tensorrt as trt

    severe = (trt.ILogger.Severity.INTERNAL_ERROR, trt.ILogger.Severity.ERROR)

    class Logger(trt.ILogger):
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, msg: str) -> None:
            if severity in severe:
                self.errors.append(" ".join(msg.split()))

        def last(self, count: int = 3) -> str:
            return "; ".join(self.errors[-count:]) or "it gave no reason"

    return Logger()


def load_engine(plan: bytes, bundle: Bundle, profile: Profile, *, name: str) -> Engine:
    """Load an engine on the GPU that is current.

    Args:
        plan: as TensorRT serialised it.
        bundle: says what the engine takes and gives.
        profile: its batches, as its stamp says.
        name: of the engine, for messages.

    Raises:
        BackendError: TensorRT does not start, or has too little memory.
        BundleError: the plan is damaged, or does not fit the bundle.
    """
    import tensorrt as trt

    logger = make_logger()
    runtime = trt.Runtime(logger)
    if logger.errors:
        # With a driver that is too old, 11.4 gives a runtime that crashes when it is used, and
        # when it is freed.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(runtime))
        raise BackendError(f"TensorRT does not start: {logger.last()}")
    engine = runtime.deserialize_cuda_engine(plan)
    if engine is None:
        raise BundleError(f"{name} does not load in TensorRT: {logger.last()}")
    _check_engine(engine, bundle, profile, name)
    context = engine.create_execution_context()
    if context is None:
        raise BackendError(f"{name}: not enough GPU memory to run the engine: {logger.last()}")
    return Engine(logger, runtime, engine, context)


def _check_engine(engine: Any, bundle: Bundle, profile: Profile, name: str) -> None:
    """The engine must take and give what bundle.json says, in the batches of its stamp."""
    import tensorrt as trt

    clip, classes = tuple(bundle.spec.clip_shape), len(bundle.classes)
    ends = {engine.get_tensor_name(i) for i in range(engine.num_io_tensors)}
    if ends != {bundle.input_name, bundle.output_name}:
        want = sorted({bundle.input_name, bundle.output_name})
        raise BundleError(f"{name} has the ends {sorted(ends)}, bundle.json says {want}")
    wanted = [
        (bundle.input_name, trt.TensorIOMode.INPUT, trt.uint8, (-1, *clip)),
        (bundle.output_name, trt.TensorIOMode.OUTPUT, trt.float32, (-1, classes)),
    ]
    for end, mode, dtype, shape in wanted:
        found = (engine.get_tensor_mode(end), engine.get_tensor_dtype(end))
        sizes = tuple(engine.get_tensor_shape(end))
        if found != (mode, dtype) or sizes != shape:
            raise BundleError(
                f"{name}: {end!r} is {found[0]} {found[1]} {sizes}, "
                f"bundle.json says {mode} {dtype} {shape}"
            )
    batches = [shape[0] for shape in engine.get_tensor_profile_shape(bundle.input_name, 0)]
    stamped = [profile.min_batch, profile.opt_batch, profile.max_batch]
    if batches != stamped:
        raise BundleError(f"{name} takes batches of {batches}, its stamp says {stamped}")
