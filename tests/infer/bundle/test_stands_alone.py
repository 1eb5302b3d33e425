"""An ONNX file and bundle.json say the same, and no weights come from anywhere else."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import onnx
import pytest

from infer import doctor, predict
from infer.bundle.bundle import Bundle, describe_file, write_bundle_json
from infer.bundle.onnx_metadata import CLASSES, PREPROCESS, SAMPLING, onnx_metadata
from infer.runtimes.open import open_runtime
from infer.system.errors import AlteredError, BundleError
from tests.tiny_bundle import CLASSES as NAMES
from tests.tiny_bundle import SPEC, colour_graph

BACKENDS = ["onnxruntime", "openvino"]


def graph_that_says(metadata):
    graph = colour_graph(SPEC)
    onnx.helper.set_model_props(graph, metadata)
    return graph


def opened(folder, backend="onnxruntime"):
    with open_runtime(Bundle.load(folder), backend=backend) as runtime:
        clips = np.zeros((1, *SPEC.clip_shape), np.uint8)
        clips[..., 1] = 200
        return runtime.run(clips).argmax()


# --- metadata -----------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "metadata", [{}, {"other": "x"}, onnx_metadata(NAMES, SPEC)], ids=["none", "other", "the same"]
)
def test_a_file_that_says_the_same_or_nothing_opens(bundle_for, backend, metadata):
    assert opened(bundle_for(backend, graph=graph_that_says(metadata)), backend) == 1


SAID = onnx_metadata(NAMES, SPEC)
OTHER_SPEC = replace(SPEC, preprocess=replace(SPEC.preprocess, mean=(0.1, 0.2, 0.3)))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("metadata", "named"),
    [
        (onnx_metadata(NAMES[::-1], SPEC), ("classes[0]", "'blue'", "'red'")),
        (onnx_metadata([*NAMES, "more"], SPEC), ("classes", "4", "3")),
        (onnx_metadata(NAMES, OTHER_SPEC), ("preprocess.mean[0]", "0.1")),
        ({**SAID, SAMPLING: SAID[SAMPLING].replace(": 4", ": 8")}, ("sampling.num_seg", "8", "4")),
        ({**SAID, SAMPLING: SAID[SAMPLING].replace(": 4", ": true")}, ("sampling.num_seg", "True")),
        ({**SAID, PREPROCESS: "{}"}, ("preprocess.short_size is missing", "more places")),
        ({**SAID, PREPROCESS: "[1]"}, ("preprocess",)),
        ({CLASSES: "red green blue"}, (CLASSES, "cannot be read")),
        ({CLASSES: "[" * 100_000}, (CLASSES, "nested")),
        ({CLASSES: '["red", "green", "bl\\u0000"]'}, ("classes[2]",)),
    ],
)
def test_a_file_that_says_something_else_is_refused(bundle_for, backend, metadata, named):
    folder = bundle_for(backend, graph=graph_that_says(metadata))
    with pytest.raises(AlteredError) as caught:
        open_runtime(Bundle.load(folder), backend=backend)
    text = str(caught.value)
    assert "model.fp32.onnx" in text and "Traceback" not in text
    assert [word for word in named if word not in text] == []


def test_classes_in_another_order_are_noticed_though_every_checksum_fits(
    make_bundle, colour_clip, capsys
):
    folder = make_bundle(graph=graph_that_says(SAID))
    data = json.loads((folder / "bundle.json").read_text())
    write_bundle_json(folder, {**data, "classes": NAMES[::-1]})
    command = ["--bundle", str(folder), "--video", str(colour_clip("a.mp4", "red"))]
    assert predict.main(command) == 2
    shown = capsys.readouterr()
    assert "classes[0]" in shown.err and "classes[2]" in shown.err and not shown.out
    assert doctor.main(["--bundle", str(folder)]) == 1
    assert "classes[0]" in capsys.readouterr().out


def test_what_was_added_to_a_spec_later_is_no_difference(make_bundle):
    earlier = json.loads(SAID[PREPROCESS])
    del earlier["crops"]
    folder = make_bundle(graph=graph_that_says({**SAID, PREPROCESS: json.dumps(earlier)}))
    assert opened(folder) == 1


# --- weights in other files ---------------------------------------------------------------------


@pytest.fixture
def outside(bundle_for):
    """`outside(backend, location, listed=True)`: a bundle whose weights lie in another file."""

    def make(backend, location="weights.bin", *, listed=True, points_to=None):
        folder = bundle_for(backend)
        model = folder / "model.fp32.onnx"
        target = (folder / location).resolve()
        target.parent.mkdir(parents=True, exist_ok=True)
        graph = onnx.load(str(model))
        onnx.external_data_helper.convert_model_to_external_data(
            graph, location="weights.bin", size_threshold=0
        )
        onnx.save(graph, str(model))
        (folder / "weights.bin").rename(target)
        if points_to or location != "weights.bin":
            graph = onnx.load(str(model), load_external_data=False)
            for tensor in graph.graph.initializer:
                for entry in tensor.external_data:
                    entry.value = (
                        (points_to or location) if entry.key == "location" else entry.value
                    )
            model.write_bytes(graph.SerializeToString())
        data = json.loads((folder / "bundle.json").read_text())
        files = [describe_file(folder, "model.fp32.onnx")]
        files += [describe_file(folder, location)] if listed else []
        data["artifacts"]["onnx.fp32"]["files"] = files
        write_bundle_json(folder, data)
        return folder

    return make


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("location", ["weights.bin", "deep/weights.bin"])
def test_listed_weights_are_used_and_checked(outside, backend, location):
    folder = outside(backend, location)
    assert opened(folder, backend) == 1
    weights = folder / location
    weights.write_bytes(weights.read_bytes()[::-1])
    with pytest.raises(AlteredError, match="SHA-256"):
        opened(folder, backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_weights_that_are_not_listed_are_not_used(outside, backend):
    folder = outside(backend, listed=False)
    with pytest.raises(AlteredError, match=r"weights in 'weights\.bin'"):
        opened(folder, backend)


@pytest.mark.parametrize(
    "points_to",
    [
        "../bundle/weights.bin",
        "deep/../weights.bin",
        "/etc/passwd",
        "deep\\..\\weights.bin",
        "",
        "*/_ORT_MEM_ADDR_/*",
        "weights.bin ",
        "weights.bin\n",
    ],
)
def test_weights_are_only_where_their_listed_name_says(outside, points_to):
    folder = outside("onnxruntime", points_to=points_to or " ")
    with pytest.raises(AlteredError, match="weights in"):
        opened(folder)


def test_a_file_that_another_runtime_would_take_for_its_own_format(make_bundle):
    """OpenVINO reads model.xml as its own format, with model.bin, which nothing lists."""
    folder = make_bundle()
    (folder / "model.fp32.onnx").rename(folder / "model.xml")
    data = json.loads((folder / "bundle.json").read_text())
    data["artifacts"]["onnx.fp32"]["files"] = [describe_file(folder, "model.xml")]
    with pytest.raises(BundleError, match=r"\.onnx"):
        write_bundle_json(folder, data)


def test_what_is_listed_and_is_no_onnx_file(make_bundle):
    folder = make_bundle()
    (folder / "model.fp32.onnx").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    data = json.loads((folder / "bundle.json").read_text())
    data["artifacts"]["onnx.fp32"]["files"] = [describe_file(folder, "model.fp32.onnx")]
    write_bundle_json(folder, data)
    with pytest.raises(BundleError, match="no ONNX file"):
        opened(folder)
