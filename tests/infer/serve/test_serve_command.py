"""The command `clipduet serve`: what it prints, and how it ends."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from infer.bundle.bundle import write_bundle_json
from infer.serve.__main__ import main
from tests.infer.serve.conftest import wait_until

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def start(colours, tmp_path) -> Iterator[object]:
    """`start("--option", ...) -> process, address`, which is ready."""
    processes = []

    def started(*options, bundle=colours):
        (tmp_path / "tmp").mkdir(exist_ok=True)
        process = subprocess.Popen(
            [sys.executable, "-m", "infer", "serve", "--bundle", bundle, "--port", "0",
             "--threads", "1", *options],
            cwd=ROOT, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "TMPDIR": str(tmp_path / "tmp")},
            # Tests may run under nohup, and what is ignored is inherited.
            preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
        )  # fmt: skip
        processes.append(process)
        line = process.stderr.readline()
        found = re.search(r"http://\S+", line)
        assert found, line + process.stderr.read()
        return process, found[0]

    yield started
    for process in processes:
        process.kill()
        process.wait()
        process.stderr.close()


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)]
)
def test_a_signal_ends_it_after_what_was_accepted(broken_decoder, start, tmp_path, number, status):
    process, address = start()
    found = []

    def ask():
        found.append(httpx.post(f"{address}/predict", content=b"slow", timeout=60, trust_env=False))

    thread = threading.Thread(target=ask)
    thread.start()
    uploads = tmp_path / "tmp"
    wait_until(lambda: list(uploads.glob("clipduet-serve-*/*")))
    workers = psutil.Process(process.pid).children()
    assert workers
    process.send_signal(number)
    assert process.wait(60) == status
    thread.join()
    assert found[0].status_code == 422 and found[0].json()["kind"] == "unreadable"
    assert "Traceback" not in process.stderr.read()
    assert list(uploads.iterdir()) == []
    assert psutil.wait_procs(workers, timeout=60)[1] == []


def test_after_the_grace_time_what_is_left_is_told(broken_decoder, start, tmp_path):
    process, address = start("--grace", "1")
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", address), "only this machine reaches it"
    found = []

    def ask():
        found.append(httpx.post(f"{address}/predict", content=b"hang", timeout=60, trust_env=False))

    thread = threading.Thread(target=ask)
    thread.start()
    wait_until(lambda: list((tmp_path / "tmp").glob("clipduet-serve-*/*")))
    process.terminate()
    assert process.wait(60) == 143
    thread.join()
    assert found[0].status_code == 503 and found[0].json()["kind"] == "stopped"
    assert list((tmp_path / "tmp").iterdir()) == []


def test_who_opens_it_to_all_is_warned(colours, start):
    process, address = start("--host", "0.0.0.0")
    assert address.startswith("http://0.0.0.0:")
    assert "--tokens" in process.stderr.readline()


def test_an_address_that_is_taken(colours, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert main(["--bundle", str(colours), "--port", port]) == 2
    assert "already in use" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--host", "no host"], "--host"),
        (["--tokens", "/nothing/there"], "--tokens"),
        (["--bundle", "/nothing/there"], "no bundle"),
    ],
)
def test_wrong_options(colours, capsys, options, word):
    assert main(["--bundle", str(colours), "--port", "0", *options]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ") and word in err


@pytest.mark.parametrize("missing", ["fastapi", "uvicorn", "python_multipart", "prometheus_client"])
def test_a_missing_package_is_told_with_its_extra(colours, monkeypatch, capsys, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    assert main(["--bundle", str(colours), "--port", "0"]) == 2
    err = capsys.readouterr().err
    assert f"does not have {missing}" in err and "[serve]" in err


def test_curl_sends_a_body_or_a_form(running, videos):
    if shutil.which("curl") is None:
        pytest.skip("no curl")
    for options in (["--data-binary", "@red.mp4"], ["-F", "video=@red.mp4"]):
        command = ["curl", "-sS", "--noproxy", "*", *options, f"{running.url}/predict"]
        done = subprocess.run(command, cwd=videos, capture_output=True, text=True)
        assert json.loads(done.stdout)["results"][0]["label"] == "red", done.stderr


def test_a_precision_goal_is_the_threshold_of_requests(start, colours, videos, tmp_path):
    bundle = shutil.copytree(colours, tmp_path / "calibrated")
    data = json.loads((bundle / "bundle.json").read_text())
    table = [{"precision": 0.9, "threshold": 0.9}, {"precision": 0.8, "threshold": 0.5}]
    write_bundle_json(bundle, {**data, "confidence": {"temperature": 4.0, "thresholds": table}})
    red = (videos / "red.mp4").read_bytes()
    scores = {}
    for options in ((), ("--calibrated",), ("--precision-goal", "0.9")):
        _, address = start(*options, bundle=bundle)

        def ask(url=address, **asked):
            answer = httpx.post(
                f"{url}/predict", content=red, params=asked, timeout=60, trust_env=False
            )
            return answer.json()["results"][0]

        scores[options] = ask()["score"]
        if options[:1] == ("--precision-goal",):
            assert ask()["label"] is None and ask(threshold=0.5)["label"] == "red"
    assert list(scores.values()) == [pytest.approx(1, abs=0.01), pytest.approx(0.8, abs=0.1), None]
    assert main(["--bundle", str(bundle), "--port", "0", "--precision-goal", "0.95"]) == 2
