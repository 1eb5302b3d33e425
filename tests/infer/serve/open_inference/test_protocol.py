"""The Open Inference Protocol, asked by Triton's own client and by hand."""

from __future__ import annotations

import base64
import contextlib
import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infer.api import load
from infer.clips.preprocess import load_clips
from infer.serve.limits import BodyLimits, ServiceLimits
from infer.serve.open_inference.request import clips_of, read_request, videos_of
from infer.serve.refusal import Refused
from tests.tiny_bundle import CLASSES, SPEC

NAMES = ("red.mp4", "green.mp4", "blue.mkv")
INFER = "/v2/models/colours/infer"


@pytest.fixture(scope="module")
def triton():
    pytest.importorskip("geventhttpclient", reason="tritonclient[http] is not installed")
    return pytest.importorskip("tritonclient.http")


@pytest.fixture
def client(triton, running):
    with triton.InferenceServerClient(running.url.removeprefix("http://")) as client:
        yield client


@pytest.fixture(scope="module")
def known(colours, videos):
    """Clips, logits and scores of the videos, by the Python interface."""
    clips = np.concatenate([load_clips(videos / name, SPEC)[0] for name in NAMES])
    with load(colours, backend="onnxruntime", threads=1) as model:
        answers = list(model.predict([videos / name for name in NAMES], top_k=3))
        by_label = [{one.label: one.score for one in answer.topk} for answer in answers]
        scores = [[by[label] for label in CLASSES] for by in by_label]
        return clips, model.logits(clips), np.array(scores, np.float32)


def check(result, logits, scores):
    assert np.array_equal(result.as_numpy("logits"), logits)
    assert np.array_equal(result.as_numpy("scores"), scores)
    labels = result.as_numpy("label").tolist()  # of JSON the client makes texts
    found = [one.decode() if isinstance(one, bytes) else one for one in labels]
    assert found == ["red", "green", "blue"]


def test_the_client_of_triton_finds_the_model(triton, client):
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready("colours") and client.is_model_ready("colours", "1")
    assert client.get_server_metadata()["name"] == "clipduet"
    found = client.get_model_metadata("colours")
    assert {one["name"]: (one["datatype"], one["shape"]) for one in found["inputs"]} == {
        "clip": ("UINT8", [-1, 4, 32, 32, 3]),
        "video": ("BYTES", [-1]),
    }
    assert [one["name"] for one in found["outputs"]] == ["logits", "scores", "label"]
    assert not client.is_model_ready("other") and not client.is_model_ready("colours", "2")


@pytest.mark.parametrize("binary", [True, False])
def test_clips(triton, client, known, binary):
    clips, logits, scores = known
    given = triton.InferInput("clip", list(clips.shape), "UINT8")
    given.set_data_from_numpy(clips, binary_data=binary)
    names = ("logits", "scores", "label")
    asked = [triton.InferRequestedOutput(name, binary_data=binary) for name in names]
    result = client.infer("colours", [given], outputs=asked, request_id="7")
    check(result, logits, scores)
    assert result.get_response()["id"] == "7"


@pytest.mark.parametrize("shape", [[3], [3, 1]])
def test_files_of_videos(triton, client, videos, known, shape):
    contents = [(videos / name).read_bytes() for name in NAMES]
    given = triton.InferInput("video", shape, "BYTES")
    given.set_data_from_numpy(np.array(contents, dtype=object).reshape(shape))
    check(client.infer("colours", [given], model_version="1"), *known[1:])


def test_the_best_classes(triton, client, known):
    clips, _, scores = known
    given = triton.InferInput("clip", [1, *clips.shape[1:]], "UINT8")
    given.set_data_from_numpy(clips[:1])
    asked = [triton.InferRequestedOutput("scores", class_count=2)]
    (found,) = client.infer("colours", [given], outputs=asked).as_numpy("scores")
    assert [text.split(b":")[1:] for text in found] == [[b"0", b"red"], [b"1", b"green"]]
    assert float(found[0].split(b":")[0]) == pytest.approx(scores[0, 0], abs=1e-6)


def test_a_broken_file_is_an_error_of_its_request_alone(triton, client, videos):
    def ask(*contents):
        given = triton.InferInput("video", [len(contents)], "BYTES")
        given.set_data_from_numpy(np.array(contents, dtype=object))
        return client.infer("colours", [given])

    red = (videos / "red.mp4").read_bytes()
    with pytest.raises(triton.InferenceServerException) as error:
        ask(red, b"no video")
    assert error.value.status() == "422" and "video 2" in error.value.message()
    assert ask(red).as_numpy("label").tolist() == [b"red"]


def test_videos_in_json_are_base64(running, videos):
    data = base64.b64encode((videos / "green.mp4").read_bytes()).decode()
    tensor = {"name": "video", "datatype": "BYTES", "shape": [1], "data": [data]}
    stages = ("receive", "wait", "read", "preprocess", "network")
    before = [running.counted("clipduet_seconds_count", stage=stage) for stage in stages]
    answer = running.client.post(INFER, json={"inputs": [tensor], "id": "a"})
    now = [running.counted("clipduet_seconds_count", stage=stage) for stage in stages]
    assert [a - b for a, b in zip(now, before, strict=True)] == [1] * 5
    found = answer.json()
    assert answer.status_code == 200 and found["model_name"] == "colours" and found["id"] == "a"
    by = {one["name"]: one for one in found["outputs"]}
    assert by["label"]["data"] == ["green"] and by["scores"]["shape"] == [1, 3]
    assert list(running.service.folder.iterdir()) == []


CLIP = {"name": "clip", "datatype": "UINT8", "shape": [1, 4, 32, 32, 3]}
PIXELS = 4 * 32 * 32 * 3


def binary(size, **more):
    return {"inputs": [{**CLIP, "parameters": {"binary_data_size": size}, **more}]}


@pytest.mark.parametrize(
    ("content", "rest"),
    [
        ([], b""),
        ({}, b""),
        ({"inputs": []}, b""),
        ({"inputs": [CLIP]}, b""),
        ({"inputs": [{**CLIP, "data": [1, 2, 3]}]}, b""),
        ({"inputs": [{**CLIP, "data": [[1], [2, 3]]}]}, b""),
        ({"inputs": [{**CLIP, "data": [256] * PIXELS}]}, b""),
        ({"inputs": [{**CLIP, "data": [0.5] * PIXELS}]}, b""),
        ({"inputs": [{**CLIP, "data": ["x"] * PIXELS}]}, b""),
        ({"inputs": [{**CLIP, "data": [True] * PIXELS}]}, b""),
        (binary(PIXELS), b"short"),
        (binary(PIXELS), bytes(PIXELS + 1)),
        (binary(PIXELS - 1), bytes(PIXELS - 1)),
        (binary(-1), b""),
        (binary(PIXELS, shape=[0, 4, 32, 32, 3]), bytes(PIXELS)),
        (binary(PIXELS, shape=[1, 4, 32, 32]), bytes(PIXELS)),
        (binary(PIXELS, shape=[1 << 60, 4, 32, 32, 3]), bytes(PIXELS)),
        (binary(PIXELS, shape="x"), bytes(PIXELS)),
        (binary(PIXELS, name="other"), bytes(PIXELS)),
        (binary(PIXELS, datatype="FP32"), bytes(PIXELS)),
        ({**binary(PIXELS), "outputs": [{"name": "other"}]}, bytes(PIXELS)),
        ({**binary(PIXELS), "outputs": [5]}, bytes(PIXELS)),
        (binary(9, name="video", datatype="BYTES", shape=[1]), b"\xff\xff\xff\xff12345"),
        (binary(9, name="video", datatype="BYTES", shape=[2]), b"\5\0\0\0" + b"12345"),
        (binary(3, name="video", datatype="BYTES", shape=[1]), b"\5\0\0"),
        ({"inputs": [{**CLIP, "name": "video", "datatype": "BYTES", "shape": [1],
                      "data": ["no base64"]}]}, b""),
        ({"inputs": [{**CLIP, "name": "video", "datatype": "BYTES", "shape": [1],
                      "data": [5]}]}, b""),
    ],
)  # fmt: skip
def test_requests_that_are_not_as_the_protocol_says(running, content, rest):
    text = json.dumps(content).encode()
    headers = {"Inference-Header-Content-Length": str(len(text))}
    answer = running.post(text + rest, INFER, headers=headers)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"] and answer.json()["kind"] == "request"
    assert list(running.service.folder.iterdir()) == []


@pytest.mark.parametrize("length", ["x", "-1", "99999", "99999999999999"])
def test_a_length_of_the_json_that_makes_no_sense(running, length):
    headers = {"Inference-Header-Content-Length": length}
    assert running.post(b"{}", INFER, headers=headers).status_code == 400


@pytest.mark.parametrize("text", [b"", b"{", b"[" * 100_000, b"\xff\xfe"])
def test_what_is_no_json(running, text):
    assert running.post(text, INFER).status_code in (400, 422)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)
TENSORS = st.fixed_dictionaries(
    {},
    optional={
        "name": VALUES,
        "datatype": VALUES,
        "shape": st.lists(st.integers(-1, 9), max_size=6) | VALUES,
        "data": VALUES,
        "parameters": st.dictionaries(st.just("binary_data_size"), st.integers(-1, 9) | VALUES),
    },
)
CONTENTS = st.fixed_dictionaries(
    {"inputs": st.lists(TENSORS, min_size=1, max_size=1) | VALUES},
    optional={
        "id": VALUES,
        "outputs": st.lists(TENSORS, max_size=2) | VALUES,
        "parameters": VALUES,
    },
)


@given(CONTENTS, st.binary(max_size=9))
def test_whatever_a_request_holds_it_is_read_or_refused(content, rest):
    text = json.dumps(content).encode()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "body").write_bytes(text + rest)
        try:
            request = read_request(folder / "body", str(len(text)))
            behind = 0 if request.input.part is None else request.input.part[1]
            assert request.input.shape and behind == len(rest)
            with contextlib.suppress(Refused):
                assert clips_of(request, SPEC.clip_shape).shape == request.input.shape
            found = []
            videos_of(request, folder, 4, found)
            assert len(found) == request.input.shape[0]
        except Refused as refused:
            told = refused.status, bool(refused.reason)
            if told not in ((400, True), (413, True)):
                raise


def test_more_videos_than_allowed(serve, videos):
    running = serve(limits=ServiceLimits(1, body=BodyLimits(files=1)))
    data = [base64.b64encode((videos / "red.mp4").read_bytes()).decode()] * 2
    tensor = {"name": "video", "datatype": "BYTES", "shape": [2], "data": data}
    answer = running.client.post(INFER, json={"inputs": [tensor]})
    assert answer.status_code == 413 and answer.json()["kind"] == "files"


def test_a_model_that_is_not_served(running):
    for path in ("/v2/models/other", "/v2/models/colours/versions/2", "/v2/models/colours/config"):
        answer = running.client.get(path)
        assert answer.status_code == 404 and answer.json()["error"]
