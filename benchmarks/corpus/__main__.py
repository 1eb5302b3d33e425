"""`python -m benchmarks.corpus`: whether a corpus is answered once and right, and how fast.

The command starts two nodes of Ray on this machine, each on one core, and runs `clipduet corpus` on
them. In one run a worker is killed, then the driver; the same command goes on. Right answers are
those of predict, to the bit. Then it times one node, both, and predict on as many cores. Exit
status 1 where an answer is missing, wrong or there twice.
"""

from __future__ import annotations

import argparse
import random
import shutil
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.common import machine
from benchmarks.common.command import (
    add_bundle,
    add_out,
    add_videos,
    carry_out_and_judge,
    named_videos,
)
from benchmarks.common.errors import BenchmarkError
from benchmarks.common.result_file import header
from benchmarks.corpus.nodes import nodes
from benchmarks.corpus.runs import cores_here, disturbed, predicted, timed, verdict
from export.option_limits import SEED, Allowed
from infer.command.parser import Parser
from infer.command.runner import command, run_and_exit
from infer.corpus.cluster import with_token
from infer.system.abandoned import abandon_threads_of
from infer.system.log import logger

log = logger("benchmarks.corpus")

NUMBERS = {
    "clips": Allowed(8, 10_000_000),
    "timed": Allowed(0, 10_000_000),
    "seed": SEED,
    "block": Allowed(1, 1000),
}
BROKEN = 50
"""One file in so many is no video."""
WRONG = ("missing", "more_than_once", "unknown", "unlike_predict")


@command(stopped="nothing was written", extra="corpus")
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 all is right, 1 an answer is not, 2 wrong use."""
    options = _parser().parse_args(arguments)
    return carry_out_and_judge(run, lines, options, allowed=NUMBERS)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m benchmarks.corpus",
        description="Run a corpus on two local nodes, kill a worker and the driver, compare with "
        "predict, and time it.",
    )
    add_bundle(parser)
    add_videos(parser)
    add = parser.add_argument
    add("--clips", type=int, default=5000, help="of the disturbed run, in which the videos are "
        "repeated (default: %(default)s)")  # fmt: skip
    add("--block", type=int, default=8, help="videos of a task in the disturbed run "
        "(default: %(default)s)")  # fmt: skip
    add("--timed", type=int, default=2000, help="clips of each timed run; 0: none "
        "(default: %(default)s)")  # fmt: skip
    add("--seed", type=int, default=0, help="of which worker is killed")
    add_out(parser, "reports/corpus/results.json")
    return parser


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Answer, compare, and time; JSON-ready."""
    for package in ("ray", "pyarrow"):
        if find_spec(package) is None:
            raise ModuleNotFoundError(name=package)
    abandon_threads_of("pyarrow")
    with with_token():
        return _measured(options)


def _measured(options: argparse.Namespace) -> dict[str, Any]:
    from benchmarks.corpus.limits import limits
    from infer.bundle.bundle import BUNDLE_JSON
    from infer.system.files import sha256_of

    known = named_videos(options)
    with tempfile.TemporaryDirectory(prefix="clipduet-corpus-") as place:
        folder = Path(place)
        paths = make_corpus(folder / "videos", known, options.clips)
        log.info(f"predict answers {len(paths)} videos")
        answers, _ = predicted(options.bundle, paths, cores_here())
        if all(one.error is not None for one in answers):
            raise BenchmarkError("predict answers none of the videos")
        expected = dict(zip(map(str, paths), answers, strict=True))
        log.info("two nodes: a worker is killed, then the driver")
        with nodes(2) as address:
            dice = random.Random(options.seed)
            output = folder / "answers"
            about = disturbed(
                options.bundle,
                folder / "videos",
                output,
                address,
                total=len(paths),
                block=options.block,
                dice=dice,
            )
        sha256 = sha256_of(options.bundle / BUNDLE_JSON)
        found = verdict(output, expected, sha256)
        speeds = speed(options, folder, known) if options.timed else None
        about_driver = limits() if options.timed else None
    return {
        **header("clipduet.corpus", 1),
        "bundle": options.bundle.name,
        "videos": len(known),
        "seed": options.seed,
        "disturbed": {**about, **found},
        "speed": speeds,
        "driver": about_driver,
        "met": not any(found[name] for name in WRONG),
        "machine": machine.machine(),
        "packages": machine.package_versions(("ray", "pyarrow")),
    }


def make_corpus(folder: Path, known: Sequence[Path], count: int) -> list[Path]:
    """So many files, copies of those that are known, some of them broken."""
    folder.mkdir()
    paths = []
    for number in range(count):
        original = known[number % len(known)]
        path = folder / f"{number:07}{original.suffix or '.mp4'}"
        if number % BROKEN == BROKEN // 2:
            path.write_bytes(original.read_bytes()[:100])
        else:
            shutil.copyfile(original, path)
        paths.append(path)
    return paths


def speed(options: argparse.Namespace, folder: Path, known: Sequence[Path]) -> dict[str, Any]:
    """Clips a second of predict and of the corpus, on one core and on two."""
    videos = folder / "timed"
    paths = make_corpus(videos, known, options.timed)
    cores = cores_here()
    found: dict[str, Any] = {"clips": len(paths)}
    for count in (1, 2):
        if len(cores) < count:
            break
        log.info(f"timed: predict, then a corpus, on {count} of {len(cores)} cores")
        _, plain = predicted(options.bundle, paths, cores[:count])
        with nodes(count) as address:
            run = timed(options.bundle, videos, folder / f"timed{count}", address, count)
        found[f"workers_{count}"] = {
            "predict_clips_per_second": round(plain, 2),
            "corpus_clips_per_second": round(run.clips_per_second, 2),
            "corpus_share_of_predict": round(run.clips_per_second / plain, 3),
            "corpus_seconds_with_start": round(run.seconds, 1),
        }
    if "workers_2" in found:
        one, two = (found[f"workers_{n}"]["corpus_clips_per_second"] for n in (1, 2))
        found["scaling_1_to_2"] = round(two / one, 3)
    return found


def lines(result: dict[str, Any]) -> list[str]:
    """The result for people."""
    about = result["disturbed"]
    told = [
        f"{about['rows']} rows for {about['inputs']} inputs, {about['errors']} of them errors",
        f"killed: a worker ({about['killed_worker']}) after "
        f"{about['answers_before_worker']} answers; the driver after "
        f"{about['answers_before_driver']} answers, of which none was done again",
    ]
    told += [f"{name}: {', '.join(about[name][:5])}" for name in WRONG if about[name]]
    speeds = result["speed"] or {}
    for count in (1, 2):
        if one := speeds.get(f"workers_{count}"):
            told.append(
                f"{count} of 2 nodes: {one['corpus_clips_per_second']} clips/s, "
                f"{one['corpus_share_of_predict']:.2f} of predict's "
                f"{one['predict_clips_per_second']}"
            )
    if "scaling_1_to_2" in speeds:
        told.append(f"from one node to two: {speeds['scaling_1_to_2']:.2f} times as fast")
    if one := result["driver"]:
        told.append(
            f"the driver: {one['bytes_per_input']} bytes for each name, and it writes "
            f"{one['rows_written_per_second']:,} rows a second"
        )
    return told


if __name__ == "__main__":
    run_and_exit(main)
