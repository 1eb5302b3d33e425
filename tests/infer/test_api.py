"""The public API, as a program uses it."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import infer
import infer.api
from infer.clips.decode import read_video
from infer.clips.preprocess import load_clips

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def model(make_bundle: Callable[..., Path]):
    with infer.load(make_bundle(), backend="onnxruntime", threads=1) as opened:
        yield opened


def test_the_example_of_the_module_is_python() -> None:
    example = textwrap.dedent((infer.api.__doc__ or "").partition("Example:\n")[2])
    tree = ast.parse(example)
    assert [type(one) for one in tree.body] == [ast.Import, ast.With]


def test_predictions_come_in_order_and_a_bad_file_is_one_of_them(
    model: infer.Model, colour_clip: Callable[..., Path], tmp_path: Path
) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"no video")
    paths = [colour_clip("a.mp4", "red"), bad, colour_clip("b.mp4", "blue")]
    found = list(model.predict(paths, top_k=2, batch_size=2))
    assert [one.video for one in found] == paths
    assert [one.label for one in found] == ["red", None, "blue"]
    assert found[1].error is not None and found[1].score is None and found[1].topk == ()
    assert len(found[0].topk) == 2 and found[0].score == found[0].topk[0].score
    assert found[0].to_dict()["topk"][0] == {
        "label": "red", "index": 0, "score": found[0].score
    }  # fmt: skip
    assert str(paths[0]) in str(found[0]) and "red" in str(found[0])
    assert "error" in str(found[1])


def test_one_path_is_a_list_of_one(model: infer.Model, colour_clip: Callable[..., Path]) -> None:
    (found,) = model.predict(str(colour_clip("a.mp4", "green")))
    assert found.label == "green"


def test_frames_of_the_caller_get_the_answer_of_their_file(
    model: infer.Model, colour_clip: Callable[..., Path]
) -> None:
    clip = colour_clip("a.mp4", "blue", frames=9, size=48)
    (of_file,) = model.predict(clip)
    frames, _ = read_video(clip, lambda count: list(range(count)))
    of_frames = model.predict_frames(frames)
    assert of_frames.video is None and of_frames.topk == of_file.topk
    clips, _ = load_clips(clip, model.bundle.spec)
    assert model.logits(clips).shape == (len(clips), len(model.classes))


@pytest.mark.parametrize(
    "frames",
    [
        np.zeros((0, 32, 32, 3), np.uint8),
        np.zeros((4, 32, 32, 3), np.float32),
        np.zeros((32, 32, 3), np.uint8),
        np.zeros((4, 3, 32, 32), np.uint8),
    ],
    ids=["none", "floats", "one frame", "channels first"],
)
def test_frames_that_are_none_are_refused(model: infer.Model, frames: np.ndarray) -> None:
    with pytest.raises(infer.ClipDuetError, match="uint8"):
        model.predict_frames(frames)


IMPOSSIBLE = ["a\0b", "\ud800", "deep/\ud800/b", "x" * 5000]


@pytest.mark.parametrize("name", IMPOSSIBLE)
@pytest.mark.parametrize("kind", [str, Path])
def test_a_name_that_no_file_can_have_is_no_bundle(name: str, kind: type) -> None:
    with pytest.raises(infer.BundleError) as caught:
        infer.load(kind(name))
    assert str(caught.value).isprintable()


def test_a_name_that_no_file_can_have_is_one_failed_video(
    model: infer.Model, colour_clip: Callable[..., Path]
) -> None:
    names = [*IMPOSSIBLE, colour_clip("a.mp4", "red"), *map(Path, IMPOSSIBLE)]
    found = list(model.predict(names))
    assert [one.label for one in found] == [None] * 4 + ["red"] + [None] * 4
    for one in found:
        assert str(one).isprintable() and json.dumps(one.to_dict())
        assert one.error is None or "name" in one.error


@pytest.mark.parametrize("address", ["https://some.where/a.mp4?x=1", "rtsp://camera:554/1"])
def test_an_address_is_called_one(model: infer.Model, address: str) -> None:
    (found,) = model.predict(address)
    assert found.error is not None and "address" in found.error and "download" in found.error
    assert address in str(found) and found.to_dict()["video"] == address
    with pytest.raises(infer.ClipDuetError, match=re.escape(f"{address}: an address")):
        load_clips(address, model.bundle.spec)


def test_a_folder_without_frames_is_told_what_a_folder_is(
    model: infer.Model, colour_clip: Callable[..., Path]
) -> None:
    (found,) = model.predict(colour_clip("v/a.mp4", "red").parent)
    assert found.error is not None
    assert "img_00001.jpg" in found.error and "a folder is read as one video" in found.error


def test_what_the_callers_iterator_raises_comes_after_what_was_read(
    model: infer.Model, colour_clip: Callable[..., Path]
) -> None:
    paths = [colour_clip("a.mp4", "red"), colour_clip("b.mp4", "blue")]

    def source() -> Iterator[Path]:
        yield from paths
        raise ConnectionError("the list ended")

    seen = []

    def use(videos: Iterable[object]) -> None:
        for one in model.predict(videos, batch_size=4):  # type: ignore[arg-type]
            seen.append(one.label)

    with pytest.raises(ConnectionError, match="the list ended"):
        use(source())
    assert seen == ["red", "blue"]
    with pytest.raises(TypeError):
        use([*paths, 3])
    assert seen == ["red", "blue"] * 2


@pytest.mark.parametrize("wrong", [0, -1, 1.5, float("nan"), "5", None, True, 10**6])
def test_numbers_that_make_no_sense_are_refused(model: infer.Model, wrong: object) -> None:
    frames = np.zeros((1, 32, 32, 3), np.uint8)
    for name in ("top_k", "batch_size", "workers"):
        if (wrong == 10**6 and name != "workers") or (wrong is None and name == "workers"):
            continue
        with pytest.raises(infer.ClipDuetError, match=name):
            model.predict([], **{name: wrong})  # type: ignore[arg-type]
    if wrong != 10**6:
        with pytest.raises(infer.ClipDuetError, match="top_k"):
            model.predict_frames(frames, top_k=wrong)  # type: ignore[arg-type]
    assert len(model.predict_frames(frames, top_k=np.int64(2)).topk) == 2  # type: ignore[arg-type]


def test_threads_share_a_model(model: infer.Model, colour_clip: Callable[..., Path]) -> None:
    clips = [colour_clip(f"{k}.mp4", colour) for k, colour in enumerate(["red", "blue"] * 4)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda path: next(model.predict(path)).label, clips))
    assert found == ["red", "blue"] * 4


def test_a_closed_model_says_so(model: infer.Model) -> None:
    model.close()
    model.close()
    with pytest.raises(infer.BackendError, match="closed"):
        model.logits(np.zeros((1, *model.clip_shape), np.uint8))
    with pytest.raises(infer.BackendError, match="closed"):
        model.predict("a.mp4")


def test_a_forked_process_is_told_even_while_another_thread_runs(model: infer.Model) -> None:
    clips = np.zeros((1, *model.clip_shape), np.uint8)
    with model._running:  # as a thread of the parent that is in `logits` at the fork
        child = os.fork()
        if child == 0:
            try:
                model.logits(clips)
            except infer.BackendError:
                model.close()
                os._exit(0)
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert model.logits(clips).shape == (1, 3)


def test_importing_loads_no_package_and_every_public_name_is_there() -> None:
    code = """
import sys
import infer
assert not {"numpy", "cv2", "av", "onnxruntime", "openvino"} & set(sys.modules)
assert set(infer.__all__) <= set(dir(infer))
for name in infer.__all__:
    getattr(infer, name)
assert not {"onnxruntime", "openvino", "paddle"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        infer.nonsense  # noqa: B018
