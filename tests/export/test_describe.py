"""`python -m export.describe`: what an ONNX file says of itself is enough to use it."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest

from export.describe import describe, main
from infer.bundle.bundle import Bundle
from infer.bundle.onnx_metadata import onnx_metadata
from infer.clips.preprocess import clips_of_frames
from infer.clips.spec import ClipSpec
from infer.runtimes.open import open_runtime
from tests.tiny_bundle import CLASSES, SPEC, colour_frames, colour_graph, write_bundle


@pytest.fixture
def file(tmp_path):
    graph = colour_graph(SPEC)
    onnx.helper.set_model_props(
        graph, {**onnx_metadata(CLASSES, SPEC, version="1.2"), "author": "me"}
    )
    folder = write_bundle(tmp_path / "bundle", graph)
    return folder / "model.fp32.onnx"


def test_a_program_that_knows_the_file_alone_classifies(file):
    said = describe(file)
    spec = ClipSpec.from_dict({"sampling": said["sampling"], "preprocess": said["preprocess"]})
    assert spec == SPEC and said["classes"] == CLASSES
    layout = said["layout"]
    assert layout["input"]["axes"] == ["batch", "time", "height", "width", "channel"]
    assert layout["input"]["channels"] == "RGB" and layout["input"]["dtype"] == "uint8"
    assert said["versions"] == {"bundle": 1, "clipduet": "1.2"}
    (port,), (out,) = said["input"], said["output"]
    assert port == {"name": "clip", "dtype": "uint8", "shape": ["batch", *SPEC.clip_shape]}
    assert port["shape"] == layout["input"]["shape"] and out["shape"] == layout["output"]["shape"]
    clips = clips_of_frames(colour_frames("green", 9, 48), spec)
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    (logits,) = session.run([out["name"]], {port["name"]: clips})
    assert said["classes"][logits.argmax()] == "green"
    with open_runtime(Bundle.load(file.parent)) as runtime:
        assert np.array_equal(runtime.run(clips), logits)


def test_it_is_printed_for_people_and_programs(file, capsys):
    assert main([str(file)]) == 0
    out = capsys.readouterr().out
    for word in ("num_seg", "short_size", "RGB", "0  red", "2  blue", "author: me", "clipduet"):
        assert word in out, word
    assert main([str(file), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == describe(file)


def test_a_file_that_says_nothing_is_described_by_its_graph(tmp_path, capsys):
    folder = write_bundle(tmp_path / "bundle")
    assert main([str(folder / "model.fp32.onnx")]) == 0
    out = capsys.readouterr().out
    assert "clip: uint8" in out and out.count("it does not say") == 5


@pytest.mark.parametrize("content", [b"", b"text", b"version https://git-lfs.github.com/spec/v1\n"])
def test_what_is_no_onnx_file_is_told(tmp_path, capsys, content):
    path = tmp_path / "a.onnx"
    path.write_bytes(content)
    assert main([str(path)]) == 2
    assert "Traceback" not in capsys.readouterr().err
    assert main([str(tmp_path / "none.onnx")]) == 2


def test_layout_and_versions_may_be_missing_or_of_another_version(tmp_path):
    said = onnx_metadata(CLASSES, SPEC)
    for metadata in (
        {k: v for k, v in said.items() if "layout" not in k and "versions" not in k},
        {**said, "clipduet.versions": '{"clipduet": "9.9"}'},
    ):
        graph = colour_graph(SPEC)
        onnx.helper.set_model_props(graph, metadata)
        with open_runtime(Bundle.load(write_bundle(tmp_path / "bundle", graph))) as runtime:
            assert runtime.run(np.zeros((1, *SPEC.clip_shape), np.uint8)).shape == (1, 3)


def test_options_of_the_spec_are_in_the_file(tmp_path):
    by_time = replace(SPEC, sampling=replace(SPEC.sampling, by="time"))
    graph = colour_graph(by_time)
    onnx.helper.set_model_props(graph, onnx_metadata(CLASSES, by_time))
    folder = write_bundle(tmp_path / "bundle", graph, by_time)
    assert describe(folder / "model.fp32.onnx")["sampling"]["by"] == "time"
    assert Bundle.load(folder).spec == by_time


def test_the_files_of_a_folder_are_named(file, capsys):
    assert main([str(file.parent)]) == 2
    assert "name one of its files: model.fp32.onnx" in capsys.readouterr().err
