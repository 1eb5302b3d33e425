"""`python -m benchmarks.speed`: how fast the full-size network runs on this CPU, as ratios.

PP-TSMv2 on 16 frames of 224 x 224, every runtime and precision that runs here, in turns within
one run; outputs are compared before anything is timed. Then what parts of it cost, and how many
clips a second larger batches give on all cores. Exit status 1 where a goal is missed.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import machine
from benchmarks.common.command import TIMING, add_config, add_out, carry_out, measuring
from benchmarks.common.errors import BenchmarkError
from benchmarks.common.result_file import header
from benchmarks.speed.cells import CELLS, TOLERANCE
from benchmarks.timing.latency import ratio, summarise, time_in_turns
from export.option_limits import BATCH, SEED, THREADS
from infer.bundle.bundle import Bundle
from infer.command.parser import Parser
from infer.command.runner import run_and_exit
from infer.runtimes.open import open_runtime
from infer.runtimes.registry import BACKENDS
from infer.system.errors import BackendUnavailable
from infer.system.log import logger

log = logger("benchmarks.speed")

REFERENCE = "onnxruntime:fp32"
BARE, FLOATS, STILL = "bare session", "bare session, floats in", "{}, no shift"
# What is divided by what, to see the cost of a part.
PARTS = {
    "our call": (REFERENCE, BARE),
    "bytes in, not floats": (BARE, FLOATS),
    "shift in time": (REFERENCE, STILL.format(REFERENCE)),
    "shift in time, int8": ("openvino:int8", STILL.format("openvino:int8")),
}
GOALS = {
    "best int8": 0.40,
    "best at full accuracy": 0.70,
    "our call": 1.02,
    "bytes in, not floats": 1.03,
    "shift in time": 1.02,
    "shift in time, int8": 1.02,
}
NUMBERS = TIMING | {"threads": THREADS, "batch_sizes": BATCH, "seed": SEED}
THROUGHPUT_SHARE = 0.1
"""Of the time for latency, for each batch size."""

Call = Callable[[], np.ndarray]


@measuring
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 done, 1 a goal is missed, 2 wrong use."""
    options = _parser().parse_args(arguments)
    result = carry_out(run, options, allowed=NUMBERS)
    for line in speed_lines(result):
        print(line)
    print(f"written: {options.out}")
    return 0 if all(goal["met"] for goal in result["goals"].values()) else 1


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m benchmarks.speed",
        description="Time the full-size network on this CPU, every runtime in one run.",
    )
    add = parser.add_argument
    add_config(parser, "configs/pptsm_v2_16f.yaml")
    add("--cells", nargs="+", metavar="RUNTIME:PRECISION",
        help=f"default: those of {' '.join(CELLS)} that run here")  # fmt: skip
    add("--threads", type=int, default=2, help="threads of each runtime (default: %(default)s)")
    add("--batch-sizes", nargs="+", type=int, default=[1, 2, 4, 8, 16, 32],
        help="of the throughput (default: %(default)s)")  # fmt: skip
    add("--seconds", type=float, default=300.0, help="about how long latency is timed")
    add("--repetitions", type=int, default=9, help="repetitions whose spread is reported")
    add("--seed", type=int, default=0, help="of weights, clips and the order of timing")
    add_out(parser, "reports/speed.json")
    return parser


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Build, compare, time; JSON-ready."""
    from benchmarks.speed.network import FLOAT_INPUT, build_variants, drawn_clips
    from train.config.load import load_config

    wanted = options.cells or list(CELLS)
    if REFERENCE not in wanted:
        raise BenchmarkError(f"--cells must hold {REFERENCE}, which the others are compared with")
    cfg = load_config(options.config, options.override)
    started = machine.cpu_times()
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
        folder = Path(place)
        log.info("building the network and its artifacts")
        bundle, still = build_variants(
            cfg, folder, max_batch=max(options.batch_sizes), seed=options.seed
        )
        clips = drawn_clips(bundle.spec, 1, seed=options.seed)
        calls: dict[str, Call] = {}
        left_out = {}
        for cell in wanted:
            try:
                calls[cell] = _call(stack, bundle, cell, clips, threads=options.threads)
            except BackendUnavailable as error:
                if options.cells or cell == REFERENCE:
                    raise
                left_out[cell] = str(error)
        cells = list(calls)
        for cell in (REFERENCE, "openvino:int8"):
            if cell in calls:
                name = STILL.format(cell)
                calls[name] = _call(stack, still, cell, clips, threads=options.threads)
        model = bundle.artifacts["onnx.fp32"].paths[0]
        calls[BARE] = _session(model, clips, options.threads)
        mean = 255 * np.asarray(bundle.spec.preprocess.mean).reshape(1, 3, 1, 1)
        floats = (clips[0].transpose(0, 3, 1, 2) - mean).astype(np.float32)
        calls[FLOATS] = _session(folder / FLOAT_INPUT, floats, options.threads)
        differences = largest_differences(calls)
        timings = time_in_turns(
            calls, budget=options.seconds, repetitions=options.repetitions, seed=options.seed
        )
        stack.close()
        throughput = _throughput(bundle, cells, options)
    latency = {
        name: summarise(timing, batch=1, reference=timings[REFERENCE])
        for name, timing in timings.items()
    }
    parts = {
        name: ratio(timings[a], timings[b])
        for name, (a, b) in PARTS.items()
        if a in timings and b in timings
    }
    return {
        **header("clipduet-speed", 1),
        "config": options.config,
        "overrides": options.override,
        "config_sha256": cfg.sha256(),
        "clip_shape": list(bundle.spec.clip_shape),
        "threads": options.threads,
        "machine": machine.machine(),
        "cores_of_others": machine.cores_of_others(started, machine.cpu_times()),
        "files": {f.file: f.bytes for a in bundle.artifacts.values() for f in a.files},
        "left_out": left_out,
        "difference_to_reference": differences,
        "latency": latency,
        "parts": parts,
        "throughput": throughput,
        "goals": goals(latency, parts),
    }


def largest_differences(calls: Mapping[str, Call]) -> dict[str, float]:
    """Largest difference of logits to the reference, as a share of its largest.

    Raises:
        BenchmarkError: a cell computes something else than its precision explains.
    """
    expected = calls[REFERENCE]()
    found = {}
    for name, call in calls.items():
        share = float(np.abs(call() - expected).max() / np.abs(expected).max())
        found[name] = share
        allowed = TOLERANCE.get(name.partition(":")[2], TOLERANCE["fp32"])
        if not name.endswith(STILL.format("")) and not share <= allowed:
            raise BenchmarkError(
                f"{name} differs from {REFERENCE} by {share:.3g} of the largest logit (allowed: "
                f"{allowed:g}); nothing was timed"
            )
    return found


def goals(
    ratios: Mapping[str, Mapping[str, Any]], parts: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Every goal that the cells allow to judge: what was reached, by whom, and whether it is met.

    Full accuracy is what float32 and bfloat16 give; the gate shows that it is full.
    """
    reached: dict[str, tuple[float, str]] = {
        name: (part["ratio"], name) for name, part in parts.items()
    }
    for goal, precisions in (("best int8", ("int8",)), ("best at full accuracy", ("fp32", "bf16"))):
        able = {
            name: row["ratio"]
            for name, row in ratios.items()
            if name.partition(":")[2] in precisions
        }
        if able:
            best = min(able, key=lambda name: able[name])
            reached[goal] = able[best], best
    return {
        goal: {"goal": GOALS[goal], "reached": value, "by": by, "met": value <= GOALS[goal]}
        for goal, (value, by) in reached.items()
    }


def speed_lines(result: Mapping[str, Any]) -> list[str]:
    """The result as lines for a terminal."""
    lines = [f"{'batch 1':44s} {'p50 ms':>8s} {'ratio':>6s}  spread"]
    for name, row in result["latency"].items():
        low, high = row["ratio_spread"]
        lines.append(
            f"{name:44s} {1000 * row['p50']:8.1f} {row['ratio']:6.3f}  {low:.3f} to {high:.3f}"
        )
    for row in result["throughput"]:
        lines.append(f"{row['cell']}, batch {row['batch']}: {row['clips_per_second']:.1f} clips/s")
    lines += [f"left out: {cell}: {why}" for cell, why in result["left_out"].items()]
    for name, goal in result["goals"].items():
        verdict = "met" if goal["met"] else "MISSED"
        lines.append(f"{verdict}: {name} {goal['reached']:.3f} (goal {goal['goal']}), {goal['by']}")
    return lines


def _call(
    stack: ExitStack,
    bundle: Bundle,
    cell: str,
    clips: np.ndarray,
    *,
    threads: int,
    streams: int = 1,
) -> Call:
    """A runtime that stays open as long as `stack`."""
    backend, _, precision = cell.partition(":")
    runtime = stack.enter_context(
        open_runtime(bundle, backend=backend, precision=precision, threads=threads, streams=streams)
    )
    return lambda: runtime.run(clips)


def _session(model: Path, inputs: np.ndarray, threads: int) -> Call:
    """ONNX Runtime as its documentation opens it."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: inputs}
    return lambda: session.run(None, feed)[0]


def _throughput(
    bundle: Bundle, cells: Sequence[str], options: argparse.Namespace
) -> list[dict[str, Any]]:
    """Clips a second of every cell and batch size, on all cores.

    One runtime is open at a time: of 32 large clips each of them holds gigabytes.
    """
    from benchmarks.speed.network import drawn_clips

    cores = machine.cpu_count()
    ways = [
        (cell, streams)
        for cell in cells
        for streams in ((1, cores) if BACKENDS[cell.partition(":")[0]].streams else (1,))
    ]
    budget = THROUGHPUT_SHARE * options.seconds / len(ways)
    rows = []
    for batch in options.batch_sizes:
        clips = drawn_clips(bundle.spec, batch, seed=options.seed)
        for cell, streams in ways:
            name = f"{cell}, streams {streams}"
            with ExitStack() as stack:
                call = _call(stack, bundle, cell, clips, threads=cores, streams=streams)
                timings = time_in_turns({name: call}, budget=budget, repetitions=2, warmup=1)
            rows.append({"cell": name, **summarise(timings[name], batch=batch)})
    return rows


if __name__ == "__main__":
    run_and_exit(main)
