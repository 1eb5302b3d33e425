"""The option `--out`, which was `-o` before that meant `--override` in every command."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence

from infer.system.log import logger

log = logger(__name__)


def add_output(parser: argparse.ArgumentParser, *, metavar: str, help: str) -> None:
    """Add `--out` to a command line, which `parse_options` then reads."""
    parser.add_argument("--out", "--output", metavar=metavar, help=help)


def parse_options(
    parser: argparse.ArgumentParser, arguments: Sequence[str] | None
) -> argparse.Namespace:
    """The options of a command line that has `--out` and `--override`.

    `-o FOLDER`, which was short for `--output`, still works.
    """
    options = parser.parse_args(arguments)
    folders = [text for text in options.override if not re.match(r"[\w.-]+=", text)]
    if folders and options.out is None:
        options.out = folders.pop()
        options.override.remove(options.out)
        log.warning(f"-o {options.out} is deprecated: write --out {options.out}; -o is --override")
    if options.out is None:
        parser.error("the following arguments are required: --out")
    return options
