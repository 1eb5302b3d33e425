"""Fixtures that every room's tests share, and one thread for every numeric library.

The thread counts are set before NumPy, OpenCV or Paddle are imported, and through the environment,
so that the subprocesses which tests start inherit them: results do not depend on the machine, and
tests running side by side do not fight for cores.
"""

from __future__ import annotations

import os
import sys
import tempfile

for _name in (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "OPENCV_FOR_THREADS_NUM",
):
    os.environ.setdefault(_name, "1")
# A conversion must work with what is installed: nothing is fetched behind the user's back.
os.environ["POLYGRAPHY_AUTOINSTALL_DEPS"] = "0"
# Nothing reports to anybody from a test either: some import these packages by themselves.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
# What is remembered of this machine is not the user's either.
_cache = tempfile.TemporaryDirectory(prefix="clipduet-cache-")
os.environ["CLIPDUET_CACHE"] = _cache.name

from infer.libraries.mkl import use_avx2_on_amd

# Set when Paddle is first loaded, it would be there for the tests after that one alone.
use_avx2_on_amd()

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import settings

from tests import tiers
from tests.leftovers import nothing_is_left_behind  # noqa: F401  (for every test)

# Timing is no property of the code under test: a busy machine must not fail a test.
settings.register_profile("clipduet", deadline=None, max_examples=50)
settings.load_profile("clipduet")

# Started in the background of a script, a process ignores SIGINT, and so would the commands that
# tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
# nohup ignores SIGHUP, and the commands would inherit that. A handler is not inherited, and the
# tests themselves go on.
for _number in (signal.SIGHUP, signal.SIGQUIT):
    if signal.getsignal(_number) == signal.SIG_IGN:
        signal.signal(_number, lambda number, frame: None)

ROOT = Path(__file__).resolve().parent.parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    tiers.mark(items)


RunPaddleVideo = Callable[[list[dict[str, Any]]], None]


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root, for tests that start commands in it."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with reference values and real clips that does not belong to the repository."""
    folder = Path(os.environ.get("CLIPDUET_SHARED", ROOT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"no reference files at {folder}: CLIPDUET_SHARED=/path/to/them names another")
    return folder


@pytest.fixture(scope="session")
def paddlevideo() -> Path:
    """A checkout of PaddleVideo, for tests that compare with it; its code is no part of this."""
    folder = os.environ.get("CLIPDUET_PADDLEVIDEO")
    if not folder:
        pytest.skip("CLIPDUET_PADDLEVIDEO is not set: the path of a PaddleVideo checkout")
    return Path(folder)


@pytest.fixture(scope="session")
def run_paddlevideo(paddlevideo: Path, tmp_path_factory: pytest.TempPathFactory) -> RunPaddleVideo:
    """`run_paddlevideo(jobs)`: see tests/paddlevideo_code.py; a failed job fails the test."""

    def run(jobs: list[dict[str, Any]]) -> None:
        file = tmp_path_factory.mktemp("paddlevideo") / "jobs.json"
        file.write_text(json.dumps({"checkout": str(paddlevideo.resolve()), "jobs": jobs}))
        command = [sys.executable, "-m", "tests.paddlevideo_code", str(file)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr[-4000:]

    return run


@pytest.fixture(autouse=True)
def drawings_of_trainings_are_empty(request: pytest.FixtureRequest) -> Iterator[None]:
    """Matplotlib takes a third of the smallest trainings; `draws` marks tests that look at it."""
    writes = sys.modules.get("train.engine.run_files")
    if writes is None or request.node.get_closest_marker("draws"):
        yield
        return

    def draw_nothing(file: Path, *_: Any, **__: Any) -> None:
        file.write_text("<svg/>")

    with mock.patch.multiple(writes, write_drawing=draw_nothing, write_confusion=draw_nothing):
        yield


WriteClip = Callable[..., Path]


@pytest.fixture(scope="session")
def write_clip() -> WriteClip:
    """`write_clip(path, frames, fps=10, codec="libx264") -> path`: a real video file.

    `frames` is uint8 [n, height, width, 3] RGB with even height and width. The format follows the
    suffix of `path`; the frames come back in the same number and nearly the same colours.
    """

    def write(path: Path | str, frames: np.ndarray, fps: int = 10, codec: str = "libx264") -> Path:
        import av

        path = Path(path)
        assert frames.dtype == np.uint8 and frames.ndim == 4 and frames.shape[3] == 3, (
            f"frames must be uint8 [n, height, width, 3], not {frames.dtype} {frames.shape}"
        )
        height, width = frames.shape[1:3]
        path.parent.mkdir(parents=True, exist_ok=True)
        # No B-frames and a fine quantiser: a test can recognise a frame by its colour.
        options = {"crf": "10", "preset": "ultrafast"} if codec == "libx264" else {}
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=Fraction(fps), options=options)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.codec_context.thread_count = 1
            for frame in frames:
                picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
                container.mux(stream.encode(picture))
            container.mux(stream.encode())
        return path

    return write


RunExample = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def installed_name(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the module search path, in which infer/ has the name that it is installed by."""
    folder = tmp_path_factory.mktemp("installed")
    (folder / "clipduet").symlink_to(ROOT / "infer", target_is_directory=True)
    return folder


@pytest.fixture
def run_example(installed_name: Path, tmp_path: Path) -> RunExample:
    """`run_example("01_classify_files.py", *arguments)`, as after `make setup`."""

    def run(name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join([str(installed_name), str(ROOT)])
        return subprocess.run(
            [sys.executable, str(ROOT / "examples" / name), *map(str, arguments)],
            cwd=tmp_path, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True,
        )  # fmt: skip

    return run
