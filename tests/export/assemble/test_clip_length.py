"""A bundle says how long the clips were that its network was trained on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.clips.length import clip_length
from infer.bundle.bundle import Bundle, write_bundle_json
from infer.system.errors import BundleError
from tests.infer.stream.peers import write


@pytest.fixture
def of_frames(experiment: Callable[..., Any], clips: Path) -> Callable[..., Any]:
    """`of_frames(10, 20, ...)`: a config whose training clips have so many frames, ten a second."""

    def make(*counts: int, more: str = "", **train: Any) -> Any:
        lines = []
        for place, count in enumerate(counts):
            path = clips / f"{count} frames.mp4"
            if not path.is_file():
                write(str(path), np.zeros((count, 32, 48, 3), np.uint8))
            lines.append(f"{path} {place % 5}\n")
        (clips / "lengths.list").write_text("".join(lines) + more)
        settings = {"format": "VideoDataset", "file_path": "lengths.list", **train}
        return experiment("single", train=settings).cfg

    return make


def test_the_bundle_has_the_median(exported: Callable[..., Any]) -> None:
    made = exported("pair")
    bundle = Bundle.load(made.folder)
    length = bundle.raw["clip_length"]
    assert length["clips"] == 6 and length["list"].endswith("train.list")
    assert (
        bundle.clip_seconds == length["median_seconds"] == clip_length(made.experiment.cfg).median
    )
    assert 0 < bundle.clip_seconds < 9


def test_headers_of_some_clips_say_it(of_frames: Callable[..., Any]) -> None:
    found = clip_length(of_frames(10, 20, 20, 35))
    assert found is not None and (found.median, found.clips) == (2, 4)
    cfg = of_frames(5, 10, 15, 20, 25, 30)
    some = clip_length(cfg, most=3)
    assert some is not None and some.clips == 3 and some == clip_length(cfg, most=3)
    other = cfg.model_copy(update={"seed": cfg.seed + 1})
    medians = {clip_length(cfg.model_copy(update={"seed": n}), most=1).median for n in range(20)}
    assert len(medians) > 1 and clip_length(other).median == clip_length(cfg).median == 1.75


def test_clips_that_do_not_say_it_are_left_out(of_frames: Callable[..., Any], clips: Path) -> None:
    (clips / "no video.mp4").write_bytes(b"nothing")
    np.save(clips / "array.npy", np.zeros((3, 8, 8, 3), np.uint8))
    more = f"{clips / 'no video.mp4'} 1\n{clips / 'array.npy'} 1\n"
    found = clip_length(of_frames(10, more=more))
    assert found is not None and (found.median, found.clips) == (1, 1)
    assert clip_length(of_frames(more=more)) is None
    assert clip_length(of_frames(10, more="gone.mp4 1\n")) is None  # export needs no training list


@pytest.mark.parametrize(
    "length",
    [
        *(3.0, None, {}, {"median_seconds": 0, "clips": 1}, {"median_seconds": True, "clips": 1}),
        *({"median_seconds": "3", "clips": 1}, {"median_seconds": 3, "clips": 0.5}),
    ],
)
def test_a_length_that_is_none_is_refused(
    exported: Callable[..., Any], tmp_path: Path, length: object
) -> None:
    folder = shutil.copytree(exported("pair").folder, tmp_path / "b")
    data = json.loads((folder / "bundle.json").read_text())
    with pytest.raises(BundleError, match="clip_length"):
        write_bundle_json(folder, {**data, "clip_length": length})
    del data["clip_length"]  # as earlier versions
    write_bundle_json(folder, data)
    assert Bundle.load(folder).clip_seconds is None
