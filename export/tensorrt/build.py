"""From an ONNX graph to a TensorRT plan: parse, configure, build.

The precision is in the graph, and networks are strongly typed: TensorRT 10 and 11 run every layer
in the type that the graph says. 8.6 only takes flags that allow lower precisions.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.tensorrt.files import EngineError, locked, write_all
from export.tensorrt.graph import NamedGraph
from infer.bundle.bundle import Bundle
from infer.bundle.engines import Profile
from infer.runtimes.tensorrt.engine import make_logger
from infer.system.errors import listed
from infer.system.log import logger

log = logger(__name__)

SAY_EVERY = 5.0
"""Seconds between lines about progress."""


@dataclass(frozen=True)
class Settings:
    """How to build.

    profile         batches the engine takes
    workspace_mib   GPU memory that one layer may use while it runs; None: all there is
    tf32            multiply fp32 with 10 bits of mantissa, as Ampere and later can
    timing_cache    file that remembers how fast each kernel was: later builds take less time
    """

    profile: Profile
    workspace_mib: int | None
    tf32: bool
    timing_cache: Path


def build_plan(
    graph: NamedGraph,
    bundle: Bundle,
    precision: str,
    settings: Settings,
    *,
    stopped: Callable[[], bool],
) -> bytes:
    """Build an engine for the GPU whose context is current; takes minutes.

    Args:
        graph: of `export.tensorrt.graph.for_tensorrt`.
        bundle: says what the input is called and how large a clip is.
        precision: that of the graph.
        settings: how to build.
        stopped: asked after every step; once it is true, the build ends.

    Raises:
        EngineError: TensorRT cannot parse or build the graph, with its reasons.
    """
    import tensorrt as trt

    logger = make_logger()
    try:
        builder = trt.Builder(logger)
    except TypeError:  # how the bindings say that there is none
        raise EngineError(f"TensorRT does not start: {logger.last()}") from None
    network = builder.create_network(1 << int(_network_flag()))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(graph.model):
        problems = parser_problems(parser, graph.nodes)
        raise EngineError(listed("TensorRT cannot parse the graph", problems or [logger.last()]))
    config = builder.create_builder_config()
    _configure(config, network, precision, settings)
    profile = builder.create_optimization_profile()
    batches = settings.profile
    clip = tuple(bundle.spec.clip_shape)
    sizes = (batches.min_batch, batches.opt_batch, batches.max_batch)
    profile.set_shape(bundle.input_name, *((size, *clip) for size in sizes))
    if config.add_optimization_profile(profile) < 0:
        raise EngineError(f"TensorRT does not take batches of {batches}: {logger.last()}")
    # Names for both: they have to live until the engine is built.
    cache = _read_cache(config, settings.timing_cache)
    if hasattr(trt, "IProgressMonitor"):
        monitor = make_monitor(stopped)
        config.progress_monitor = monitor
    else:  # 8.6
        log.info("build     (this TensorRT reports no progress)")
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        why = "it was stopped" if stopped() else logger.last()
        raise EngineError(f"TensorRT built no engine: {why}")
    _write_cache(cache, config, settings.timing_cache)
    return bytes(plan)


def parser_problems(parser: Any, nodes: Sequence[str]) -> list[str]:
    """What the parser found wrong, with the names of the nodes."""
    out = []
    for index in range(parser.num_errors):
        error = parser.get_error(index)
        if hasattr(error, "node_name"):
            where = f"{error.node_name()} ({error.node_operator()})"
        else:
            where = nodes[error.node()] if 0 <= error.node() < len(nodes) else "the graph"
        out.append(f"{where}: {error.desc().strip()}")
    return out


def make_monitor(stopped: Callable[[], bool]) -> Any:
    """Tells the user how far TensorRT is, and TensorRT whether to go on."""
    import tensorrt as trt

    class Monitor(trt.IProgressMonitor):
        # Called from several threads.
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.steps: dict[str, int] = {}
            self.said = time.monotonic()

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self.steps[phase_name] = num_steps

        def phase_finish(self, phase_name: str) -> None:
            self.steps.pop(phase_name, None)

        def step_complete(self, phase_name: str, step: int) -> bool:
            if time.monotonic() - self.said >= SAY_EVERY:
                self.said = time.monotonic()
                log.info(f"build     {phase_name}: {step + 1} of {self.steps.get(phase_name, '?')}")
            return not stopped()

    return Monitor()


def _network_flag() -> Any:
    import tensorrt as trt

    flags = trt.NetworkDefinitionCreationFlag
    return flags.STRONGLY_TYPED if hasattr(flags, "STRONGLY_TYPED") else flags.EXPLICIT_BATCH


def _configure(config: Any, network: Any, precision: str, settings: Settings) -> None:
    import tensorrt as trt

    if settings.workspace_mib is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, settings.workspace_mib << 20)
    if not settings.tf32:
        config.clear_flag(trt.BuilderFlag.TF32)
    if not hasattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED"):  # 8.6
        if precision == "fp16":
            config.set_flag(trt.BuilderFlag.FP16)
        if precision == "int8":
            config.set_flag(trt.BuilderFlag.INT8)
        # A mean over many values leaves the range of fp16 where its layer may choose.
        config.set_flag(trt.BuilderFlag.OBEY_PRECISION_CONSTRAINTS)
        for index in range(network.num_layers):
            layer = network.get_layer(index)
            if layer.type == trt.LayerType.REDUCE and layer.get_input(0).dtype == trt.float32:
                layer.precision = trt.float32


def _read_cache(config: Any, path: Path) -> Any:
    """Attach the timing cache in `path`, or an empty one if it does not belong here."""
    cache = config.create_timing_cache(path.read_bytes() if path.is_file() else b"")
    if cache is None or not config.set_timing_cache(cache, False):
        log.info(f"cache     {path} is damaged or from another machine; it is written anew")
        cache = config.create_timing_cache(b"")
        config.set_timing_cache(cache, False)
    return cache


def _write_cache(cache: Any, config: Any, path: Path) -> None:
    """Write what was timed, together with what other processes have timed meanwhile."""
    try:
        with locked(path.with_name(path.name + ".lock")):
            others = config.create_timing_cache(path.read_bytes() if path.is_file() else b"")
            if others is not None:
                cache.combine(others, False)
            write_all({path: bytes(cache.serialize())})
    except (EngineError, OSError) as error:  # the engine is worth more than the next build's time
        log.info(f"cache     not kept: {error}")
