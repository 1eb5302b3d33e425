"""What needs a GPU. Without one every test here skips and says what is missing.

`make test-gpu` runs it and writes reports/gpu/GPU-TENSORRT.json: outcomes, hardware, versions.
"""

from __future__ import annotations

import json
import os
import platform
import re
from importlib import metadata
from pathlib import Path

import pytest

from infer.runtimes.tensorrt import runtime

PACKAGES = ("clipduet", "tensorrt", "pycuda", "cuda-bindings", "onnxruntime", "onnx", "numpy")
OUTCOMES: dict[str, str] = {}
MEASURED: dict[str, object] = {}


@pytest.fixture(scope="session", autouse=True)
def gpu():
    """Skips without a GPU that TensorRT can use."""
    why = runtime.tensorrt_problem()
    if why is not None:
        pytest.skip(f"needs a GPU with TensorRT: {why}")


@pytest.fixture
def record(request):
    """`record(value)`: keep something a test found out in the report."""

    def keep(value):
        MEASURED[request.node.name] = value

    return keep


def pytest_runtest_logreport(report):
    if report.when == "call" or report.outcome != "passed":
        OUTCOMES[report.nodeid.split("::")[-1]] = report.outcome


def pytest_sessionfinish(session):
    folder = os.environ.get("CLIPDUET_GPU_REPORT")
    if not folder or runtime.tensorrt_problem() is not None:
        return
    from infer.runtimes.tensorrt.cuda_memory import Gpu

    here = runtime.engine_machine(Gpu())
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = None
    report = {
        "gpu": here.gpu,
        "compute_capability": here.compute_capability,
        "tensorrt": here.tensorrt,
        "platform": f"{platform.platform()}, Python {platform.python_version()}",
        "packages": versions,
        "outcomes": OUTCOMES,
        "found": MEASURED,
    }
    name = re.sub(r"[^a-z0-9.]+", "-", f"{here.gpu}-trt{here.tensorrt}".lower())
    path = Path(folder) / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=2) + "\n")
    print(f"\nwritten: {path}")
