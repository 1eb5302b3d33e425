"""The project holds together: versions, directions of imports, packages that are missing, sizes."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOMS = ("infer", "train", "export", "benchmarks")


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _requirements(text: str) -> list[str]:
    """The canonical names in the lines of a requirements list."""
    lines = [line.strip() for line in text.splitlines()]
    return [_canonical(re.split(r"[\s\[<>=!~;]", line)[0]) for line in lines if line[:1].isalnum()]


@pytest.fixture(scope="module")
def setup_cfg(root: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(root / "setup.cfg", encoding="utf-8")
    return parser


# --- versions -----------------------------------------------------------------------------------


def test_every_package_of_every_extra_is_pinned(
    root: Path, setup_cfg: configparser.ConfigParser
) -> None:
    pins = set(_requirements((root / "constraints.txt").read_text(encoding="utf-8")))
    lists = {"base": setup_cfg["options"]["install_requires"]}
    lists |= dict(setup_cfg["options.extras_require"])
    del lists["gpu"]  # depends on the machine's driver
    missing = {
        extra: sorted(set(_requirements(text)) - pins - {"clipduet"})
        for extra, text in lists.items()
    }
    assert {extra: names for extra, names in missing.items() if names} == {}


def test_a_constraint_names_one_version_for_one_python(root: Path) -> None:
    lines = (root / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins: dict[str, list[str]] = {}
    for line in lines:
        if line and not line.startswith("#"):
            found = re.fullmatch(r'([\w.-]+)==([\w.]+)(?:; python_version (<|>=) "3\.11")?', line)
            assert found, f"constraints.txt: {line!r} is not name==version with an allowed marker"
            pins.setdefault(_canonical(found[1]), []).append(found[3] or "all")
    for name, markers in pins.items():
        assert markers in (["all"], ["<"], ["<", ">="]), (name, markers)


# --- imports ------------------------------------------------------------------------------------


def _modules(root: Path, room: str) -> list[str]:
    paths = sorted((root / room).rglob("*.py"))
    assert paths, f"no modules in {room}/"
    names = [".".join(path.relative_to(root).with_suffix("").parts) for path in paths]
    return [name.removesuffix(".__init__") for name in names if not name.endswith("__main__")]


def test_infer_imports_where_nothing_but_its_own_needs_is_installed(root: Path) -> None:
    # Runtimes are refused too: one is imported when it is opened, not before.
    code = f"""
import importlib, importlib.abc, sys

class Bare(importlib.abc.MetaPathFinder):
    allowed = set(sys.stdlib_module_names) | {{"infer", "numpy", "cv2", "av"}}
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in self.allowed:
            raise ModuleNotFoundError("not installed here: " + name)
        return None

sys.meta_path.insert(0, Bare())
for module in {_modules(root, "infer")!r}:
    importlib.import_module(module)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_no_module_of_infer_shadows_another(root: Path) -> None:
    # `python infer/predict.py` puts infer/ first on the path.
    names = {path.stem for path in (root / "infer").iterdir() if path.suffix in ("", ".py")}
    names -= {"__init__", "__main__", "__pycache__"}
    assert names, "no modules in infer/"
    taken = sys.stdlib_module_names | set(packages_distributions()) | set(ROOMS)
    assert names & taken == set()


def _lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    command = "import sys; from importlinter.cli import lint_imports as run;"
    command += "sys.exit(run(config_filename='setup.cfg', no_cache=True))"
    return subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, '.'); {command}"],
        cwd=folder, capture_output=True, text=True,
    )  # fmt: skip


def test_imports_only_point_right(root: Path) -> None:
    done = _lint_imports(root)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "wrong",
    [
        [
            ("infer/__init__.py", "train", "infer -> train (l."),
            ("train/__init__.py", "export", "train -> export (l."),
            ("benchmarks/stats/resample.py", "benchmarks.stats.paired",
             "No cycles are allowed in benchmarks.stats."),
        ],
        [
            ("infer/__init__.py", "paddle", "infer -> paddle (l."),
            ("benchmarks/stats/paired.py", "benchmarks.gate.verdict",
             "benchmarks.stats.paired -> benchmarks.gate.verdict (l."),
            ("infer/runtimes/openvino/backend.py", "infer.runtimes.registry",
             "infer.runtimes.openvino.backend -> infer.runtimes.registry (l."),
        ],
    ],
)  # fmt: skip
def test_wrong_imports_are_noticed(
    root: Path, tmp_path: Path, wrong: list[tuple[str, str, str]]
) -> None:
    shutil.copy(root / "setup.cfg", tmp_path)
    for name in ROOMS:
        shutil.copytree(root / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for module, imported, _ in wrong:
        with (tmp_path / module).open("a") as file:
            file.write(f"\nimport {imported}\n")
    done = _lint_imports(tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert [told for _, _, told in wrong if told not in done.stdout] == [], done.stdout


@pytest.mark.parametrize(
    ("missing", "command", "extra"),
    [
        ("tqdm", ["-m", "train.data.motions"], "'.[train]'"),
        ("pydantic", ["-m", "train", "-c", "configs/motions_dml.yaml"], "'.[train]'"),
        ("yaml", ["-m", "benchmarks.gain"], "'.[export,report]'"),
        ("onnx", ["-m", "export.sensitivity", "--bundle", "bundles/dml"], "'.[export]'"),
    ],
)
def test_a_command_names_the_packages_that_it_misses(
    root: Path, tmp_path: Path, missing: str, command: list[str], extra: str
) -> None:
    (tmp_path / "sitecustomize.py").write_text(f"import sys\nsys.modules[{missing!r}] = None\n")
    done = subprocess.run(
        [sys.executable, *command], cwd=root, capture_output=True, text=True, timeout=60,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert f"does not have {missing}" in done.stderr and extra in done.stderr


# --- the repository -----------------------------------------------------------------------------


def test_no_large_file_is_committed(root: Path) -> None:
    if shutil.which("git") is None or not (root / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=True
    ).stdout
    files = [root / name for name in listed.split("\0") if name]
    assert files
    # The demo's teacher, and answers and logits from which figures are recomputed.
    most = {".pdparams": 3e6, ".npz": 11e6, ".json": 3e6}
    large = {
        p.name: p.stat().st_size
        for p in files
        if p.is_file() and p.stat().st_size > most.get(p.suffix, 1.5e6)
    }
    assert large == {}
