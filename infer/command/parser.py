"""The parser of every command line: an unknown option's error ends with the one that was meant."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from typing import Any, NoReturn


class Parser(argparse.ArgumentParser):
    """`argparse.ArgumentParser` that suggests options; `argparse` knows no hook for that."""

    _given: tuple[str, ...] = ()

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse, and keep what was given for the error; see `argparse`."""
        self._given = tuple(sys.argv[1:] if args is None else map(str, args))
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and which option was meant, and exit with 2."""
        super().error("; ".join([message, *_suggestions(self._given, self._option_string_actions)]))


def _suggestions(given: Iterable[str], options: Iterable[str]) -> Iterator[str]:
    from difflib import get_close_matches

    names = [option.lstrip("-") for option in options]
    for text in given:
        if text == "--":
            return
        name = text.partition("=")[0]
        if not name.startswith("--") or any(one.startswith(name[2:]) for one in names):
            continue  # shortened, an option is taken too
        for near in get_close_matches(name[2:80], names, n=1):
            yield f"{name[:80]}: did you mean --{near}?"
