"""Which option was meant: said where one is given that a command does not have."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn


@contextmanager
def options_suggested() -> Iterator[None]:
    """While the body runs, errors of every command line end with the options that were meant.

    `argparse` knows no hook for that: its own methods are replaced meanwhile.
    """
    parser = argparse.ArgumentParser
    parse, error = parser.parse_known_args, parser.error
    given: list[str] = []

    def parse_known_args(self: Any, args: Any = None, *others: Any, **named: Any) -> Any:
        given[:] = sys.argv[1:] if args is None else map(str, args)
        return parse(self, args, *others, **named)

    def told(self: argparse.ArgumentParser, message: str) -> NoReturn:
        error(self, "; ".join([message, *_suggestions(given, self._option_string_actions)]))

    replaced: dict[str, Any] = {"parse_known_args": parse_known_args, "error": told}
    try:
        for name, method in replaced.items():
            setattr(parser, name, method)
        yield
    finally:
        parser.parse_known_args, parser.error = parse, error  # type: ignore[method-assign]


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
