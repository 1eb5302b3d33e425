"""Nothing reports to anybody: no call, and no identifier left in the user's home."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import distributions

import pytest

CPU = ("onnxruntime", "openvino", "paddle")
TOLD = ("CLIPDUET_TELEMETRY", "ORT_DISABLE_TELEMETRY", "CI", "TF_BUILD", "JENKINS_URL")
"""What would keep some libraries silent by itself, or make them talk."""
ADDRESS = re.compile(r"sa_family=(AF_INET6?), .*?(?:inet_addr\(|inet_pton\(AF_INET6, )\"([^\"]+)\"")
HERE = ("127.0.0.1", "::1")


@pytest.fixture
def environment(tmp_path):
    """That of a user whose home is empty; `home` is where."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in TOLD and not name.startswith("XDG_")
    }
    home = tmp_path / "home"
    home.mkdir()
    return {**kept, "HOME": str(home)}


def left_in(home):
    return sorted(str(path.relative_to(home)) for path in home.rglob("*") if path.is_file())


def called(trace):
    """Addresses beyond this machine that a process and its children called."""
    found = [match.group(2) for match in ADDRESS.finditer(trace.read_text(errors="replace"))]
    return sorted({address for address in found if address not in HERE})


@pytest.fixture
def watched(tmp_path):
    """Runs a command under strace where that works; returns whom it called, None: not watched."""

    def run(command, environment, root):
        trace = tmp_path / "trace"
        calls = "trace=connect,sendto,sendmsg,sendmmsg"
        strace = ["strace", "-f", "-qq", "-e", calls, "-o", str(trace)]
        works = shutil.which("strace") and not subprocess.run([*strace, "true"]).returncode
        done = subprocess.run(
            [*(strace if works else []), *command],
            cwd=root,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return called(trace) if works else None

    return run


@pytest.mark.parametrize("backend", CPU)
def test_a_prediction_tells_nobody(
    bundle_for, colour_clip, environment, watched, tmp_path, root, backend
):
    folder, clip = bundle_for(backend), colour_clip("a.mp4", "red")
    command = [sys.executable, "-m", "infer.predict", "--bundle", str(folder)]
    command += ["--video", str(clip), "--backend", backend, "--threads", "1"]
    addresses = watched(command, environment, root)
    assert left_in(tmp_path / "home") == []
    if addresses is None:
        pytest.skip("strace is not here, or may not trace: only the home was looked at")
    assert addresses == []


def test_the_doctor_tells_nobody(environment, watched, tmp_path, root):
    addresses = watched([sys.executable, "-m", "infer.doctor"], environment, root)
    assert left_in(tmp_path / "home") == []
    if addresses is None:
        pytest.skip("strace is not here, or may not trace: only the home was looked at")
    assert addresses == []


@pytest.mark.parametrize(("value", "silent"), [(None, True), ("0", True), ("1", False)])
def test_one_variable_turns_it_on(environment, root, value, silent):
    """For ONNX Runtime the choice is its own variable, for OpenVINO whether it finds a package."""
    if not any(True for _ in distributions(name="openvino-telemetry")):
        pytest.skip("openvino-telemetry is not installed")
    told = {} if value is None else {"CLIPDUET_TELEMETRY": value}
    code = (
        "import importlib.util, os\n"
        "import infer\n"
        "from infer.libraries.telemetry import hidden_from_openvino\n"
        "with hidden_from_openvino():\n"
        "    try:\n"
        "        import openvino_telemetry\n"
        "        found = True\n"
        "    except ImportError:\n"
        "        found = False\n"
        "print(os.environ.get('ORT_DISABLE_TELEMETRY'), found)\n"
        "import openvino_telemetry\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=root,
        env={**environment, **told},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == (["1", "False"] if silent else ["None", "True"])
