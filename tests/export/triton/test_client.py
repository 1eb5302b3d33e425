"""The client that lies beside a Triton model repository."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from tests.export.triton.repositories import write


class Kserve(BaseHTTPRequestHandler):
    """As much of Triton's HTTP interface as the client uses, served by ONNX Runtime."""

    session: ort.InferenceSession
    batches: list[int]

    def log_message(self, *args):
        pass

    def answer(self, body, headers=()):
        self.send_response(200)
        for name, value in (*headers, ("Content-Length", str(len(body)))):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        assert self.path == "/v2/models/colours/config"
        self.answer(json.dumps({"max_batch_size": 2}).encode())

    def do_POST(self):
        assert self.path == "/v2/models/colours/infer"
        body = self.rfile.read(int(self.headers["Content-Length"]))
        head = int(self.headers["Inference-Header-Content-Length"])
        (tensor,) = json.loads(body[:head])["inputs"]
        assert (tensor["name"], tensor["datatype"]) == ("clip", "UINT8")
        clips = np.frombuffer(body[head:], np.uint8).reshape(tensor["shape"])
        self.batches.append(len(clips))
        (logits,) = self.session.run(["logits"], {"clip": clips})
        output = {"name": "logits", "datatype": "FP32", "shape": list(logits.shape)}
        output["parameters"] = {"binary_data_size": logits.nbytes}
        start = json.dumps({"model_name": "colours", "outputs": [output]}).encode()
        size = ("Inference-Header-Content-Length", str(len(start)))
        self.answer(start + logits.tobytes(), [size])


def test_the_client_labels_videos(bundle, tmp_path, write_clip):
    if importlib.util.find_spec("geventhttpclient") is None:
        pytest.skip("tritonclient[http] is not installed")
    assert write(bundle, tmp_path / "repo") == 0
    Kserve.session = ort.InferenceSession(str(bundle / "model.fp32.onnx"))
    Kserve.batches = []
    pixels = np.full((6, 32, 32, 3), 40, np.uint8)
    pixels[..., 1] = 200
    write_clip(tmp_path / "green.mp4", pixels)
    server = HTTPServer(("127.0.0.1", 0), Kserve)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        done = client(tmp_path, "green.mp4", url=f"127.0.0.1:{server.server_port}")
        assert done.returncode == 0, done.stderr
        assert f"{tmp_path / 'green.mp4'}: grün (" in done.stdout and Kserve.batches == [1]
        done = client(tmp_path, "none.mp4", url=f"127.0.0.1:{server.server_port}")
        assert done.returncode == 1 and "none.mp4: " in done.stdout
        done = client(tmp_path, "none*.mp4", url=f"127.0.0.1:{server.server_port}")
        assert done.returncode == 1 and "no file" in done.stderr
    finally:
        server.shutdown()
        server.server_close()
    done = client(tmp_path, "green.mp4", url=f"127.0.0.1:{server.server_port}")
    assert done.returncode == 2 and "colours" in done.stderr


def test_the_client_says_what_it_needs(bundle, tmp_path):
    if importlib.util.find_spec("geventhttpclient") is not None:
        pytest.skip("tritonclient[http] is installed")
    assert write(bundle, tmp_path / "repo") == 0
    done = client(tmp_path, "green.mp4", url="127.0.0.1:1")
    assert done.returncode == 2 and "pip install tritonclient[http]" in done.stderr


@pytest.mark.parametrize("missing", ["infer", "numpy"])
def test_the_client_says_how_to_install_the_rest(bundle, tmp_path, monkeypatch, missing):
    assert write(bundle, tmp_path / "repo") == 0
    (tmp_path / "sitecustomize.py").write_text(f"import sys\nsys.modules[{missing!r}] = None\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    done = client(tmp_path, "green.mp4", url="127.0.0.1:1")
    assert done.returncode == 2 and "pip install -c constraints.txt ." in done.stderr
    assert missing in done.stderr and "Traceback" not in done.stderr


def client(folder, video, url):
    """Run the client as its user does."""
    root = Path(__file__).resolve().parents[3]
    run = [sys.executable, str(folder / "repo" / "client" / "client.py"), str(folder / video)]
    run += ["--model", "colours", "--url", url]
    paths = [str(root), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    return subprocess.run(run, capture_output=True, text=True, timeout=120, env=environment)
