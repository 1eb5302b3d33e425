"""Options of a command for the network: which bundle, file and backend, and on what it runs."""

from __future__ import annotations

import argparse

from .option_values import from_one, from_zero

PRECISION = (
    "fp32, int8, ... as the bundle has; or auto: int8 if the bundle has it and this machine "
    "computes it right, else fp32 (default: fp32)"
)


def add_runtime_options(
    parser: argparse.ArgumentParser, *, needs_bundle: bool = False, threads: str = ""
) -> None:
    """Add `--bundle`, `--precision`, `--backend`, `--device` and `--threads` to a parser.

    Args:
        parser: of the command.
        needs_bundle: `--bundle` must be given.
        threads: what else takes as many threads as the network, for the help.
    """
    from ..runtimes.registry import BACKENDS

    add = parser.add_argument
    told = "the exported bundle" + ("" if needs_bundle else " (default: bundles/dml)")
    add("--bundle", required=needs_bundle, metavar="DIR", help=told)
    add("--precision", default="fp32", help=PRECISION)
    add(
        "--backend",
        default="onnxruntime",
        metavar="NAME",
        help=f"{', '.join(BACKENDS)}; or auto: the best of those that run here "
        "(default: onnxruntime, on the CPU, which starts soonest)",
    )
    add(
        "--device",
        type=from_zero,
        default=0,
        metavar="N",
        help="which GPU, for backends that run on one (default: 0)",
    )
    add(
        "--threads",
        type=from_one,
        metavar="N",
        help=f"threads of the network{threads} (default: all cores)",
    )
