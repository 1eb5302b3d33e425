"""What strangers may try: small requests that become large, and odd bytes."""

from __future__ import annotations

import asyncio
import fcntl
import http
import json
import logging
import os
import resource
import socket
import tempfile
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infer.serve import tokens
from infer.serve.folder import upload_folder
from infer.serve.limits import BodyLimits
from infer.serve.open_inference import route
from infer.serve.open_inference.request import clips_of, read_request
from infer.serve.refusal import Refused
from infer.serve.tokens import Tokens
from infer.serve.uploads import uploads
from tests.tiny_bundle import SPEC

INFER = "/v2/models/colours/infer"
ONE = "first-token-0123456789"


# --- small requests that become large -----------------------------------------------------------

CLIP = {"name": "clip", "datatype": "UINT8", "shape": [1, *SPEC.clip_shape]}
PIXELS = int(np.prod(SPEC.clip_shape))


def json_request(folder: Path, **content: object):
    (folder / "body").write_text(json.dumps(content))
    return read_request(folder / "body", None)


def test_an_output_is_given_once(running):
    data = {**CLIP, "data": [0] * PIXELS}
    twice = {"inputs": [data], "outputs": [{"name": "logits"}] * 2}
    answer = running.client.post(INFER, json=twice)
    assert answer.status_code == 400 and "logits" in answer.json()["error"]
    many = {"inputs": [data], "outputs": [{"name": str(n)} for n in range(100_000)]}
    assert running.client.post(INFER, json=many).status_code == 400


def test_a_text_among_numbers_takes_no_memory(tmp_path):
    data = [*[0] * (PIXELS - 1), "x" * 2000]
    request = json_request(tmp_path, inputs=[{**CLIP, "data": data}])
    tracemalloc.start()
    try:
        with pytest.raises(Refused, match="whole numbers"):
            clips_of(request, SPEC.clip_shape)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("nested", [True, False])
def test_clips_in_json(tmp_path, nested):
    clip = np.random.default_rng(0).integers(0, 256, (2, *SPEC.clip_shape), np.uint8)
    data = clip.tolist() if nested else clip.reshape(-1).tolist()
    shape = list(clip.shape)
    request = json_request(tmp_path, inputs=[{**CLIP, "shape": shape, "data": data}])
    assert np.array_equal(clips_of(request, SPEC.clip_shape), clip)


def test_json_is_read_for_one_request_at_a_time_and_dropped(serve, monkeypatch):
    running = serve()
    inside: list[int] = [0, 0]
    kept = []
    real, respond = route.read_request, route.infer_response

    def counted(*args):
        inside[0] += 1
        inside[1] = max(inside)
        time.sleep(0.05)
        inside[0] -= 1
        return real(*args)

    def noted(request, *rest):
        kept.append(request.input.data)
        return respond(request, *rest)

    monkeypatch.setattr(route, "read_request", counted)
    monkeypatch.setattr(route, "infer_response", noted)
    content = {"inputs": [{**CLIP, "data": [0] * PIXELS}]}
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: running.client.post(INFER, json=content), range(4)))
    assert [answer.status_code for answer in answers] == [200] * 4
    assert inside == [0, 1] and kept == [None] * 4


def test_no_room_for_an_upload(serve, videos):
    running = serve()
    files = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, files[1]))
    try:
        answer = running.post(bytes(2 << 20))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, files)
    assert (answer.status_code, answer.json()["kind"]) == (503, "storage")
    assert answer.headers["Retry-After"]
    assert list(running.service.folder.iterdir()) == []
    assert running.post((videos / "red.mp4").read_bytes()).status_code == 200


# --- odd bytes ----------------------------------------------------------------------------------


def test_methods(running):
    found = running.client.get("/health/live")
    head = running.client.head("/health/live")
    assert head.status_code == 200 and head.content == b""
    assert head.headers["content-length"] == found.headers["content-length"]
    assert running.client.head("/nothing").status_code == 404
    asked = {"Origin": "http://elsewhere.example", "Access-Control-Request-Method": "POST"}
    for method in ("OPTIONS", "PUT", "DELETE", "TRACE", "PATCH", "HEAD"):
        answer = running.client.request(method, "/predict", headers=asked)
        assert answer.status_code == http.HTTPStatus.METHOD_NOT_ALLOWED
        assert answer.headers["allow"] == "POST"
        assert not [name for name in answer.headers if name.startswith("access-control")]


def test_folders_of_uploads_are_removed_where_nobody_uses_them(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    killed, new, other = (tmp_path / f"clipduet-serve-{n}" for n in ("killed", "new", "other.txt"))
    for one in (killed, new):
        one.mkdir()
        (one / "1").write_bytes(b"a stranger's video")
    other.write_text("no folder")
    link = tmp_path / "clipduet-serve-link"
    link.symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    with upload_folder() as used:
        for one in (killed, used):
            os.utime(one, (0, 0))
        (used / "2").write_bytes(b"a video")
        os.utime(used, (0, 0))
        with upload_folder() as second:
            assert {used, second, new, other, link} == set(tmp_path.iterdir())
        assert [one.name for one in used.iterdir()] == ["2"]
        held = os.open(used, os.O_RDONLY)
        with pytest.raises(BlockingIOError):  # what systemd-tmpfiles asks before it removes one
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(held)
    assert {new, other, link} == set(tmp_path.iterdir())


def test_a_name_begins_no_line_of_the_log(broken_decoder, serve, caplog):
    running = serve()
    name = b"a\x1b[2J\nerror: made up"
    body = (
        b'--b\r\nContent-Disposition: form-data; name="v"; filename="' + name + b'"\r\n\r\n'
        b"segv\r\n--b--\r\n"
    )
    with caplog.at_level(logging.WARNING, "clipduet"):
        answer = running.post(body, headers={"Content-Type": "multipart/form-data; boundary=b"})
    assert answer.json()["kind"] == "crash"
    (line,) = (one.getMessage() for one in caplog.records if "SIGSEGV" in one.getMessage())
    assert "\x1b" not in line and not line.partition("its reading")[0].count("\n")


def test_no_token_is_in_a_log(serve, caplog):
    running = serve(tokens=Tokens([ONE]))
    with caplog.at_level(logging.DEBUG):
        for token in (ONE, "a-wrong-token-9876543210"):
            running.post(b"no video", headers={"Authorization": f"Bearer {token}"})
    said = " ".join(one.getMessage() for one in caplog.records)
    assert ONE not in said and "9876543210" not in said
    assert ONE not in running.service.metrics.page()[0].decode()


@pytest.mark.parametrize("token", ["t" * 16, "u" * 16, "v" * 16, "no token", ""])
def test_all_tokens_are_compared_whatever_comes(monkeypatch, token):
    known = Tokens(["t" * 16, "u" * 16, "v" * 16])
    compared = []
    real = tokens.hmac.compare_digest

    def noted(a, b):
        compared.append((len(a), len(b)))
        return real(a, b)

    monkeypatch.setattr(tokens.hmac, "compare_digest", noted)
    assert known.allow(f"Bearer {token}") == (len(token) == 16)
    assert compared == [(32, 32)] * 3


REFERRING = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{to}\n#EXT-X-ENDLIST\n",
    "dash": '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
    'profiles="urn:mpeg:dash:profile:isoff-on-demand:2011"><Period><AdaptationSet '
    'contentType="video"><Representation id="1"><BaseURL>{to}</BaseURL></Representation>'
    "</AdaptationSet></Period></MPD>\n",
    "concat": "ffconcat version 1.0\nfile '{to}'\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=a\nc=IN IP4 127.0.0.1\nt=0 0\n"
    "m=video {port} RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    "rtsp": "RTSPtext\n[Reference]\nRef1={to}\n",
    "asx": '<ASX version="3.0"><ENTRY><REF HREF="{to}"/></ENTRY></ASX>\n',
    "m3u": "{to}\n",
    "vobsub": "# VobSub index file, v7 (do not modify this line!)\nid: en, index: 0\n",
    "avisynth": 'FFmpegSource2("{to}")\n',
    "svg": '<svg xmlns="http://www.w3.org/2000/svg"><image href="{to}"/></svg>\n',
}


@pytest.mark.parametrize("kind", list(REFERRING))
def test_what_refers_to_other_files_or_addresses_is_refused(running, videos, kind):
    with socket.socket() as bait:
        bait.bind(("127.0.0.1", 0))
        bait.listen()
        bait.settimeout(0)
        port = bait.getsockname()[1]
        places = [f"http://127.0.0.1:{port}/a.ts", str(videos / "red.mp4"),
                  f"file://{videos / 'red.mp4'}", f"concat:{videos / 'red.mp4'}"]  # fmt: skip
        for to in places:
            answer = running.post(REFERRING[kind].format(to=to, port=port).encode())
            assert (answer.status_code, answer.json()["kind"]) == (422, "unreadable")
        with pytest.raises(BlockingIOError):
            bait.accept()


PARTS = st.lists(
    st.sampled_from(
        [b"--b", b"\r\n", b"\n", b"\r", b"--", b": ", b"Content-Disposition", b"form-data; name=v",
         b'; filename="a.mp4"', b"; filename", b"; filename*=UTF-8''%e2%82%ac", b'; filename=""',
         b"; boundary=b", b"Content-Type: video/mp4", b"\x00", b"\xff", b"\r\n--b\r\n",
         b"\r\n--b--\r\n", b"\r\n\r\n", b'"', b"\\", b"=?utf-8?q?a?=", b"x" * 99]
    )
    | st.binary(max_size=9),
    max_size=20,
)  # fmt: skip


@given(PARTS, st.sampled_from([b"", b"--b\r\nContent-Disposition: form-data; filename=a\r\n\r\n"]),
       st.sampled_from(["b", '"b"', '"a\\"b"', "\xe4", "", "b; boundary=c", "b; charset=\xff"]),
       st.integers(1, 50))  # fmt: skip
def test_whatever_a_form_holds_it_is_taken_apart_or_refused(parts, head, boundary, size):
    content = head + b"".join(parts)
    said: list[Refused] = []

    async def pieces():
        place = 0

        async def receive():
            nonlocal place
            piece, place = content[place : place + size], place + size
            return {"type": "http.request", "body": piece, "more_body": place < len(content)}

        headers = {"content-type": f"multipart/form-data; boundary={boundary}"}
        with tempfile.TemporaryDirectory() as folder:
            try:
                async with uploads(receive, headers, BodyLimits(), Path(folder)) as found:
                    assert found and all(one.path.is_file() for one in found)
            except Refused as refused:
                said.append(refused)
            assert os.listdir(folder) == []

    asyncio.run(pieces())
    for refused in said:
        assert refused.status in (400, 413, 422) and refused.reason
        json.dumps(refused.body(), ensure_ascii=False).encode()
