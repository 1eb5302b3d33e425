"""What a test changes outside itself and does not take back: found, told and taken back.

The tests after it would depend on it, and those are others whenever the order is another. Filters
of warnings are not looked at: pytest itself puts them back after each test.
"""

from __future__ import annotations

import locale
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

NOT_BY_TESTS = frozenset(
    # OpenCV sets LD_LIBRARY_PATH when it is imported, Paddle the others, once in a process.
    (
        *("PYTEST_CURRENT_TEST", "LD_LIBRARY_PATH"),
        *("CUSTOM_DEVICE_ROOT", "CINN_CONFIG_PATH", "runtime_include_dir"),
    )
)
BY_SETUPTOOLS = "setuptools/_vendor"
"""Added to sys.path when it is first imported, which Paddle does."""
LIMITS = ("RLIMIT_AS", "RLIMIT_CORE", "RLIMIT_CPU", "RLIMIT_FSIZE", "RLIMIT_NOFILE")

State = dict[str, dict[str, Any]]
"""By kind, what belongs to the whole process: a value for each name."""


def _environment() -> dict[str, Any]:
    return {name: value for name, value in os.environ.items() if name not in NOT_BY_TESTS}


def _set_environment(name: str, value: Any) -> None:
    if value is None:
        del os.environ[name]
    else:
        os.environ[name] = value


def _folder() -> dict[str, Any]:
    try:
        return {"": os.getcwd()}
    except FileNotFoundError:
        return {"": "a folder that is gone"}


def _path() -> dict[str, Any]:
    return {"": [entry for entry in sys.path if not entry.endswith(BY_SETUPTOOLS)]}


def _set_path(_: str, value: Any) -> None:
    sys.path[:] = value + [entry for entry in sys.path if entry.endswith(BY_SETUPTOOLS)]


def _signals() -> dict[str, Any]:
    # The limit on a test's time takes SIGALRM, and lets it go when it is reached.
    taken = set(signal.Signals) - {signal.SIGALRM}
    return {number.name: signal.getsignal(number) for number in taken}


def _set_signal(name: str, handler: Any) -> None:
    if handler is not None:  # None is a handler that is not Python's
        signal.signal(signal.Signals[name], handler)


def _umask() -> dict[str, Any]:
    value = os.umask(0)
    os.umask(value)
    return {"": value}


def _limits() -> dict[str, Any]:
    return {name: resource.getrlimit(getattr(resource, name)) for name in LIMITS}


def _modules() -> dict[str, Any]:
    return dict(sys.modules)


def _set_module(name: str, module: Any) -> None:
    sys.modules[name] = module


KINDS: dict[str, tuple[Callable[[], dict[str, Any]], Callable[[str, Any], object]]] = {
    "the environment variable": (_environment, _set_environment),
    "the working folder": (_folder, lambda _, value: os.chdir(value)),
    "sys.path": (_path, _set_path),
    "the handler of the signal": (_signals, _set_signal),
    "the locale": (lambda: {"": locale.setlocale(locale.LC_ALL)},
                   lambda _, value: locale.setlocale(locale.LC_ALL, value)),
    "the umask": (_umask, lambda _, value: os.umask(value)),
    "the limit": (_limits, lambda name, value: resource.setrlimit(getattr(resource, name), value)),
    "the module": (_modules, _set_module),
}  # fmt: skip
"""How each is read, and how one value of it is set."""


def state() -> State:
    return {kind: read() for kind, (read, _) in KINDS.items()}


def taken_back(before: State) -> list[str]:
    """Take back what is no longer as it was, and say what it was."""
    told = []
    for kind, (_, put) in KINDS.items():
        was, now = before[kind], KINDS[kind][0]()
        for name in sorted(was.keys() | now.keys()):
            if was.get(name) == now.get(name) or (kind == "the module" and name not in was):
                continue  # what was imported stays so
            told.append(f"{kind} {name}: {was.get(name)!r} became {now.get(name)!r}")
            put(name, was.get(name))
    return told


@pytest.fixture(autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    """A test that changes the process for those after it fails."""
    before = state()
    yield
    told = taken_back(before)
    if told:
        pytest.fail("the test leaves changed: " + "; ".join(told), pytrace=False)
