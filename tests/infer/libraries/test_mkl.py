"""AVX2 is asked for where MKL would not take it by itself, and nowhere else."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from infer.libraries.mkl import AVX2, VARIABLE, use_avx2_on_amd

FLAGS = "fpu sse2 fma avx avx2"
AMD = f"processor\t: 0\nvendor_id\t: AuthenticAMD\nflags\t\t: {FLAGS}\n\nprocessor\t: 1\n"


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment without the variable, and the one of before put back at the end.

    Setting it first makes `monkeypatch` remember what was there, even where nothing was.
    """
    monkeypatch.setenv(VARIABLE, "")
    monkeypatch.delenv(VARIABLE)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (AMD, AVX2),
        (AMD.replace("AuthenticAMD", "GenuineIntel"), None),
        (AMD.replace(" avx2", ""), None),
        ("Features\t: asimd\n", None),
        ("", None),
    ],
)
def test_only_amd_processors_with_avx2(
    text: str, expected: str | None, tmp_path: Path, fresh: None
) -> None:
    (tmp_path / "cpuinfo").write_text(text)
    use_avx2_on_amd(tmp_path / "cpuinfo")
    assert os.environ.get(VARIABLE) == expected


def test_what_the_user_set_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "4")
    (tmp_path / "cpuinfo").write_text(AMD)
    use_avx2_on_amd(tmp_path / "cpuinfo")
    assert os.environ[VARIABLE] == "4"


def test_a_system_without_the_file_is_left_alone(tmp_path: Path, fresh: None) -> None:
    use_avx2_on_amd(tmp_path / "missing")
    assert VARIABLE not in os.environ


def test_training_asks_before_paddle_is_loaded(root: Path, fresh: None) -> None:
    code = f"import sys, os, train; print('paddle' in sys.modules, os.environ.get({VARIABLE!r}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    loaded, value = done.stdout.split()
    use_avx2_on_amd()
    assert loaded == "False" and value == str(os.environ.get(VARIABLE))
