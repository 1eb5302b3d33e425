"""Runtimes: the same few verbs, copies as results, batches that do not matter, clear refusals."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from multiprocessing.pool import ThreadPool
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from infer.bundle.bundle import Bundle
from infer.runtimes.onnxruntime.runtime import OrtRuntime
from infer.runtimes.open import open_runtime
from infer.system.errors import BackendError, BundleError

ROOT = Path(__file__).resolve().parents[3]
CPU = ("onnxruntime", "openvino", "paddle")


def clips(n, seed=0, shape=(4, 32, 32, 3)):
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), dtype=np.uint8)


def expected(pixels):
    return pixels.mean((1, 2, 3)) * 0.05


@pytest.fixture(params=CPU)
def backend(request):
    return request.param


@pytest.fixture
def bundle(backend, bundle_for):
    return Bundle.load(bundle_for(backend, max_batch=4))


def test_logits_of_any_number_of_clips(bundle, backend):
    with open_runtime(bundle, backend=backend, threads=1) as runtime:
        assert (runtime.backend, runtime.precision, runtime.max_batch) == (backend, "fp32", 4)
        for n in (1, 2, 4, 5, 11):
            logits = runtime.run(clips(n))
            assert logits.shape == (n, 3) and logits.dtype == np.float32
            assert np.allclose(logits, expected(clips(n)), atol=1e-4)


@pytest.mark.parametrize("max_batch", [None, 1, 3])
def test_a_clip_gives_the_same_alone_and_in_any_batch(bundle, backend, max_batch):
    x = clips(9)
    with open_runtime(bundle, backend=backend, threads=1, max_batch=max_batch) as runtime:
        assert runtime.max_batch == (max_batch or 4)
        together = runtime.run(x)
        alone = np.concatenate([runtime.run(x[i : i + 1]) for i in range(9)])
        backwards = runtime.run(x[::-1])[::-1]
    assert np.allclose(together, alone, rtol=1e-6, atol=1e-6)
    assert np.allclose(together, backwards, rtol=1e-6, atol=1e-6)


def test_no_part_is_larger_than_the_largest_batch(make_bundle):
    seen = []

    class Spy:
        def run(self, wanted, feed):
            seen.append(len(feed["clip"]))
            return [np.zeros((len(feed["clip"]), 3), np.float32)]

    with open_runtime(Bundle.load(make_bundle(max_batch=4)), max_batch=3) as runtime:
        runtime._session = Spy()
        assert runtime.run(clips(8)).shape == (8, 3)
    assert seen == [3, 3, 2]


def test_streams_share_a_batch_and_change_nothing(make_bundle):
    pytest.importorskip("openvino")
    bundle = Bundle.load(make_bundle(max_batch=4))
    with open_runtime(bundle, backend="openvino", threads=2, streams=2) as runtime:
        for n in (1, 2, 5, 11):
            assert np.allclose(runtime.run(clips(n)), expected(clips(n)), atol=1e-4)


def test_a_result_is_a_copy_of_its_own(bundle, backend):
    with open_runtime(bundle, backend=backend, threads=1) as runtime:
        x = clips(2, seed=1)
        first = runtime.run(x)
        x[:] = 0
        kept = first.copy()
        second = runtime.run(clips(2, seed=2))
        second[:] = -1
        assert np.array_equal(first, kept)
        assert np.array_equal(runtime.run(clips(2, seed=1)), kept)


def test_clips_that_may_not_be_written_to_are_run(bundle, backend):
    x = clips(3)
    x.flags.writeable = False
    with open_runtime(bundle, backend=backend, threads=1) as runtime:
        assert np.allclose(runtime.run(x), expected(x), atol=1e-4)


@pytest.mark.parametrize(
    ("x", "reason"),
    [
        (clips(1).astype(np.float32), "float32"),
        (clips(1)[0], r"\(4, 32, 32, 3\); this bundle takes \(n, 4, 32, 32, 3\)"),
        (clips(1, shape=(3, 4, 32, 32)), r"this bundle takes \(n, 4, 32, 32, 3\)"),
        (clips(0), r"\(0, 4, 32, 32, 3\)"),
    ],
)
def test_clips_that_do_not_fit(bundle, backend, x, reason):
    runtime = open_runtime(bundle, backend=backend, threads=1)
    with runtime, pytest.raises(BackendError, match=reason):
        runtime.run(x)


def test_a_closed_runtime_says_so(bundle, backend):
    runtime = open_runtime(bundle, backend=backend, threads=1)
    with runtime:
        runtime.run(clips(1))
    runtime.close()
    with pytest.raises(BackendError, match="closed"):
        runtime.run(clips(1))


def test_runtimes_live_side_by_side(bundle_for, tmp_path):
    """Two of each backend, in turns; one is closed, the others go on."""
    bundle = Bundle.load(bundle_for("paddle", max_batch=4))
    there = [name for name in CPU if find_spec(name)]
    opened = [open_runtime(bundle, backend=name, threads=1) for name in there * 2]
    try:
        for turn in range(3):
            for seed, runtime in enumerate(opened):
                x = clips(1 + (seed + turn) % 5, seed=seed)
                assert np.allclose(runtime.run(x), expected(x), atol=1e-4), runtime.backend
            opened[turn].close()
            del opened[turn]
    finally:
        for runtime in opened:
            runtime.close()


def test_threads_may_share_a_runtime(bundle, backend):
    inputs = [clips(1 + k % 5, seed=k) for k in range(24)]
    with open_runtime(bundle, backend=backend, threads=1) as runtime, ThreadPool(4) as pool:
        for x, logits in zip(inputs, pool.map(runtime.run, inputs), strict=True):
            assert np.allclose(logits, expected(x), atol=1e-4)


def test_warm_up_runs_what_it_is_told(bundle, backend, monkeypatch):
    ran = []
    kind = type(open_runtime(bundle, backend=backend, threads=1))
    honest = kind.run
    monkeypatch.setattr(kind, "run", lambda self, x: ran.append(x.shape) or honest(self, x))
    open_runtime(bundle, backend=backend, threads=1, warm_up=(2, 5)).close()
    assert ran[-2:] == [(2, 4, 32, 32, 3), (5, 4, 32, 32, 3)]


def test_a_failed_warm_up_closes_the_runtime(make_bundle, monkeypatch):
    closed = []

    def fail(self, x):
        raise BackendError("no")

    monkeypatch.setattr(OrtRuntime, "run", fail)
    monkeypatch.setattr(OrtRuntime, "close", lambda self: closed.append(self))
    with pytest.raises(BackendError, match="no"):
        open_runtime(Bundle.load(make_bundle()), warm_up=(1,))
    assert len(closed) == 1


def test_paddle_keeps_stdout_clean(bundle_for, tmp_path):
    """Paddle's oneDNN writes a line about each mean to stdout from C++."""
    bundle = bundle_for("paddle")
    code = (
        "import sys, numpy as np\nfrom infer.bundle.bundle import Bundle\n"
        "from infer.runtimes.open import open_runtime\nprint('before')\n"
        "with open_runtime(Bundle.load(sys.argv[1]), backend='paddle', threads=1) as runtime:\n"
        "    for n in (1, 2): runtime.run(np.zeros((n, 4, 32, 32, 3), np.uint8))\n"
        "print('after')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(bundle)], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "before\nafter\n"), done.stderr


@pytest.mark.parametrize("spinning", [True, False])
def test_idle_threads_of_paddle_sleep_when_they_are_told(bundle_for, spinning):
    """Intel's OpenMP keeps them awake for 200 ms unless it is told otherwise, by thread."""
    import ctypes

    import paddle

    bundle = Bundle.load(bundle_for("paddle"))

    def blocktime():
        with open_runtime(bundle, backend="paddle", threads=1, spinning=spinning) as runtime:
            runtime.run(clips(1))
            library = Path(paddle.__file__).parent / "libs" / "libiomp5.so"
            if not library.is_file():
                pytest.skip("this Paddle has another OpenMP")
            return ctypes.CDLL(str(library)).kmp_get_blocktime()

    with ThreadPool(1) as pool:
        assert (pool.apply(blocktime) == 0) == (not spinning)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"backend": "tpu"}, "'tpu'; allowed: onnxruntime, "),
        ({"backend": "openvin"}, "'openvino'"),
        ({"precision": "int8"}, "it has: fp32$"),
        ({"precision": "fp61"}, r"fp16"),
        ({"backend": "paddle"}, "no fp32 model for paddle"),
        ({"backend": "onnxruntime", "precision": "bf16"}, "no bf16 model for onnxruntime"),
        ({"threads": 0}, "threads is 0; allowed: 1 to 1024, or none"),
        ({"threads": 100_000}, "threads is 100000; allowed: 1 to 1024"),
        ({"threads": 1.5}, "threads is 1.5"),
        ({"max_batch": 5}, "max_batch is 5; allowed: 1 to 4"),
        ({"max_batch": 0}, "max_batch is 0"),
        ({"device": 1}, "device is 1"),
        ({"device": -1, "backend": "onnxruntime-cuda"}, "device is -1; allowed: from 0"),
        ({"streams": 2}, "streams is 2"),
        ({"warm_up": (1, 0)}, "a batch of warm_up is 0"),
    ],
)
def test_wrong_choices_name_the_right_ones(make_bundle, options, reason):
    with pytest.raises(BackendError, match=reason):
        open_runtime(Bundle.load(make_bundle(max_batch=4)), **options)


def test_all_wrong_choices_are_said_at_once(make_bundle):
    with pytest.raises(BackendError) as caught:
        open_runtime(
            Bundle.load(make_bundle(max_batch=4)), backend="tpu", threads=0, max_batch=9, device=-1
        )
    assert all(part in str(caught.value) for part in ("4 problems", "tpu", "threads", "max", "dev"))


def test_an_altered_model_is_not_run(make_bundle):
    folder = make_bundle()
    bundle = Bundle.load(folder)
    other = onnx.load(str(folder / "model.fp32.onnx"))
    other.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.eye(3, dtype="f4"), "weights"))
    onnx.save(other, str(folder / "model.fp32.onnx"))
    with pytest.raises(BundleError, match=r"changed after export"):
        open_runtime(bundle)


def _renamed_input(model):
    model.graph.input[0].name = model.graph.node[0].input[0] = "video"


def _renamed_output(model):
    model.graph.output[0].name = model.graph.node[-1].output[0] = "scores"


def _float_input(model):
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT


def _other_size(model):
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 64


def _fixed_batch(model):
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2


def _unknown_node(model):
    model.graph.node[0].op_type = "Nonsense"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_renamed_input, r"no input 'clip'; it has \['video'\]"),
        (_renamed_output, r"no output 'logits'; it has \['scores'\]"),
        (_float_input, "float32, bundle.json says uint8"),
        (_other_size, r"bundle.json says \['batch', 4, 32, 32, 3\]"),
        (_fixed_batch, "fixed batch of 2"),
        (_unknown_node, "does not load in (ONNX Runtime|OpenVINO): .*Nonsense"),
    ],
)
@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_a_graph_that_is_not_what_the_bundle_says(bundle_for, backend, change, reason):
    folder = bundle_for(backend)
    graph = onnx.load(str(folder / "model.fp32.onnx"))
    change(graph)
    with pytest.raises(BundleError, match=reason):
        open_runtime(Bundle.load(bundle_for(backend, graph=graph)), backend=backend)


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_a_graph_with_two_inputs_is_refused(bundle_for, backend):
    folder = bundle_for(backend)
    graph = onnx.load(str(folder / "model.fp32.onnx"))
    extra = helper.make_tensor_value_info("other", onnx.TensorProto.FLOAT, [1])
    graph.graph.input.append(extra)
    with pytest.raises(BundleError, match="takes 2 inputs"):
        open_runtime(Bundle.load(bundle_for(backend, graph=graph)), backend=backend)
