"""Three tiers of tests, by marker: which one a test belongs to is worked out from what it uses.

unit    functions in this process
e2e     starts processes, runs a command, trains or exports
peer    needs other projects' code, tools or files, or a GPU

A marker on a test or module counts before all else. Else a test is `peer` by a fixture or folder,
and `e2e` if it, its fixtures or a helper of tests/ uses a command's `main` or one of `HEAVY`.
"""

from __future__ import annotations

import dis
import functools
import inspect
import sys
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

import pytest

TIERS = ("unit", "e2e", "peer")
PEER = {"paddlevideo", "run_paddlevideo", "shared", "gpu", "triton_schema"}
"""Fixtures."""
ROOMS = ("infer", "train", "export", "benchmarks")
PROCESSES = {"subprocess", "multiprocessing", "concurrent.futures.process", "pty"}
"""Modules."""
HEAVY = {
    ("train.engine.loop", "train"),
    ("export.assemble.bundle", "export_bundle"),
    ("infer.isolation.reading", "IsolatedReading"),
    ("infer.system.subprocess_call", "ask"),
    ("infer.doctor", "examine"),
    ("os", "fork"),
    ("posix", "fork"),
}


def tier_of(item: pytest.Item) -> str:
    """The tier of a collected test."""
    marked = [name for name in TIERS if item.get_closest_marker(name)]
    if marked:
        return marked[-1]
    fixtures = set(getattr(item, "fixturenames", ()))
    if fixtures & PEER:
        return "peer"
    info = getattr(item, "_fixtureinfo", None)
    defined = info.name2fixturedefs.values() if info is not None else ()
    functions = [fixture.func for definitions in defined for fixture in definitions]
    if any(_is_heavy(function) for function in [item.function, *functions]):  # type: ignore[attr-defined]
        return "e2e"
    return "unit"


def mark(items: list[pytest.Item]) -> None:
    """Give every test the marker of its tier, but for those of hours (`torture`)."""
    for item in items:
        if item.get_closest_marker("torture") is None:
            item.add_marker(tier_of(item))


@functools.cache
def _is_heavy(function: Callable[..., Any]) -> bool:
    function = inspect.unwrap(function)
    seen: set[int] = set()
    waiting: list[Any] = [function]
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if inspect.isclass(one):
            waiting += [value for value in vars(one).values() if isinstance(value, FunctionType)]
            continue
        if not isinstance(one, FunctionType):
            continue
        for used in _used(one):
            if _starts(used):
                return True
            if str(getattr(used, "__module__", "")).startswith("tests"):
                waiting.append(inspect.unwrap(used) if callable(used) else used)
    return False


def _starts(used: Any) -> bool:
    if isinstance(used, ModuleType):
        return used.__name__ in PROCESSES
    place = str(getattr(used, "__module__", "")), getattr(used, "__qualname__", "")
    command = place[0].split(".")[0] in ROOMS and place[1] == "main"
    return command or place in HEAVY


def _used(function: FunctionType) -> Iterator[Any]:
    """What a function refers to by name, in functions within it too."""
    codes = [function.__code__]
    while codes:
        code = codes.pop()
        codes += [const for const in code.co_consts if isinstance(const, CodeType)]
        module = ""
        last: Any = None
        for step in dis.get_instructions(code):
            if step.opname == "IMPORT_NAME":
                module, last = step.argval, None
                yield sys.modules.get(module) or ModuleType(module)
            elif step.opname == "IMPORT_FROM":
                yield _Named(module, step.argval)
            elif step.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
                last = function.__globals__.get(step.argval)
                if last is not None:
                    yield last
            elif step.opname in ("LOAD_ATTR", "LOAD_METHOD") and isinstance(last, ModuleType):
                last = getattr(last, step.argval, None)
                if last is not None:
                    yield last
            else:
                last = None


class _Named:
    """Something that a function imports itself."""

    def __init__(self, module: str, name: str) -> None:
        self.__module__, self.__qualname__ = module, name
