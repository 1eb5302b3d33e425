"""The project holds together: installation, make targets, directions of imports, sizes."""

from __future__ import annotations

import configparser
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOMS = ("infer", "train", "export", "benchmarks")
TARGETS = [
    *("setup", "data", "train-baseline", "train-dml", "export", "predict", "benchmark", "report"),
    *("engine", "triton", "demo", "study", "doctor", "test", "test-gpu", "lint", "clean"),
]

needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="GNU make is not installed")


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


def _make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
    return subprocess.run(
        ["make", *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )


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
    ("module", "line"),
    [
        ("infer/__init__.py", "import train"),
        ("train/__init__.py", "import export"),
        ("infer/__init__.py", "import paddle"),
        ("benchmarks/stats/paired.py", "import benchmarks.gate.verdict"),
        ("benchmarks/stats/resample.py", "import benchmarks.stats.paired"),
        ("infer/runtimes/openvino/backend.py", "import infer.runtimes.registry"),
    ],
)
def test_a_wrong_import_is_noticed(root: Path, tmp_path: Path, module: str, line: str) -> None:
    shutil.copy(root / "setup.cfg", tmp_path)
    for name in ROOMS:
        shutil.copytree(root / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    with (tmp_path / module).open("a") as file:
        file.write(f"\n{line}\n")
    done = _lint_imports(tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "BROKEN" in done.stdout


# --- make ---------------------------------------------------------------------------------------


@needs_make
def test_help_describes_every_target(root: Path) -> None:
    done = _make(root, "help")
    assert done.returncode == 0, done.stderr
    described = dict(re.findall(r"^  ([a-z-]+) +(\S.+)$", done.stdout, re.MULTILINE))
    assert set(TARGETS) <= set(described)
    phony = re.search(r"^\.PHONY: ((?:.*\\\n)*.*)$", (root / "Makefile").read_text(), re.MULTILINE)
    assert phony
    assert set(phony[1].replace("\\", " ").split()) == set(described)


@needs_make
def test_whatever_is_said_to_make_exists(root: Path) -> None:
    known = set(re.findall(r"^  ([a-z-]+)  ", _make(root, "help").stdout, re.MULTILINE))
    places = [".ci/run", ".github/workflows/ci.yml", "README.md"]
    places += [str(path.relative_to(root)) for path in root.glob("docs/*.md")]
    said = {
        (place, word)
        for place in places
        if (root / place).is_file()
        for line in re.findall(r"(?:^|`|run: |exec |\$ )make ((?:[\w-]+ ?)+)(?![\w-]*=)",
                               (root / place).read_text(encoding="utf-8"), re.MULTILINE)
        for word in line.split()
    }  # fmt: skip
    assert (".ci/run", "test") in said
    assert {(place, word) for place, word in said if word not in known} == set()


READ = {
    "init": "CLIPS OUT",
    "train-dml": "CONFIG RUN SEED OVERRIDES",
    "train": "SEED OVERRIDES",
    "export": "CONFIG RUN CHECKPOINT BUNDLE SEED OVERRIDES",
    "predict": "CONFIG RUN CHECKPOINT BUNDLE SEED OVERRIDES VIDEO LABELS",
    "qat": "CONFIG RUN CHECKPOINT BUNDLE SEED OVERRIDES QAT GOAL",
    "engine": "CONFIG RUN CHECKPOINT BUNDLE SEED OVERRIDES PRECISION ENGINE_OPTIONS",
    "benchmark": "SEED OVERRIDES",
    "study": "METHODS SEEDS CONFIGS FOLDS OVERRIDES",
    "study-real": "ROOT SETS STUDENT_START TEACHER_START SEEDS CONFIGS FOLDS OVERRIDES",
    "doctor": "BUNDLE",
    "test": "JOBS",
    "help": "",
}


@needs_make
@pytest.mark.parametrize("target", READ)
def test_a_variable_that_a_target_does_not_read_is_an_error(installed: Path, target: str) -> None:
    header = (installed / "Makefile").read_text(encoding="utf-8")
    known = set(re.findall(r"^#   ([A-Z_]+)=", header, re.MULTILINE))
    read = {"PYTHON", *READ[target].split()}
    assert read < known
    for name in (*known, "VIDOE"):
        done = _make(installed, "--dry-run", target, f"{name}=some")
        if name in read:
            assert " does not read " not in done.stderr
        else:
            assert done.returncode == 2 and f"{target} does not read {name}=" in done.stderr
            assert all(f"{one}=" in done.stderr for one in read) and not done.stdout


@needs_make
def test_targets_asked_for_together_read_what_either_reads(installed: Path) -> None:
    done = _make(installed, "--dry-run", "doctor", "train", "BUNDLE=b", "SEED=1")
    assert done.returncode == 0, done.stderr
    assert _make(installed, "--dry-run", "doctor", "train", "GOAL=1").returncode == 2


@pytest.fixture
def installed(root: Path, tmp_path: Path) -> Path:
    """A checkout whose .venv looks installed."""
    for name in ("Makefile", "setup.cfg", "pyproject.toml", "constraints.txt"):
        shutil.copy(root / name, tmp_path)
        os.utime(tmp_path / name, (1e9, 1e9))
    (tmp_path / ".venv").mkdir()
    for age, stamp in enumerate(("made", "setup", "dev")):
        (tmp_path / ".venv" / stamp).touch()
        os.utime(tmp_path / ".venv" / stamp, (1.1e9 + age, 1.1e9 + age))
    return tmp_path


@needs_make
def test_a_second_setup_installs_nothing(installed: Path) -> None:
    assert _make(installed, "--question", "setup").returncode == 0
    assert "pip install" not in _make(installed, "--dry-run", "test").stdout


@needs_make
def test_a_study_takes_seeds_and_overrides(installed: Path) -> None:
    given = ("SEEDS=1 2 3", "OVERRIDES=epochs=2 seed=5")
    for methods, module in ((), "study"), (("METHODS=kd dkd",), "methods kd dkd"):
        said = _make(installed, "--dry-run", "study", *given, *methods).stdout
        assert f"-m benchmarks.{module} --seeds 1 2 3 -o epochs=2 -o seed=5" in said
    said = _make(installed, "--dry-run", "study", "FOLDS=5", "CONFIGS=a=b.yaml c=d.yaml").stdout
    assert "--configs a=b.yaml c=d.yaml --folds 5" in said and "motions" not in said
    said = _make(installed, "--dry-run", "study-real", "ROOT=clips", "SETS=a b", "FOLDS=3").stdout
    assert "benchmarks.real --root clips" in said and "--sets a b" in said and "--folds 3" in said


@needs_make
def test_a_bundle_of_other_weights_is_made_again_wherever_its_run_lies(
    root: Path, installed: Path
) -> None:
    """Newer weights of the run, or those of another run whose folder has the same name."""
    (installed / ".venv" / "bin").mkdir()
    python = installed / ".venv" / "bin" / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={root} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    checkpoint = installed / "elsewhere" / "mine" / "best.pdparams"
    bundle = installed / "bundles" / "mine" / "bundle.json"
    for folder in (checkpoint.parent, bundle.parent):
        folder.mkdir(parents=True)
    checkpoint.write_bytes(b"weights")
    bundle.write_text(json.dumps({"sha256": hashlib.sha256(b"weights").hexdigest()}))

    def exports(*arguments: str) -> bool:
        return "-m export -" in _make(installed, "--dry-run", *arguments).stdout

    assert not exports("predict", f"RUN={checkpoint.parent}")
    checkpoint.write_bytes(b"other weights")
    assert exports("predict", "RUN=elsewhere/mine/") and exports("triton", "RUN=elsewhere/mine")
    assert not exports("predict", "RUN=elsewhere/mine", f"BUNDLE={bundle.parent}")
    shutil.move(checkpoint.parent, installed / "runs" / "mine")
    assert exports("engine", "RUN=runs/mine")
    assert exports("benchmark")


@needs_make
@pytest.mark.parametrize("changed", ["setup.cfg", "constraints.txt"])
def test_changed_requirements_are_installed(installed: Path, changed: str) -> None:
    (installed / changed).touch()
    assert _make(installed, "--question", "setup").returncode == 1
    assert "pip install" in _make(installed, "--dry-run", "test").stdout


@needs_make
@pytest.mark.parametrize(
    ("refuses", "said"),
    [("version_info", "3.10, 3.11 or 3.12 is needed"), ("ensurepip", "lacks the venv module")],
)
def test_an_unfit_interpreter_is_refused(
    installed: Path, tmp_path: Path, refuses: str, said: str
) -> None:
    shutil.rmtree(installed / ".venv")
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\ncase "$*" in *{refuses}*) exit 1;; esac\nexit 0\n')
    python.chmod(0o755)
    done = _make(installed, "setup", f"PYTHON={python}")
    assert done.returncode != 0
    assert said in done.stderr
    assert not (installed / ".venv").exists()


@pytest.fixture
def asked(installed: Path) -> Callable[..., tuple[int, list[str]]]:
    """`asked("demo", ends={"benchmarks.gain": 1})`: make's status, and what Python was asked to do.

    ends: the status of some modules; that of others is 0.
    """
    python = installed / ".venv" / "bin" / "python"
    python.parent.mkdir()

    def run(target: str, *, ends: dict[str, int]) -> tuple[int, list[str]]:
        cases = "".join(
            f"case $2 in {name}) exit {status};; esac\n" for name, status in ends.items()
        )
        python.write_text(f'#!/bin/sh\necho "$*" >> asked\n{cases}')
        python.chmod(0o755)
        (installed / "asked").unlink(missing_ok=True)
        status = _make(installed, target).returncode
        return status, (installed / "asked").read_text().splitlines()

    return run


def modules(lines: list[str]) -> list[str]:
    return [words[1] if words[0] == "-m" else words[0] for words in map(str.split, lines)]


EXPORT = ["train.data.motions", "benchmarks.side_by_side", "export", "export"]


@needs_make
@pytest.mark.parametrize(
    ("target", "current", "stale"),
    [
        ("predict", ["infer/predict.py"], [*EXPORT, "infer/predict.py"]),
        ("engine", ["export.tensorrt"], [*EXPORT, "export.tensorrt"]),
        ("triton", ["export.triton"], [*EXPORT, "export.triton"]),
        ("sensitivity", ["export.sensitivity"], [*EXPORT, "export.sensitivity"]),
        ("benchmark", ["benchmarks.gain"], [*EXPORT, "benchmarks.gain"]),
        ("report", ["benchmarks.report"], [*EXPORT, "benchmarks.gain", "benchmarks.report"]),
    ],
)
def test_what_is_out_of_date_is_made_first(
    asked: Callable[..., tuple[int, list[str]]], target: str, current: list[str], stale: list[str]
) -> None:
    for status, wanted in ((0, current), (1, stale)):
        done, lines = asked(target, ends={"benchmarks.up_to_date": status})
        found = [name for name in modules(lines) if name != "benchmarks.up_to_date"]
        assert done == 0 and found == wanted


@needs_make
@pytest.mark.parametrize(("status", "ended"), [(0, 0), (1, 2), (2, 2), (130, 2)])
def test_a_failed_gate_ends_make(
    asked: Callable[..., tuple[int, list[str]]], status: int, ended: int
) -> None:
    """2 is how make itself says that a command ended with anything but 0.

    The gate writes the report; the demo asks it to tell only what fails.
    """
    for target in ("benchmark", "demo"):
        done, lines = asked(target, ends={"benchmarks.gain": status})
        assert done == ended
        (gate,) = (line for line in lines if line.startswith("-m benchmarks.gain"))
        assert "--report reports/demo" in gate and ("--tell-only" in gate) == (target == "demo")


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
    # The demo's teacher comes with the checkout.
    most = {".pdparams": 3e6}
    large = {
        p.name: p.stat().st_size
        for p in files
        if p.is_file() and p.stat().st_size > most.get(p.suffix, 1.5e6)
    }
    assert large == {}
