"""Every backend computes what the trained network computes, at any batch size, in flat memory."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.convert import DeployNet
from export.verify import dynamic, gap
from infer.bundle import Bundle
from infer.runtimes import Clips, open_runtime

ROOT = Path(__file__).resolve().parents[2]
KINDS = ["attention", "resnet"]
EXACT = [("onnxruntime", "fp32"), ("openvino", "fp32"), ("paddle", "fp32")]
# Share of the largest logit: 8 bits of mantissa; 8 bits of range in every layer.
LOOSE = [("openvino", "bf16", 0.1), ("onnxruntime", "int8", 0.3), ("openvino", "int8", 0.3)]


def some_clips(count: int) -> Clips:
    return np.random.default_rng(5).integers(0, 256, (count, 4, 32, 32, 3), dtype=np.uint8)


def opened(bundle: Bundle, backend: str, precision: str, **options: Any) -> Any:
    if find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    return open_runtime(bundle, backend=backend, precision=precision, threads=1, **options)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("backend", "precision"), EXACT)
def test_full_precision_is_the_trained_network(
    exported: Callable[..., Any], kind: str, backend: str, precision: str
) -> None:
    made = exported(kind)
    bundle = Bundle.load(made.folder)
    trained = dynamic(DeployNet(made.experiment.recognizer.student, bundle.spec))
    x = some_clips(9)
    reference = np.concatenate([trained(x[i : i + 1]) for i in range(9)])
    with opened(bundle, backend, precision) as runtime:
        # Up and down: kernels are made for a shape, kept, dropped and made again.
        for n in (1, 2, 5, 9, 3, 1, 4, 2, 9):
            assert gap(reference[:n], runtime.run(x[:n])).share < 1e-4, n


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("backend", "precision", "share"), LOOSE)
def test_low_precision_is_near_and_the_same_in_any_batch(
    exported: Callable[..., Any], kind: str, backend: str, precision: str, share: float
) -> None:
    made = exported(kind)
    bundle = Bundle.load(made.folder)
    x = some_clips(9)
    with opened(bundle, "onnxruntime", "fp32") as runtime:
        reference = runtime.run(x)
    if precision == "bf16":
        import openvino

        if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            pytest.skip("this CPU has no bf16")
    with opened(bundle, backend, precision) as runtime:
        assert runtime.precision == precision
        together = runtime.run(x)
        alone = np.concatenate([runtime.run(x[i : i + 1]) for i in range(9)])
    # Not exact: it is really the low precision that runs.
    assert 1e-4 < gap(reference, together).share < share
    assert gap(alone, together).share < 1e-2


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino", "paddle"])
def test_memory_is_flat_over_changing_batches(exported: Callable[..., Any], backend: str) -> None:
    if find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    code = """
import sys
import numpy as np
from infer.bundle import Bundle
from infer.runtimes import open_runtime

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 1e6

rng = np.random.default_rng(0)
clips = rng.integers(0, 256, (5, 4, 32, 32, 3), dtype=np.uint8)
before = resident()
with open_runtime(Bundle.load(sys.argv[1]), backend=sys.argv[2], threads=1) as runtime:
    def run(times):
        for _ in range(times):
            runtime.run(clips[: rng.integers(1, 6)])
    run(60)
    warm = resident()
    run(240)
    print(resident() - warm)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(exported("resnet").folder), backend],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    # A leak of one batch's activations a call would be hundreds.
    assert float(done.stdout) < 30
