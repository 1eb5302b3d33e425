"""Every backend computes what the trained network computes, at any batch size, in flat memory."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from paddle import nn

from export.clips import selection
from export.int8.quantize import calibrate, quantize
from export.verify.limits import INT8_BATCHES
from export.verify.parity import dynamic, gap
from infer.bundle.bundle import Bundle, describe_file, write_bundle_json
from infer.runtimes.base import Clips
from infer.runtimes.open import open_runtime
from tests.export.conftest import SATURATES
from train.models.pixels import PixelInput

ROOT = Path(__file__).resolve().parents[3]
KINDS = ["attention", "resnet"]
EXACT = [("onnxruntime", "fp32"), ("openvino", "fp32"), ("paddle", "fp32")]
# Share of the largest logit: 8 bits of mantissa; 8 bits of range in every layer.
LOOSE = [("openvino", "bf16", 0.1), ("onnxruntime", "int8", 0.3), ("openvino", "int8", 0.3)]


def some_clips(made: Any, count: int = 9) -> Clips:
    """Different clips: those that the int8 ranges were calibrated on, and mixtures of them."""
    real = selection.calibration(made.experiment.cfg, count=6).clips
    flipped = real[:, ::-1, :, ::-1]
    return np.ascontiguousarray(np.concatenate([real, flipped])[:count])


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
    spec = bundle.spec.preprocess
    trained = dynamic(
        nn.Sequential(PixelInput(spec.mean, spec.std), made.experiment.recognizer.student)
    )
    x = some_clips(made)
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
    x = some_clips(made)
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
    assert gap(alone, together).share < INT8_BATCHES.typical


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("activations", ["uint8", "int8"])
def test_openvino_runs_eight_bits_as_onnxruntime_does(
    exported: Callable[..., Any], tmp_path: Path, kind: str, activations: Any
) -> None:
    """Without its shields OpenVINO is wrong from the second clip on, or does not compile."""
    made = exported(kind)
    x = some_clips(made)
    shutil.copytree(made.folder, tmp_path / "bundle")
    file = tmp_path / "bundle" / "model.int8.onnx"
    calibrated = calibrate(made.folder / "model.fp32.onnx", x[:6], threads=1)
    quantize(calibrated, activations=activations, reduce_range=SATURATES, target=file)
    content = json.loads((tmp_path / "bundle" / "bundle.json").read_text())
    entry = {
        "format": "onnx",
        "precision": "int8",
        "files": [describe_file(file.parent, file.name)],
    }
    content["artifacts"] = {"onnx.int8": entry}
    del content["known_answers"]  # they are of other files
    write_bundle_json(file.parent, content)
    bundle = Bundle.load(file.parent)
    with opened(bundle, "onnxruntime", "int8") as runtime:
        reference = runtime.run(x)
    with opened(bundle, "openvino", "int8") as runtime:
        assert gap(reference, runtime.run(x)).share < 0.1


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino", "paddle"])
def test_memory_is_flat_over_changing_batches(exported: Callable[..., Any], backend: str) -> None:
    if find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    code = """
import sys
import numpy as np
from infer.bundle.bundle import Bundle, describe_file, write_bundle_json
from infer.runtimes.open import open_runtime

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
