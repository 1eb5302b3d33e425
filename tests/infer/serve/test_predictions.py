"""The service's answers are those of predict."""

from __future__ import annotations

import base64
import html
import json

import cv2
import numpy as np
import pytest

from infer.clips.preprocess import load_clips
from infer.clips.spec import ClipSpec, PreprocessSpec, SamplingSpec
from infer.predict import main
from tests.tiny_bundle import SPEC, colour_graph, write_bundle

NAMES = ("red.mp4", "green.mp4", "blue.mkv", "broken.mp4", "cut.mkv")


def known_answers(bundle, videos, capsys, *options):
    files = [str(videos / name) for name in NAMES]
    main(["--bundle", str(bundle), "--video", *files, "--format", "json", *options])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [without_time({**one, "video": name}) for one, name in zip(lines, NAMES, strict=True)]


def without_time(result):
    return {name: value for name, value in result.items() if name not in ("seconds", "kind")}


def form(videos, names=NAMES):
    return [("video", (name, (videos / name).read_bytes())) for name in names]


def test_a_form_of_files_gets_the_answers_of_predict(running, colours, videos, capsys):
    known = known_answers(colours, videos, capsys)
    answer = running.client.post("/predict", files=form(videos))
    assert answer.status_code == 200
    found = answer.json()
    assert found["model"] == "colours"
    assert [without_time(one) for one in found["results"]] == known
    assert [one["label"] for one in known if "label" in one] == ["red", "green", "blue", "green"]
    assert "cut off" in known[-1]["warning"]
    assert found["results"][3]["kind"] == "unreadable"


def test_each_file_alone_as_the_body_gets_the_same(running, colours, videos, capsys):
    for one in known_answers(colours, videos, capsys, "--top-k", "2"):
        answer = running.post((videos / one["video"]).read_bytes(), params={"top_k": 2})
        (result,) = answer.json()["results"]
        assert without_time(result) == {**one, "video": "body"}
        assert answer.status_code == (422 if "error" in one else 200)
        if "error" in one:
            assert answer.json()["error"] == one["error"] and answer.json()["kind"] == "unreadable"


def test_several_clips_of_a_video_are_averaged_as_by_predict(serve, tmp_path, videos, capsys):
    spec = ClipSpec(
        SamplingSpec(num_seg=2, views=3),
        PreprocessSpec(short_size=40, fixed_ratio=False, crop=32, crops=3),
    )
    bundle = write_bundle(tmp_path / "views", colour_graph(spec), spec)
    known = known_answers(bundle, videos, capsys)
    running = serve(bundle=bundle)
    results = running.client.post("/predict", files=form(videos)).json()["results"]
    assert [without_time(one) for one in results] == known


def test_classes_below_the_threshold_are_left_out(running, videos):
    red = (videos / "red.mp4").read_bytes()
    all_scores = [one["score"] for one in running.post(red).json()["results"][0]["topk"]]
    assert len(all_scores) == 3

    def result(threshold):
        return running.post(red, params={"threshold": threshold}).json()["results"][0]

    assert [one["label"] for one in result(all_scores[0] / 2)["topk"]] == ["red"]
    assert result(all_scores[0] / 2)["label"] == "red"
    none = result(1)
    assert none["topk"] == [] and none["label"] is none["index"] is none["score"] is None


def test_the_frames_are_those_that_the_network_saw(running, videos):
    answer = running.post((videos / "green.mp4").read_bytes(), params={"frames": True})
    frames = answer.json()["results"][0]["frames"]
    clips, info = load_clips(videos / "green.mp4", SPEC)
    assert [one["frame"] for one in frames] == [0, 1, 2, 3] and info.frames == 6
    assert [one["seconds"] for one in frames] == [0.0, 0.1, 0.2, 0.3]
    for one, pixels in zip(frames, clips[0], strict=True):
        head, _, data = one["image"].partition(",")
        assert head == "data:image/jpeg;base64"
        picture = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
        assert picture.shape == (32, 32, 3)
        assert np.abs(picture[:, :, ::-1].astype(int) - pixels).max() < 8


def test_a_name_is_given_back_and_nothing_else(running, videos, tmp_path):
    red = (videos / "red.mp4").read_bytes()
    names = ["../../evil.mp4", "/etc/passwd", "./a//b.mp4/", "\u00e4.m3u8", "red.mp4", "red.mp4"]
    answer = running.client.post("/predict", files=[("v", (name, red)) for name in names])
    results = answer.json()["results"]
    assert [one["label"] for one in results] == ["red"] * len(names)
    assert [one["video"] for one in results] == names
    assert list(running.service.folder.iterdir()) == [], "uploads are removed"


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n", "unreadable"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", "unreadable"),
        (b"", "empty"),
    ],
)
def test_what_opens_other_files_is_refused(running, content, kind):
    answer = running.post(content)
    assert answer.status_code == 422 and answer.json()["kind"] == kind


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ("topk=3", "topk"),
        ("top_k=0", "top_k"),
        ("top_k=4", "top_k"),  # there are three classes
        ("top_k=x", "top_k"),
        ("threshold=2", "threshold"),
        ("threshold=nan", "threshold"),
        ("top_k=1&top_k=2", "top_k"),
    ],
)
def test_wrong_options_are_refused_by_name(running, videos, query, word):
    answer = running.post((videos / "red.mp4").read_bytes(), f"/predict?{query}")
    assert answer.status_code == 422
    assert answer.json()["kind"] == "options" and word in answer.json()["error"]


def test_what_is_counted(running, videos):
    def counts():
        stages = ("receive", "wait", "read", "preprocess", "network")
        return [
            running.counted("clipduet_videos_total"),
            running.counted("clipduet_failures_total", kind="unreadable"),
            *(running.counted("clipduet_seconds_count", stage=stage) for stage in stages),
        ]

    before = counts()
    running.client.post("/predict", files=form(videos, ("red.mp4", "green.mp4", "broken.mp4")))
    added = [now - was for now, was in zip(counts(), before, strict=True)]
    assert added == [2, 1, 1, 3, 3, 2, 2]
    page = running.client.get("/metrics")
    assert page.headers["content-type"].startswith("text/plain")
    assert 'clipduet_failures_total{kind="unreadable"}' in page.text
    assert "process_resident_memory_bytes" in page.text
    assert 'clipduet_seconds_bucket{le="1.0",stage="network"}' in page.text


def test_health_and_description(running):
    assert running.client.get("/health/live").json() == {"status": "live"}
    assert running.client.get("/health/ready").json() == {"status": "ready"}
    described = running.client.get("/openapi.json").json()
    predict = described["paths"]["/predict"]["post"]
    assert {one["name"] for one in predict["parameters"]} == {"top_k", "threshold", "frames"}
    assert {"200", "401", "408", "413", "422", "429", "503"} <= set(predict["responses"])
    assert "multipart/form-data" in predict["requestBody"]["content"]
    missing = running.client.get("/nothing")
    assert missing.status_code == 404 and missing.json()["kind"] == "request"
    wrong = running.client.get("/predict")
    assert wrong.status_code == 405 and "POST" in wrong.json()["error"]
    assert wrong.headers["Allow"] == "POST"


def test_the_description_is_a_page_too(running):
    page = running.client.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    described = running.client.get("/openapi.json").json()["paths"]
    for path in described:
        assert html.escape(path) in page.text
    for word in ("top_k", "1 to 3", "multipart/form-data", "429", "Retry-After", "openapi.json"):
        assert word in page.text
    assert "<script" not in page.text and "//" not in page.text
