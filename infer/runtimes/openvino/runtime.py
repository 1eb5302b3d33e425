"""OpenVINO on the CPU."""

from __future__ import annotations

import contextlib
import importlib
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from ...bundle.bundle import Artifact, Bundle
from ...libraries.telemetry import hidden_from_openvino
from ...system.errors import BackendError, BackendUnavailable, BundleError
from ...system.hardware import threads_of
from ..backend import Backend
from ..base import Clips, Logits, RuntimeOptions, check_clips, in_parts
from ..common import DOUBLE, End, check_double, check_graph, load_package, package_version, short
from ..process import check_process, in_other_process, this_process

# OpenVINO would choose bf16 by itself where the CPU has it. What 8 bits leave over is fp32.
HINTS = {"bf16": "bf16"}
DTYPES = {"u8": "uint8", "f32": "float32"}


class OpenVinoRuntime:
    """Runs an ONNX artefact. `threads`: None for all cores; `streams` share them.

    One compiled network serves every batch size: one more compilation for each would cost its
    time and a copy of the weights, and gains little. With `streams` of more than one, a batch is
    split among them.

    Threads: any number may call `run`; the calls take turns.
    """

    def __init__(
        self,
        backend: Backend,
        bundle: Bundle,
        artifact: Artifact,
        *,
        precision: str,
        options: RuntimeOptions,
    ) -> None:
        ov = import_openvino(backend)
        core = ov.Core()
        if precision == "bf16" and not has_bf16(core):
            raise BackendUnavailable(
                backend.name,
                "bf16 needs a CPU with avx512_bf16, amx_bf16 or Arm's bf16, which this one lacks; "
                "fp32 and int8 run",
            )
        path = artifact.paths[0]
        try:
            model = core.read_model(str(path))
        except Exception as error:  # RuntimeError and its own kinds
            raise BundleError(f"{path} does not load in OpenVINO: {short(error)}") from None
        check_graph(path, bundle, _ends(model.inputs), _ends(model.outputs))
        try:
            batch = ov.Dimension(1, options.max_batch)
            model.reshape({bundle.input_name: ov.PartialShape([batch, *bundle.spec.clip_shape])})
            compiled = _compile(ov, core, model, _config(precision, options))
            queue = ov.AsyncInferQueue(compiled, options.streams)
        except Exception as error:
            raise BundleError(f"{path} does not load in OpenVINO: {short(error)}") from None
        self.backend = backend.name
        self.precision = precision
        self.max_batch = options.max_batch
        self._bundle = bundle
        self._streams = options.streams
        self._process = this_process(self)
        self._queue = queue
        self._lock = threading.Lock()
        queue.set_callback(_keep)

    def run(self, clips: Clips) -> Logits:
        """Logits float32 [n, classes] of uint8 [n, T, H, W, 3]."""
        check_process(self._process, self.backend)
        check_clips(clips, self._bundle)
        parts = in_parts(clips, min(self.max_batch, -(-len(clips) // self._streams)))
        found: list[Logits | None] = [None] * len(parts)
        with self._lock:
            if self._queue is None:
                raise BackendError("this runtime was closed; open it again")
            try:
                for index, part in enumerate(parts):
                    # The part is not copied: it outlives the request, which ends below.
                    entry = {self._bundle.input_name: part}
                    self._queue.start_async(
                        entry, (found, index, self._bundle.output_name), share_inputs=True
                    )
                self._queue.wait_all()
            except Exception as error:
                with contextlib.suppress(Exception):
                    self._queue.wait_all()  # others may still be reading their parts
                raise BackendError(f"OpenVINO failed: {short(error)}") from None
        return np.concatenate([logits for logits in found if logits is not None])

    def close(self) -> None:
        """Free the compiled network; waits for a `run` in another thread."""
        if in_other_process(self._process):
            return
        with self._lock:
            self._queue = None

    def __enter__(self) -> OpenVinoRuntime:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


open_artifact = OpenVinoRuntime
"""As `Implementation.open_artifact`."""


def version(backend: Backend) -> str | None:
    """As `Implementation.version`."""
    return package_version(import_openvino(backend))


def check(backend: Backend) -> None:
    """As `Implementation.check`: one addition."""
    core = import_openvino(backend).Core()
    network = core.compile_model(core.read_model(DOUBLE), "CPU")
    check_double(network({"x": np.ones(1, np.float32)})[0])


def import_openvino(backend: Backend) -> Any:
    """The package. Raises BackendUnavailable, with how to install it."""
    with hidden_from_openvino():
        return load_package(backend, "openvino", ("Core", "AsyncInferQueue", "PartialShape"))


def has_bf16(core: Any) -> bool:
    """Whether this CPU multiplies bf16; OpenVINO takes the wish for it elsewhere, and runs f32."""
    return "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _compile(ov: Any, core: Any, model: Any, config: dict[str, Any]) -> Any:
    """Compile for the CPU, around two mistakes that OpenVINO 2026.4 makes with 8 bits.

    It moves dequantisation behind the nodes that follow. The mean of signed 8-bit values over the
    segments is then right for the first clip of a batch and wrong for all others. A pad of bytes
    whose zero point is not 0 makes all of them wrong by a step or more, or does not compile.
    Networks without 8 bits are compiled as they are.
    """
    if not any(node.get_type_name() == "FakeQuantize" for node in model.get_ops()):
        return core.compile_model(model, "CPU", config)
    _keep_float(ov, model, "ReduceMean", lambda node: _rank(node) < 4)  # not the spatial means
    _keep_float(ov, model, "Pad", _has_offset)
    try:
        return core.compile_model(model, "CPU", config)
    except Exception:
        if not _keep_float(ov, model, "Pad", lambda node: True):
            raise
        return core.compile_model(model, "CPU", config)


def _keep_float(ov: Any, model: Any, kind: str, wanted: Callable[[Any], bool]) -> int:
    """Keep 8 bits out of nodes of a kind; returns how many there are.

    The maximum with the lowest float changes nothing, and no dequantisation is moved behind it.
    """
    ops = importlib.import_module("openvino.opset13")
    found = [n for n in model.get_ordered_ops() if n.get_type_name() == kind and wanted(n)]
    found = [n for n in found if n.get_input_element_type(0) == ov.Type.f32]
    lowest = np.finfo(np.float32).min
    for node in found:
        source = node.input(0).get_source_output()
        shield = ops.maximum(source, ops.constant(np.array(lowest, np.float32)))
        node.input(0).replace_source_output(shield.output(0))
    model.validate_nodes_and_infer_types()
    return len(found)


def _rank(node: Any) -> int:
    return int(node.get_input_partial_shape(0).rank.get_length())


def _has_offset(node: Any) -> bool:
    """Whether a node reads dequantised bytes whose zero point is not 0."""
    while node.get_type_name() in ("Pad", "Reshape", "Multiply"):
        node = node.input(0).get_source_output().get_node()
    if node.get_type_name() != "Subtract":
        return False
    zero = node.input(1).get_source_output().get_node()
    if zero.get_type_name() == "Convert":
        zero = zero.input(0).get_source_output().get_node()
    return zero.get_type_name() != "Constant" or bool(np.any(zero.data))


def _config(precision: str, options: RuntimeOptions) -> dict[str, Any]:
    config: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": HINTS.get(precision, "f32"),
        "PERFORMANCE_HINT": "LATENCY" if options.streams == 1 else "THROUGHPUT",
        "NUM_STREAMS": str(options.streams),
        # Pinned threads of two runtimes, or of a decoder, would fight for the same cores.
        "ENABLE_CPU_PINNING": False,
    }
    threads = threads_of(options.threads)
    if threads is not None:
        config["INFERENCE_NUM_THREADS"] = threads
    return config


def _ends(ports: Any) -> list[End]:
    return [
        End(
            port.get_any_name(),
            DTYPES.get(port.element_type.get_type_name(), port.element_type.get_type_name()),
            [d.get_length() if d.is_static else str(d) for d in port.partial_shape],
        )
        for port in ports
    ]


def _keep(request: Any, where: tuple[list[Logits | None], int, str]) -> None:
    """Copy one part's logits: the request's own memory is written to by the next part."""
    found, index, name = where
    found[index] = np.array(request.get_tensor(name).data, np.float32)
