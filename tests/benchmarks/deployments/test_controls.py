"""Taking the time out of clips leaves their frames, and nothing but their frames."""

from __future__ import annotations

import numpy as np

from benchmarks.deployments.controls import KINDS, without_time


def test_shuffling_keeps_every_frame_and_repeating_keeps_one() -> None:
    clips = np.random.default_rng(0).integers(0, 255, (6, 8, 4, 4, 3), dtype=np.uint8)
    shuffled = without_time(clips, KINDS[0], np.random.default_rng(1))
    assert not np.array_equal(shuffled, clips)
    for own, mixed in zip(clips, shuffled, strict=True):
        assert sorted(f.tobytes() for f in own) == sorted(f.tobytes() for f in mixed)
    still = without_time(clips, KINDS[1], np.random.default_rng(1))
    assert np.array_equal(still, np.repeat(clips[:, 4:5], 8, axis=1))
