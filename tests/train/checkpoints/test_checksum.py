"""A damaged checkpoint is never taken for a whole one, and a whole one never for damaged."""

from __future__ import annotations

import shutil
from pathlib import Path

import paddle
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.train.tiny import ALONE
from train.checkpoints.checkpoint import (
    BEST,
    LATEST,
    CheckpointError,
    load_file,
    save_best,
    save_latest,
)
from train.distill.build_recognizer import build_recognizer

BLOCK = 4096


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that has both files."""
    folder = tmp_path_factory.mktemp("run")
    recognizer = build_recognizer(ALONE, seed=1)
    optimizer = paddle.optimizer.AdamW(parameters=recognizer.trainable_parameters())
    save_best(folder, recognizer, {"epoch": 1})
    save_latest(folder, recognizer, optimizer, {"epoch": 1})
    return folder


@settings(max_examples=200)
@given(name=st.sampled_from([BEST, LATEST]), place=st.floats(0, 1, exclude_max=True),
       bit=st.integers(0, 7))  # fmt: skip
def test_every_flipped_bit_is_found(written: Path, name: str, place: float, bit: int) -> None:
    damaged = bytearray((written / name).read_bytes())
    damaged[int(place * len(damaged))] ^= 1 << bit
    refused(written / "bit.pdparams", damaged)


@settings(max_examples=200)
@given(name=st.sampled_from([BEST, LATEST]), place=st.floats(0, 1, exclude_max=True))
def test_every_zeroed_block_is_found(written: Path, name: str, place: float) -> None:
    whole = (written / name).read_bytes()
    start = int(place * len(whole)) // BLOCK * BLOCK
    damaged = bytearray(whole)
    damaged[start : start + BLOCK] = bytes(len(damaged[start : start + BLOCK]))
    assume(damaged != whole)
    refused(written / "block.pdparams", damaged)


@pytest.mark.parametrize("name", [BEST, LATEST])
def test_every_bit_at_the_end_is_looked_at(written: Path, name: str) -> None:
    """The end of the data and the checksum itself."""
    whole = (written / name).read_bytes()
    for place in range(1, 100):
        damaged = bytearray(whole)
        damaged[-place] ^= 1 << place % 8
        refused(written / "end.pdparams", damaged)


def refused(file: Path, content: bytearray) -> None:
    file.write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        load_file(file)
    assert str(file) in str(caught.value)


def test_what_was_expected_and_what_to_do_is_said(written: Path) -> None:
    damaged = bytearray((written / LATEST).read_bytes())
    expected = damaged[-65:-1].decode()
    damaged[1000] ^= 1
    file = written / "said.ckpt"
    file.write_bytes(damaged)
    for trust in (False, True):
        with pytest.raises(CheckpointError) as caught:
            load_file(file, trust=trust)
        for words in (f"{file} is damaged", expected, "another copy", "--weights"):
            assert words in str(caught.value)


@pytest.mark.parametrize("name", [BEST, LATEST])
def test_the_checksum_goes_where_the_file_goes(written: Path, tmp_path: Path, name: str) -> None:
    copy = tmp_path / "copy.pdparams"
    shutil.copy(written / name, copy)
    assert list(load_file(copy)) == list(load_file(written / name))
    damaged = bytearray(copy.read_bytes())
    damaged[1000] ^= 1
    refused(copy, damaged)


@pytest.mark.parametrize("name", [BEST, LATEST])
def test_paddle_reads_a_file_with_its_checksum(written: Path, name: str) -> None:
    ours, theirs = load_file(written / name), paddle.load(str(written / name))
    assert list(ours) == list(theirs)
    if name == BEST:
        for key, value in theirs.items():
            assert (ours[key].numpy() == value.numpy()).all() and ours[key].name == value.name


def test_a_file_without_a_checksum_is_read(written: Path) -> None:
    """Of PaddleVideo, or of a run of before there were any."""
    file = written / "before.pdparams"
    paddle.save(load_file(written / BEST), str(file))
    assert list(load_file(file)) == list(load_file(written / BEST))
    file.write_bytes((written / BEST).read_bytes()[:-82])
    assert list(load_file(file)) == list(load_file(written / BEST))
