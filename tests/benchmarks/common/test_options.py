"""Numbers and folders on the command lines of benchmarks are looked at before any work."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

GATE = ["--baseline", "b", "--student", "s", "--data", "d"]
TOO_LARGE = [
    *(("gain", [*GATE, f"--{name}", "1e9" if name == "seconds" else "9999999999"])
      for name in ("threads", "workers", "batch", "seconds", "repetitions", "seed", "resamples")),
    ("study", ["--parallel", "9999"]),
    ("study", ["--seeds", "1", "9999999999"]),
    ("methods", ["kd", "--bootstrap-seed", "9999999999"]),
    ("precisions", ["--goal", "101"]),
    ("verdict_rates", ["--experiments", "9999999999"]),
    ("step_cost", ["--seconds", "1e9"]),
    ("cpu_kernels", ["--threads", "9999"]),
    ("loader", ["--workers", "1", "9999"]),
    ("loader", ["--steps", "9999999999"]),
    ("first_label", ["--starts", "9999999999"]),
    ("paddlevideo_step", ["--checkout", "x", "--batch-size", "9999999999"]),
    ("peers", ["--paddlevideo", "x", "--count", "9999999999"]),
    ("speed", ["--batch-sizes", "1", "9999999999"]),
]  # fmt: skip


def run(name: str, arguments: list[str]) -> int:
    package = f"benchmarks.{name}"
    if name in ("study", "methods", "peers", "precisions", "speed"):
        package += ".__main__"
    status: int = importlib.import_module(package).main(arguments)
    return status


@pytest.mark.parametrize(("name", "arguments"), TOO_LARGE)
def test_a_number_beyond_all_sense_is_refused(
    name: str, arguments: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = ["--out", str(tmp_path / "new" / "out")]
    assert run(name, [*arguments, *out]) == 2
    said = capsys.readouterr().err
    flag = next(word for word in reversed(arguments) if word.startswith("--"))
    assert f"{flag} is " in said and "; allowed: " in said and "Traceback" not in said
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["study", "methods", "precisions"])
def test_a_folder_that_cannot_be_written_is_told_before_hours_of_work(
    name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    methods = ["kd"] if name == "methods" else []
    assert run(name, [*methods, "--out", str(tmp_path / "file" / "below")]) == 2
    said = capsys.readouterr().err
    assert "--out" in said and f"{tmp_path / 'file'} is a file" in said
