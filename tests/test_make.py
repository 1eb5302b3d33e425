"""The targets of the Makefile: what they read, what they make first, and how they end."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="GNU make is not installed")

TARGETS = [
    *("setup", "data", "train-baseline", "train-dml", "export", "predict", "benchmark", "report"),
    *("perturb", "test-corpus"),
    *("engine", "triton", "demo", "study", "doctor", "test", "test-gpu", "lint", "clean"),
    *("triton-server", "test-triton"),
]


def _make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
    return subprocess.run(
        ["make", *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )


def test_help_describes_every_target(root: Path) -> None:
    done = _make(root, "help")
    assert done.returncode == 0, done.stderr
    described = dict(re.findall(r"^  ([a-z-]+) +(\S.+)$", done.stdout, re.MULTILINE))
    assert set(TARGETS) <= set(described)
    phony = re.search(r"^\.PHONY: ((?:.*\\\n)*.*)$", (root / "Makefile").read_text(), re.MULTILINE)
    assert phony
    assert set(phony[1].replace("\\", " ").split()) == set(described)


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
    "init": "CLIPS OUT START",
    "train-dml": "CONFIG RUN SEED OVERRIDES",
    "train": "SEED OVERRIDES",
    "export": "CONFIG RUN CHECKPOINT BUNDLE SEED OVERRIDES REDUCE_RANGE",
    "predict": "CONFIG RUN CHECKPOINT BUNDLE SEED OVERRIDES VIDEO LABELS",
    "qat": "CONFIG RUN CHECKPOINT BUNDLE SEED OVERRIDES QAT GOAL",
    "engine": "CONFIG RUN CHECKPOINT BUNDLE SEED OVERRIDES PRECISION ENGINE_OPTIONS",
    "benchmark": "CONFIG SEED OVERRIDES",
    "perturb": "CONFIG SEED OVERRIDES",
    "study": "METHODS SEEDS CONFIGS FOLDS OVERRIDES REDUCE_RANGE",
    "study-real": "ROOT SETS ADD STUDENT_START TEACHER_START SEEDS CONFIGS FOLDS OVERRIDES "
    "REDUCE_RANGE",
    "doctor": "BUNDLE",
    "test": "JOBS",
    "help": "",
}


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


@pytest.mark.parametrize("name", ["CONFIGS", "FOLDS", "REDUCE_RANGE"])
def test_a_comparison_of_methods_does_not_read_what_a_study_alone_takes(
    installed: Path, name: str
) -> None:
    done = _make(installed, "--dry-run", "study", "METHODS=kd", f"{name}=5")
    assert done.returncode == 2 and f"study does not read {name}=" in done.stderr


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


def test_a_second_setup_installs_nothing(installed: Path) -> None:
    assert _make(installed, "--question", "setup").returncode == 0
    assert "pip install" not in _make(installed, "--dry-run", "test").stdout


def test_a_study_takes_seeds_and_overrides(installed: Path) -> None:
    given = ("SEEDS=1 2 3", "OVERRIDES=epochs=2 seed=5")
    for methods, module in ((), "study"), (("METHODS=kd dkd",), "methods kd dkd"):
        said = _make(installed, "--dry-run", "study", *given, *methods).stdout
        assert f"-m benchmarks.{module} --seeds 1 2 3 -o epochs=2 -o seed=5" in said
    said = _make(installed, "--dry-run", "study", "FOLDS=5", "CONFIGS=a=b.yaml c=d.yaml").stdout
    assert "--configs a=b.yaml c=d.yaml --folds 5" in said and "motions" not in said
    said = _make(installed, "--dry-run", "study-real", "ROOT=clips", "SETS=a b", "FOLDS=3").stdout
    assert "benchmarks.real --root clips" in said and "--sets a b" in said and "--folds 3" in said


@pytest.fixture
def written(installed: Path) -> Path:
    """A checkout with what `init` wrote to sets/mine, without its content."""
    (installed / "sets" / "mine").mkdir(parents=True)
    for name in ("baseline", "dml"):
        (installed / "sets" / "mine" / f"{name}.yaml").touch()
    return installed


@pytest.mark.parametrize("folder", ["sets/mine", "sets/mine/"])
def test_the_folder_that_init_wrote_goes_through_all_targets(written: Path, folder: str) -> None:
    targets = ("train-baseline", "train-dml", "export", "benchmark", "perturb")
    done = _make(written, "--dry-run", *targets, f"CONFIG={folder}")
    assert done.returncode == 0, done.stderr
    python = ".venv/bin/python -m "
    lines = [line for line in done.stdout.splitlines() if line.startswith(python)]
    run, bundle = "runs/mine-{}", "bundles/mine-{}"
    wanted = [
        *(f"train -c sets/mine/{one}.yaml --output {run.format(one)} --resume"
          for one in ("baseline", "dml")),
        *(f"export --checkpoint {run.format(one)}/best.pdparams -c sets/mine/{one}.yaml "
          f"--out {bundle.format(one)}" for one in ("baseline", "dml")),
        f"benchmarks.gain --baseline {bundle.format('baseline')} --student {bundle.format('dml')} "
        "-c sets/mine/dml.yaml --seconds 5 --out reports/mine/results.json --report reports/mine",
        f"benchmarks.perturb --baseline {bundle.format('baseline')} "
        f"--student {bundle.format('dml')} -c sets/mine/dml.yaml --out reports/mine/perturb",
    ]  # fmt: skip
    # Without bundles, the gate has all before it made once more.
    asked = dict.fromkeys(" ".join(line.removeprefix(python).split()) for line in lines)
    assert list(asked) == wanted


def test_what_a_folder_of_init_cannot_be_used_for_is_told(written: Path) -> None:
    (written / ".venv" / "bin").mkdir()
    (written / ".venv" / "bin" / "python").write_text("#!/bin/sh\nexit 0\n")
    (written / ".venv" / "bin" / "python").chmod(0o755)
    for target in ("benchmark", "perturb", "report"):
        done = _make(written, target, "CONFIG=sets/mine/dml.yaml")
        assert done.returncode == 2 and "baseline.yaml and dml.yaml" in done.stderr
    for target, name in (("train-dml", "RUN"), ("export", "CHECKPOINT"), ("export", "BUNDLE")):
        done = _make(written, "--dry-run", target, "CONFIG=sets/mine", f"{name}=some")
        assert done.returncode == 2 and "leave RUN=" in done.stderr, (target, name)
    said = _make(written, "--dry-run", "predict", "CONFIG=sets/mine", "BUNDLE=some").stdout
    assert "--bundle some" in said


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


@pytest.mark.parametrize("changed", ["setup.cfg", "constraints.txt"])
def test_changed_requirements_are_installed(installed: Path, changed: str) -> None:
    (installed / changed).touch()
    assert _make(installed, "--question", "setup").returncode == 1
    assert "pip install" in _make(installed, "--dry-run", "test").stdout


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
