"""The installed command, and what lies in the folder that it is called in."""

from __future__ import annotations

import configparser
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
ROOMS = ("infer", "train", "export", "benchmarks")
OTHERS = (
    *("numpy", "cv2", "av", "onnxruntime", "openvino"),
    *("argparse", "contextlib", "csv", "dataclasses", "hashlib", "json", "random", "struct"),
    *("subprocess", "tempfile", "textwrap"),
)


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """What pip writes for the console script of setup.cfg."""
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    lines = parser["options.entry_points"]["console_scripts"].strip().splitlines()
    (entry,) = [line.partition("=")[2].strip() for line in lines if line.startswith("clipduet ")]
    module, _, function = entry.partition(":")
    file = tmp_path / "bin" / "command"
    file.parent.mkdir()
    file.write_text(f"import sys\nfrom {module} import {function}\nsys.exit({function}())\n")
    # The name of the installed package, as an editable installation gives it.
    (file.parent / module.partition(".")[0]).symlink_to(ROOT / "infer")
    return file


def folder_with(tmp_path: Path, names: tuple[str, ...]) -> Path:
    """A folder whose files have the names of packages."""
    folder = tmp_path / "work"
    folder.mkdir()
    for name in names:
        (folder / f"{name}.py").write_text(f"raise RuntimeError('{name}.py was imported')\n")
    return folder


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}  # as an editable installation has it
    return subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True
    )


def test_the_installed_command_does_not_care_what_lies_in_the_current_folder(
    script, tmp_path, make_bundle, colour_clip
):
    clip, bundle = colour_clip("a.mp4", "red"), make_bundle()
    folder = folder_with(tmp_path, ROOMS + OTHERS)
    asked = ("predict", "--video", str(clip), "--bundle", str(bundle), "--format", "json")
    done = run(folder, str(script), *asked)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["label"] == "red"
    done = run(folder, str(script), "doctor", "--bundle", str(bundle), "--format", "json")
    assert done.returncode == 0, done.stderr
    assert "was imported" not in done.stdout
    # Of the user's own: the checkout may have its default one.
    asked = ("predict", "--video", "none.mp4", "--bundle", "none")
    assert run(folder, str(script), *asked).returncode == 2


def test_python_m_takes_nothing_of_another_current_folder(tmp_path, make_bundle, colour_clip):
    clip, bundle = colour_clip("a.mp4", "red"), make_bundle()
    # Python itself imports contextlib before it looks for the module.
    folder = folder_with(tmp_path, tuple(name for name in OTHERS if name != "contextlib"))
    asked = ("--video", str(clip), "--bundle", str(bundle), "--format", "json")
    done = run(folder, "-m", "infer.predict", *asked)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["label"] == "red"


def test_a_program_that_imports_infer_keeps_its_path(tmp_path):
    folder = folder_with(tmp_path, ())
    (folder / "mine").mkdir()
    (folder / "mine" / "__init__.py").write_text("import infer\n")
    (folder / "mine" / "main.py").write_text("import beside\n")
    (folder / "beside.py").write_text("print('found')\n")
    done = run(folder, "-m", "mine.main")
    assert (done.stdout, done.returncode) == ("found\n", 0), done.stderr


def test_the_installed_command_explains_itself(script, tmp_path):
    done = run(tmp_path, str(script), "--help")
    assert done.returncode == 0 and done.stderr == ""
    for name in ("predict", "doctor"):
        assert name in done.stdout
        usage = run(tmp_path, str(script), name, "--help").stdout
        assert usage.startswith(f"usage: clipduet {name} ")
    for wrong in ([], ["label"]):
        done = run(tmp_path, str(script), *wrong)
        assert done.returncode == 2 and "predict" in done.stderr
