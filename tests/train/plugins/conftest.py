"""A folder on Python's path, with tables as they were afterwards; a config with an augmentation."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

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


@pytest.fixture
def dimmed(experiment: Callable[..., Path]) -> Callable[..., Path]:
    """The config of a pair, with the augmentation `Dim` in its training."""

    def write(model: dict[str, Any]) -> Path:
        file = experiment(model, epochs=1)
        config = yaml.safe_load(file.read_text())
        config["PIPELINE"]["train"]["transform"].insert(2, {"Dim": {"by": 4}})
        file.write_text(yaml.safe_dump(config))
        return file

    return write
