"""`python -m train.data.motions`: write the embedded dataset."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from infer.command.parser import Parser
from infer.command.runner import command, run_and_exit
from infer.system.files import sha256_of
from train.config.options import flag
from train.data.motions import dataset
from train.data.motions.clips import MotionSpec
from train.data.motions.dataset import make_dataset


@command(stopped="the same command goes on with the clips that are missing", extra="train")
def main(arguments: list[str] | None = None) -> int:
    """The command line: every field of `MotionSpec` is an option."""
    parser = Parser(prog="python -m train.data.motions", description=dataset.__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--out", "--output", type=Path, default=Path("data/motions"), help="folder to fill"
    )
    parser.add_argument("--workers", type=int, default=None, help="processes (default: cores)")
    for field in dataclasses.fields(MotionSpec):
        option = flag(field.name)
        kind = int if field.type == "int" else float
        parser.add_argument(option, type=kind, default=field.default, help="default: %(default)s")
    options = vars(parser.parse_args(arguments))
    out, workers = options.pop("out"), options.pop("workers")
    checksums = make_dataset(out, MotionSpec(**options), workers=workers)
    for split, checksum in checksums.items():
        file = out / f"{split}.list"
        own = sha256_of(file)[:16]
        print(f"{file}  {options[split]} clips  sha256 {own}, with all clips {checksum[:16]}")
    return 0


if __name__ == "__main__":
    run_and_exit(main)
