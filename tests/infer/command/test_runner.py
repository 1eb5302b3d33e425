"""What a command makes of errors, signals and messages; see also tests/test_commands.py."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys

import pytest

from infer.command.runner import command
from infer.system.errors import ClipDuetError
from infer.system.log import logger, silenced

log = logger("infer.some.module")


class WorkFailedError(ClipDuetError):
    exit_status = 1


def ending(error):
    @command(failed="Nothing was written.", extra="train")
    def main():
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (ClipDuetError("no such class"), 2, "no such class"),
        (WorkFailedError("the loss diverged"), 1, "the loss diverged"),
        (FileNotFoundError(2, "No such file or directory", "a.list"), 2, "a.list: No such file"),
        (OSError(28, "No space left on device"), 2, "error: No space left"),
        (BrokenPipeError(32, "Broken pipe"), 2, "error: Broken pipe"),
        (ModuleNotFoundError("No module named 'pydantic'", name="pydantic"), 2, "'.[train]'"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_an_error_is_a_message_and_a_status(error, status, words, capsys):
    assert ending(error)() == status
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("error: ") and words in err
    assert err.endswith("Nothing was written.\n")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_is_told_and_ends_with_its_status(number, status, capsys):
    @command(stopped="the same command goes on")
    def main():
        os.kill(os.getpid(), number)
        return 0

    assert main() == status
    assert "stopped; " in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.parametrize("information", ["stdout", "stderr"])
def test_messages_go_where_a_command_wants_them(information, capsys):
    @command(information=information)
    def main():
        log.info("read a")
        log.warning("b is old")
        log.error("c: broken \x1b[31m")
        with silenced("infer.some"):
            log.error("of work within the work")
        print("result")
        return 1

    assert main() == 1
    out, err = capsys.readouterr()
    assert "read a\n" in (out if information == "stdout" else err)
    assert "b is old\n" in err and "error: c: broken \\x1b[31m\n" in err
    assert "result\n" in out and "within" not in out + err


def test_a_program_gets_no_messages_that_it_does_not_ask_for(capsys, caplog):
    caplog.set_level(logging.WARNING)
    log.info("read a")
    assert capsys.readouterr() == ("", "") and not caplog.messages
    caplog.set_level(logging.INFO, "clipduet")
    log.info("read a")
    assert [(one.name, one.message) for one in caplog.records] == [
        ("clipduet.some.module", "read a")
    ]


@pytest.mark.parametrize("module", ["infer.bundle.bundle", "clipduet.bundle.bundle"])
def test_a_module_logs_under_one_name_installed_or_not(module):
    assert logger(module).name == "clipduet.bundle.bundle"
    assert logger("train.engine.loop").name == "clipduet.train.engine.loop"


def test_a_full_stderr_is_no_success():
    code = (
        "from infer.command.runner import command, run_and_exit\n"
        "from infer.system.log import logger\n"
        "run_and_exit(command()(lambda: logger('infer.a').info('a') or 0))\n"
    )
    with open("/dev/full", "w") as full:
        assert (
            subprocess.run([sys.executable, "-c", code], stderr=full, check=False).returncode == 1
        )


@pytest.mark.parametrize("first", ["import cv2", "pass"])
def test_opencv_does_not_speak_beside_a_command(first):
    code = f"""
{first}
from infer.command.runner import command, run_and_exit
@command()
def main():
    import cv2
    import numpy as np
    _, png = cv2.imencode(".png", np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
    assert cv2.imdecode(png[: len(png) // 2], cv2.IMREAD_COLOR) is None
    return 0
run_and_exit(main)
"""
    environment = {k: v for k, v in os.environ.items() if k != "OPENCV_LOG_LEVEL"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def run(code, **options):
    """A command in a process of its own, whose streams have buffers as they usually have."""
    begin = (
        "import os, sys\n"
        "from infer.command.runner import command, run_and_exit\n"
        "from infer.system.log import logger\n"
    )
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    environment = {**kept, **options.pop("env", {})}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.run(
        [sys.executable, "-c", begin + code], env=environment, text=True, check=False, **pipes
    )


PRINTS = "run_and_exit(command()(lambda: print('a' * {}, flush={}) or 0))\n"


@pytest.mark.parametrize("code", [PRINTS.format(9, False), PRINTS.format(9, True)])
def test_a_full_stdout_is_told_as_the_output(code):
    with open("/dev/full", "w") as full:
        done = run(code, stdout=full)
    assert done.returncode == 2 and done.stderr.startswith("error: output: No space left")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("code", [PRINTS.format(9, False), PRINTS.format(10**6, True)])
def test_a_stdout_that_nobody_reads_ends_it_quietly(code):
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = run(code, stdout=writing)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


def test_another_pipe_that_breaks_is_an_error():
    done = run(
        "def main():\n"
        "    reading, writing = os.pipe()\n"
        "    os.close(reading)\n"
        "    os.write(writing, b'a')\n"
        "run_and_exit(command()(main))\n"
    )
    assert done.returncode == 2 and done.stderr.startswith("error: Broken pipe")


def test_a_file_that_is_full_is_not_taken_for_the_output():
    done = run(
        "def main():\n"
        "    print('first')\n"
        "    with open('/dev/full', 'w') as file:\n"
        "        file.write('a')\n"
        "run_and_exit(command()(main))\n"
    )
    assert (done.returncode, done.stdout) == (2, "first\n")
    assert "No space left" in done.stderr and "output" not in done.stderr


def test_a_stream_of_few_characters_shows_the_others_as_escapes():
    code = (
        "run_and_exit(command()(lambda: logger('infer.a').warning('ö') or print('ü\\ud800') or 0))"
    )
    done = run(code, env={"PYTHONIOENCODING": "ascii:strict"})
    assert (done.returncode, done.stdout, done.stderr) == (0, "\\xfc\\ud800\n", "\\xf6\n")


@pytest.mark.parametrize(
    "threads",
    ["start_abandoned(threading.Event().wait, name='waits')", "abandon_threads_of('a library')"],
)
@pytest.mark.parametrize("status", [0, 130])
def test_objects_of_a_thread_in_native_code_are_not_taken_down(root, status, threads):
    """It may use them while the interpreter ends, which aborts the process or never returns."""
    program = f"""
import atexit, threading
from infer.command.runner import command, run_and_exit
from infer.system.abandoned import abandon_threads_of, start_abandoned

atexit.register(print, "the interpreter ends", flush=True)

@command()
def main():
    print("done")
    {threads}
    return {status}

run_and_exit(main)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout, done.stderr) == (status, "done\n", "")
