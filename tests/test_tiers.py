"""Every test gets the tier that what it uses says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tiers import TIERS

TESTS = """
import subprocess, sys
import pytest
from infer.isolation.reading import IsolatedReading

def helper():
    return subprocess.run([sys.executable, "-c", ""])

@pytest.fixture
def isolated():
    return lambda: IsolatedReading(2)

@pytest.fixture
def shared():
    return 1

class Held:
    def start(self):
        helper()

def test_plain():
    assert sys.executable

def test_of_a_helper():
    assert helper().returncode == 0

def test_of_a_fixture(isolated):
    assert isolated

def test_of_a_class():
    assert Held()

def test_of_an_import_of_its_own():
    from infer.predict import main
    assert main

def test_of_another_project(shared):
    assert shared

@pytest.mark.unit
def test_that_says_so():
    assert helper

@pytest.mark.torture
def test_of_hours():
    assert helper
"""
CONFTEST = """
from tests import tiers

def pytest_collection_modifyitems(items):
    tiers.mark(items)
"""
EXPECTED = {
    "unit": {"test_plain", "test_that_says_so"},
    "e2e": {
        "test_of_a_helper",
        "test_of_a_fixture",
        "test_of_a_class",
        "test_of_an_import_of_its_own",
    },
    "peer": {"test_of_another_project"},
}


@pytest.fixture(scope="module")
def suite(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("suite")
    tests = folder / "tests"
    tests.mkdir()
    (tests / "tiers.py").write_bytes((root / "tests" / "tiers.py").read_bytes())
    (tests / "conftest.py").write_text(CONFTEST)
    (tests / "test_of_tiers.py").write_text(TESTS)
    (folder / "setup.cfg").write_bytes((root / "setup.cfg").read_bytes())
    return folder


@pytest.mark.parametrize("tier", TIERS)
def test_a_tier_is_worked_out_from_what_a_test_uses(suite: Path, root: Path, tier: str) -> None:
    path = os.pathsep.join([str(suite), str(root)])
    command = [sys.executable, "-m", "pytest", "-q", "--collect-only", "-m", tier]
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider", "tests"], cwd=suite, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    found = {line.split("::")[1] for line in done.stdout.splitlines() if "::" in line}
    assert found == EXPECTED[tier], done.stdout + done.stderr
