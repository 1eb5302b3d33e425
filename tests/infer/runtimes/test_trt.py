"""The TensorRT runtime's own work, on a GPU that keeps account and does everything late: splitting,
overlap, waiting, freeing. What TensorRT itself computes is for tests/gpu."""

from __future__ import annotations

import sys
import threading
import time
from hashlib import sha256

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import numpy_helper

from infer.bundle.bundle import Bundle
from infer.bundle.engines import Machine, Profile, Stamp, engine_path, onnx_sha256, stamp_path
from infer.runtimes.open import open_runtime
from infer.runtimes.tensorrt import runtime as trt_module
from infer.runtimes.tensorrt.runtime import TensorRTRuntime, buffer_bytes
from infer.system.errors import BackendError, BundleError
from tests import fake_tensorrt
from tests.fake_cuda import FakeCuda

NEWEST = fake_tensorrt.VERSIONS[-1]


def clips(n, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 4, 32, 32, 3), dtype=np.uint8)


def expected(pixels):
    return pixels.mean((1, 2, 3)) * 0.05


def build(bundle, version=NEWEST, profile=(1, 2, 4), stamped=None, model=None):
    """Put an engine for the fake GPU into a bundle, as the builder would."""
    model = model or (bundle.root / "model.fp32.onnx").read_bytes()
    shapes = [[n, *bundle.spec.clip_shape] for n in profile]
    plan = fake_tensorrt.plan(model, shapes)
    machine, batches = Machine(version, "Fake GPU 0", "9.0"), Profile(*(stamped or profile))
    path = engine_path(bundle, "fp32", machine, batches)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(plan)
    digest = sha256(plan).hexdigest()
    stamp = Stamp(
        *(len(plan), digest, "model.fp32.onnx", onnx_sha256(bundle, "fp32"), "fp32"),
        *(machine, batches, {}, 1.0, {}),
    )
    stamp_path(path).write_text(stamp.to_json())
    return path


@pytest.fixture
def bundle(make_bundle):
    return Bundle.load(make_bundle())


@pytest.fixture
def gpu(monkeypatch):
    """`gpu(version=..., graphs=..., **of FakeCuda)`: what the process then sees."""

    def make(version=NEWEST, graphs=False, **options):
        cuda = FakeCuda(**options).install(monkeypatch)
        if graphs:
            cuda.install_bindings(monkeypatch)
        fake_tensorrt.install(monkeypatch, cuda, version)
        return cuda

    return make


@pytest.mark.parametrize("version", fake_tensorrt.VERSIONS)
def test_every_version_gives_the_logits_of_any_number_of_clips(bundle, gpu, version):
    cuda = gpu(version)
    build(bundle, version)
    with TensorRTRuntime(bundle) as runtime:
        assert (runtime.backend, runtime.precision, runtime.max_batch) == ("tensorrt", "fp32", 4)
        for n in (1, 3, 4, 5, 8, 11):
            logits = runtime.run(clips(n))
            assert logits.shape == (n, 3) and logits.dtype == np.float32
            assert np.allclose(logits, expected(clips(n)), atol=1e-4)
    assert cuda.held() == {} and cuda.stack == []


def test_it_is_opened_as_every_other_backend(bundle, gpu):
    cuda = gpu()
    build(bundle, profile=(1, 2, 3))
    with open_runtime(bundle, backend="tensorrt", warm_up=[1, 3]) as runtime:
        assert (runtime.backend, runtime.max_batch) == ("tensorrt", 3)
        assert np.allclose(runtime.run(clips(7)), expected(clips(7)), atol=1e-4)
    assert cuda.held() == {}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(
    n=st.integers(1, 14),
    profile=st.sampled_from([(1, 1, 1), (1, 2, 3), (2, 2, 2), (3, 4, 5)]),
    limit=st.sampled_from([None, 1, 2]),
    eager=st.booleans(),
    graphs=st.booleans(),
)
def test_batches_do_not_matter_in_whatever_order_the_gpu_works(
    bundle, gpu, n, profile, limit, eager, graphs
):
    for old in (bundle.root / "engines").glob("*"):
        old.unlink()
    if limit is not None and limit < profile[0]:
        limit = profile[0]
    cuda = gpu(eager=eager, graphs=graphs)
    build(bundle, profile=profile)
    with TensorRTRuntime(bundle, max_batch=limit) as runtime:
        assert runtime.max_batch == min(profile[2], limit or profile[2])
        assert runtime.cuda_graph is graphs
        assert np.allclose(runtime.run(clips(n)), expected(clips(n)), atol=1e-4)
        assert np.allclose(runtime.run(clips(n, 1)), expected(clips(n, 1)), atol=1e-4)
    assert cuda.held() == {}


def test_the_next_batch_is_uploaded_before_the_last_one_is_waited_for(bundle, gpu):
    cuda = gpu()
    build(bundle)
    with TensorRTRuntime(bundle) as runtime:
        cuda.calls.clear()
        runtime.run(clips(12))
    told = [c for c in cuda.calls if c in ("memcpy_htod_async", "synchronize event")]
    # Two batches are under way before the first is waited for; then one follows the other.
    upload, wait = "memcpy_htod_async", "synchronize event"
    assert told == [upload, upload, wait, upload, wait, wait]


def test_the_two_slots_take_turns_in_memory_taken_once(bundle, gpu):
    cuda = gpu()
    build(bundle)
    with TensorRTRuntime(bundle) as runtime:
        taken = dict(cuda.live)
        assert cuda.bytes["device"] == buffer_bytes(4, (4, 32, 32, 3), 3)
        assert cuda.bytes["pinned"] == buffer_bytes(4, (4, 32, 32, 3), 3)
        cuda.log.clear()
        runtime.run(clips(15))
        assert dict(cuda.live) == taken
    places = [line.split()[1] for line in cuda.log if line.startswith("compute")]
    assert len(set(places)) == 2 and places == [places[0], places[1]] * 2


def test_a_result_is_a_copy_of_its_own(bundle, gpu):
    gpu()
    build(bundle)
    with TensorRTRuntime(bundle) as runtime:
        first = runtime.run(clips(2, seed=1))
        kept = first.copy()
        runtime.run(clips(2, seed=2))[:] = -1
        assert np.array_equal(first, kept)
    assert np.array_equal(first, kept)


def test_full_batches_are_replayed_where_graphs_can_be_captured(bundle, gpu):
    cuda = gpu(graphs=True)
    build(bundle)
    with TensorRTRuntime(bundle) as runtime:
        assert runtime.cuda_graph and runtime.why_no_graph is None
        cuda.calls.clear()
        assert np.allclose(runtime.run(clips(9)), expected(clips(9)), atol=1e-4)
    assert cuda.calls.count("cuGraphLaunch") == 2 and cuda.calls.count("execute_async_v3") == 1
    with TensorRTRuntime(bundle, graphs=False) as runtime:
        assert not runtime.cuda_graph and "not asked" in runtime.why_no_graph
    assert cuda.held() == {}


def test_without_cuda_bindings_the_reason_is_told(bundle, gpu):
    gpu()
    build(bundle)
    with TensorRTRuntime(bundle) as runtime:
        assert runtime.cuda_graph is False and "pip install cuda-bindings" in runtime.why_no_graph


def test_a_replay_that_gives_other_logits_is_not_used(bundle, gpu, monkeypatch):
    cuda = gpu(graphs=True)
    build(bundle)
    from cuda.bindings import driver

    monkeypatch.setattr(driver, "cuGraphLaunch", lambda run, stream: (0,))
    with TensorRTRuntime(bundle) as runtime:
        assert "other logits" in runtime.why_no_graph
        assert np.allclose(runtime.run(clips(9)), expected(clips(9)), atol=1e-4)
    assert cuda.held() == {}


@pytest.mark.parametrize("graphs", [False, True])
def test_whatever_call_fails_everything_is_given_back(bundle, gpu, graphs):
    cuda = gpu(graphs=graphs)
    build(bundle)

    def use():
        with TensorRTRuntime(bundle) as runtime:
            return runtime.run(clips(11))

    use()
    total, outcomes = len(cuda.calls), []
    for number in range(1, total + 1):
        cuda = gpu(graphs=graphs, fail_at=number)
        try:
            logits = use()
        except (BackendError, BundleError) as error:
            outcomes.append(str(error))
        else:  # a graph that cannot be captured is done without
            assert graphs and np.allclose(logits, expected(clips(11)), atol=1e-4)
            outcomes.append("done without")
        assert cuda.held() == {}, cuda.calls[-1]
        assert cuda.stack == [] and not any(cuda.bytes.values())
    words = ("failed", "made to fail", "memory", "not run", "done without")
    assert all(any(word in outcome for word in words) for outcome in outcomes)
    assert ("done without" in outcomes) is graphs and len(outcomes) > 40


def test_after_a_failure_the_runtime_works_on(bundle, gpu):
    cuda = gpu()
    build(bundle)
    with TensorRTRuntime(bundle) as runtime:
        for step in range(1, 24):
            cuda.fail_at = len(cuda.calls) + step
            with pytest.raises(BackendError):
                runtime.run(clips(11, seed=step))
            cuda.fail_at = None
            # Fewer than before: what was under way has no place in it.
            assert np.allclose(runtime.run(clips(3)), expected(clips(3)), atol=1e-4)
            assert np.allclose(runtime.run(clips(11)), expected(clips(11)), atol=1e-4)
    assert cuda.held() == {}


def test_two_runtimes_and_several_threads(bundle, gpu, monkeypatch):
    cuda = gpu()
    build(bundle)
    results, submit = {}, TensorRTRuntime._submit

    def slowly(*args):
        time.sleep(0.005)  # others take their turn in the middle of a run, if they may
        submit(*args)

    monkeypatch.setattr(TensorRTRuntime, "_submit", slowly)
    with TensorRTRuntime(bundle) as first, TensorRTRuntime(bundle, max_batch=2) as second:

        def work(name, runtime, seed):
            results[name] = runtime.run(clips(7, seed))

        threads = [
            threading.Thread(target=work, args=(f"{runtime is first} {seed}", runtime, seed))
            for runtime in (first, second)
            for seed in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for name, logits in results.items():
        seed = int(name.split()[1])
        assert np.allclose(logits, expected(clips(7, seed)), atol=1e-4)
    assert len(results) == 6 and cuda.held() == {}


def test_a_closed_runtime_and_wrong_clips(bundle, gpu):
    gpu()
    build(bundle)
    runtime = TensorRTRuntime(bundle)
    with pytest.raises(BackendError, match="float32"):
        runtime.run(clips(1).astype(np.float32))
    runtime.close()
    runtime.close()
    with pytest.raises(BackendError, match="closed"):
        runtime.run(clips(1))


def test_a_tensorrt_that_does_not_start_is_not_asked_anything(bundle, gpu, monkeypatch):
    """With a driver that is too old, 11.4 gives a runtime whose every method crashes."""
    cuda = gpu()
    build(bundle)
    trt = sys.modules["tensorrt"]

    class Dead:
        def __init__(self, logger):
            logger.log(trt.ILogger.Severity.ERROR, "CUDA initialization failure with error: 35")

    monkeypatch.setattr(trt, "Runtime", Dead)
    with pytest.raises(BackendError, match="CUDA initialization failure"):
        TensorRTRuntime(bundle)
    assert cuda.held() == {}


def test_too_little_memory_says_so_and_leaves_none_taken(bundle, gpu):
    cuda = gpu(total=60_000)
    build(bundle)
    with pytest.raises(BackendError, match=r"not enough memory .* use smaller batches"):
        TensorRTRuntime(bundle)
    assert cuda.held() == {}


@pytest.mark.parametrize(
    ("plan", "said"),
    [(b"from elsewhere", "magicTag")],
)
def test_a_file_that_is_no_engine(bundle, gpu, plan, said):
    cuda = gpu()
    path = build(bundle)
    stamp = stamp_path(path).read_text()
    stamp = stamp.replace(str(path.stat().st_size), str(len(plan)))
    stamp = stamp.replace(sha256(path.read_bytes()).hexdigest(), sha256(plan).hexdigest())
    path.write_bytes(plan)
    stamp_path(path).write_text(stamp)
    with pytest.raises(BundleError, match=said):
        TensorRTRuntime(bundle)
    assert cuda.held() == {}


def test_an_engine_of_another_network_or_other_batches(bundle, gpu):
    cuda = gpu()
    other = onnx.load(str(bundle.root / "model.fp32.onnx"))
    other.graph.initializer[0].CopyFrom(
        numpy_helper.from_array(np.eye(3, 5, dtype=np.float32), "weights")
    )
    other.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 5
    build(bundle, model=other.SerializeToString())
    with pytest.raises(BundleError, match=r"'logits' is .* \(-1, 5\), bundle.json says .* 3\)"):
        TensorRTRuntime(bundle)
    renamed = onnx.load(str(bundle.root / "model.fp32.onnx"))
    renamed.graph.output[0].name = renamed.graph.node[-1].output[0] = "scores"
    build(bundle, model=renamed.SerializeToString())
    with pytest.raises(BundleError, match=r"has the ends \['clip', 'scores'\]"):
        TensorRTRuntime(bundle)
    build(bundle, profile=(1, 2, 3), stamped=(1, 2, 4))
    with pytest.raises(BundleError, match=r"batches of \[1, 2, 3\], its stamp says \[1, 2, 4\]"):
        TensorRTRuntime(bundle)
    assert cuda.held() == {}


def test_why_it_cannot_run_here(bundle, gpu, monkeypatch):
    gpu()
    assert trt_module.tensorrt_problem() is None
    assert trt_module.tensorrt_problem(3) == "device is 3; there is 0: Fake GPU 0"
    gpu(devices=0)
    assert "no GPU" in trt_module.tensorrt_problem()
    monkeypatch.setitem(sys.modules, "pycuda", None)
    monkeypatch.setitem(sys.modules, "pycuda.driver", None)
    assert "pycuda " in trt_module.tensorrt_problem()
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    assert "tensorrt " in trt_module.tensorrt_problem()
    with pytest.raises(BackendError, match=r"tensorrt .*\[gpu\]"):
        TensorRTRuntime(bundle)
    with pytest.raises(BackendError, match="max_batch is 0; allowed: from 1"):
        TensorRTRuntime(bundle, max_batch=0)
