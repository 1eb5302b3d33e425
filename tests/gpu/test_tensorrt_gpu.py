"""TensorRT on a real GPU: engines of every precision, built by the command, run by the runtime."""

from __future__ import annotations

import json
import os
import shutil
import threading
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.int8.quantize import calibrate, quantize
from export.network.float16 import to_half
from export.tensorrt import __main__ as command
from infer.bundle.bundle import Bundle, describe_file, write_bundle_json
from infer.bundle.engines import stamp_path
from infer.clips.spec import ClipSpec, PreprocessSpec, SamplingSpec
from infer.runtimes.tensorrt.runtime import TensorRTRuntime
from infer.system.errors import BackendError, BundleError

SPEC = ClipSpec(SamplingSpec(num_seg=4), PreprocessSpec(short_size=64, fixed_ratio=False, crop=64))
CLASSES = 10
BATCHES = ["--min-batch", "1", "--opt-batch", "3", "--max-batch", "4"]


def small_network():
    """Random weights, the operators of our networks: uint8 pixels moved and cast, convolutions,
    depthwise ones too, a shift in time, a gate, means, a linear layer."""
    rng = np.random.default_rng(0)
    constants: list[onnx.TensorProto] = []

    def constant(name, value):
        constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def weights(name, *shape):
        scale = np.sqrt(2 / np.prod(shape[1:]))
        return constant(name, rng.normal(0, scale, shape).astype(np.float32))

    def conv(source, target, inside, outside, group=1):
        names = [source, weights(f"{target}.w", outside, inside // group, 3, 3)]
        names.append(constant(f"{target}.b", rng.normal(0, 0.1, outside).astype(np.float32)))
        pads = [1, 1, 1, 1]
        return [
            helper.make_node("Conv", names, [f"{target}.c"], f"{target}.c", group=group, pads=pads),
            helper.make_node("Relu", [f"{target}.c"], [target], target),
        ]

    node = helper.make_node
    nodes = [
        node("Reshape", ["clip", constant("frames", [-1, 64, 64, 3])], ["flat"]),
        node("Transpose", ["flat"], ["planes"], perm=[0, 3, 1, 2]),
        node("Cast", ["planes"], ["pixels"], to=TensorProto.FLOAT),
        node("Mul", ["pixels", constant("scale", np.float32(1 / 128))], ["normal"]),
        *conv("normal", "one", 3, 16),
        node("Reshape", ["one", constant("apart", [-1, 4, 16, 64, 64])], ["time"]),
        node("Pad", ["time", constant("pads", [0, 1, 0, 0, 0, 0, 0, 0, 0, 0])], ["later"]),
        node(
            "Slice",
            ["later", constant("start", [0]), constant("end", [4]), constant("axis", [1])],
            ["shifted"],
        ),
        node("Reshape", ["shifted", constant("together", [-1, 16, 64, 64])], ["frames2"]),
        *conv("frames2", "two", 16, 16, group=16),
        node("GlobalAveragePool", ["two"], ["pooled"]),
        node("Sigmoid", ["pooled"], ["gate"]),
        node("Mul", ["two", "gate"], ["gated"]),
        *conv("gated", "three", 16, 32),
        node("GlobalAveragePool", ["three"], ["means"]),
        node("Reshape", ["means", constant("clips", [-1, 4, 32])], ["rows"]),
        node("ReduceMean", ["rows"], ["mean"], axes=[1], keepdims=0),
        node("Gemm", ["mean", weights("fc", 32, CLASSES)], ["logits"]),
    ]
    clip = helper.make_tensor_value_info("clip", TensorProto.UINT8, ["batch", *SPEC.clip_shape])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", CLASSES])
    # As the export calls what stays in floats: pixels, gates, the classifier.
    ours = {"normal": "pixels", "pooled": "two.se.pool", "gate": "two.se.gate", "logits": "head.fc"}
    for each in nodes:
        each.name = each.name or ours.get(each.output[0], f"{each.op_type}.{each.output[0]}")
    graph = helper.make_graph(nodes, "small", [clip], [logits], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def small_bundle(folder):
    """fp32, fp16 and symmetric int8 of the small network."""
    source = folder / "model.fp32.onnx"
    onnx.save(small_network(), str(source))
    to_half(source, folder / "model.fp16.onnx")
    calibrated = calibrate(source, some_clips(8))
    quantize(calibrated, activations="int8", target=folder / "model.int8.onnx")
    files = {name: describe_file(folder, f"model.{name}.onnx") for name in ("fp32", "fp16", "int8")}
    data = {
        "format_version": 1,
        "name": "small",
        "model": {},
        "classes": [f"class {k}" for k in range(CLASSES)],
        "spec": SPEC.to_dict(),
        "input": {"name": "clip", "dtype": "uint8", "shape": ["batch", *SPEC.clip_shape]},
        "output": {"name": "logits", "dtype": "float32", "shape": ["batch", CLASSES]},
        "max_batch": 4,
        "artifacts": {
            f"onnx.{name}": {"format": "onnx", "precision": name, "files": [file]}
            for name, file in files.items()
        },
        "origin": {},
    }
    write_bundle_json(folder, data)


def some_clips(count, seed=0, spec=SPEC):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, *spec.clip_shape), dtype=np.uint8)


@pytest.fixture(scope="module", params=["small", "exported"])
def bundle(request, tmp_path_factory):
    """The small network, and the one that `make test-gpu BUNDLE=...` names."""
    folder = tmp_path_factory.mktemp("gpu") / "bundle"
    if request.param == "exported":
        named = os.environ.get("CLIPDUET_BUNDLE", "")
        if not named:
            pytest.skip("no exported bundle: make test-gpu BUNDLE=folder")
        # Engines that are there already stay as they are.
        shutil.copytree(named, folder, ignore=shutil.ignore_patterns("engines"))
    else:
        folder.mkdir()
        small_bundle(folder)
    return Bundle.load(folder)


def build(bundle, precision, *options):
    code = command.main(["--bundle", str(bundle.root), "--precision", precision, *options])
    assert code == 0
    (path,) = (bundle.root / "engines").glob(f"{precision}-b1-3-4-*.engine")
    return path


def precisions(bundle):
    return [p for p in ("fp32", "fp16", "int8") if f"onnx.{p}" in bundle.artifacts]


def test_engines_give_the_logits_of_onnx_runtime_in_any_batch(bundle, record):
    found = {}
    for precision in precisions(bundle):
        path = build(bundle, precision, *BATCHES)
        stamp = json.loads(stamp_path(path).read_text())
        clips = some_clips(11, 1, bundle.spec)
        session = ort.InferenceSession(
            str(bundle.root / stamp["onnx_file"]), providers=["CPUExecutionProvider"]
        )
        expected = session.run([bundle.output_name], {bundle.input_name: clips})[0]
        with TensorRTRuntime(bundle, precision=precision) as runtime:
            together = runtime.run(clips)
            alone = np.concatenate([runtime.run(clip[None]) for clip in clips])
            again = runtime.run(clips)
            found[precision] = {
                "parity": stamp["parity"],
                "share": float(np.abs(together - expected).max() / np.abs(expected).max()),
                "alone": float(np.abs(together - alone).max() / np.abs(expected).max()),
                "cuda_graph": runtime.cuda_graph,
                "why_no_graph": runtime.why_no_graph,
                "engine_bytes": stamp["engine_bytes"],
            }
        assert np.array_equal(together, again)
        assert found[precision]["share"] <= command.ALLOWED[precision]
        # Batches of another size may take other kernels: the rounding of the precision.
        assert found[precision]["alone"] <= command.ALLOWED[precision]
    record(found)


def test_all_memory_is_given_back(bundle):
    import pycuda.driver as cuda

    from infer.runtimes.tensorrt.cuda_memory import Gpu

    precision = precisions(bundle)[0]
    build(bundle, precision, *BATCHES)

    def free():
        with Gpu().active():
            return cuda.mem_get_info()[0]

    def use():
        with TensorRTRuntime(bundle, precision=precision) as runtime:
            runtime.run(some_clips(9, spec=bundle.spec))

    use()  # what CUDA and TensorRT keep for the process is taken now
    before = free()
    for _ in range(5):
        use()
    assert before - free() < 8 << 20


def test_several_runtimes_and_threads(bundle):
    precision = precisions(bundle)[0]
    build(bundle, precision, *BATCHES)
    clips = [some_clips(7, seed, bundle.spec) for seed in range(4)]
    answers = {}
    with (
        TensorRTRuntime(bundle, precision=precision) as first,
        TensorRTRuntime(bundle, precision=precision, max_batch=3) as second,
    ):
        expected = [first.run(part) for part in clips]

        def work(runtime, k):
            answers[runtime is first, k] = runtime.run(clips[k])

        threads = [
            threading.Thread(target=work, args=(runtime, k))
            for runtime in (first, second)
            for k in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(answers) == 8
    for (_, k), logits in answers.items():
        assert np.allclose(logits, expected[k], rtol=1e-2, atol=1e-2 * np.abs(expected[k]).max())


def test_engines_that_do_not_fit_are_refused(bundle):
    precision = precisions(bundle)[0]
    path = build(bundle, precision, *BATCHES)
    stamp, plan = stamp_path(path).read_text(), path.read_bytes()
    try:
        data = json.loads(stamp)
        data["machine"]["tensorrt"] = "10.0.0"
        stamp_path(path).write_text(json.dumps(data))
        with pytest.raises(BackendError, match=r"TensorRT: built for 10\.0\.0, here"):
            TensorRTRuntime(bundle, precision=precision)
        stamp_path(path).write_text(stamp)
        path.write_bytes(plan[: len(plan) // 2])
        with pytest.raises(BundleError, match="build it again"):
            TensorRTRuntime(bundle, precision=precision)
    finally:
        stamp_path(path).write_text(stamp)
        path.write_bytes(plan)


def test_what_the_timing_cache_saves_is_recorded(bundle, record):
    precision = precisions(bundle)[0]
    path = build(bundle, precision, *BATCHES)
    first = json.loads(stamp_path(path).read_text())["build_seconds"]
    build(bundle, precision, *BATCHES, "--force")
    second = json.loads(stamp_path(path).read_text())["build_seconds"]
    record({"build_seconds": first, "again_with_timing_cache": second})
    assert list(Path(path).parent.glob("timing-*.cache"))
