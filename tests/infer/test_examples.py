"""The examples that need only the installed package."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import numpy_helper

from tests.conftest import RunExample
from tests.tiny_bundle import CLASSES, SPEC, colour_frames, colour_graph, write_bundle


@pytest.fixture
def bundle(make_bundle: Callable[..., Path]) -> Path:
    return make_bundle()


def test_classify_files(
    run_example: RunExample, bundle: Path, colour_clip: Callable[..., Path], tmp_path: Path
) -> None:
    clips = [colour_clip("a.mp4", "red"), colour_clip("b.mp4", "blue")]
    done = run_example("01_classify_files.py", bundle, *clips)
    assert done.returncode == 0, done.stderr
    _, *lines = done.stdout.splitlines()
    assert [line.split(": ")[1].split()[0] for line in lines] == ["red", "blue"]
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"no video")
    done = run_example("01_classify_files.py", bundle, bad, clips[0])
    assert done.returncode == 1
    assert [line.split(": ")[1].split()[0] for line in done.stdout.splitlines()[1:]] == [
        "error", "red"
    ]  # fmt: skip


def test_own_frames(
    run_example: RunExample, bundle: Path, write_clip: Callable[..., Path], tmp_path: Path
) -> None:
    frames = np.concatenate([colour_frames("green", 4), colour_frames("red", 4)])
    clip = write_clip(tmp_path / "two.mp4", frames)
    done = run_example("02_own_frames.py", bundle, clip, "--window", "4")
    assert done.returncode == 0, done.stderr
    found = [line.rsplit(" ", 1)[0] for line in done.stdout.splitlines()]
    assert found == ["frames 0 to 3: green", "frames 4 to 7: red"]


def test_compare_bundles(
    run_example: RunExample, bundle: Path, colour_clip: Callable[..., Path], tmp_path: Path
) -> None:
    graph = colour_graph(SPEC)
    (weights,) = graph.graph.initializer
    mixed_up = numpy_helper.to_array(weights)[:, [1, 0, 2]]  # red and green change places
    weights.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(mixed_up), weights.name))
    other = write_bundle(tmp_path / "other", graph)
    lines = [f"{colour_clip(f'{c}.mp4', c).name} {label}" for label, c in enumerate(CLASSES)]
    listed = tmp_path / "test.list"
    listed.write_text("".join(f"{line}\n" for line in [*lines, "missing.mp4 0"]))
    done = run_example("03_compare_bundles.py", bundle, other, listed)
    assert done.returncode == 0, done.stderr
    first, second, unread, *differ = done.stdout.splitlines()
    assert unread.startswith("1 of 4 ") and "missing.mp4" in unread
    assert (first, second) == (
        f"{bundle}: 3 of 4 correct, top-1 0.7500",
        f"{other}: 1 of 4 correct, top-1 0.2500",
    )
    assert [Path(line.split(":")[0]).stem for line in differ] == ["red", "green"]
    assert all(str(bundle) in line for line in differ)


@pytest.mark.parametrize("name", ["01_classify_files", "02_own_frames", "03_compare_bundles"])
def test_a_wrong_bundle_is_one_line(run_example: RunExample, tmp_path: Path, name: str) -> None:
    listed = tmp_path / "test.list"
    listed.write_text("a.mp4 0\n")
    given = {"01_classify_files": ["a.mp4"], "02_own_frames": ["a.mp4"]}.get(
        name, ["another", listed]
    )
    done = run_example(f"{name}.py", "no_bundle", *given)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and "no_bundle" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_list_without_labels_is_refused(
    run_example: RunExample, bundle: Path, tmp_path: Path
) -> None:
    listed = tmp_path / "test.list"
    listed.write_text("a.mp4\n")
    done = run_example("03_compare_bundles.py", bundle, bundle, listed)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and "a.mp4" in done.stderr


def test_they_import_what_the_package_installs_and_nothing_else(root: Path) -> None:
    allowed = {"clipduet", "numpy", "cv2"} | set(sys.stdlib_module_names)
    files = sorted((root / "examples").glob("0[123]_*.py"))
    assert len(files) == 3
    for file in files:
        nodes = list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
        names = {
            alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names
        }
        names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) if node.module}
        assert {name.split(".")[0] for name in names} <= allowed, file
