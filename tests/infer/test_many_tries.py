"""What has to hold over thousands of tries. `make torture` runs it; `make test` leaves it out."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import repeat
from pathlib import Path

import numpy as np
import pytest

from infer.bundle.bundle import Bundle
from infer.pipeline.predictions import predict_videos
from infer.runtimes.open import open_runtime

pytestmark = [pytest.mark.torture, pytest.mark.timeout(7200)]
ROOT = Path(__file__).resolve().parents[2]
COPIES = int(os.environ.get("CLIPDUET_TORTURE_COPIES", "640"))
"""Damaged copies of each file: eight formats make 5,120."""
PAGE = os.sysconf("SC_PAGE_SIZE")


def resident() -> float:
    """MB of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE / 1e6


def handles() -> tuple[int, int]:
    """Open files and threads of this process."""
    return len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mp4", "libx264"),
        ("a.mov", "mpeg4"),
        ("a.mkv", "libx264"),
        ("a.webm", "libvpx"),
        ("a.avi", "mpeg4"),
        ("a.flv", "flv1"),
        ("a.mpg", "mpeg2video"),
        ("a.ts", "libx264"),
    ],
)
def test_damaged_videos_neither_crash_nor_hang(tmp_path, write_clip, name, codec):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (24, 64, 64, 3), dtype=np.uint8)
    video = write_clip(tmp_path / name, pixels, fps=25, codec=codec)
    command = [sys.executable, "-m", "tests.infer.mutated", video, "0", str(COPIES), tmp_path]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    lines = done.stdout.splitlines()
    assert done.returncode == 0, f"copy {lines[-1:]} ended it with {done.returncode}"
    answers = [line.split()[1] for line in lines]
    assert len(answers) == COPIES and set(answers) <= {"read", "refused"}
    # Neither all nor nothing: the damage is of both kinds.
    assert set(answers) == {"read", "refused"}


def test_memory_does_not_grow_with_the_number_of_clips(make_bundle, colour_clip):
    bundle = Bundle.load(make_bundle())
    video = colour_clip("a.mp4", "red")
    marks = []
    with open_runtime(bundle, threads=1) as runtime:
        answers = predict_videos(
            repeat(video, 10_000), runtime.run, bundle.spec, bundle.classes, batch_size=4
        )
        for count, answer in enumerate(answers, 1):
            assert answer.topk[0].label == "red"
            if count in (1_000, 10_000):
                marks.append(resident())
    assert marks[1] - marks[0] < 10, f"{marks} MB after 1,000 and 10,000 clips"


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino", "paddle"])
def test_a_runtime_opened_many_times_leaves_nothing(bundle_for, backend):
    bundle = Bundle.load(bundle_for(backend))
    clip = np.zeros((1, *bundle.spec.clip_shape), np.uint8)
    marks = []
    for count in range(1, 201):
        with open_runtime(bundle, backend=backend, threads=1) as runtime:
            runtime.run(clip)
        if count in (50, 200):
            marks.append((resident(), *handles()))
    (memory, *before), (grown, *after) = marks
    assert after == before, "open files and threads"
    assert grown - memory < 30, f"{memory:.0f} and {grown:.0f} MB after 50 and 200"
