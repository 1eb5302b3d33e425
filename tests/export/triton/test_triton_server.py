"""A real Triton server answers for video files as predict does, over HTTP and gRPC.

The client has nothing of ClipDuet: it is a program of the server's environment, which has none.
"""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import time
import urllib.error
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest
from onnx import numpy_helper

from benchmarks.common.errors import BenchmarkError
from benchmarks.service import triton as load_test
from benchmarks.service.triton import ask_server
from benchmarks.service.triton_server import http_response, installed, triton_server
from export.triton.__main__ import main as export_triton
from infer.api import load
from tests.test_doc_blocks import ALL
from tests.test_doc_commands import commands
from tests.tiny_bundle import CLASSES, SPEC, colour_frames, colour_graph, write_bundle

pytestmark = pytest.mark.peer
MODEL = "colours_video"
NETWORK = '''
import os

import numpy as np
import onnxruntime
import triton_python_backend_utils as triton


class TritonPythonModel:
    """In place of Triton's ONNX backend, which the wheel lacks."""

    def initialize(self, args):
        file = os.path.join(args["model_repository"], args["model_version"], "model.onnx")
        self.session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])

    def execute(self, requests):
        clips = [triton.get_input_tensor_by_name(one, "clip").as_numpy() for one in requests]
        logits = [self.session.run(["logits"], {"clip": one})[0] for one in clips]
        return [triton.InferenceResponse([triton.Tensor("logits", one)]) for one in logits]
'''


def of_page(*name: str) -> list[list[str]]:
    """What follows these words in the commands of the page."""
    texts = [block.code for block in ALL if block.place.startswith("docs/triton.md:")]
    found = [words for text in texts for words in commands(text)]
    return [words[len(name) :] for words in found if words[: len(name)] == list(name)]


def set_config(folder: Path, **values: str) -> None:
    """Change settings of a model as its user does: by editing config.pbtxt."""
    file = folder / "config.pbtxt"
    text = file.read_text("utf-8")
    for name, value in values.items():
        found = rf'(?m)^({name}: |parameters {{ key: "{name}" value {{ string_value: )".*?"'
        text, count = re.subn(found, rf'\g<1>"{value}"', text)
        assert count == 1, name
    file.write_text(text, "utf-8")


def write(bundle: Path, out: Path, *options: str) -> Path:
    assert export_triton(["--bundle", str(bundle), "--out", str(out), *options]) == 0
    set_config(out / "videos" / MODEL, workers="2", threads="1")
    return out


@pytest.fixture(scope="module")
def files(tmp_path_factory, write_clip):
    folder = tmp_path_factory.mktemp("files")
    for colour in CLASSES:
        write_clip(folder / f"{colour}.mp4", colour_frames(colour, frames=12))
    (folder / "text").write_text("no video")
    (folder / "short").write_bytes((folder / "red.mp4").read_bytes()[:200])
    return folder


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_bundle(tmp_path_factory.mktemp("bundle"), max_batch=8)


@pytest.fixture(scope="module")
def repository(tmp_path_factory, bundle):
    # Half a second: requests that come together are found in one batch on a busy machine too.
    return write(bundle, tmp_path_factory.mktemp("triton") / "repo", "--delay", "500000")


@pytest.fixture(scope="module")
def renewed(tmp_path_factory, bundle):
    """A repository whose model `renewed` gets new versions."""
    out = write(bundle, tmp_path_factory.mktemp("renewed") / "repo")
    (out / "videos" / MODEL).rename(out / "videos" / "renewed")
    set_config(out / "videos" / "renewed", name="renewed")
    return out


@pytest.fixture(scope="module")
def server(tmp_path_factory, bundle, repository, renewed):
    try:
        installed()
    except BenchmarkError as error:
        pytest.skip(str(error))
    # A second repository, in which the videos' model asks another one of the server.
    other = write(bundle, tmp_path_factory.mktemp("other") / "repo", "--network", "onnx")
    asking = other / "videos" / "asking"
    (other / "videos" / MODEL).rename(asking)
    set_config(asking, name="asking")
    network = other / "models" / "colours_onnx_fp32"
    set_config(network, backend="python")
    (network / "1" / "model.py").write_text(NETWORK)
    (options,) = of_page("tritonserver")
    assert options[:2] == ["--model-repository", "triton/videos"]
    options = [MODEL if word == "mine_video" else word for word in options[2:]]
    places = [repository / "videos", renewed / "videos", asking.parent, network.parent]
    with triton_server(places, tmp_path_factory.mktemp("server"), options) as server:
        yield server


def control(server, model, action):
    """Load or unload a model; the error that the server tells, or None."""
    try:
        http_response(
            server, f"repository/models/{model}/{action}", data=b"{}", timeout=300
        ).close()
    except urllib.error.HTTPError as error:
        return error.read().decode()
    return None


def asked(protocol, *files, model=MODEL):
    return {"files": [str(file) for file in files], "model": model, "protocol": protocol}


def decoders(server):
    processes = psutil.Process(server.process).children(recursive=True)
    return [one for one in processes if "isolation.worker" in " ".join(one.cmdline())]


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_answers_are_those_of_predict(server, bundle, files, protocol):
    paths = [files / f"{colour}.mp4" for colour in CLASSES]
    with load(bundle, backend="onnxruntime", threads=1) as model:
        wanted = list(model.predict(paths, top_k=3))
    alone = ask_server(server, [asked(protocol, path) for path in paths])
    (together,) = ask_server(server, [asked(protocol, *paths)])
    assert together["label"] == [one["label"][0] for one in alone] == CLASSES
    for number, one in enumerate(wanted):
        scores = [ranked.score for ranked in sorted(one.topk, key=lambda ranked: ranked.index)]
        np.testing.assert_allclose(together["scores"][number], scores, rtol=1e-6)
        np.testing.assert_allclose(alone[number]["scores"][0], scores, rtol=1e-6)


def test_a_broken_file_is_an_error_of_its_request_alone(server, files):
    before = load_test.model_statistics(server, MODEL)["executions"]
    good = [asked("http", files / f"{colour}.mp4") for colour in CLASSES]
    requests = [*good, asked("http", files / "text"), asked("http", files / "short"), *good]
    answers = ask_server(server, requests, clients=len(requests))
    assert [one.get("label") for one in answers] == [
        *([colour] for colour in CLASSES), None, None, *([colour] for colour in CLASSES)
    ]  # fmt: skip
    after = load_test.model_statistics(server, MODEL)
    # They shared batches, and the batches hold the good ones too.
    assert after["executions"] - before < len(requests)
    assert max(map(int, after["batches"])) > 1
    (both,) = ask_server(server, [asked("grpc", files / "red.mp4", files / "text")])
    assert both["error"].startswith("video 2: ") and "INVALID_ARGUMENT" in both["status"]
    assert str(files) not in both["error"] and "--" not in both["error"]


def test_a_decoder_that_is_killed_is_replaced(server, files):
    before = decoders(server)
    assert len(before) == 2
    request = [asked("http", files / "blue.mp4")]
    for one in before:
        one.send_signal(signal.SIGSTOP)
    with ThreadPoolExecutor(1) as client:
        waiting = client.submit(ask_server, server, request)
        until = time.monotonic() + 300
        while not list(server.log.parent.glob("clipduet-triton-*/*")):  # it is being read
            assert time.monotonic() < until
            time.sleep(0.05)
        for one in before:
            one.kill()
        (answer,) = waiting.result()
    assert answer["label"] == ["blue"]
    answers = ask_server(server, request * 4, clients=4)
    assert [one["label"] for one in answers] == [["blue"]] * 4
    assert not {one.pid for one in before} & {one.pid for one in decoders(server)}


def test_warm_up_reads_a_video_before_the_model_is_ready(server, repository, files):
    model = repository / "videos" / "cold"
    shutil.copytree(repository / "videos" / MODEL, model)
    set_config(model, name="cold")
    shutil.copy(files / "short", model / "1" / "warmup.mp4")
    assert "warmup.mp4" in control(server, "cold", "load")
    shutil.rmtree(model)


def test_the_network_may_be_another_model_of_the_server(server, files):
    assert control(server, "colours_onnx_fp32", "load") is None
    assert control(server, "asking", "load") is None
    answers = ask_server(
        server, [asked("grpc", files / f"{c}.mp4", model="asking") for c in CLASSES]
    )
    assert [one["label"] for one in answers] == [[colour] for colour in CLASSES]
    assert load_test.model_statistics(server, "colours_onnx_fp32")["executions"] >= 3
    assert control(server, "colours_onnx_fp32", "unload") is None
    (answer,) = ask_server(server, [asked("grpc", files / "red.mp4", model="asking")])
    assert "INTERNAL" in answer["status"] and "colours_onnx_fp32" not in answer["error"]


def test_a_new_version_takes_the_place_of_the_old_one(server, renewed, files, tmp_path):
    graph = colour_graph(SPEC)
    weights = numpy_helper.to_array(graph.graph.initializer[0])[:, ::-1].copy()
    graph.graph.initializer[0].CopyFrom(numpy_helper.from_array(weights, "weights"))
    swapped = write_bundle(tmp_path / "swapped", graph, max_batch=8)
    first, options = of_page("python", "-m", "export.triton")
    assert first == ["--bundle", "bundles/mine", "--out", "triton"]
    places = {"bundles/newer": str(swapped), "triton": str(renewed)}
    options = [places.get(word, word) for word in options]
    (curl,) = of_page("curl")
    assert curl[-1].endswith("/v2/repository/models/mine_video/load")
    request = [asked("http", files / "red.mp4", model="renewed")]
    assert control(server, "renewed", "load") is None
    (before,) = ask_server(server, request)
    assert (before["label"], before["version"]) == (["red"], "1")
    assert export_triton(options) == 0
    assert control(server, "renewed", "load") is None
    (after,) = ask_server(server, request)
    assert (after["label"], after["version"]) == (["blue"], "2")
    (old,) = ask_server(server, [{**request[0], "version": "1"}])
    assert "error" in old
    # One that cannot be loaded: the version before it goes on.
    assert export_triton(options) == 0
    (renewed / "videos" / "renewed" / "3" / "bundle" / "model.fp32.onnx").write_bytes(b"damage")
    assert "model.fp32.onnx" in control(server, "renewed", "load")
    (still,) = ask_server(server, request)
    assert (still["label"], still["version"]) == (["blue"], "2")


@pytest.mark.parametrize("number", [0, 1])
def test_the_client_of_the_page(server, repository, files, number):
    words = of_page("python", "triton/client/video_client.py")[number]
    url = server.grpc if "--grpc" in words else server.http
    names = {"a.mp4": "red.mp4", "b.mp4": "blue.mp4", "mine_video": MODEL}
    command = [installed().python, "-I", repository / "client" / "video_client.py", "--url", url]
    done = subprocess.run(
        [*map(str, command), *(names.get(word, word) for word in words)],
        cwd=files, capture_output=True, text=True,
    )  # fmt: skip
    best = [re.sub(r" \(.*", "", line) for line in done.stdout.splitlines()]
    assert best == ["red.mp4: red", "blue.mp4: blue"], done.stderr


ALONE = """
import runpy, sys

class Refused:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"clipduet", "infer", "cv2", "av", "onnxruntime"}:
            raise ImportError(name)

sys.meta_path.insert(0, Refused())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_the_client_needs_nothing_of_ours(server, repository, files, protocol):
    client = repository / "client" / "video_client.py"
    options = ["--model", MODEL, "--url", getattr(server, protocol), "-k", "2"]
    options += ["--grpc"] if protocol == "grpc" else []
    command = [installed().python, "-I", "-c", ALONE, client, files / "green.mp4", files / "text"]
    done = subprocess.run([*map(str, command), *options], capture_output=True, text=True)
    good, bad = done.stdout.splitlines()
    assert done.returncode == 1 and "green (0." in good and good.count("(") == 2, done.stderr
    assert bad.startswith(f"{files / 'text'}: error: ")
    command[6:] = []
    done = subprocess.run(
        [*map(str, command), *options[2:], "--model", "none"], capture_output=True, text=True
    )
    assert done.returncode == 2 and "none" in done.stderr


def test_many_requests_from_many_clients(server, bundle, files, tmp_path, capsys):
    videos = [str(files / f"{colour}.mp4") for colour in CLASSES]
    arguments = ["--bundle", str(bundle), "--video", *videos, "--requests", "60", "--clients", "8"]
    arguments += ["--broken", "0.1", "--hostile", "0.1", "--kill-every", "2"]
    out = tmp_path / "triton.json"
    assert load_test.main([*arguments, "--out", str(out)]) == 0, capsys.readouterr()
    result = json.loads(out.read_text())
    assert result["requests"] == 60 and result["met"]
    assert result["groups"] == {"good": 48, "broken": 6, "hostile": 6}
    assert 0 < result["executions"] <= 60
