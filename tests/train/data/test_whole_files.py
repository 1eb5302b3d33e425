"""What checks files sees damage in every frame, not only in those that a network takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from infer.clips.preprocess import load_clips
from tests.infer.clips.made import make, named, with_wrong_bits_in_a_b_frame
from train.data.class_folders import Clip
from train.data.near_duplicates import SPEC
from train.data.prepare.media import Work, process_video
from train.init.look import look_at


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """A video with wrong bits in a frame that five uniform ones do not need."""
    copy = tmp_path / "turn" / "a.mp4"
    copy.parent.mkdir()
    with_wrong_bits_in_a_b_frame(make(tmp_path, named("long.mp4")), copy)
    info = load_clips(copy, SPEC)[1]
    assert info.decoded is not None and not info.damaged
    return copy


def test_the_look_at_class_folders(damaged: Path) -> None:
    clip = Clip("turn/a.mp4", "turn", "")
    found = look_at(damaged.parents[1], [clip], workers=1)
    assert [look.damaged for look in found.readable] == [True]


def test_the_full_check_of_prepared_videos(damaged: Path) -> None:
    _, outcome = process_video(("a.mp4", Work(str(damaged.parent), check="full")))
    assert outcome.damaged
