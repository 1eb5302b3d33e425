"""PaddleVideo's own code, imported from a checkout."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from unittest import mock

from benchmarks.common.errors import BenchmarkError

UNUSED = ("SimpleITK", "decord", "imgaug", "lmdb", "nibabel", "pandas", "skimage", "sklearn")
"""What it imports for other tasks than these; mocks stand for those that are not there."""


def use(checkout: Path) -> None:
    """Make `paddlevideo` importable from a checkout.

    Raises:
        BenchmarkError: there is none.
    """
    if not (checkout / "paddlevideo" / "modeling").is_dir():
        raise BenchmarkError(
            f"{checkout} is no checkout of PaddleVideo: "
            "git clone https://github.com/PaddlePaddle/PaddleVideo"
        )
    for package in UNUSED:
        if importlib.util.find_spec(package) is None:
            sys.modules[package] = mock.MagicMock()
    sys.path.insert(0, str(checkout))
    try:
        importlib.import_module("paddlevideo.modeling.builder")
    except ModuleNotFoundError as error:
        raise BenchmarkError(f"PaddleVideo's code needs {error.name}: pip install it") from error
