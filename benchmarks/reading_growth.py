"""How time and memory of reading grow with length, resolution, files and threads.

`python -m benchmarks.reading_growth --out FILE --plot FILE.svg`. Clips of H.264 are made for it; of
each 16 frames are read, as a network of 16 segments asks for them. Every point is measured in a
process of its own, so that its peak of memory is its own.
"""

from __future__ import annotations

import argparse
import io
import statistics
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Any

import av
import numpy as np

from benchmarks.common.command import REPETITIONS, add_out, carry_out, measuring
from benchmarks.common.machine import load_average, machine
from benchmarks.common.result_file import header
from benchmarks.reading import uniform
from export.option_limits import Allowed
from infer.clips.decode import Frames, read_video
from infer.command.parser import Parser
from infer.command.runner import run_and_exit
from infer.system.files import check_writable
from infer.system.hardware import cores, peak_bytes
from train.data.processes import worker_pool
from train.evaluation.drawing import can_draw, write_drawing

RATE = 25
WANTED = 16
HEIGHTS = (240, 480, 720, 1080, 2160)
SECONDS = (10, 60, 600, 7200)
FILES = (1, 10, 100, 1000, 10_000)
SHORT = 10
"""Seconds of the clips whose resolution, number or threads grow."""
PARTS = ("length", "resolution", "files", "threads")
NAMES = {
    "length": "seconds of video",
    "resolution": "height in pixels, 16:9",
    "files": "files, one after the other",
    "threads": "threads, one file each",
}


def make_clip(path: Path, height: int, seconds: float) -> Path:
    """Write H.264 with B-frames: at most 10 s are encoded, and repeated as often as needed.

    Args:
        path: an MP4 file.
        height: of 16:9 frames, in pixels.
        seconds: how long it lasts.
    """
    width = height * 16 // 9 // 2 * 2
    rng = np.random.default_rng(0)
    back = rng.integers(0, 255, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
    back = back.repeat(8, 0).repeat(8, 1)[:height, :width]
    frames = round(min(seconds, SHORT) * RATE)
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as made:
        stream = made.add_stream("libx264", rate=RATE, options={"preset": "veryfast", "bf": "3"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for k in range(frames):
            picture = np.roll(back, (k, 3 * k), (0, 1))
            made.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        made.mux(stream.encode())
    buffer.seek(0)
    times = max(round(seconds / SHORT), 1)
    with av.open(buffer, "r") as source, av.open(str(path), "w") as target:
        template = source.streams.video[0]
        written = target.add_stream_from_template(template)
        kept = [packet for packet in source.demux(template) if packet.size]
        base = Fraction(template.time_base or 1)
        length = int(Fraction(frames, RATE) / base)
        for turn in range(times):
            for old in kept:
                packet = av.Packet(bytes(old))
                packet.pts = (old.pts or 0) + turn * length
                packet.dts = (old.dts or 0) + turn * length
                packet.duration, packet.time_base = old.duration, base
                packet.is_keyframe, packet.stream = old.is_keyframe, written
                target.mux(packet)
    return path


def measured(path: Path, files: int, threads: int, repetitions: int) -> dict[str, Any]:
    """Read a file so many times, each as a file of its own; to be run in a fresh process.

    Returns:
        JSON-ready: CPU and passed seconds of every repetition, and MiB of memory before and at the
        most (0 where the system does not tell).
    """
    before = _peak()
    cpu, passed = [], []
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(repetitions):
            start = time.process_time(), time.perf_counter()
            for _ in pool.map(_read, repeat(path, files)):
                pass
            cpu.append(round(time.process_time() - start[0], 6))
            passed.append(round(time.perf_counter() - start[1], 6))
    return {"cpu": cpu, "passed": passed, "memory_before": before, "memory": _peak()}


def _read(path: Path) -> int:
    frames, info = read_video(path, partial(uniform, count=WANTED), each=_small)
    return len(frames) + info.frames


def _small(frame: Frames) -> Frames:
    """What stays in memory of a frame is small, as after scaling."""
    return frame[:64, :64].copy()


def _peak() -> float:
    return round((peak_bytes() or 0) / 2**20, 1)


@measuring
def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = Parser(prog="python -m benchmarks.reading_growth", description=__doc__)
    add = parser.add_argument
    add("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="default: all")
    add("--longest", type=float, default=SECONDS[-1], help="seconds (default: %(default)s)")
    add("--highest", type=int, default=HEIGHTS[-1], help="pixels (default: %(default)s)")
    add("--most-files", type=int, default=FILES[-1], help="default: %(default)s")
    add("--repetitions", type=int, default=5, help="timed ones (default: %(default)s)")
    add("--plot", type=Path, help="draw it, as SVG (needs Matplotlib)")
    add_out(parser)
    options = parser.parse_args(argv)
    if options.plot:
        if not can_draw():
            raise ModuleNotFoundError(name="matplotlib")
        check_writable(options.plot)
    allowed = {
        "longest": Allowed(1, 86_400),
        "highest": Allowed(64, 4320),
        "most_files": Allowed(1, 100_000),
        "repetitions": REPETITIONS,
    }
    result = carry_out(run, options, allowed=allowed)
    if options.plot:
        write_plot(options.plot, result)
    return 0


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure what the options say, a line a point; JSON-ready."""
    load = load_average()
    points: dict[str, list[dict[str, Any]]] = {}
    low = min(HEIGHTS[0], options.highest)
    short = min(SHORT, options.longest)
    with tempfile.TemporaryDirectory() as folder:
        for part in options.parts:
            points[part] = []
            for size, height, seconds, files, threads in _sizes(part, options, low, short):
                path = make_clip(Path(folder, "clip.mp4"), height, seconds)
                with worker_pool(1) as pool:
                    one = pool.submit(measured, path, files, threads, options.repetitions).result()
                points[part].append({"size": size, **one})
                seen = f"{statistics.median(one['cpu']):.3f} s CPU, {one['memory']:.0f} MiB"
                print(f"{size:g} {NAMES[part]}: {seen}", flush=True)
    return {
        **header("clipduet-reading-growth", 1),
        "frames_read": WANTED,
        "points": points,
        "load_average_before": load,
        "machine": machine(),
    }


def _sizes(
    part: str, options: argparse.Namespace, low: int, short: float
) -> list[tuple[float, int, float, int, int]]:
    """What grows; height, seconds, files and threads of each point."""
    if part == "length":
        sizes: list[float] = [one for one in SECONDS if one <= options.longest] or [short]
        return [(one, low, one, 1, 1) for one in sizes]
    if part == "resolution":
        heights = [one for one in HEIGHTS if one <= options.highest] or [low]
        return [(one, one, short, 1, 1) for one in heights]
    if part == "files":
        return [(one, low, short, one, 1) for one in FILES if one <= options.most_files]
    counts = sorted({1, *(one for one in (2, 4, 8, 16) if one <= cores()), cores()})
    files = 8 * counts[-1]
    return [(one, low, short, min(files, options.most_files), one) for one in counts]


def write_plot(file: Path, result: dict[str, Any]) -> None:
    """Draw time and memory against what grows, as SVG; values that grow tenfold logarithmically."""
    from matplotlib.ticker import NullFormatter, StrMethodFormatter

    parts = list(result["points"])

    def draw(figure: Any) -> None:
        panels = figure.subplots(2, len(parts), squeeze=False)
        for column, part in enumerate(parts):
            points = result["points"][part]
            sizes = [one["size"] for one in points]
            clock = "passed" if part == "threads" else "cpu"
            seconds = [statistics.median(one[clock]) for one in points]
            memory = [one["memory"] for one in points]
            name = "seconds that pass" if part == "threads" else "seconds of CPU time"
            for panel, values, what in zip(
                panels[:, column], (seconds, memory), (name, "MiB at the most"), strict=True
            ):
                panel.plot(sizes, values, "o-")
                panel.set(xscale="log", xlabel=NAMES[part], ylabel=what)
                panel.set_xticks(sizes, [f"{size:g}" for size in sizes])
                if max(values) >= 10 * min(values):
                    panel.set_yscale("log")
                else:
                    panel.set_ylim(0, 1.1 * max(values))
                panel.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
                for axis in (panel.xaxis, panel.yaxis):
                    axis.set_minor_formatter(NullFormatter())
                panel.grid(visible=True, alpha=0.3)

    write_drawing(file, draw, size=(4 * len(parts), 6))


if __name__ == "__main__":
    run_and_exit(main)
