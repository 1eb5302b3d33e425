"""The option `--trust`, which means the same in every command that reads checkpoints."""

from __future__ import annotations

import argparse


def add_trust(parser: argparse.ArgumentParser) -> None:
    """Add `--trust` to a command line; see `train.checkpoints.checkpoint.load_file`."""
    parser.add_argument(
        "--trust",
        action="store_true",
        help="read checkpoints that hold more than arrays, dicts and numbers: they may run any "
        "code, so only those of makers you trust",
    )
