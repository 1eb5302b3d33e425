"""Connections that never end, requests in odd pieces, processes that are killed meanwhile."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from infer.serve import server
from infer.serve.limits import BodyLimits, ServiceLimits
from tests.infer.serve.conftest import Running, wait_until


def connected(running: Running, **options: int) -> socket.socket:
    """A connection; `receive`: bytes of its buffer."""
    made = socket.socket()
    made.settimeout(60)
    if options:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, options["receive"])
    made.connect((running.client.base_url.host, running.client.base_url.port))
    return made


def status_of(one: socket.socket) -> bytes:
    """The first line of what comes back; b"": the connection was closed before it was read."""
    try:
        return one.recv(12)
    except ConnectionError:
        return b""


def connections(running: Running) -> set:
    return running.server.server_state.connections


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS"])
@pytest.mark.parametrize("path", ["/health/live", "/predict"])
def test_a_body_that_nobody_asked_for_does_not_keep_a_connection(serve, monkeypatch, method, path):
    monkeypatch.setattr("infer.serve.guard.DRAINING", 0.1)
    running = serve(limits=ServiceLimits(1, body=BodyLimits(idle=0.1, seconds=0.5)))
    with connected(running) as one:
        one.sendall(f"{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 999\r\n\r\n".encode())
        over = threading.Event()

        def trickle() -> None:  # a byte now and then, for as long as it is taken
            while not over.wait(0.05):
                try:
                    one.send(b"x")
                except OSError:
                    return

        thread = threading.Thread(target=trickle)
        thread.start()
        try:
            wait_until(lambda: running.server.server_state.total_requests == 1)
            wait_until(lambda: not connections(running))
        finally:
            over.set()
            thread.join()


def test_a_connection_whose_client_reads_nothing_ends(serve, monkeypatch):
    monkeypatch.setattr(server, "KEPT_ALIVE", 1)
    monkeypatch.setattr(server, "SENDING", 0.3)
    running = serve()
    with connected(running, receive=4096) as one:
        wait_until(lambda: connections(running))
        (protocol,) = connections(running)
        # Up to where the system takes no more: a little is left in the service, and no more.
        for number in range(1, 10_000):
            one.sendall(b"GET /page.js HTTP/1.1\r\nHost: a\r\n\r\n")
            wait_until(lambda n=number: running.server.server_state.total_requests == n)
            if protocol.transport.get_write_buffer_size():
                break
        wait_until(lambda: not connections(running))


def test_nothing_is_left_open(running, videos):
    red = (videos / "red.mp4").read_bytes()
    assert running.post(red).status_code == 200
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(10):
        with connected(running) as one:
            one.sendall(b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc")
        with connected(running) as one:
            one.sendall(b"nonsense\r\n\r\n")
    for _ in range(3):
        for worker in psutil.Process().children():
            worker.kill()
        assert running.post(red).status_code == 200
    wait_until(lambda: running.counted("clipduet_open_requests") == 0)
    wait_until(lambda: len(os.listdir("/proc/self/fd")) <= before)
    assert list(running.service.folder.iterdir()) == []


def test_many_processes_that_are_killed_while_requests_come(serve, videos):
    running = serve(limits=ServiceLimits(2))
    red = (videos / "red.mp4").read_bytes()
    known = running.post(red).json()["results"][0]["topk"]
    over = threading.Event()

    def kill() -> None:
        while not over.wait(0.2):
            for worker in psutil.Process().children():
                worker.kill()

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        with ThreadPoolExecutor(4) as threads:
            answers = list(threads.map(running.post, [red] * 12))
    finally:
        over.set()
        thread.join()
    for answer in answers:  # each has one, whatever it is
        if answer.status_code == 200:
            assert answer.json()["results"][0]["topk"] == known
        else:
            assert answer.json()["kind"] in ("crash", "service"), answer.text
    assert running.post(red).json()["results"][0]["topk"] == known


def test_heads_that_are_too_long_or_no_http(running):
    for head in (
        b"GET / HTTP/1.1\r\nHost: a\r\n" + b"A: " + b"x" * 200_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 10_000 + b"\r\n",
        b"GET /" + b"x" * 200_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
    ):
        with connected(running) as one:
            with contextlib.suppress(OSError):  # it may be refused before the end
                one.sendall(head)
                one.shutdown(socket.SHUT_WR)
            assert status_of(one) in (b"HTTP/1.1 400", b"")
    assert running.client.get("/health/live").status_code == 200


@pytest.mark.parametrize(("size", "status"), [(1, b"400"), (100, b"400"), (4000, b"422")])
def test_a_body_in_very_many_small_chunks_is_refused(running, size, status):
    head = b"POST /predict HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"%x\r\n%s\r\n" % (size, b"x" * size)
    with connected(running) as one:
        one.sendall(head + chunk * 1000)
        with contextlib.suppress(OSError):  # it may be refused before the end
            one.sendall(chunk * 1000 + b"0\r\n\r\n")
        allowed = {b"HTTP/1.1 " + status, b"" if status == b"400" else b"HTTP/1.1 422"}
        assert status_of(one) in allowed
    wait_until(lambda: running.counted("clipduet_open_requests") == 0)


def test_a_few_small_chunks_are_fine(running, videos):
    red = (videos / "red.mp4").read_bytes()
    answer = running.post(red[i : i + 9] for i in range(0, len(red), 9))
    assert answer.json()["results"][0]["label"] == "red"
