"""What reaches a person: printable, whatever the standard streams are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from infer.bundle.bundle import Bundle
from infer.predict import main
from infer.system.errors import BackendUnavailable, ClipDuetError, VideoError
from infer.system.terminal import discard_output, printable
from tests.tiny_bundle import bundle_dict

ROOT = Path(__file__).resolve().parents[3]
PREDICT = f"{sys.executable} {ROOT}/infer/predict.py"
RED = "\x1b[31mred\x1b]0;title\x07\u202egnp.exe"
"""Colours, sets the window's title, and turns the rest of the line round."""
ESCAPED = "\\x1b[31mred\\x1b]0;title\\x07\\u202egnp.exe"


def shell(command, cwd):
    # As users have it: what is left in a buffer is written once more at the end.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    return subprocess.run(
        ["bash", "-c", command], cwd=cwd, env=environment, capture_output=True, text=True
    )


@pytest.fixture
def wild(make_bundle):
    """A bundle whose names hold control characters, written as a stranger would."""
    folder = make_bundle()
    data = bundle_dict(folder)
    data["classes"] = [RED, "green\nblue  0.9999", "\x9b2J"]
    data["name"] = RED
    (folder / "bundle.json").write_text(json.dumps(data))
    try:
        Bundle.load(folder)
    except ClipDuetError:
        pytest.skip("such names are refused")
    return folder


@pytest.mark.parametrize("form", ["table", "json"])
def test_class_names_reach_the_screen_printable(wild, colour_clip, capsys, form):
    clip = colour_clip("a.mp4", "red")
    assert main(["--bundle", str(wild), "--video", str(clip), "--format", form]) == 0
    out, _ = capsys.readouterr()
    assert printable(out, keep="\n") == out
    if form == "table":
        assert ESCAPED in out and len(out.splitlines()) == 2
    else:
        assert json.loads(out)["label"] == RED


def test_the_doctor_is_printable(wild, capsys):
    from infer.doctor import main as doctor

    doctor(["--bundle", str(wild)])
    out, _ = capsys.readouterr()
    assert printable(out, keep="\n") == out and "\\x1b[31mred" in out


@pytest.mark.parametrize(
    "error",
    [
        ClipDuetError(f"{RED} is wrong"),
        VideoError(RED, "no such file"),
        BackendUnavailable(RED, "not there", "pip install"),
    ],
)
def test_errors_are_printable(error):
    assert ESCAPED in str(error) and printable(str(error)) == str(error)


def test_texts_stay_as_they_are():
    text = "Grüße, 動画\u3000🎬 a\\b"
    assert printable("Grüße, 動画 🎬 a\\b") == "Grüße, 動画 🎬 a\\b"
    assert printable(text.replace("\u3000", "\n"), keep="\n") == text.replace("\u3000", "\n")


def test_a_name_that_the_terminal_has_no_letters_for_is_an_escape(
    make_bundle, colour_clip, tmp_path
):
    make_bundle()
    colour_clip("grün.mp4", "green")
    for form in ("table", "csv"):
        command = f"{PREDICT} --bundle bundle --video grün.mp4 --format {form}"
        done = shell(f"PYTHONIOENCODING=ascii {command}", tmp_path)
        assert (done.returncode, done.stderr) == (0, "") and "gr\\xfcn.mp4" in done.stdout


def test_discarded_output_takes_no_descriptor(tmp_path):
    before = len(os.listdir("/proc/self/fd"))
    with (tmp_path / "file").open("w") as file:
        discard_output(file)
        assert len(os.listdir("/proc/self/fd")) == before + 1


@pytest.mark.parametrize("closed", [">&-", "<&- >&-", "<&- >&- 2>&-"])
def test_a_closed_stdout_is_told(make_bundle, colour_clip, tmp_path, closed):
    make_bundle()
    colour_clip("a.mp4", "red")
    done = shell(f"{PREDICT} --bundle bundle --video a.mp4 {closed}", tmp_path)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "2>&-" in closed or "closed" in done.stderr
    command = f"{PREDICT} --bundle bundle --video a.mp4 --output out.json {closed}"
    done = shell(command, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert json.loads((tmp_path / "out.json").read_text())[0]["label"] == "red"


def test_a_closed_stderr_puts_nothing_into_the_answers(make_bundle, colour_clip, tmp_path):
    make_bundle()
    colour_clip("a.mp4", "red")
    command = f"{PREDICT} --bundle bundle --video a.mp4 none*.mp4 --format json 2>&-"
    done = shell(command, tmp_path)
    assert done.returncode == 1 and len([json.loads(x) for x in done.stdout.splitlines()]) == 2


def test_a_full_stdout_is_told(make_bundle, colour_clip, tmp_path):
    make_bundle()
    colour_clip("a.mp4", "red")
    done = shell(f"{PREDICT} --bundle bundle --video a.mp4 >/dev/full", tmp_path)
    assert done.returncode == 2 and "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr


def test_a_full_stderr_is_no_success(make_bundle, colour_clip, tmp_path):
    make_bundle()
    colour_clip("v/a.mp4", "red")
    (tmp_path / "v" / "notes.txt").touch()  # a note is said about it
    done = shell(f"{PREDICT} --bundle bundle --video v --format json 2>/dev/full", tmp_path)
    assert done.returncode == 1 and json.loads(done.stdout)["label"] == "red"


@pytest.mark.parametrize("redirected", [">&-", ">/dev/full", ">&- 2>&-", "2>&-"])
def test_the_doctor_ends_without_a_traceback(tmp_path, redirected):
    command = f"PYTHONPATH={ROOT} {sys.executable} -m infer.doctor"
    done = shell(f"{command} --bundle nowhere {redirected}", tmp_path)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    done = shell(f"{command} {redirected}", tmp_path)
    assert done.returncode == (0 if redirected == "2>&-" else 2)
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr
