"""A folder on Python's path, and tables as they were afterwards."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from train.plugins import load, registry

WriteModule = Callable[[str, str], Path]


@pytest.fixture
def write_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WriteModule]:
    """`write_module(name, code) -> file`, on the path; what it registers is forgotten."""
    folder = tmp_path / "users"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(load, "_LOADED", set())
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    modules, known = set(sys.modules), set(registry.ORIGINS)

    def write(name: str, code: str) -> Path:
        file = folder / f"{name}.py"
        file.write_text(code)
        return file

    yield write
    for kind, name in set(registry.ORIGINS) - known:
        registry.forget(kind, name)
    for name in set(sys.modules) - modules:
        if str(folder) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]
