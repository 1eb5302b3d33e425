"""ONNX Runtime: on the CPU, on NVIDIA GPUs by CUDA, and on them by TensorRT."""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...bundle.bundle import Artifact, Bundle
from ...libraries.telemetry import turn_off_loaded
from ...system.errors import BackendError, BackendUnavailable, BundleError
from ...system.hardware import gpu_problem, threads_of
from ..backend import Backend
from ..base import Clips, Logits, RuntimeOptions, check_clips, in_parts
from ..common import DOUBLE, End, check_double, check_graph, load_package, short
from ..process import check_process, in_other_process, this_process

# Backend -> ONNX Runtime's name of what runs it, and the library that holds it.
PROVIDERS = {
    "onnxruntime": ("CPUExecutionProvider", None),
    "onnxruntime-cuda": ("CUDAExecutionProvider", "libonnxruntime_providers_cuda.so"),
    "onnxruntime-tensorrt": ("TensorrtExecutionProvider", "libonnxruntime_providers_tensorrt.so"),
}
HEAVY = ("Conv", "MatMul", "Gemm")
"""The operators that a network's time goes to."""
DTYPES = {"tensor(uint8)": "uint8", "tensor(float)": "float32"}


class OrtRuntime:
    """Runs an ONNX artefact. `threads`: None for all cores.

    Its memory arena grows to what the largest batch needs (at most `max_batch` clips) and stays
    there: flat over any number of clips. On a GPU it copies clips there and logits back.

    Threads: any number may call `run` at once.
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
        ort = import_ort(backend)
        check_provider(ort, backend, options.device)
        path = artifact.paths[0]
        chosen = _session_options(ort, options)
        providers = _providers(backend, bundle, precision, options)
        try:
            session = start_session(ort, backend, str(path), chosen, providers)
        except BackendUnavailable:
            raise
        except Exception as error:  # onnxruntime raises a dozen unrelated types
            reason = short(error)
            if not _runs_anything(ort, backend, providers):
                why = f"it fails: {reason}"
                raise BackendUnavailable(backend.name, why, backend.install) from None
            raise BundleError(f"{path} does not load in ONNX Runtime: {reason}") from None
        ends = [
            [End(e.name, DTYPES.get(e.type, e.type), e.shape) for e in found]
            for found in (session.get_inputs(), session.get_outputs())
        ]
        check_graph(path, bundle, *ends)
        self.backend = backend.name
        self.precision = precision
        self.max_batch = options.max_batch
        self._bundle = bundle
        self._process = this_process(self)
        self._session = session

    def run(self, clips: Clips) -> Logits:
        """Logits float32 [n, classes] of uint8 [n, T, H, W, 3]."""
        check_process(self._process, self.backend)
        session = self._session
        if session is None:
            raise BackendError("this runtime was closed; open it again")
        check_clips(clips, self._bundle)
        feed, wanted = self._bundle.input_name, [self._bundle.output_name]
        try:
            parts = [
                session.run(wanted, {feed: part})[0] for part in in_parts(clips, self.max_batch)
            ]
        except Exception as error:
            raise BackendError(f"ONNX Runtime failed: {short(error)}") from None
        # What ONNX Runtime returns is an array of its own already.
        logits: Logits = parts[0] if len(parts) == 1 else np.concatenate(parts)
        return logits

    def close(self) -> None:
        """Free the session."""
        if in_other_process(self._process):
            return
        self._session = None

    def __enter__(self) -> OrtRuntime:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


open_artifact = OrtRuntime
"""As `Implementation.open_artifact`."""


def version(backend: Backend) -> str:
    """As `Implementation.version`."""
    return str(import_ort(backend).__version__)


def check(backend: Backend) -> None:
    """As `Implementation.check`: one addition, where it was asked to run."""
    ort = import_ort(backend)
    check_provider(ort, backend, device=0)
    providers: list[tuple[str, dict[str, str]]] = [(PROVIDERS[backend.name][0], {})]
    session = start_session(ort, backend, DOUBLE, ort.SessionOptions(), providers)
    check_double(session.run(None, {"x": np.ones(1, np.float32)})[0])


def import_ort(backend: Backend) -> Any:
    """The package. Raises BackendUnavailable, with how to install it."""
    needs = ("InferenceSession", "SessionOptions", "get_available_providers", "__version__")
    ort = load_package(backend, "onnxruntime", needs)
    turn_off_loaded(ort)
    return ort


def check_provider(ort: Any, backend: Backend, device: int) -> None:
    """See that this ONNX Runtime can run a backend here, before it tries and takes the CPU.

    Raises:
        BackendUnavailable: everything that is missing.
    """
    wanted, library = PROVIDERS[backend.name]
    available = ort.get_available_providers()
    gpu = gpu_problem(device) if backend.gpu else None
    reasons = [gpu] if gpu else []
    if wanted not in available:
        reasons.append(
            f"the installed onnxruntime {ort.__version__} is built without {wanted} (it has "
            f"{', '.join(available)})"
        )
    remedy = backend.install if wanted not in available else ""
    if library is not None and not reasons:
        missing = _missing_library(ort, backend, library)
        if missing:
            reasons, remedy = [f"a library is missing: {missing}"], backend.install
    if reasons:
        raise BackendUnavailable(backend.name, "; ".join(reasons), remedy)


def start_session(
    ort: Any,
    backend: Backend,
    model: str | bytes,
    options: Any,
    providers: Sequence[tuple[str, dict[str, str]]],
) -> Any:
    """Load a model, and see that it will run where it was asked to.

    A provider that does not start is left out of the session, with a line on stderr at most; and
    one that starts leaves to the CPU what it has no kernel for, which recent versions of ONNX
    Runtime tell. A few small nodes, about shapes, belong there.

    Raises:
        BackendUnavailable: the provider did not start, or the work went to the CPU.
    """
    if backend.gpu:
        options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    # Else a GPU that fails is replaced by the CPU, in a session that goes on.
    session = ort.InferenceSession(model, options, providers=providers, enable_fallback=0)
    wanted, got = PROVIDERS[backend.name][0], session.get_providers()
    if wanted not in got:
        raise BackendUnavailable(
            backend.name,
            f"ONNX Runtime could not start {wanted} and took {got[0]} in its place; what it wrote "
            "to stderr says why",
            backend.install,
        )
    if backend.gpu and hasattr(session, "get_provider_graph_assignment_info"):
        problem = _left_to_the_cpu(wanted, session.get_provider_graph_assignment_info())
        if problem:
            reason = f"{problem}; try another precision or backend"
            raise BackendUnavailable(backend.name, reason)
    return session


def _runs_anything(
    ort: Any, backend: Backend, providers: Sequence[tuple[str, dict[str, str]]]
) -> bool:
    """Whether the smallest of graphs loads: then it was the file that did not."""
    bare: list[tuple[str, dict[str, str]]] = [
        (name, {}) for name, _ in providers
    ]  # the options are about the file
    try:
        start_session(ort, backend, DOUBLE, ort.SessionOptions(), bare)
    except Exception:
        return False
    return True


def _left_to_the_cpu(wanted: str, parts: Sequence[Any]) -> str | None:
    """What is wrong with where ONNX Runtime put the nodes of a graph, if anything."""
    kinds: dict[str, Counter[str]] = {}
    for part in parts:
        found = kinds.setdefault(part.ep_name, Counter())
        found.update(node.op_type for node in part.get_nodes())
    if wanted not in kinds:
        return f"{wanted} starts, but ONNX Runtime gave it no node of the graph"
    cpu = kinds.get(PROVIDERS["onnxruntime"][0], Counter())
    heavy = [f"{cpu[kind]} {kind}" for kind in HEAVY if cpu[kind]]
    if heavy:
        return f"ONNX Runtime gave {', '.join(heavy)} of the graph to the CPU, not to {wanted}"
    return None


def _missing_library(ort: Any, backend: Backend, library: str) -> str | None:
    """The first shared library that a provider needs and does not find."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(Exception):
        ort.preload_dlls()  # CUDA and cuDNN, where pip installed them
        if backend.name == "onnxruntime-tensorrt":
            importlib.import_module("tensorrt")  # loads libnvinfer from where pip put it
    try:
        ctypes.CDLL(str(Path(ort.__file__).parent / "capi" / library))
    except OSError as error:
        return str(error) if "cannot open shared object" in str(error) else None
    return None


def _session_options(ort: Any, options: RuntimeOptions) -> Any:
    chosen = ort.SessionOptions()
    chosen.log_severity_level = 3
    threads = threads_of(options.threads)
    if threads is not None:
        chosen.intra_op_num_threads = threads
    chosen.inter_op_num_threads = 1
    spinning = "1" if options.spinning else "0"
    chosen.add_session_config_entry("session.intra_op.allow_spinning", spinning)
    return chosen


def _providers(
    backend: Backend, bundle: Bundle, precision: str, options: RuntimeOptions
) -> list[tuple[str, dict[str, str]]]:
    # Grow by what is asked for: doubling would hold up to twice the memory needed.
    arena = {"arena_extend_strategy": "kSameAsRequested"}
    if backend.name == "onnxruntime":
        return [("CPUExecutionProvider", arena)]
    device = {"device_id": str(options.device)}
    cuda = {
        **device,
        **arena,
        # The default tries every algorithm anew for every batch size.
        "cudnn_conv_algo_search": "HEURISTIC",
        # fp32 is fp32: TensorFloat-32 keeps 10 bits of the mantissa.
        "use_tf32": "0",
    }
    if backend.name == "onnxruntime-cuda":
        return [("CUDAExecutionProvider", cuda)]
    clip = "x".join(map(str, bundle.spec.clip_shape))

    def shapes(batch: int) -> str:
        return f"{bundle.input_name}:{batch}x{clip}"

    tensorrt = {
        **device,
        # Without a profile it builds an engine anew whenever a batch is larger than any before.
        "trt_profile_min_shapes": shapes(1),
        "trt_profile_opt_shapes": shapes(options.max_batch),
        "trt_profile_max_shapes": shapes(options.max_batch),
        "trt_fp16_enable": "1" if precision == "fp16" else "0",
        "trt_int8_enable": "1" if precision == "int8" else "0",
    }
    return [("TensorrtExecutionProvider", tensorrt), ("CUDAExecutionProvider", cuda)]
