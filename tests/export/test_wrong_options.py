"""Options that cannot be worked with are refused at once, all of them in one message."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from export import sensitivity
from export.__main__ import main
from export.assemble.options import ExportOptions
from export.int8.defaults import Goal
from export.option_limits import OptionError, folder_problems
from export.qat import __main__ as qat
from export.tensorrt import __main__ as tensorrt
from export.triton import __main__ as triton

EXPORT = (
    *("--threads=100000", "--max-batch=99999999", "--verify-clips=-1", "--calibration-clips=0"),
    *("--int8-goal=nan", "--int8-least=1e9", "--int8-most=2", "--keep-float=[", "--keep-float="),
    *("--require=fp61", "--name=a\nb"),
)
SENSITIVITY = (
    *("--calibration-clips=0", "--clips=-1", "--goal=inf", "--least=nan", "--most=2"),
    "--threads=100000",
)
TENSORRT = ("--min-batch=0", "--opt-batch=-3", "--max-batch=99999999", "--workspace=0")


def told(flag: str, text: str) -> bool:
    return flag.partition("=")[0] in text


def test_every_wrong_option_of_an_export_is_told_before_anything_is_read(
    tmp_path: Path, root: Path
) -> None:
    # In a process of its own, without the packages that take seconds to load.
    code = (
        "import sys\n"
        "for name in ('paddle', 'onnx', 'onnxruntime'):\n"
        "    sys.modules[name] = None\n"
        "from export.__main__ import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    target = tmp_path / "holds something"
    target.mkdir()
    (target / "thesis.txt").write_text("...")
    config = tmp_path / "no.yaml"
    command = ["--checkpoint", str(tmp_path / "no.pdparams"), "-c", str(config)]
    command += ["--out", str(target), *EXPORT]
    done = subprocess.run(
        [sys.executable, "-c", code, *command], cwd=root, capture_output=True, text=True
    )
    assert done.returncode == 2 and done.stdout == "", done.stderr
    assert [flag for flag in EXPORT if not told(flag, done.stderr)] == []
    assert done.stderr.count("--keep-float") == 2
    assert str(target) in done.stderr and str(config) in done.stderr


@pytest.mark.parametrize("flag", EXPORT)
def test_each_wrong_option_of_an_export_is_one_sentence(
    flag: str,
    experiment: Callable[..., Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    made = experiment("single")
    command = ["--checkpoint", str(made.checkpoint), "-c", str(made.config)]
    more = ["--int8-goal", "1"] if "least" in flag or "most" in flag else []
    assert main([*command, "--out", str(tmp_path / "b"), *more, flag]) == 2
    said = capsys.readouterr()
    first, *_ = said.err.splitlines()
    assert first.startswith(f"error: {flag.partition('=')[0]} ") and said.out == ""
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("flag", ["--int8-goal=1", "--keep-float=fc", "--reduce-range", "--qat=x"])
def test_an_option_about_files_that_are_not_made_is_refused(flag: str, tmp_path: Path) -> None:
    given: dict[str, Any] = {
        "--int8-goal=1": {"goal": Goal(1.0)},
        "--keep-float=fc": {"keep_float": ("fc",)},
        "--reduce-range": {"reduce_range": True},
        "--qat=x": {"qat": tmp_path},
    }[flag]
    with pytest.raises(OptionError) as caught:
        ExportOptions(int8=(), **given)
    assert told(flag, str(caught.value)) and "--no-int8" in str(caught.value)


def test_limits_are_allowed() -> None:
    ExportOptions(threads=1, max_batch=1 << 16, goal=Goal(0.0, 100.0), most_float=1.0)
    ExportOptions(threads=1024, goal=Goal(100.0, 0.0), most_float=0.0, verify_clips=0)


def test_a_batch_that_no_memory_holds_is_refused(
    experiment: Callable[..., Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = experiment("single")
    command = ["--checkpoint", str(made.checkpoint), "-c", str(made.config), "--max-batch", "3"]
    # A machine with room for two of its clips of 4 frames of 32 x 32, as bytes and as float32.
    sizes = {"SC_PAGE_SIZE": 1, "SC_PHYS_PAGES": 2 * 5 * 4 * 32 * 32 * 3}
    monkeypatch.setattr("infer.system.hardware.os.sysconf", sizes.__getitem__)
    assert main([*command, "--out", str(tmp_path / "b")]) == 2
    assert "--max-batch is 3" in capsys.readouterr().err


def test_a_pattern_that_is_in_no_name_is_refused(
    experiment: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = experiment("single")
    command = ["--checkpoint", str(made.checkpoint), "-c", str(made.config), "--threads", "1"]
    command += ["--max-batch", "1", "--keep-float", "blocks77"]
    assert main([*command, "--out", str(tmp_path / "b")]) == 2
    said = capsys.readouterr().err
    assert "--keep-float 'blocks77'" in said and "names are like" in said
    assert not list(tmp_path.iterdir())


def test_every_wrong_option_of_the_search_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sensitivity.main(["--bundle", str(tmp_path), *SENSITIVITY]) == 2
    said = capsys.readouterr().err
    assert [flag for flag in SENSITIVITY if not told(flag, said)] == []


def test_a_result_that_cannot_be_written_is_told_before_the_search(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    out = tmp_path / "file" / "found.json"
    assert sensitivity.main(["--bundle", str(tmp_path / "none"), "--out", str(out)]) == 2
    assert str(tmp_path / "file") in capsys.readouterr().err


def test_a_fine_tune_that_cannot_be_written_is_told_before_it_begins(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    none = str(tmp_path / "none")
    for output in (tmp_path / "file", tmp_path / "file" / "below"):
        command = ["--checkpoint", none, "-c", none, "--qat", none, "--out", str(output)]
        assert qat.main(command) == 2
        said = capsys.readouterr().err
        assert "--out" in said and f"{tmp_path / 'file'} is a file" in said
    assert folder_problems("output", tmp_path / "a" / "b") == []


def test_every_wrong_option_of_an_engine_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tensorrt.main(["--bundle", str(tmp_path), *TENSORRT, "--device=-1"]) == 2
    said = capsys.readouterr().err
    assert [flag for flag in (*TENSORRT, "--device") if not told(flag, said)] == []


def test_every_wrong_option_of_a_model_repository_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = ("--instances=100000", "--delay=99999999999")
    assert triton.main(["--bundle", str(tmp_path), "--out", str(tmp_path / "r"), *wrong]) == 2
    said = capsys.readouterr().err
    assert [flag for flag in wrong if not told(flag, said)] == []
