"""`python -m benchmarks.streams`: a long file, and a live source that is faster than the machine.

A video is made, hours long, and given to `clipduet stream`: how many windows and events there are,
whether memory grows with the length, and how much faster than real time it is. Then the same video
comes from a camera that is not waited for, with more windows than the network can answer: how many
are left out, and how late the others are. Exit status 1 where memory grows or lag is not bounded.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import machine
from benchmarks.common.command import add_bundle, add_out, carry_out, measuring
from benchmarks.common.result_file import beside, header
from benchmarks.pages import numbers
from benchmarks.pages.markdown import markdown
from benchmarks.pages.parts import Section, Table, machine_rows
from benchmarks.streams.material import write_long, write_piece
from benchmarks.streams.watched import Answered, answered, camera
from export.option_limits import THREADS, Allowed
from infer.command.parser import Parser
from infer.command.runner import run_and_exit
from infer.system.files import write_text
from infer.system.log import logger

log = logger("benchmarks.streams")

PIECE = 60
"""Seconds that are encoded once; they are repeated in the long file, and by the camera."""
NUMBERS = {
    "hours": Allowed(0.001, 1000),
    "live": Allowed(1, 86_400, "seconds"),
    "window": Allowed(0.1, 3600, "seconds"),
    "stride": Allowed(0.1, 3600, "seconds"),
    "overload": Allowed(1.1, 10_000),
    "max_lag": Allowed(0.1, 3600, "seconds"),
    "rate": Allowed(1, 120),
    "width": Allowed(16, 7680),
    "height": Allowed(16, 4320),
    "threads": THREADS,
}


@measuring
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 memory is flat and lag bounded, 1 not, 2 wrong use."""
    options = _parser().parse_args(arguments)
    result = carry_out(run, options, allowed=NUMBERS)
    written = beside(options.out, "report.md")
    write_text(written, page(result))
    for sentence in [*told_of_file(result), *told_of_live(result)]:
        print(sentence)
    print(f"written: {options.out}, {written}")
    return 0 if result["met"] else 1


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m benchmarks.streams",
        description="Classify a long file, and a live source that is faster than the machine.",
    )
    add_bundle(parser)
    add = parser.add_argument
    add("--hours", type=float, default=2.0, help="of the file (default: %(default)s)")
    add("--live", type=float, default=300.0, metavar="S", help="seconds (default: %(default)s)")
    add("--window", type=float, default=2.0, metavar="S", help="seconds (default: %(default)s)")
    add("--stride", type=float, default=1.0, metavar="S",
        help="seconds between windows of the file (default: %(default)s)")  # fmt: skip
    add("--overload", type=float, default=4.0, metavar="N",
        help="windows of the camera, as a multiple of those that were answered of the file in the "
        "same time (default: %(default)s)")  # fmt: skip
    add("--max-lag", type=float, default=2.0, metavar="S", help="of the camera's windows "
        "(default: %(default)s)")  # fmt: skip
    add("--rate", type=int, default=10, help="frames a second (default: %(default)s)")
    add("--width", type=int, default=160, help="default: %(default)s")
    add("--height", type=int, default=120, help="default: %(default)s")
    add("--threads", type=int, default=2, help="of the network (default: %(default)s)")
    add_out(parser, "reports/streams/results.json")
    return parser


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Make the video, classify it as a file and as a camera; JSON-ready."""
    from infer.bundle.bundle import Bundle

    load = machine.load_average()
    same = ["--bundle", str(options.bundle), "--threads", str(options.threads)]
    same += ["--window", f"{options.window:g}"]
    size = (options.width // 2 * 2, options.height // 2 * 2)
    with tempfile.TemporaryDirectory() as folder:
        piece, long = Path(folder) / "piece.mkv", Path(folder) / "long.mp4"
        write_piece(piece, seconds=PIECE, rate=options.rate, size=size)
        write_long(piece, long, seconds=options.hours * 3600)
        log.info(f"a file of {options.hours:g} hours")
        of_file = answered(str(long), [*same, "--stride", f"{options.stride:g}"])
        stride = of_file.seconds / len(of_file.windows) / options.overload
        step = f"{max(stride, 1e-4):.4f}"
        log.info(f"a camera for {options.live:g} seconds, a window each {step} s")
        live = [*same, "--stride", step, "--duration", f"{options.live:g}", "--reconnect", "0"]
        with camera(piece) as address:
            of_camera = answered(address, [*live, "--max-lag", f"{options.max_lag:g}"])
    found = {
        "file": _file(of_file, options.hours * 3600),
        "live": _live(of_camera, options, float(step)),
    }
    return {
        **header("clipduet.streams", 1),
        "bundle": Bundle.load(options.bundle).name,
        "window": options.window,
        "stride": options.stride,
        "video": {"width": size[0], "height": size[1], "frames_per_second": options.rate},
        "threads": options.threads,
        "overload": options.overload,
        "machine": machine.machine(),
        "load": load,
        **found,
        "met": all(part["memory"]["flat"] for part in found.values())
        and found["live"]["lag_bounded"],
    }


def _file(found: Answered, seconds: float) -> dict[str, Any]:
    summary = found.summary
    return {
        "seconds": seconds,
        **{name: summary[name] for name in ("frames", "windows", "events", "left_out")},
        "wall_seconds": round(found.seconds, 2),
        "real_time_factor": round(seconds / found.seconds, 1),
        "memory": found.memory(),
    }


def _live(found: Answered, options: argparse.Namespace, stride: float) -> dict[str, Any]:
    lags = np.array([one["lag"] for one in found.windows])
    fifth = max(len(lags) // 5, 1)
    return {
        "seconds": options.live,
        "stride": stride,
        "max_lag": options.max_lag,
        **{name: found.summary[name] for name in ("frames", "windows", "left_out", "reconnects")},
        "lag": {
            **{f"p{share}": round(float(np.percentile(lags, share)), 3) for share in (50, 90, 99)},
            "most": round(float(lags.max()), 3),
            "median_of_first_fifth": round(float(np.median(lags[:fifth])), 3),
            "median_of_last_fifth": round(float(np.median(lags[-fifth:])), 3),
        },
        "lag_bounded": bool(np.percentile(lags, 99) <= options.max_lag),
        "memory": found.memory(),
    }


def told_of_file(result: dict[str, Any]) -> list[str]:
    """The file's part, in sentences."""
    part, memory = result["file"], result["file"]["memory"]
    first, last = memory["tenths"][0], memory["tenths"][-1]
    return [
        f"A file of {part['seconds'] / 3600:g} hours ({part['frames']:,} frames): "
        f"{part['windows']:,} windows and {part['events']:,} events in {part['wall_seconds']:.0f} "
        f"s, {part['real_time_factor']:g} times as fast as real time. "
        f"{part['left_out']} windows were left out.",
        f"Memory of the process: {numbers.size(first)} in the first tenth of the file, "
        f"{numbers.size(last)} in the last, {numbers.size(memory['most'])} at most: "
        f"{'it does not grow' if memory['flat'] else 'IT GROWS'} with the length.",
    ]


def told_of_live(result: dict[str, Any]) -> list[str]:
    """The camera's part, in sentences."""
    part, lag = result["live"], result["live"]["lag"]
    offered = part["windows"] + part["left_out"]
    return [
        f"A camera of {part['seconds']:g} s with a window each {1000 * part['stride']:g} ms, "
        f"{result['overload']:g} times as many as were answered of the file in that time: "
        f"{part['windows']:,} of {offered:,} windows were answered, {part['left_out']:,} were left "
        "out and counted.",
        f"Lag from the end of a window to its answer: {lag['p50']:.3f} s in the median, "
        f"{lag['p99']:.3f} s for 99 %, {lag['most']:.3f} s at most; in the first fifth "
        f"{lag['median_of_first_fifth']:.3f} s, in the last {lag['median_of_last_fifth']:.3f} s: "
        f"{'it is bounded' if part['lag_bounded'] else 'IT IS NOT BOUNDED'}.",
    ]


def page(result: dict[str, Any]) -> str:
    """The result as a Markdown document."""
    both = [result[name]["memory"]["tenths"] for name in ("file", "live")]
    rows = [
        [f"{number + 1}", *(numbers.size(value[number]) for value in both)]
        for number in range(min(map(len, both)))
    ]
    video = result["video"]
    about = (
        f"Windows of {result['window']:g} s, of the file one each {result['stride']:g} s; "
        f"{video['width']} x {video['height']} pixels, {video['frames_per_second']} frames a "
        f"second; {result['threads']} thread(s); bundle {result['bundle']}; by "
        f"{result['command']}."
    )
    sections = [
        Section("A long file", told_of_file(result)),
        Section("A live source that is too fast", told_of_live(result)),
        Section(
            "Memory",
            [],
            tables=[
                Table(
                    "Resident memory of the process, mean over tenths of the windows",
                    ["tenth", "file", "camera"],
                    rows,
                )
            ],
        ),
        Section(
            "Where",
            [],
            tables=[Table("Hardware and versions", ["", ""], machine_rows(result["machine"]))],
        ),
    ]
    when = f"Measured {result['created']}. {about}"
    return markdown("Long files and live sources", when, sections)


if __name__ == "__main__":
    run_and_exit(main)
