"""A new backend is one folder and one line: a toy one, added to a copy of the checkout."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

from infer.runtimes import registry
from infer.runtimes.implementations import implementation

ROOT = Path(__file__).resolve().parents[3]

DESCRIPTOR = """
from ..backend import Backend, Preference

BACKENDS = (
    Backend(
        name="toy",
        title="Toy Runtime",
        short_title="Toy",
        import_name="toy_runtime",
        packages=("toy-runtime",),
        oldest="2.0",
        install="pip install toy-runtime",
        format="onnx",
        streams=True,
        preference=lambda precision, clips: Preference(0, "toys come first"),
        runtime=f"{__package__}.runtime",
    ),
)
"""

RUNTIME = '''
import numpy as np

from ..common import load_package, package_version


class Toy:
    """Computes what the graph of the bundle does: the mean of each channel."""

    def __init__(self, backend, precision, options):
        self.backend, self.precision, self.max_batch = backend.name, precision, options.max_batch

    def run(self, clips):
        return np.float32(0.05) * clips.mean((1, 2, 3), dtype=np.float32)

    def close(self):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()


def open_artifact(backend, bundle, artifact, *, precision, options):
    assert artifact.format == "onnx"
    return Toy(backend, precision, options)


def version(backend):
    return package_version(load_package(backend, backend.import_name, ()))


def check(backend):
    load_package(backend, backend.import_name, ("works",))
'''


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with one more backend, whose package 1.5 is installed."""
    copy = tmp_path / "checkout"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "infer", copy / "infer", ignore=ignored)
    for room in ("train", "export", "benchmarks"):
        (copy / room).symlink_to(ROOT / room)
    folder = copy / "infer" / "runtimes" / "toy"
    folder.mkdir()
    for name, text in (("__init__", ""), ("backend", DESCRIPTOR), ("runtime", RUNTIME)):
        (folder / f"{name}.py").write_text(text)
    listing = copy / "infer" / "runtimes" / "registry.py"
    before = listing.read_text()
    listing.write_text(before.replace('    "tensorrt",\n', '    "tensorrt",\n    "toy",\n'))
    assert len(listing.read_text().splitlines()) == len(before.splitlines()) + 1
    (copy / "toy_runtime.py").write_text("__version__ = '1.5'\nworks = True\n")
    (copy / "toy_runtime-1.5.dist-info").mkdir()
    metadata = "Metadata-Version: 2.1\nName: toy-runtime\nVersion: 1.5\n"
    (copy / "toy_runtime-1.5.dist-info" / "METADATA").write_text(metadata)
    return copy


def python(checkout: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    code = f"import sys; sys.path.insert(0, {str(checkout)!r}); del sys.argv[0]\n"
    code += "import runpy; runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, cwd=checkout, capture_output=True, text=True, timeout=120)


def test_predict_knows_it(
    checkout: Path, make_bundle: Callable[..., Path], colour_clip: Callable[..., Path]
) -> None:
    assert "tensorrt, toy;" in " ".join(python(checkout, "infer.predict", "--help").stdout.split())
    options = ("--bundle", make_bundle(), "--video", colour_clip("a.mp4", "green"))
    for backend, said in (("toy", ""), ("auto", "backend: toy, model.fp32.onnx (toys come first)")):
        options_of_it = (*options, "--backend", backend, "--format", "json")
        done = python(checkout, "infer.predict", *options_of_it)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["topk"][0]["label"] == "green"
        assert said in done.stderr
    wrong = python(checkout, "infer.predict", *options, "--backend", "toyy")
    assert wrong.returncode == 2 and "did you mean 'toy'" in wrong.stderr


def test_doctor_tries_it(checkout: Path, make_bundle: Callable[..., Path]) -> None:
    command = ("infer.doctor", "--format", "json", "--bundle", make_bundle())
    report = json.loads(python(checkout, *command).stdout)
    (status,) = (one for one in report["backends"] if one["backend"] == "toy")
    assert status["runs"] and status["version"] == "1.5"
    assert report["packages"]["toy-runtime"] == "1.5"
    assert report["bundle"]["runs"]["toy"] == {"fp32": "onnx.fp32"}
    assert any("toy-runtime 1.5 is older than 2.0" in problem for problem in report["problems"])


def test_what_it_lacks_is_told_with_the_command_that_installs_it(
    checkout: Path, make_bundle: Callable[..., Path], colour_clip: Callable[..., Path]
) -> None:
    (checkout / "toy_runtime.py").write_text("__version__ = '1.5'\n")
    (checkout / "asks.py").write_text(
        "import json\nfrom dataclasses import asdict\n"
        "from infer.runtimes.statuses import statuses\n"
        "print(json.dumps([asdict(one) for one in statuses(['toy'])]))\n"
    )
    (status,) = json.loads(python(checkout, "asks").stdout)
    assert not status["runs"] and "works" in status["reason"]
    assert status["version"] == "1.5" and status["remedy"] == "pip install toy-runtime"


def test_benchmarks_name_and_compare_it(checkout: Path, make_bundle: Callable[..., Path]) -> None:
    (checkout / "asks.py").write_text(
        "import json, sys\n"
        "from benchmarks.common.machine import package_versions\n"
        "from benchmarks.deployments import deployment\n"
        "from benchmarks.pages.numbers import cell_name, short_name\n"
        "from infer.bundle.bundle import Bundle\n"
        "deployment.REFERENCES = ('onnxruntime:fp32',)\n"
        "chosen = deployment.choose_deployments([Bundle.load(sys.argv[1])], backends=['toy'])\n"
        "names = [cell_name(cell.key) for cell in chosen.cells]\n"
        "print(json.dumps([names, short_name('toy:int8'), package_versions()]))\n"
    )
    done = python(checkout, "asks", make_bundle())
    assert done.returncode == 0, done.stderr
    names, short, versions = json.loads(done.stdout)
    assert names == ["ONNX Runtime fp32", "Toy Runtime fp32"] and short == "Toy int8"
    assert versions["toy-runtime"] == "1.5"


def test_every_folder_of_a_backend_is_listed_and_says_everything() -> None:
    here = {path.parent.name for path in (ROOT / "infer" / "runtimes").glob("*/backend.py")}
    assert here == set(registry.FOLDERS)
    described = [
        backend
        for folder in registry.FOLDERS
        for backend in import_module(f"infer.runtimes.{folder}.backend").BACKENDS
    ]
    assert list(registry.BACKENDS.values()) == described  # no name twice
    titles = [(one.title, one.short_title or one.title) for one in described]
    for column in zip(*titles, strict=True):
        assert len(set(column)) == len(described)
    for backend in described:
        module = implementation(backend)
        assert all(callable(getattr(module, n)) for n in ("open_artifact", "version", "check"))
        assert set(backend.rivals) <= set(backend.packages)
        if backend.preference is not None:
            assert (backend.preference("fp32", None).place < 100) == backend.gpu
