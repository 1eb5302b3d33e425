"""ONNX Runtime on a GPU, as far as no GPU is needed: nothing falls back to the CPU unsaid.

The stand-in is the installed ONNX Runtime, which claims to have what a build for GPUs has, and
does what such a build does where its GPU or its libraries are missing.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import onnxruntime
import pytest

from infer.bundle.bundle import Bundle
from infer.runtimes import common, probe
from infer.runtimes.onnxruntime import runtime as ort
from infer.runtimes.onnxruntime.runtime import OrtRuntime
from infer.runtimes.registry import BACKENDS as REGISTERED
from infer.system.errors import BackendError, BackendUnavailable, BundleError

CPU, CUDA, TENSORRT = (name for name, _ in ort.PROVIDERS.values())
BACKENDS = ("onnxruntime-cuda", "onnxruntime-tensorrt")


def part(provider, *kinds):
    """What ONNX Runtime says of some nodes."""
    nodes = [SimpleNamespace(name="", domain="", op_type=kind) for kind in kinds]
    return SimpleNamespace(ep_name=provider, get_nodes=lambda: nodes)


@pytest.fixture
def gpu_build(monkeypatch, tmp_path):
    """`gpu_build(providers, parts)`: what a session then says it runs on, and where its nodes are.

    Returns the calls that made sessions. `parts` of None: a version that does not tell. `failing`:
    the types of models that do not load; a file is a str, the smallest of graphs bytes.
    """
    real, calls = onnxruntime.InferenceSession, []
    capi = tmp_path / "onnxruntime" / "capi"
    capi.mkdir(parents=True)
    library = next(Path(onnxruntime.__file__).parent.glob("capi/*providers_shared*"))
    for name in ("cuda", "tensorrt"):
        shutil.copy(library, capi / f"libonnxruntime_providers_{name}.so")

    def make(providers=None, parts=(), failing=()):
        class Session:
            def __init__(self, model, options=None, *, providers, **more):
                calls.append((options, [name for name, _ in providers], more))
                self._asked = [name for name, _ in providers]
                if type(model) in failing:
                    raise RuntimeError("CUDA failure 35: driver version is insufficient")
                session = real(model, providers=[CPU])
                self.get_inputs, self.get_outputs = session.get_inputs, session.get_outputs
                self.run = session.run
                if parts is not None:
                    told = parts or [part(self._asked[0], "Conv", "Gemm"), part(CPU, "Shape")]
                    self.get_provider_graph_assignment_info = lambda: told

            def get_providers(self):
                return [*self._asked, CPU] if providers is None else list(providers)

        package = ModuleType("onnxruntime")
        package.__dict__.update(vars(onnxruntime))
        package.InferenceSession = Session
        package.get_available_providers = lambda: [TENSORRT, CUDA, CPU]
        package.__file__ = str(capi.parent / "__init__.py")
        monkeypatch.setitem(sys.modules, "onnxruntime", package)
        monkeypatch.setattr(ort, "gpu_problem", lambda device: None)
        monkeypatch.setitem(sys.modules, "tensorrt", ModuleType("tensorrt"))
        return calls

    return make


def open_ort(folder, backend):
    """As `open_runtime` opens it."""
    bundle = Bundle.load(folder)
    return OrtRuntime(
        REGISTERED[backend],
        bundle,
        bundle.artifact("onnx.fp32"),
        precision="fp32",
        options=ort.RuntimeOptions(None, 4, 0, 1, True),
    )


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("told", [(), None])
def test_a_session_on_the_gpu_is_taken(gpu_build, make_bundle, backend, told):
    calls = gpu_build(parts=told)
    clips = np.full((2, 4, 32, 32, 3), 9, np.uint8)
    with open_ort(make_bundle(), backend) as runtime:
        assert runtime.backend == backend and runtime.run(clips).shape == (2, 3)
    ((options, asked, more),) = calls
    assert asked[0] == ort.PROVIDERS[backend][0] and CPU not in asked
    # ONNX Runtime's own way out, at the start and in the middle of a run: the CPU.
    assert more == {"enable_fallback": 0}
    key = "session.record_ep_graph_assignment_info"
    assert options.get_session_config_entry(key) == "1"


@pytest.mark.parametrize(
    ("backend", "taken", "message"),
    [
        ("onnxruntime-cuda", [CPU], f"could not start {CUDA} and took {CPU} in its place"),
        ("onnxruntime-tensorrt", [CPU], f"could not start {TENSORRT} and took {CPU} in"),
        ("onnxruntime-tensorrt", [CUDA, CPU], f"could not start {TENSORRT} and took {CUDA} in"),
    ],
)
def test_a_provider_that_did_not_start_is_an_error(gpu_build, make_bundle, backend, taken, message):
    gpu_build(taken)
    with pytest.raises(BackendUnavailable, match=message) as caught:
        open_ort(make_bundle(), backend)
    assert "stderr says why" in str(caught.value) and "onnxruntime-gpu" in caught.value.remedy
    status = probe.probe_backend(backend)
    assert not status.runs and message in status.reason and status.remedy


def test_a_gpu_that_fails_is_not_blamed_on_the_file(gpu_build, make_bundle):
    gpu_build(failing=(str, bytes))
    with pytest.raises(BackendUnavailable, match="CUDA failure 35"):
        open_ort(make_bundle(), "onnxruntime-cuda")
    gpu_build(failing=(str,))
    with pytest.raises(BundleError, match=r"model\.fp32\.onnx .*CUDA failure 35"):
        open_ort(make_bundle(), "onnxruntime-cuda")


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([part(CPU, "Conv", "Conv", "Gemm")], f"{CUDA} .* no node"),
        (
            [part(CUDA, "Add"), part(CPU, "Conv"), part(CPU, "Conv"), part(CPU, "Gemm", "Shape")],
            f"2 Conv, 1 Gemm .*{CUDA}",
        ),
    ],
)
def test_work_that_went_to_the_cpu_is_an_error(gpu_build, make_bundle, parts, message):
    gpu_build(parts=parts)
    with pytest.raises(BackendUnavailable, match=message):
        open_ort(make_bundle(), "onnxruntime-cuda")


def test_what_tensorrt_leaves_to_cuda_is_no_fall_back(gpu_build, make_bundle):
    gpu_build(parts=[part(TENSORRT, "Conv"), part(CUDA, "Conv"), part(CPU, "Gather")])
    open_ort(make_bundle(), "onnxruntime-tensorrt").close()


def test_a_library_that_is_missing_is_named_before_a_session_is_made(gpu_build, make_bundle):
    calls = gpu_build()
    library = Path(sys.modules["onnxruntime"].__file__).parent / "capi"
    (library / "libonnxruntime_providers_cuda.so").unlink()
    with pytest.raises(BackendUnavailable, match=r"a library is missing: .*providers_cuda\.so"):
        open_ort(make_bundle(), "onnxruntime-cuda")
    assert not calls


def test_the_build_for_cpus_is_no_build_for_gpus(make_bundle):
    with pytest.raises(BackendError, match=f"is built without {CUDA} .it has .*{CPU}"):
        open_ort(make_bundle(), "onnxruntime-cuda")


def test_the_provider_a_recorded_session_tells_of_is_its_own():
    """The names that the check reads are those of ONNX Runtime itself."""
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    session = onnxruntime.InferenceSession(common.DOUBLE, options, providers=[CPU])
    if not hasattr(session, "get_provider_graph_assignment_info"):
        pytest.skip("this ONNX Runtime does not tell where nodes run")
    told = session.get_provider_graph_assignment_info()
    kinds = [(one.ep_name, node.op_type) for one in told for node in one.get_nodes()]
    assert kinds == [(CPU, "Add")]
    assert "no node" in str(ort._left_to_the_cpu(CUDA, told))
