"""Deployable alone: nothing in infer needs Paddle or a runtime before it is used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

BLOCKED = """
import importlib, pkgutil, sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in BLOCKED:
            raise ImportError(name + " is blocked")

sys.meta_path.insert(0, Block())
"""

IMPORT_ALL = """
import infer
names = [m.name for m in pkgutil.walk_packages(infer.__path__, "infer.")]
for name in names:
    importlib.import_module(name)
print(len(names))
"""


def python(code, *args):
    command = [sys.executable, "-c", code, *args]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


def test_every_module_imports_without_paddle_and_runtimes():
    heavy = [
        "paddle",
        "torch",
        "onnxruntime",
        "openvino",
        "tensorrt",
        "pycuda",
        "onnx",
        "PIL",
        "train",
        "export",
        "pydantic",
        "yaml",
    ]
    done = python(f"BLOCKED = {heavy}" + BLOCKED + IMPORT_ALL)
    assert done.stderr == ""
    assert int(done.stdout) == len(list((ROOT / "infer").rglob("*.py"))) - 1


def test_help_and_mistakes_need_no_heavy_import():
    heavy = ["numpy", "cv2", "av", "paddle", "onnxruntime"]
    block = f"BLOCKED = {heavy}" + BLOCKED + "from infer.predict import main\n"
    done = python(block + "main(['--help'])")
    assert done.returncode == 0 and "--num-clips" in done.stdout
    done = python(block + "sys.exit(main(['--video', 'a.mp4', '--bundle', 'nowhere']))")
    assert done.returncode == 2 and "`make export`" in done.stderr


def test_a_prediction_imports_neither_paddle_nor_torch(make_bundle, colour_clip):
    clip, bundle = colour_clip("a.mp4", "red"), make_bundle()
    code = "BLOCKED = ['paddle', 'torch', 'onnx', 'PIL', 'train']" + BLOCKED
    code += "from infer.predict import main\nsys.exit(main(sys.argv[1:]))"
    done = python(code, "--video", str(clip), "--bundle", str(bundle))
    assert done.returncode == 0 and "red  (" in done.stdout


def test_a_missing_runtime_is_named_with_its_remedy(make_bundle, colour_clip):
    clip, bundle = colour_clip("a.mp4", "red"), make_bundle()
    code = "BLOCKED = ['onnxruntime']" + BLOCKED
    code += "from infer.predict import main\nsys.exit(main(sys.argv[1:]))"
    done = python(code, "--video", str(clip), "--bundle", str(bundle))
    assert done.returncode == 2
    assert (
        "pip install -c constraints.txt onnxruntime" in done.stderr
        and "Traceback" not in done.stderr
    )
