"""`python -m benchmarks.peers --paddlevideo CHECKOUT`: from a file to a label, there and here.

One YAML of PaddleVideo's builds the same network with the same weights on both sides. PaddleVideo
exports it, reads with its own helper and runs it in Paddle Inference with oneDNN, all by its own
code and in a process of its own; ours takes every runtime and precision that runs here. Answers are
compared first. Then one clip at a time and a loop over many are timed, in turns within one run.
Exit status 1 where a goal is missed.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.common import machine
from benchmarks.common.command import TIMING, add_out, carry_out, measuring
from benchmarks.common.errors import BenchmarkError
from benchmarks.common.result_file import header
from benchmarks.peers.paddlevideo import PEER, PaddleVideo
from benchmarks.reading import clips_of
from benchmarks.speed.cells import CELLS
from benchmarks.timing.latency import ratio_words
from export.option_limits import BATCH, SEED, THREADS, Allowed
from infer.clips.spec import RESIZES
from infer.command.parser import Parser
from infer.command.runner import run_and_exit
from infer.system.errors import BackendUnavailable
from infer.system.files import check_writable, write_text
from infer.system.log import logger
from train.evaluation.drawing import can_draw

if TYPE_CHECKING:
    from infer.api import Model

log = logger("benchmarks.peers")

CONFIG = Path("configs/recognition/pptsm/v2/pptsm_lcnet_k400_16frames_uniform.yaml")
"""Of a checkout: the student of the full recipe."""
GOALS = {"latency": 4.5, "throughput": 5.0}
"""Times as fast as PaddleVideo, on two cores."""
CALIBRATION_CLIPS = 4
MADE = {"256.mp4": 256, "480.mp4": 480}
"""Clips that are made where none are named, and their height."""
MADE_SECONDS = 10.0
NUMBERS = TIMING | {
    "threads": THREADS,
    "batch_size": BATCH,
    "count": Allowed(1, 100_000),
    "seed": SEED,
}


@measuring
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 done, 1 a goal is missed, 2 wrong use."""
    options = _parser().parse_args(arguments)
    if options.plot:
        if not can_draw():
            raise ModuleNotFoundError(name="matplotlib")
        check_writable(options.plot)
    result = carry_out(run, options, allowed=NUMBERS)
    for line in peer_lines(result):
        print(line)
    print(f"written: {options.out}")
    if options.plot:
        from benchmarks.peers.plot import drawn

        write_text(options.plot, drawn(result))
        print(f"written: {options.plot}")
    return 0 if all(goal["met"] for goal in result["goals"].values()) else 1


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m benchmarks.peers",
        description="Time PaddleVideo's predictor and ours from file to label, in one run.",
    )
    add = parser.add_argument
    add("--paddlevideo", type=Path, required=True, metavar="CHECKOUT",
        help="of github.com/PaddlePaddle/PaddleVideo")  # fmt: skip
    add("--paddlevideo-python", default=sys.executable, metavar="PYTHON",
        help="interpreter with the packages that it needs (default: this one)")  # fmt: skip
    add("--yaml", type=Path, help=f"of PaddleVideo's; default: its {CONFIG}")
    add("--checkpoint", type=Path, help="weights of that network; default: random ones")
    add("--clips", type=Path, nargs="+", metavar="PATH",
        help="videos, or folders of them; default: two are made")  # fmt: skip
    add("--leave-out-differing", action="store_true",
        help="time the clips that are answered alike where others are not")  # fmt: skip
    add("--resize", choices=RESIZES, default="pil",
        help="of ours, when it is timed; pil is PaddleVideo's (default: %(default)s)")  # fmt: skip
    add("--cells", nargs="+", choices=CELLS, metavar="RUNTIME:PRECISION",
        help=f"default: those of {' '.join(CELLS)} that run here")  # fmt: skip
    add("--threads", type=int, default=2, help="of each network and reader (default: %(default)s)")
    add("--count", type=int, default=64, help="clips of the throughput (default: %(default)s)")
    add("--batch-size", type=int, default=1, help="of the throughput (default: %(default)s)")
    add("--seconds", type=float, default=300.0, help="about how long latency is timed")
    add("--repetitions", type=int, default=5, help="repetitions whose spread is reported")
    add("--seed", type=int, default=0, help="of weights and the order of timing")
    add("--plot", type=Path, help="draw it, as SVG (needs Matplotlib)")
    add_out(parser, "reports/peers.json")
    return parser


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Build, compare, time; JSON-ready."""
    from benchmarks.peers import answers, network, timed
    from benchmarks.speed.network import write_bundle

    cells = options.cells or CELLS
    if not any(cell.endswith(":fp32") for cell in cells):
        raise BenchmarkError("--cells must hold one of fp32, whose answers are compared")
    busy, started = machine.load_average(), _cpu_times()
    config = options.yaml or options.paddlevideo / CONFIG
    with ExitStack() as stack:
        peer = stack.enter_context(PaddleVideo(options.paddlevideo, options.paddlevideo_python))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        cfg = network.plain_config(config)
        spec = network.resized_by(cfg.specs["valid"], "pil")
        read, unread = answers.read_ours(_clips(options, folder), spec)
        log.info("building the network on both sides")
        student = network.build_student(cfg, options.checkpoint, seed=options.seed)
        weights = network.save_weights(student, folder / "weights.pdparams")
        peer.open(config, weights, threads=options.threads)
        both, unread_there = answers.read_both(read, peer)
        (folder / "bundle").mkdir()
        write_bundle(
            student,
            cfg,
            network.resized_by(spec, options.resize),
            folder / "bundle",
            calibration=np.concatenate([one.clips for one in both[:CALIBRATION_CLIPS]]),
            max_batch=options.batch_size,
        )
        models, left_out = _open(stack, folder / "bundle", options)
        both, differing, compared = answers.compare(
            models, both, leave_out=options.leave_out_differing
        )
        files = [one.file for one in both]
        log.info("timing one clip at a time")
        latency = timed.latency(
            peer,
            models,
            files,
            threads=options.threads,
            budget=options.seconds,
            repetitions=options.repetitions,
            seed=options.seed,
        )
        log.info(f"timing {options.count} clips")
        throughput = timed.throughput(
            peer,
            models,
            list(islice(cycle(files), options.count)),
            batch_size=options.batch_size,
            repetitions=options.repetitions,
            seed=options.seed,
        )
    return {
        **header("clipduet-peers", 1),
        "config": config.name,
        "config_sha256": cfg.sha256(),
        "weights": "random" if options.checkpoint is None else options.checkpoint.name,
        "clip_shape": list(spec.clip_shape),
        "resize": {"compared": spec.preprocess.resize, "timed": options.resize},
        "threads": options.threads,
        "count": options.count,
        "batch_size": options.batch_size,
        "seed": options.seed,
        "paddlevideo": {"commit": peer.commit, **peer.versions},
        "machine": machine.machine(),
        "load_average_before": busy,
        "cores_of_others": machine.cores_of_others(started, _cpu_times()),
        "left_out": left_out,
        "clips": [one.to_dict() for one in both],
        "unread": unread | unread_there,
        "differing": differing,
        "difference_to_paddlevideo": compared,
        "latency": latency,
        "throughput": throughput,
        "goals": goals(latency, throughput),
    }


def _cpu_times() -> tuple[float, float, float] | None:
    """As `machine.cpu_times`, with PaddleVideo's process as our own once it has ended."""
    found = machine.cpu_times()
    if found is None:
        return None
    own = os.times()
    return found[0], found[1] + own.children_user + own.children_system, found[2]


def _clips(options: argparse.Namespace, folder: Path) -> list[Path]:
    if options.clips:
        return clips_of(options.clips)
    from benchmarks.reading_growth import make_clip

    return [make_clip(folder / name, height, MADE_SECONDS) for name, height in MADE.items()]


def _open(
    stack: ExitStack, bundle: Path, options: argparse.Namespace
) -> tuple[dict[str, Model], dict[str, str]]:
    """Models by cell that stay open as long as `stack`, and why others cannot run here."""
    from infer.api import load

    models: dict[str, Model] = {}
    left_out = {}
    for cell in options.cells or CELLS:
        backend, _, precision = cell.partition(":")
        try:
            model = load(bundle, backend=backend, precision=precision, threads=options.threads)
        except BackendUnavailable as error:
            if options.cells:
                raise
            left_out[cell] = str(error)
        else:
            models[cell] = stack.enter_context(model)
    return models, left_out


def goals(
    latency: Mapping[str, Mapping[str, Any]], throughput: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """For each goal: how many times as fast the best cell is, which one, and whether it is met."""
    found = {}
    for name, rows in (("latency", latency), ("throughput", throughput)):
        able = {
            cell: row["times_as_fast"]["ratio"]
            for cell, row in rows.items()
            if "times_as_fast" in row
        }
        best = max(able, key=lambda cell: able[cell])
        found[name] = {
            "goal": GOALS[name],
            "reached": able[best],
            "by": best,
            "met": able[best] >= GOALS[name],
        }
    return found


def peer_lines(result: Mapping[str, Any]) -> list[str]:
    """The result as lines for a terminal."""
    lines = [
        f"one clip, ms{'':13s} {'read+prep':>9s} {'network':>8s} {'total':>8s}  times as fast; "
        "if reading were all"
    ]
    for name, row in result["latency"].items():
        prepare, network, total = (
            1000 * row["stages"][stage]["p50"] for stage in ("prepare", "network", "total")
        )
        line = f"{name:25s} {prepare:9.1f} {network:8.1f} {total:8.1f}"
        if name != PEER:
            limit = row["limit"]
            line += (
                f"  {ratio_words(row['times_as_fast'], 2)}; "
                f"{ratio_words(limit['times_as_fast'], 2)}, reading "
                f"{100 * limit['share_of_reading']['ratio']:.0f} % of the total"
            )
        lines.append(line)
    for name, row in result["throughput"].items():
        line = f"{name:25s} {row['clips_per_second']:.2f} clips/s of {row['batch']}"
        if name != PEER:
            line += f", {ratio_words(row['times_as_fast'], 2)} as fast"
        lines.append(line)
    for what in ("left_out", "unread", "differing"):
        lines += [f"{what.replace('_', ' ')}: {name}: {why}" for name, why in result[what].items()]
    for name, goal in result["goals"].items():
        verdict = "met" if goal["met"] else "MISSED"
        lines.append(
            f"{verdict}: {name} {goal['reached']:.2f} times as fast (goal {goal['goal']:g}), "
            f"{goal['by']}"
        )
    return lines


if __name__ == "__main__":
    run_and_exit(main)
