"""Which file a backend runs, and what auto says that it took."""

from __future__ import annotations

import json
import platform

import pytest

from infer.bundle.bundle import Bundle, write_bundle_json
from infer.runtimes.auto import order
from infer.runtimes.open import open_runtime
from infer.runtimes.registry import artifact_keys, find_artifact, precisions
from infer.system.errors import BackendError, BundleError

X86, PLAIN = "onnx.int8.x86", "onnx.int8"


@pytest.mark.parametrize(
    ("backend", "machine", "expected"),
    [
        ("onnxruntime", "x86_64", (X86, PLAIN)),
        ("onnxruntime", "aarch64", (X86, PLAIN)),
        ("openvino", "AMD64", (X86, PLAIN)),
        ("openvino", "aarch64", (PLAIN, X86)),
        ("onnxruntime-cuda", "x86_64", (PLAIN,)),
        ("tensorrt", "x86_64", (PLAIN,)),
        ("paddle", "x86_64", ("paddle.int8",)),
    ],
)
def test_int8_for_x86_is_for_processors(backend, machine, expected, monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: machine)
    assert artifact_keys(backend, "int8") == expected
    assert artifact_keys(backend, "fp16") == (f"{expected[0].split('.')[0]}.fp16",)


def test_what_there_is_is_taken(make_bundle, add_artifact):
    folder = make_bundle()
    file = Bundle.load(folder).artifacts["onnx.fp32"].paths[0]
    add_artifact(folder, PLAIN, file)
    assert find_artifact(Bundle.load(folder), "onnxruntime", "int8").key == PLAIN
    add_artifact(folder, X86, file)
    bundle = Bundle.load(folder)
    assert find_artifact(bundle, "onnxruntime", "int8").key == X86
    assert find_artifact(bundle, "tensorrt", "int8").key == PLAIN
    assert precisions(bundle, "onnxruntime") == {"fp32": "onnx.fp32", "int8": X86}


def test_auto_says_which_file_it_took(make_bundle, add_artifact, caplog):
    caplog.set_level("INFO", "clipduet")
    folder = make_bundle()
    add_artifact(folder, X86, Bundle.load(folder).artifacts["onnx.fp32"].paths[0])
    bundle = Bundle.load(folder)
    for precision in ("fp32", "int8"):
        with open_runtime(
            bundle, backend="auto", precision=precision, threads=1, expected_clips=1
        ) as opened:
            assert opened.backend == "onnxruntime"
    said = caplog.messages
    names = [bundle.artifacts[key].files[0].file for key in ("onnx.fp32", X86)]
    assert [line.split(" (")[0] for line in said] == [
        f"backend: onnxruntime, {name}" for name in names
    ]
    assert "(quick to load, for one clip" in said[1]


@pytest.mark.parametrize(
    ("precision", "clips", "on_cpu"),
    [
        ("fp32", None, ["onnxruntime", "openvino", "paddle"]),
        ("fp32", 1, ["onnxruntime", "openvino", "paddle"]),
        ("int8", None, ["openvino", "onnxruntime", "paddle"]),
        ("int8", 16, ["onnxruntime", "openvino", "paddle"]),
        ("int8", 17, ["openvino", "onnxruntime", "paddle"]),
    ],
)
def test_auto_tries_gpus_first_and_what_loads_slowly_not_for_a_few_clips(precision, clips, on_cpu):
    tried = order(precision, expected_clips=clips)
    assert list(tried) == ["tensorrt", "onnxruntime-cuda", *on_cpu]


@pytest.fixture
def int8_bundle(make_bundle, add_artifact):
    folder = make_bundle()
    add_artifact(folder, X86, Bundle.load(folder).artifacts["onnx.fp32"].paths[0])
    return Bundle.load(folder)


def refuse(*args, **settings):
    raise RuntimeError("no primitive for this CPU")


def test_auto_goes_on_where_a_runtime_cannot_load_the_file(int8_bundle, monkeypatch, caplog):
    openvino = pytest.importorskip("openvino")
    monkeypatch.setattr(openvino.Core, "compile_model", refuse)
    caplog.set_level("INFO", "clipduet")
    with open_runtime(int8_bundle, backend="auto", precision="int8") as opened:
        assert opened.backend == "onnxruntime"
    (said,) = caplog.messages
    assert "not openvino: " in said and "no primitive for this CPU" in said
    onnxruntime = pytest.importorskip("onnxruntime")
    monkeypatch.setattr(onnxruntime, "InferenceSession", refuse)
    with pytest.raises(BackendError, match="no backend") as caught:
        open_runtime(int8_bundle, backend="auto", precision="int8")
    assert str(caught.value).count("no primitive for this CPU") == 2


@pytest.mark.parametrize("backend", ["auto", "onnxruntime"])
@pytest.mark.parametrize("precision", ["fp16", "fp23", "\ud800", None, "x" * 5000])
def test_a_precision_that_is_not_there_is_one_line(make_bundle, add_artifact, backend, precision):
    folder = make_bundle()
    add_artifact(folder, PLAIN, Bundle.load(folder).artifacts["onnx.fp32"].paths[0])
    data = json.loads((folder / "bundle.json").read_text())
    write_bundle_json(folder, {**data, "left_out": {"onnx.fp16": "too far from fp32"}})
    with pytest.raises(BackendError) as caught:
        open_runtime(Bundle.load(folder), backend=backend, precision=precision)
    text, *why = str(caught.value).splitlines()
    assert "it has: fp32, " in text and "int8" in text
    assert len(text) < 300 + len(str(folder)) and text.isprintable()
    assert ("did you mean fp32" in text) == (precision == "fp23")
    assert why == (["left out at export: too far from fp32"] if precision == "fp16" else [])


def test_auto_does_not_go_around_an_altered_file(int8_bundle):
    path = int8_bundle.artifacts[X86].paths[0]
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(BundleError, match="changed after export"):
        open_runtime(int8_bundle, backend="auto", precision="int8")
