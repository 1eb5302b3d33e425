"""``python -m export --checkpoint RUN/best.pdparams -c CONFIG -o BUNDLE``: make a bundle."""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from export.sensitivity import MOST
from infer.errors import ClipDuetError
from infer.missing import why_not
from infer.signals import exit_status, keep_handlers, stoppable
from train.config.trust import add_trust

if TYPE_CHECKING:
    from export.int8.goal import Goal

EXIT_WRONG_USE = 2


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m export",
        description="Turn the Student of a checkpoint into a verified bundle: ONNX in fp32, "
        "fp16 and int8, a Paddle inference model, and bundle.json, which describes them.",
    )
    add = parser.add_argument
    add("--checkpoint", required=True, help="best.pdparams or latest.ckpt of a run")
    add("-c", "--config", help="a YAML file (default: config.yaml beside the checkpoint, which "
        "the run wrote)")  # fmt: skip
    add("-o", "--output", required=True, metavar="BUNDLE", help="folder to make or replace")
    add(
        "--override",
        action="append",
        default=[],
        metavar="A.B=VALUE",
        help="change a setting of the config, as the run did; may be given several times",
    )
    add("--name", help="name of the bundle (default: that of its folder)")
    add("--max-batch", type=int, default=32, help="largest batch to verify (default: 32)")
    add("--verify-clips", type=int, default=256, help="clips of the validation list to compare "
        "accuracy on; 0 takes all (default: 256)")  # fmt: skip
    add("--no-fp16", action="store_true", help="leave the artefact of float16 out")
    add("--no-int8", action="store_true", help="leave the quantised artefacts out")
    add("--require", type=_names, action="extend", default=[], metavar="PRECISIONS", help="fp16, "
        "int8, or all that are made, separated by commas: one that fails is an error; without, the "
        "bundle is written without it, with a warning at the end (fp32: always)")  # fmt: skip
    add("--calibration-clips", type=int, default=128, help="training clips that set the ranges "
        "of int8 (default: 128)")  # fmt: skip
    add("--activations", choices=("int8", "uint8", "both"), default="both", help="8-bit "
        "activations: int8 for every engine, uint8 for x86 CPUs (default: both)")  # fmt: skip
    add("--calibrator", choices=("minmax", "entropy", "percentile"), default="percentile",
        help="how ranges follow from the values seen (default: percentile)")  # fmt: skip
    add("--int8-goal", type=float, metavar="POINTS", help="largest loss of top-1 on the validation "
        "clips that int8 may bring; layers stay in float where need be (default: any)")  # fmt: skip
    add("--int8-least", type=float, metavar="PERCENT", help="least top-1 of int8, with --int8-goal "
        "(default: any)")  # fmt: skip
    add("--int8-most", type=float, metavar="SHARE", help="largest share of the multiply-adds that "
        f"--int8-goal may keep in float (default: {MOST})")  # fmt: skip
    add("--keep-float", action="append", default=[], metavar="NODE", help="a node, or a pattern of "
        "names, that is not quantised; may be given several times")  # fmt: skip
    add("--qat", metavar="FOLDER", help="take int8 from a fine-tune of this checkpoint, made by "
        "python -m export.qat")  # fmt: skip
    add("--reduce-range", action="store_true", help="int8 weights of 7 bits, for ONNX Runtime on "
        "x86 CPUs without VNNI")  # fmt: skip
    add_trust(parser)
    add("--threads", type=int, help="CPU threads of the runtimes (default: all cores)")
    return parser


def _names(text: str) -> list[str]:
    return text.split(",")


def main(arguments: list[str] | None = None) -> int:
    """Run the command.

    Returns:
        0 done, perhaps without a precision that failed and was not required; 1 a required
        artefact could not be made or verified; 2 a mistake in config, checkpoint, lists or
        options; 130 interrupted, 143 or 129 ended by SIGTERM or SIGHUP. But for 0 no bundle was
        written or changed.
    """
    options = parser().parse_args(arguments)
    try:
        with stoppable():
            return _run(options)
    except ClipDuetError as error:
        print(f"error: {error}\nNo bundle was written.", file=sys.stderr)
        return error.exit_status
    except ImportError as error:
        print(f"error: {why_not(error, extra='export')}", file=sys.stderr)
        return EXIT_WRONG_USE
    except KeyboardInterrupt as stop:
        print("\nstopped; no bundle was written", file=sys.stderr)
        return exit_status(stop)


def _run(options: argparse.Namespace) -> int:
    # Mistakes in the config are told before Paddle is imported, which takes seconds.
    from train.config.load import load_config, run_config

    config = options.config or run_config(Path(options.checkpoint))
    cfg = load_config(config, options.override, trust=options.trust)
    # Paddle wonders about a compiler cache that nothing here needs.
    warnings.filterwarnings("ignore", message="No ccache found")
    with keep_handlers():
        import paddle

        paddle.disable_signal_handler()
    from export.assemble.bundle import ACTIVATIONS, Options, export_bundle
    from export.int8.quantize import KEEP_FLOAT

    export_bundle(
        cfg,
        options.checkpoint,
        options.output,
        options=Options(
            name=options.name,
            max_batch=options.max_batch,
            fp16=not options.no_fp16,
            int8=()
            if options.no_int8
            else tuple(k for k, a in ACTIVATIONS.items() if options.activations in (a, "both")),
            calibration_clips=options.calibration_clips,
            verify_clips=options.verify_clips,
            calibrator=options.calibrator,
            reduce_range=options.reduce_range,
            threads=options.threads,
            keep_float=(*KEEP_FLOAT, *options.keep_float),
            goal=_goal(options),
            most_float=MOST if options.int8_most is None else options.int8_most,
            qat=Path(options.qat) if options.qat else None,
            require=tuple(options.require),
        ),
        say=lambda line: print(line, flush=True),
        warn=lambda line: print(line, file=sys.stderr, flush=True),
    )
    return 0


def _goal(options: argparse.Namespace) -> Goal | None:
    from export.int8.goal import Goal

    if options.int8_goal is None:
        for name, value in (("least", options.int8_least), ("most", options.int8_most)):
            if value is not None:
                raise ClipDuetError(
                    f"--int8-{name} needs --int8-goal, the largest loss that is allowed"
                )
        return None
    return Goal(options.int8_goal, options.int8_least)


if __name__ == "__main__":
    sys.exit(main())
