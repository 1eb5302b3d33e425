"""Long files and a live source that is too fast, in small: counts, memory, what is written."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from benchmarks.streams.__main__ import main, page
from benchmarks.streams.material import repeated, write_long, write_piece
from benchmarks.streams.watched import Answered
from infer.clips.decode import each_frame
from infer.clips.spec import PreprocessSpec
from tests.tiny_bundle import SPEC, write_bundle

LARGE = replace(SPEC, preprocess=PreprocessSpec(short_size=160, fixed_ratio=False, crop=160))
"""Frames of 77 kB: those of the file would take as much as all else together."""


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, Path]:
    folder = tmp_path_factory.mktemp("streams")
    bundle = write_bundle(folder / "bundle", spec=LARGE)
    out = folder / "results.json"
    # Three minutes of ten frames a second; then three seconds with far more windows than can be.
    status = main(
        ["--bundle", str(bundle), "--hours", "0.05", "--live", "3", "--window", "2",
         "--stride", "2", "--overload", "500", "--width", "64", "--height", "48", "--threads", "1",
         "--max-lag", "600", "--out", str(out)]
    )  # fmt: skip
    return status, out


def test_memory_does_not_grow_with_the_length_and_windows_are_complete(result) -> None:
    status, out = result
    found = json.loads(out.read_text())
    assert found["format"] == "clipduet.streams" and found["machine"]["cores"] > 0
    file = found["file"]
    assert (file["frames"], file["windows"], file["left_out"]) == (1800, 90, 0)
    assert file["real_time_factor"] > 0
    assert len(file["memory"]["tenths"]) == 10 and file["memory"]["flat"] is True
    assert file["memory"]["most"] < 1.2 * file["memory"]["tenths"][0]
    assert status == (0 if found["met"] else 1)


def test_windows_that_a_camera_has_too_many_of_are_left_out_and_counted(result) -> None:
    found = json.loads(result[1].read_text())["live"]
    offered = found["windows"] + found["left_out"]
    assert found["left_out"] > 0 and found["windows"] > 0
    # Those of the time that there were frames of, less the one that had not ended.
    assert 0.1 < offered * found["stride"] <= 3
    assert found["lag_bounded"] is True and found["lag"]["p50"] <= found["lag"]["most"]
    assert found["reconnects"] == 0


def test_the_page_says_what_was_measured(result) -> None:
    found = json.loads(result[1].read_text())
    text = result[1].with_name("report.md").read_text()
    assert text == page(found)
    assert "90 windows" in text and "does not grow" in text and "is bounded" in text
    found["file"]["memory"]["flat"] = found["live"]["lag_bounded"] = False
    assert "GROWS" in page(found) and "NOT BOUNDED" in page(found)


def test_growing_memory_is_found() -> None:
    def memory(values: np.ndarray) -> dict:
        return Answered([], values.tolist(), {}, 1.0).memory()

    assert memory(np.linspace(100, 108, 500).astype(int))["flat"]
    grown = memory(np.linspace(100, 130, 500).astype(int))
    assert not grown["flat"] and grown["most"] == 130
    assert grown["tenths"] == sorted(grown["tenths"]) and len(grown["tenths"]) == 10


def test_the_long_file_is_the_piece_again_and_again(tmp_path: Path) -> None:
    piece, long = tmp_path / "piece.mkv", tmp_path / "long.mp4"
    write_piece(piece, seconds=2, rate=5, size=(32, 32))
    write_long(piece, long, seconds=5)
    pictures: dict[Path, list[np.ndarray]] = {piece: [], long: []}
    for path, found in pictures.items():
        each_frame(path, found.append)
    assert len(pictures[piece]) == 10 and len(pictures[long]) == 25
    for one, same in zip(pictures[long], itertools.cycle(pictures[piece]), strict=False):
        assert np.array_equal(one, same)
    with av.open(str(piece)) as source:
        packets = itertools.islice(repeated(source, source.streams.video[0]), 35)
        times = [float(packet.pts * packet.time_base) for packet in packets]
    assert np.allclose(times, np.arange(35) / 5, atol=2e-3)
