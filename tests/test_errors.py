"""Every error that a user may meet can come from another process, and is the same here."""

from __future__ import annotations

import importlib
import pickle
import pkgutil
from pathlib import Path
from typing import Any

import pytest

import benchmarks
import export
import infer
import train
from infer.runtimes.known_answers import AnswersDiffer
from infer.system.errors import BackendUnavailable, ClipDuetError, VideoError
from infer.system.files import WriteError
from train.config.errors import ConfigError, Mistake
from train.data.lists import ListError

SAMPLES: dict[type[ClipDuetError], tuple[Any, ...]] = {
    VideoError: (Path("a.mp4"), "empty"),
    BackendUnavailable: ("openvino", "not installed", "pip install openvino"),
    AnswersDiffer: ("onnxruntime", "differs from what the file says", "take another file"),
    ListError: (Path("a.list"), ["line 1: no label"]),
    ConfigError: ("a.yaml", [Mistake(("MODEL",), "is missing")]),
    WriteError: (Path("a.txt"), OSError(28, "No space left on device", "a.txt")),
}
"""Arguments of those that take others than a text."""


def errors() -> list[type[ClipDuetError]]:
    """All of them, of every room."""
    for room in (infer, train, export, benchmarks):
        for module in pkgutil.walk_packages(room.__path__, f"{room.__name__}."):
            if not module.name.endswith("__main__"):
                try:
                    importlib.import_module(module.name)
                except ImportError:  # of an optional package
                    continue
    found, waiting = [], [ClipDuetError]
    while waiting:
        kind = waiting.pop()
        found.append(kind)
        waiting += kind.__subclasses__()
    return found


def test_every_error_comes_whole_from_another_process() -> None:
    kinds = errors()
    assert len(kinds) > 20 and VideoError in kinds
    for kind in kinds:
        try:
            error = kind(*SAMPLES.get(kind, ("what was wrong",)))
        except TypeError:
            pytest.fail(f"{kind.__name__} takes other arguments: add them to SAMPLES")
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is kind
        assert (str(again), again.exit_status) == (str(error), error.exit_status)
        assert again.__dict__.keys() == error.__dict__.keys()
