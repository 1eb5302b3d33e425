"""The service on Ray Serve: two replicas, one address, the answers of `predict`."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from infer.system.errors import ClipDuetError

ROOT = Path(__file__).resolve().parents[3]
# A process of its own: Ray belongs to a whole process, and is ended with it.
ASK = """
import json, sys
import httpx, ray
from ray import serve

from infer.serve.ray import app

bundle, video, broken, port = sys.argv[1:]
ray.init(address="local", num_cpus=4, include_dashboard=False, log_to_driver=False)
serve.start(http_options={"host": "127.0.0.1", "port": int(port)})
serve.run(app({"bundle": bundle, "replicas": "2", "max_queue": "8"}))
status = serve.status().applications["default"].deployments["clipduet"]
client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120, trust_env=False)
content = open(video, "rb").read()
answers = [client.post("/predict", content=content).json()["results"][0] for _ in range(8)]
failure = client.post("/predict", content=open(broken, "rb").read())
pages = {client.get("/metrics").text.split("process_start_time_seconds ")[-1].split()[0]
         for _ in range(40)}
print(json.dumps({
    "replicas": status.replica_states, "answers": answers, "failure": failure.status_code,
    "kind": failure.json()["kind"], "page": client.get("/").status_code, "processes": len(pages),
}))
serve.shutdown()
"""


@pytest.fixture
def with_ray() -> None:
    for package in ("ray", "aiohttp", "grpc", "grpc_reflection", "mmh3", "watchfiles"):
        if find_spec(package) is None:
            pytest.skip("the extra replicas is not installed")


def test_two_replicas_answer_as_predict_does(with_ray, colours, videos):
    from infer.api import load
    from infer.command.output import record
    from infer.serve.server import listening

    with listening("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    done = subprocess.run(
        [sys.executable, "-c", ASK, colours, videos / "green.mp4", videos / "broken.mp4",
         str(port)],
        cwd=ROOT, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT),
             "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    # Ray writes to standard output too.
    (answer,) = (line for line in done.stdout.splitlines() if line.startswith("{"))
    found = json.loads(answer)
    assert found["replicas"] == {"RUNNING": 2}
    with load(colours, backend="onnxruntime", threads=1) as model:
        (prediction,) = model.predict(videos / "green.mp4")
    expected = record("body", prediction, None)
    for answer in found["answers"]:
        assert {**answer, "seconds": 0} == {**expected, "seconds": 0}
    assert (found["failure"], found["kind"], found["page"]) == (422, "unreadable", 200)
    assert found["processes"] == 2


def test_options_are_those_of_the_service():
    from infer.serve.ray import replica_options

    given = {"bundle": "b", "replicas": "3", "max_queue": "8", "calibrated": "true"}
    args = replica_options(given)
    assert (args.bundle, args.replicas, args.max_queue, args.calibrated) == ("b", 3, 8, True)
    assert (args.threads, args.gpus) == (1, 0)
    with pytest.raises(ClipDuetError, match="port"):
        replica_options({"bundle": "b", "port": "8000"})
    with pytest.raises(SystemExit):
        replica_options({"bundle": "b", "replcas": "2"})
