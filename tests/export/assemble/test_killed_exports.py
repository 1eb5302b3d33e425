"""What has to hold over many tries. `make torture` runs it; `make test` leaves it out."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from infer.bundle.bundle import Bundle

pytestmark = [pytest.mark.torture, pytest.mark.timeout(3600)]
KILLS = 24


def test_an_export_that_is_killed_leaves_the_bundle_that_was_there(
    experiment: Callable[..., Any], tmp_path: Path, root: Path
) -> None:
    source, bundle = experiment("single"), tmp_path / "bundle"
    command = [sys.executable, "-m", "export", "--checkpoint", str(source.checkpoint)]
    command += ["-c", str(source.config), "--out", str(bundle), "--no-int8", "--max-batch", "2"]
    start = time.monotonic()
    subprocess.run(command, cwd=root, check=True, capture_output=True)
    seconds = time.monotonic() - start
    for _ in range(KILLS):
        process = subprocess.Popen(
            command, cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        # Most of what can go wrong lies at the end.
        time.sleep(seconds * random.betavariate(4, 1) * 1.05)
        process.kill()
        process.wait()
        for artifact in Bundle.load(bundle).artifacts.values():
            artifact.verify()
    subprocess.run(command, cwd=root, check=True, capture_output=True)
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
