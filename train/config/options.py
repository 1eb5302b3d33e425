"""Options about configs and checkpoints, which mean the same in every command."""

from __future__ import annotations

import argparse
from math import inf


def add_override(parser: argparse.ArgumentParser) -> None:
    """Add `-o`, `--override` to a command line; see `train.config.load.load_config`."""
    parser.add_argument(
        "-o",
        "--override",
        action="append",
        default=[],
        metavar="A.B=VALUE",
        help="change a setting of the config; may be given several times",
    )


def flag(name: str) -> str:
    """The name of an option in Python as it is typed."""
    return "--" + name.replace("_", "-")


def text_override(path: str, text: str) -> str:
    """An override that sets exactly this text, whatever YAML would make of its characters.

    `${` in it is no variable.

    Args:
        path: of the setting, `a.b.c`.
        text: the value; a path may hold any bytes, as `os.fsdecode` gives them.
    """
    import yaml

    # Not JSON, which writes a character beyond U+FFFF as two halves: YAML reads two characters.
    exactly = without_variables(text)
    return f"{path}={yaml.safe_dump(exactly, default_style=chr(34), width=inf).strip()}"


def without_variables(text: str) -> str:
    """A text that reads as itself where `${VAR}` stands for a variable."""
    return text.replace("${", "$${")


def add_trust(parser: argparse.ArgumentParser) -> None:
    """Add `--trust` to a command line; see `train.checkpoints.checkpoint.load_file`."""
    parser.add_argument(
        "--trust",
        action="store_true",
        help="read checkpoints that hold more than arrays, dicts and numbers: they may run any "
        "code, so only those of makers you trust",
    )


def add_plugins(parser: argparse.ArgumentParser, what: str) -> None:
    """Add `--plugins` to a command line; see `train.plugins.load.load_plugins`.

    Args:
        parser: the command line.
        what: they are needed for.
    """
    parser.add_argument(
        "--plugins",
        action="append",
        default=[],
        metavar="MODULE",
        help=f"a module of your own, loaded from Python's path, {what}; may be given several times",
    )
