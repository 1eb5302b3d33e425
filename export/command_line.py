"""The command line of `python -m export`."""

from __future__ import annotations

import argparse

from export.int8.defaults import MOST
from export.int8.options import add_calibration
from export.output_option import add_output
from infer.command.parser import Parser
from train.config.options import add_override, add_trust


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = Parser(
        prog="python -m export",
        description="Turn the Student of a checkpoint into a verified bundle: ONNX in fp32, "
        "fp16 and int8, a Paddle inference model, and bundle.json, which describes them.",
    )
    add = parser.add_argument
    add(
        "--checkpoint",
        required=True,
        help="a run's folder (its best), or best.pdparams or latest.ckpt in it",
    )
    add("-c", "--config", help="a YAML file (default: config.yaml beside the checkpoint, which "
        "the run wrote)")  # fmt: skip
    add_output(parser, metavar="BUNDLE", help="folder to make or replace; required")
    add_override(parser)
    add("--name", help="name of the bundle (default: that of its folder)")
    add("--max-batch", type=int, default=32, help="largest batch to verify (default: 32)")
    add("--verify-clips", type=int, default=256, help="clips of the validation list to compare "
        "accuracy on; 0 takes all (default: 256)")  # fmt: skip
    add("--no-fp16", action="store_true", help="leave the artefact of float16 out")
    add("--no-int8", action="store_true", help="leave the quantised artefacts out")
    add("--require", type=_names, action="extend", default=[], metavar="PRECISIONS", help="fp16, "
        "int8, or all that are made, separated by commas: one that fails is an error; without, the "
        "bundle is written without it, with a warning at the end (fp32: always)")  # fmt: skip
    add_calibration(parser)
    add("--activations", choices=("int8", "uint8", "both"), default="both", help="8-bit "
        "activations: int8 for every engine, uint8 for x86 CPUs (default: both)")  # fmt: skip
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
