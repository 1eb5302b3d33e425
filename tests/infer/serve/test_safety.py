"""Nobody gets in, takes more than is allowed, or costs others their answers."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import httpx
import psutil
import pytest

from infer.containers.limits import Limits
from infer.serve import server
from infer.serve.limits import BodyLimits, ServiceLimits
from infer.serve.tokens import Tokens, read_tokens
from infer.system.errors import ClipDuetError
from tests.infer.serve.conftest import wait_until

ONE, TWO = "first-token-0123456789", "second-token-987654321"


def refusal(answer: httpx.Response) -> tuple[int, str]:
    found = answer.json()
    assert found["error"]
    return answer.status_code, found["kind"]


# --- tokens -------------------------------------------------------------------------------------


def test_without_one_of_the_tokens_nothing_is_told(serve, videos):
    running = serve(tokens=Tokens([ONE, TWO]))
    red = (videos / "red.mp4").read_bytes()
    wrong = (
        "",
        "Bearer",
        f"Bearer {ONE}x",
        f"Basic {ONE}",
        ONE,
        f"Bearer {ONE} {TWO}",
        "Bearer \xe4",
    )
    for path in ("/predict", "/metrics", "/openapi.json", "/nothing", "//health/live"):
        for header in wrong:
            headers = {"Authorization": header.encode("latin-1")} if header else {}
            answer = running.client.request("POST", path, content=red, headers=headers)
            assert refusal(answer) == (401, "token") and len(answer.json()) == 2
            assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert running.service.metrics.registry.get_sample_value("clipduet_videos_total") == 0
    twice = [("Authorization", f"Bearer {ONE}"), ("Authorization", f"Bearer {TWO}")]
    assert running.post(red, headers=twice).status_code == 401
    for token in (ONE, TWO):
        answer = running.post(red, headers={"Authorization": f"bearer {token}"})
        assert answer.json()["results"][0]["label"] == "red"
    for path in ("/health/live", "/health/ready", "/"):
        assert running.client.get(path).status_code == 200


def test_the_file_of_tokens(tmp_path):
    file = tmp_path / "tokens"
    file.write_text(f"# of the web shop\n{ONE}\n\n  {TWO}  \n")
    tokens = read_tokens(file)
    assert len(tokens) == 2
    assert tokens.allow(f"Bearer {TWO}") and not tokens.allow(f"Bearer {TWO[:-1]}")


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "no token"),
        (b"# nothing\n", "no token"),
        (b"a-good-token-of-some-length\nshort\n", "line 2"),
        (b"words that are no token\n", "line 1"),
        (b"\xff\xfe\0", "no text"),
        (None, "No such file"),
    ],
)
def test_a_file_without_good_tokens_is_an_error(tmp_path, content, word):
    file = tmp_path / "tokens"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ClipDuetError, match=word) as error:
        read_tokens(file)
    assert "short" not in str(error.value)


# --- limits of a request ------------------------------------------------------------------------


def test_more_bytes_than_allowed(serve, videos):
    red = (videos / "red.mp4").read_bytes()
    running = serve(limits=ServiceLimits(1, body=BodyLimits(bytes=len(red))))
    assert running.post(red).status_code == 200
    assert refusal(running.post(red + b"x")) == (413, "bytes")
    in_pieces = ((red * 2)[i : i + 100] for i in range(0, 2 * len(red), 100))
    assert refusal(running.post(in_pieces)) == (413, "bytes"), "no length is declared"
    answer = running.client.post("/predict", files={"video": ("a.mp4", red)})
    assert refusal(answer) == (413, "bytes"), "what a form adds counts"
    assert running.post(red).status_code == 200


def test_a_client_that_waits_to_send_is_refused_before(serve):
    running = serve(limits=ServiceLimits(1, body=BodyLimits(bytes=10)))
    head = "POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\nExpect: 100-continue\r\n\r\n"
    assert raw(running, head.encode()).startswith(b"HTTP/1.1 413 ")


def test_a_form_of_too_many_files(serve, videos):
    running = serve(limits=ServiceLimits(1, body=BodyLimits(files=2)))
    files = [("v", ("a.mp4", (videos / "red.mp4").read_bytes()))]
    assert running.client.post("/predict", files=files * 2).status_code == 200
    assert refusal(running.client.post("/predict", files=files * 3)) == (413, "files")
    assert list(running.service.folder.iterdir()) == []


@pytest.mark.parametrize(
    ("limit", "word"),
    [({"pixels": 1023}, "pixels"), ({"frames": 5}, "frames"), ({"seconds": 0.4}, "seconds")],
)
def test_a_video_larger_than_allowed(serve, videos, limit, word):
    running = serve(videos=Limits(**limit))
    answer = running.post((videos / "red.mp4").read_bytes())
    assert refusal(answer) == (422, "limit")
    assert word in answer.json()["error"] and "--" not in answer.json()["error"]


@pytest.mark.parametrize(
    ("kind", "body", "expected"),
    [
        ("multipart/form-data", b"--b\r\n", (400, "form")),
        ("multipart/form-data; boundary=b", b"nonsense", (400, "form")),
        ("multipart/form-data; boundary=b", b"", (400, "form")),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="v"; filename="a"\r\n\r\nabc',
            (400, "form"),
        ),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="top_k"\r\n\r\n3\r\n--b--\r\n',
            (422, "form"),
        ),
        ("multipart/form-data; boundary=b", b"--b--\r\n", (422, "empty")),
        (f"multipart/form-data; boundary={'b' * 999}", b"--b--\r\n", (400, "form")),
        (
            "multipart/form-data; boundary=b",
            b"--b\r\nContent-Disposition: " + b"x" * 100_000 + b"\r\n\r\n\r\n--b--\r\n",
            (400, "form"),
        ),
    ],
)
def test_forms_that_make_no_sense(running, kind, body, expected):
    answer = running.post(body, headers={"Content-Type": kind})
    assert refusal(answer) == expected
    assert list(running.service.folder.iterdir()) == []


def test_compressed_bodies_are_refused(running):
    answer = running.post(b"x" * 1000, headers={"Content-Encoding": "gzip"})
    assert refusal(answer) == (415, "encoding")


def test_a_page_of_another_site_may_not_send(running, videos):
    red = (videos / "red.mp4").read_bytes()
    foreign = {"Sec-Fetch-Site": "cross-site"}
    assert refusal(running.post(red, headers=foreign)) == (403, "site")
    assert running.post(red, headers={"Sec-Fetch-Site": "same-origin"}).status_code == 200
    assert running.client.get("/", headers=foreign).status_code == 200, "a link is fine"


# --- slow clients -------------------------------------------------------------------------------


def raw(running, data: bytes) -> bytes:
    """What comes back for bytes, up to the end of the connection."""
    host, port = running.client.base_url.host, running.client.base_url.port
    with socket.create_connection((host, port), timeout=60) as connection:
        connection.sendall(data)
        found = b""
        while piece := connection.recv(1 << 16):
            found += piece
    return found


def test_a_body_that_does_not_arrive(serve, monkeypatch):
    monkeypatch.setattr("infer.serve.guard.DRAINING", 0.1)
    running = serve(limits=ServiceLimits(1, body=BodyLimits(idle=0.2)))
    answer = raw(running, b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc")
    assert answer.startswith(b"HTTP/1.1 408 ") and b'"kind":"slow"' in answer
    assert b"connection: close" in answer
    assert running.counted("clipduet_rejected_total", kind="slow") == 1


def test_a_head_that_does_not_arrive(serve, monkeypatch):
    monkeypatch.setattr(server, "HEADERS", 0.2)
    running = serve()
    for begin in (b"", b"POST /predict HTTP/1.1\r\nHost:"):
        assert raw(running, begin) == b"", "the connection is closed"
    answer = raw(running, b"GET /health/live HTTP/1.1\r\nHost: a\r\n\r\nGET /heal")
    assert answer.count(b"HTTP/1.1") == 1, "after a request too"


def test_a_connection_without_a_request_is_kept_longer_than_clients_keep_it(serve, monkeypatch):
    assert server.KEPT_ALIVE > 60, "proxies keep theirs for 60 seconds"
    monkeypatch.setattr(server, "HEADERS", 0.1)
    running = serve()
    url = running.client.base_url
    connection = http.client.HTTPConnection(url.host, url.port)
    with closing(connection):
        connection.connect()
        first = connection.sock
        for _ in range(2):
            connection.request("GET", "/health/live")
            answer = connection.getresponse()
            assert answer.read() and answer.status == 200
            assert connection.sock is first
            time.sleep(0.4)


def test_a_client_that_goes_away_leaves_nothing(running):
    host, port = running.client.base_url.host, running.client.base_url.port
    before = running.counted("clipduet_rejected_total", kind="gone")
    with socket.create_connection((host, port)) as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc")
        wait_until(lambda: running.counted("clipduet_open_requests") == 1)
    wait_until(lambda: running.counted("clipduet_rejected_total", kind="gone") > before)
    wait_until(lambda: running.counted("clipduet_open_requests") == 0)
    assert list(running.service.folder.iterdir()) == []


# --- videos that crash or hang the decoder ------------------------------------------------------


def test_a_crash_costs_one_request(broken_decoder, serve, videos):
    running = serve(limits=ServiceLimits(2), seconds=3, memory=1 << 30)
    red = (videos / "red.mp4").read_bytes()
    contents = [red, b"segv", red, b"hang", red, b"eats", red]
    with ThreadPoolExecutor(len(contents)) as threads:
        answers = list(threads.map(running.post, contents))
    assert [answer.status_code for answer in answers] == [200, 422, 200, 422, 200, 422, 200]
    assert [answer.json().get("kind") for answer in answers[1::2]] == ["crash", "timeout", "memory"]
    assert "SIGSEGV" in answers[1].json()["error"]
    assert "secret" not in answers[1].text and "--" not in answers[3].json()["error"]
    assert running.counted("clipduet_failures_total", kind="crash") == 1
    form = [("v", ("a", red)), ("v", ("b", b"segv")), ("v", ("c", red))]
    results = running.client.post("/predict", files=form).json()["results"]
    assert [one.get("label") for one in results] == ["red", None, "red"]


def test_workers_that_are_killed_are_replaced(serve, videos):
    running = serve(limits=ServiceLimits(2))
    red = (videos / "red.mp4").read_bytes()
    for _ in range(2):
        assert running.post(red).status_code == 200
        for worker in psutil.Process().children():
            worker.kill()
    assert running.post(red).status_code == 200


# --- too many requests --------------------------------------------------------------------------


def test_what_the_queue_has_no_room_for(broken_decoder, serve, videos):
    running = serve(limits=ServiceLimits(1, queue=1))
    with ThreadPoolExecutor(2) as threads:
        slow = [threads.submit(running.post, b"slow") for _ in range(2)]
        wait_until(lambda: running.counted("clipduet_open_requests") == 2)
        large = (videos / "red.mp4").read_bytes() + bytes(8 << 20)
        answer = running.post(large)
        assert refusal(answer) == (429, "busy")
        assert 1 <= int(answer.headers["Retry-After"]) <= 60
        assert running.client.get("/health/ready").status_code == 200
        assert [one.result().status_code for one in slow] == [422, 422], "they were answered"
    assert running.counted("clipduet_rejected_total", kind="busy") == 1
    assert running.post((videos / "red.mp4").read_bytes()).status_code == 200


def test_who_waits_too_long_is_told(broken_decoder, serve):
    running = serve(limits=ServiceLimits(1, queue=9, wait=0.2), seconds=60)
    with ThreadPoolExecutor(4) as threads:
        # Three have a slot: one is read, the next two are to be ready when the network is.
        answers = list(threads.map(running.post, [b"slow"] * 4))
    assert sorted(answer.status_code for answer in answers) == [422, 422, 422, 503]
    (late,) = (answer for answer in answers if answer.status_code == 503)
    assert refusal(late) == (503, "waited") and late.headers["Retry-After"]


def test_a_network_that_fails_is_no_fault_of_the_client(serve, videos, monkeypatch):
    from infer.system.errors import BackendError

    running = serve()

    def fails(clips):
        raise BackendError("out of order in /secret/path")

    monkeypatch.setattr(running.service.model, "logits", fails)
    answer = running.post((videos / "red.mp4").read_bytes())
    assert answer.status_code == 500 and answer.json()["kind"] == "network"
    assert "secret" not in answer.text


def test_an_unknown_error_is_answered(serve, videos, monkeypatch):
    running = serve()

    async def fails(*_, **__):
        raise KeyError("a bug")

    monkeypatch.setattr(running.service, "answer", fails)
    assert refusal(running.post((videos / "red.mp4").read_bytes())) == (500, "service")
    assert list(running.service.folder.iterdir()) == []


# --- the end ------------------------------------------------------------------------------------


def test_what_was_accepted_is_finished_and_new_requests_are_not_taken(broken_decoder, serve):
    running = serve()
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(running.post(b"slow").status_code))
    thread.start()
    wait_until(lambda: running.counted("clipduet_open_requests") == 1)
    running.service.stopping = True
    assert running.client.get("/health/ready").status_code == 503
    assert refusal(running.post(b"x")) == (503, "stopping")
    running.server.should_exit = True
    thread.join()
    assert found == [422]
