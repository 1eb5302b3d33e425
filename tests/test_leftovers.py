"""A test that changes the process for those after it fails, and is said to."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TESTS = """
import locale, os, pytest, resource, signal, sys, types

@pytest.fixture(scope="session", autouse=True)
def of_the_session():
    os.environ["OF_THE_SESSION"] = "1"

def test_environment():
    os.environ["LEFT"] = "1"
    del os.environ["HAD"]

def test_folder(tmp_path):
    os.chdir(tmp_path)

def test_path():
    sys.path.insert(0, "/left")

def test_signals():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)

def test_locale():
    locale.setlocale(locale.LC_ALL, "C.UTF-8" if locale.setlocale(locale.LC_ALL) == "C" else "C")

def test_umask():
    os.umask(0o012)

def test_limits():
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (7, most))

def test_modules():
    sys.modules["json"] = types.ModuleType("json")

def test_whole(monkeypatch, tmp_path):
    import wave
    assert os.environ["HAD"] == "1" and "LEFT" not in os.environ and "/left" not in sys.path
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_DFL
    assert resource.getrlimit(resource.RLIMIT_CORE)[0] != 7
    assert hasattr(sys.modules["json"], "loads")
    monkeypatch.setenv("LEFT", "1")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("/left")
"""
LEFT = {
    "environment": "environment variable LEFT",
    "folder": "working folder",
    "path": "sys.path",
    "signals": "SIGHUP",
    "locale": "locale",
    "umask": "umask",
    "limits": "RLIMIT_CORE",
    "modules": "module json",
}


def test_what_a_test_leaves_is_told_and_taken_back(tmp_path: Path, root: Path) -> None:
    file = tmp_path / "test_of_all_kinds.py"
    file.write_text(TESTS)
    environment = {**os.environ, "HAD": "1", "LC_ALL": "C", "PYTHONPATH": str(root)}
    command = [sys.executable, "-m", "pytest", "-p", "tests.leftovers", "-p", "no:cacheprovider"]
    command += ["-p", "no:randomly", "-c", os.devnull, "--rootdir", str(tmp_path), str(file)]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    lines = done.stdout.splitlines()
    for name, left in LEFT.items():
        title = next(
            i for i, line in enumerate(lines) if f"ERROR at teardown of test_{name} " in line
        )
        assert left in lines[title + 1]
    assert f"{len(LEFT) + 1} passed, {len(LEFT)} errors" in lines[-1]
