"""The installed command: `clipduet predict`, `stream`, `serve`, `corpus`, `doctor`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from . import __version__
from .system.signals import end_at_once

if os.path.basename(sys.argv[0]) == "clipduet":  # the installed program, which imports this module
    end_at_once()

from .command.parser import Parser

COMMANDS = {
    "predict": "classify video files",
    "stream": "classify long videos, cameras and addresses, a window at a time",
    "serve": "answer requests with videos over HTTP, with a page to try it",
    "corpus": "classify more videos than one machine can, on Ray",
    "doctor": "show which backends run here, and why the others cannot",
}


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status, or ends the process with it."""
    given = sys.argv[1:] if argv is None else list(argv)
    name = _parser().parse_args(given[:1]).command
    if name == "predict":
        from .predict import main as run
    elif name == "stream":
        from .stream.__main__ import main as run
    elif name == "serve":
        from .serve.__main__ import main as run
    elif name == "corpus":
        from .corpus.__main__ import main as run
    else:
        from .doctor import main as run
    from .command.runner import run_and_exit

    run_and_exit(lambda: run(given[1:], prog=f"clipduet {name}"))


def _parser() -> argparse.ArgumentParser:
    width = max(map(len, COMMANDS))
    parser = Parser(
        prog="clipduet",
        usage=f"clipduet {{{','.join(COMMANDS)}}} ...",
        description="\n".join(f"{name:{width}}  {text}" for name, text in COMMANDS.items()),
        epilog="`clipduet COMMAND --help` lists the options of a command.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"clipduet {__version__}")
    parser.add_argument("command", metavar="COMMAND", choices=COMMANDS, help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
