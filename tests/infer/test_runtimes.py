"""Runtimes: the same few verbs, copies as results, batches that do not matter, clear refusals."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from infer.bundle import Bundle, describe_file, write_bundle_json
from infer.errors import BackendError, BundleError
from infer.runtimes import open_runtime


def clips(n, seed=0, shape=(4, 32, 32, 3)):
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), dtype=np.uint8)


def expected(pixels):
    return pixels.mean((1, 2, 3)) * 0.05


def test_logits_of_any_number_of_clips(make_bundle):
    with open_runtime(Bundle.load(make_bundle(max_batch=4)), threads=1) as runtime:
        assert (runtime.backend, runtime.precision, runtime.max_batch) == ("onnxruntime", "fp32", 4)
        for n in (1, 2, 4, 5, 11):
            logits = runtime.run(clips(n))
            assert logits.shape == (n, 3) and logits.dtype == np.float32
            assert np.allclose(logits, expected(clips(n)), atol=1e-4)


def test_a_clip_gives_the_same_alone_and_in_any_batch(make_bundle):
    x = clips(9)
    with open_runtime(Bundle.load(make_bundle(max_batch=4)), threads=1) as runtime:
        together = runtime.run(x)
        alone = np.concatenate([runtime.run(x[i : i + 1]) for i in range(9)])
        backwards = runtime.run(x[::-1])[::-1]
    assert np.allclose(together, alone, rtol=1e-6, atol=1e-6)
    assert np.allclose(together, backwards, rtol=1e-6, atol=1e-6)


def test_a_result_is_a_copy_of_its_own(make_bundle):
    with open_runtime(Bundle.load(make_bundle()), threads=1) as runtime:
        first = runtime.run(clips(2, seed=1))
        kept = first.copy()
        second = runtime.run(clips(2, seed=2))
        second[:] = -1
        assert np.array_equal(first, kept)
        assert np.array_equal(runtime.run(clips(2, seed=1)), kept)


@pytest.mark.parametrize(
    ("x", "reason"),
    [
        (clips(1).astype(np.float32), "float32; this bundle takes uint8"),
        (clips(1)[0], r"\(4, 32, 32, 3\); this bundle takes \(n, 4, 32, 32, 3\)"),
        (clips(1, shape=(3, 4, 32, 32)), r"this bundle takes \(n, 4, 32, 32, 3\)"),
        (clips(0), r"\(0, 4, 32, 32, 3\)"),
    ],
)
def test_clips_that_do_not_fit(make_bundle, x, reason):
    runtime = open_runtime(Bundle.load(make_bundle()), threads=1)
    with runtime, pytest.raises(BackendError, match=reason):
        runtime.run(x)


def test_a_closed_runtime_says_so(make_bundle):
    runtime = open_runtime(Bundle.load(make_bundle()), threads=1)
    runtime.close()
    runtime.close()
    with pytest.raises(BackendError, match="closed"):
        runtime.run(clips(1))


def test_wrong_choices_name_the_right_ones(make_bundle):
    bundle = Bundle.load(make_bundle())
    with pytest.raises(
        BackendError, match="'tensorflow'; allowed: onnxruntime, onnxruntime-cuda, "
    ):
        open_runtime(bundle, backend="tensorflow")
    with pytest.raises(BackendError, match="no int8 model for onnxruntime; it has: fp32"):
        open_runtime(bundle, precision="int8")
    with pytest.raises(BackendError, match="no fp32 model for paddle"):
        open_runtime(bundle, backend="paddle")
    with pytest.raises(BackendError, match="threads is 0"):
        open_runtime(bundle, threads=0)


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
        (_unknown_node, "does not load in ONNX Runtime: .*Nonsense"),
    ],
)
def test_a_graph_that_is_not_what_the_bundle_says(make_bundle, change, reason):
    folder = make_bundle()
    graph = onnx.load(str(folder / "model.fp32.onnx"))
    change(graph)
    with pytest.raises(BundleError, match=reason):
        open_runtime(Bundle.load(make_bundle(graph)))


def test_a_graph_with_two_inputs_is_refused(make_bundle):
    folder = make_bundle()
    graph = onnx.load(str(folder / "model.fp32.onnx"))
    extra = helper.make_tensor_value_info("other", onnx.TensorProto.FLOAT, [1])
    graph.graph.input.append(extra)
    with pytest.raises(BundleError, match="takes 2 inputs"):
        open_runtime(Bundle.load(make_bundle(graph)))


def test_paddle_inference_agrees(make_bundle):
    paddle = pytest.importorskip("paddle")
    folder = make_bundle()

    class Colours(paddle.nn.Layer):
        def __init__(self):
            super().__init__()
            start = paddle.nn.initializer.Assign(np.eye(3, dtype=np.float32) * 0.05)
            self.weights = self.create_parameter([3, 3], default_initializer=start)

        def forward(self, clip):
            return paddle.matmul(clip.astype("float32").mean([1, 2, 3]), self.weights)

    spec = [paddle.static.InputSpec([None, 4, 32, 32, 3], "uint8", name="clip")]
    net = paddle.jit.to_static(Colours(), input_spec=spec, full_graph=True)
    paddle.jit.save(net, str(folder / "paddle" / "inference"))
    names = ("inference.json", "inference.pdiparams")
    files = [describe_file(folder, f"paddle/{name}") for name in names]
    data = json.loads((folder / "bundle.json").read_text())
    entry = {"format": "paddle", "precision": "fp32", "files": files}
    data["artifacts"]["paddle.fp32"] = entry
    write_bundle_json(folder, data)
    with open_runtime(Bundle.load(folder), backend="paddle", threads=1) as runtime:
        for n in (1, 3, 6):
            logits = runtime.run(clips(n))
            assert logits.dtype == np.float32
            assert np.allclose(logits, expected(clips(n)), atol=1e-4)
        with pytest.raises(BackendError, match="uint8"):
            runtime.run(clips(1).astype(np.float32))
