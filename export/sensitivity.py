"""`python -m export.sensitivity`: which layers 8 bits hurt, and which to keep in float.

Works on a bundle's fp32 ONNX file. Ranges come from training clips, the comparison from validation
clips; the test list is not touched. Nothing in the bundle changes: `python -m export
--int8-goal` runs the same search and ships what it finds, by the command that is printed.
"""

from __future__ import annotations

import argparse
import json
import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export import option_limits as limits
from export.int8.defaults import MOST, Goal
from export.int8.options import add_calibration
from infer.command.parser import Parser
from infer.command.runner import command, run_and_exit
from infer.system.errors import ClipDuetError
from infer.system.files import check_writable, write_text
from infer.system.log import logger
from train.config.options import add_override
from train.paddle_import import import_paddle

if TYPE_CHECKING:
    from export.int8.search import SearchResult
    from infer.bundle.bundle import Bundle
    from train.config.load import Config

log = logger("export.sensitivity")

ARTIFACTS = {"int8": "onnx.int8", "uint8": "onnx.int8.x86"}
"""Which artefact of a bundle has which activations."""
NUMBERS = {
    "calibration_clips": limits.CLIPS,
    "clips": limits.CLIPS_OR_ALL,
    "goal": limits.POINTS,
    "least": limits.PERCENT,
    "most": limits.SHARE,
    "threads": limits.THREADS,
}
"""What the numbers of the command line may be."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = Parser(
        prog="python -m export.sensitivity",
        description="Rank the layers of a bundle's network by what 8 bits do to them, and find the "
        "fewest to keep in float so that an accuracy goal holds.",
    )
    add = parser.add_argument
    add("--bundle", required=True, help="folder that `python -m export` made")
    add("-c", "--config", help="config with training and validation lists (default: config.yaml "
        "beside the checkpoint that the bundle was made of)")  # fmt: skip
    add_override(parser)
    add("--activations", choices=("int8", "uint8"), default="int8",
        help="symmetric int8 for every engine, or uint8 for x86 CPUs (default: int8)")  # fmt: skip
    add_calibration(parser)
    add("--clips", type=int, default=0, help="clips of the validation list to compare on; 0 takes "
        "all (default: 0)")  # fmt: skip
    add("--goal", type=float, default=0.5, metavar="POINTS",
        help="largest allowed loss of top-1 against fp32 (default: 0.5)")  # fmt: skip
    add("--least", type=float, metavar="PERCENT", help="least top-1 (default: any)")
    add("--most", type=float, default=MOST, metavar="SHARE", help="largest share of the "
        f"multiply-adds to keep in float (default: {MOST})")  # fmt: skip
    add("--no-ranking", action="store_true", help="search only")
    add("--threads", type=int, help="CPU threads (default: all cores)")
    add("--out", "--output", type=Path, help="result file (JSON)")
    return parser


@command(extra="export", information="stdout")
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        0 the goal holds, 1 it cannot be reached within `--most`, 2 wrong use.
    """
    options = parser().parse_args(arguments)
    limits.refuse(limits.number_problems(vars(options), NUMBERS))
    if options.out:
        check_writable(options.out)
    result = run(options)
    if options.out:
        write_text(options.out, json.dumps(result, indent=1) + "\n")
    return 0 if result["reached"] else 1


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Rank and search; JSON-ready."""
    # Imported here, so that a machine without the extras is told what to install.
    import_paddle()
    from export.clips import selection
    from export.int8.quantize import calibrate
    from export.int8.search import rank, ranking_table, search
    from export.int8.trials import Trials, work_of
    from infer.bundle.bundle import Bundle
    from train.config.load import load_config, run_config

    bundle = Bundle.load(options.bundle)
    file = bundle.artifact("onnx.fp32").paths[0]
    recorded = bundle.raw.get("origin", {}).get("checkpoint", {}).get("file", "")
    config = options.config or run_config(Path(recorded), of="the bundle's run")
    cfg = load_config(config, options.override, stored=not options.config)
    _check_pixels(cfg, bundle)
    checks = selection.verification(cfg, count=options.clips, parity=1)
    calibration = selection.calibration(cfg, count=options.calibration_clips)
    calibrated = calibrate(
        file, calibration.clips, calibrator=options.calibrator, threads=options.threads
    )
    trials = Trials(
        calibrated, checks.dataset, activations=options.activations, threads=options.threads
    )
    work = work_of(calibrated.model)
    goal = Goal(options.goal, options.least)
    started = time.monotonic()
    log.info(
        f"fp32      top-1 {trials.reference.top1:.4f} on {len(checks.dataset)} validation clips"
    )
    every = trials(frozenset())
    log.info(f"{options.activations:<9} {every}")
    effects = []
    if not options.no_ranking:
        effects = rank(trials.layers, work, trials)
        for line in ranking_table(effects, every):
            log.info(line)
    found = search(trials.layers, work, trials, goal, most=options.most)
    _say_result(found, _ship(options, bundle, recorded))
    return {
        "format": "clipduet-sensitivity",
        "format_version": 1,
        "bundle": bundle.name,
        "model_sha256": bundle.artifact("onnx.fp32").files[0].sha256,
        "activations": options.activations,
        "calibrator": options.calibrator,
        "calibration": calibration.to_dict(),
        "validation_list": checks.list_file,
        "fp32_top1": trials.reference.top1,
        "ranking": [effect.to_dict() for effect in effects],
        "search": found.to_dict(),
        "reached": found.found,
        "seconds": round(time.monotonic() - started, 1),
    }


def _ship(options: argparse.Namespace, bundle: Bundle, checkpoint: str) -> str:
    """The export that searches as this did: every option of it whose default is another."""
    from export.command_line import parser as export_parser

    command = ["--checkpoint", checkpoint or "CHECKPOINT", "--out", str(bundle.root)]
    defaults = vars(export_parser().parse_args(command))
    if options.config:
        command += ["-c", options.config]
    for setting in options.override:
        command += ["--override", setting]
    kinds = {options.activations, *(k for k, key in ARTIFACTS.items() if key in bundle.artifacts)}
    wanted = {
        "max_batch": bundle.max_batch,
        "verify_clips": options.clips,
        "calibration_clips": options.calibration_clips,
        "calibrator": options.calibrator,
        "activations": "both" if len(kinds) > 1 else options.activations,
        "int8_goal": options.goal,
        "int8_least": options.least,
        "int8_most": options.most if options.most != MOST else None,
    }
    for name, value in wanted.items():
        if value != defaults[name]:
            command += [f"--{name.replace('_', '-')}", str(value)]
    if bundle.name != bundle.root.resolve().name:
        command += ["--name", bundle.name]
    if "onnx.fp16" not in bundle.artifacts:
        command.append("--no-fp16")
    command += ["--require", "int8"]
    return shlex.join(["python", "-m", "export", *command])


def _say_result(found: SearchResult, ship: str) -> None:
    goal = found.goal
    if not found.found:
        log.info(
            f"the goal of {goal.loss:g} points is out of reach with at most {found.most:.0%} of "
            f"the multiply-adds in float: {found.after}\n"
            "  quantisation-aware training is next: make qat, or python -m export.qat"
        )
        return
    if found.layers:
        log.info(
            f"the goal of {goal.loss:g} points holds with {len(found.layers)} layers in float, "
            f"{found.work:.1%} of the multiply-adds: {', '.join(found.layers)}\n"
            f"  {found.after}"
        )
    else:
        log.info(f"the goal of {goal.loss:g} points holds with every layer rounded")
    log.info(f"  to ship it: {ship}")


def _check_pixels(cfg: Config, bundle: Bundle) -> None:

    if cfg.specs["valid"] != bundle.spec:
        raise ClipDuetError(
            f"{cfg.source} prepares clips in another way than {bundle.root} was exported with; "
            "give the config of its run"
        )


if __name__ == "__main__":
    run_and_exit(main)
