"""CPU time of reading frames of videos on one thread: ours, and other readers that are installed.

`python -m benchmarks.reading --clips FILE_OR_FOLDER ...`. Before anything is timed, all read the
same frames: selective decoding must give those of full decoding to the bit, and how far the others
are from them is reported. `pip install '.[peers]'` brings decord; TorchCodec is measured where it
is installed.
"""

from __future__ import annotations

import argparse
import importlib
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.common.command import REPETITIONS, add_out, carry_out, measuring
from benchmarks.common.errors import BenchmarkError
from benchmarks.common.machine import load_average, machine
from benchmarks.common.result_file import header
from export.option_limits import Allowed
from infer.clips.decode import Frames, read_video
from infer.command.inputs import VIDEO_SUFFIXES
from infer.command.parser import Parser
from infer.command.runner import run_and_exit
from infer.system.errors import VideoError

Read = Callable[[Path, Sequence[int]], Frames]
"""From a file and ascending frame numbers to uint8 [n, H, W, 3] RGB."""

FULL, SHORT = "every frame", "ours"


def read_in_full(path: Path, wanted: Sequence[int]) -> Frames:
    """Ours, decoding every frame."""
    return read_video(path, lambda _: wanted, every_frame=True)[0]


def read_short(path: Path, wanted: Sequence[int]) -> Frames:
    """Ours, as it is used."""
    return read_video(path, lambda _: wanted)[0]


def read_by_opencv(path: Path, wanted: Sequence[int]) -> Frames:
    """OpenCV: every frame is decoded, and those that are wanted are converted."""
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    frames = []
    try:
        for number in range(wanted[-1] + 1):
            if not capture.grab():
                raise BenchmarkError(f"OpenCV ends at frame {number}")
            if number in wanted:
                frames.append(cv2.cvtColor(capture.retrieve()[1], cv2.COLOR_BGR2RGB))
    finally:
        capture.release()
    return np.stack(frames)


def read_by_decord(path: Path, wanted: Sequence[int]) -> Frames:
    """decord, which leaves out what it need not decode."""
    decord = importlib.import_module("decord")
    found: Frames = decord.VideoReader(str(path), num_threads=1).get_batch(list(wanted)).asnumpy()
    return found


def read_by_torchcodec(path: Path, wanted: Sequence[int]) -> Frames:
    """TorchCodec, in its exact mode."""
    decoders = importlib.import_module("torchcodec.decoders")
    decoder = decoders.VideoDecoder(str(path), dimension_order="NHWC", num_ffmpeg_threads=1)
    found: Frames = decoder.get_frames_at(indices=list(wanted)).data.numpy()
    return found


OURS: dict[str, Read] = {FULL: read_in_full, SHORT: read_short}
PEERS: dict[str, tuple[str, Read]] = {
    "OpenCV": ("cv2", read_by_opencv),
    "decord": ("decord", read_by_decord),
    "TorchCodec": ("torchcodec.decoders", read_by_torchcodec),
}


def installed_peers() -> tuple[dict[str, Read], dict[str, str]]:
    """Those that can be used, and why the others cannot."""
    there: dict[str, Read] = {}
    absent: dict[str, str] = {}
    for name, (module, read) in PEERS.items():
        try:
            importlib.import_module(module)
        except Exception as error:  # its libraries may not load
            absent[name] = str(error).splitlines()[0] if str(error) else type(error).__name__
        else:
            there[name] = read
    return there, absent


def uniform(frames: int, count: int) -> list[int]:
    """Distinct frame numbers in the middle of `count` equal parts."""
    return sorted({(2 * k + 1) * frames // (2 * count) for k in range(count)})


def measure_clip(
    path: Path,
    peers: dict[str, Read],
    *,
    frames: int,
    repetitions: int,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """Compare and time the readers on one file, in turns, each turn in an order of its own.

    Args:
        path: the video.
        peers: other readers.
        frames: how many are read, uniformly.
        repetitions: turns; 0 compares only.
        rng: of the orders.

    Returns:
        JSON-ready. `decoded` counts frames that were decoded; `difference` is the largest one of
        a peer in grey levels, or why it cannot be compared.

    Raises:
        BenchmarkError: selective decoding gives other frames than full decoding.
        VideoError: the file cannot be read.
    """
    truth, full = read_video(path, lambda n: uniform(n, frames), every_frame=True)
    wanted = uniform(full.frames, frames)
    found, info = read_video(path, lambda _: wanted)
    if info != full or not np.array_equal(found, truth):
        raise BenchmarkError(
            f"{path}: selective decoding gives other frames, or tells other of them"
        )
    compared = {name: _difference(read, path, wanted, truth) for name, read in peers.items()}
    timed = {**OURS, **{name: peers[name] for name, by in compared.items() if isinstance(by, int)}}
    seconds: dict[str, list[float]] = {name: [] for name in timed}
    names = list(timed)
    for _ in range(repetitions):
        for place in rng.permutation(len(names)):
            start = time.process_time()
            timed[names[place]](path, wanted)
            seconds[names[place]].append(time.process_time() - start)
    return {
        "clip": path.name,
        "codec": full.codec,
        "width": full.width,
        "height": full.height,
        "frames": full.frames,
        "read": len(wanted),
        "decoded": {
            FULL: full.frames,
            SHORT: info.frames if info.decoded is None else info.decoded,
        },
        "short_way": info.decoded is not None,
        "difference": compared,
        "milliseconds": {
            name: round(1e3 * statistics.median(taken), 3)
            for name, taken in seconds.items()
            if taken
        },
        "seconds": {name: [round(one, 6) for one in taken] for name, taken in seconds.items()},
    }


def _difference(read: Read, path: Path, wanted: Sequence[int], truth: Frames) -> int | str:
    try:
        found = read(path, wanted)
    except Exception as error:  # whatever another project's code raises
        return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    if found.shape != truth.shape:
        return f"frames of shape {found.shape}, not {truth.shape}"
    return int(np.abs(found.astype(np.int16) - truth).max())


def clips_of(paths: Iterable[Path]) -> list[Path]:
    """The files themselves, and those in folders that are named like videos."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(p for p in path.rglob("*") if p.suffix.lower() in VIDEO_SUFFIXES)
        else:
            found.append(path)
    if not found:
        raise BenchmarkError("no videos in " + ", ".join(map(str, paths)))
    return found


@measuring
def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = Parser(prog="python -m benchmarks.reading", description=__doc__)
    add = parser.add_argument
    add("--clips", type=Path, nargs="+", required=True, help="videos, or folders of them")
    add("--frames", type=int, default=16, help="read of each clip (default: %(default)s)")
    add("--repetitions", type=int, default=9, help="timed ones (default: %(default)s; 0: none)")
    add_out(parser)
    options = parser.parse_args(argv)
    allowed = {"frames": Allowed(1, 10_000), "repetitions": Allowed(0, REPETITIONS.most)}
    result = carry_out(run, options, allowed=allowed)
    return 0 if result["clips"] else 1


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure what the options say, a line a clip; JSON-ready."""
    cv2.setNumThreads(1)
    peers, absent = installed_peers()
    for name, why in absent.items():
        print(f"without {name}: {why}")
    rng = np.random.default_rng(0)
    load = load_average()
    clips, failed = [], {}
    for path in clips_of(options.clips):
        try:
            one = measure_clip(
                path, peers, frames=options.frames, repetitions=options.repetitions, rng=rng
            )
        except VideoError as error:
            failed[path.name] = error.reason
            print(f"{path.name}: {error.reason}")
            continue
        clips.append(one)
        print(told(one), flush=True)
    faster = [
        one["milliseconds"][FULL] / one["milliseconds"][SHORT]
        for one in clips
        if one["short_way"] and one["milliseconds"]
    ]
    return {
        **header("clipduet-reading", 1),
        "threads": 1,
        "repetitions": options.repetitions,
        "clips": clips,
        "failed": failed,
        "absent": absent,
        "times_as_fast_where_short": statistics.geometric_mean(faster) if faster else None,
        "load_average_before": load,
        "machine": machine(),
    }


def told(one: dict[str, Any]) -> str:
    """One line about a clip."""
    decoded = one["decoded"]
    parts = [f"{one['clip']} ({one['codec']}): {decoded[SHORT]} of {decoded[FULL]} frames decoded"]
    parts += [f"{name} {taken:.1f} ms" for name, taken in one["milliseconds"].items()]
    parts += [f"{name} differs by {by}" for name, by in one["difference"].items() if by]
    return ", ".join(parts)


if __name__ == "__main__":
    run_and_exit(main)
