"""A client of a Triton server as a program of its own: many threads, over HTTP or gRPC.

It needs nothing but NumPy and `tritonclient`, so it runs where neither ClipDuet nor this project
is installed. Requests come as lines of JSON on standard input, answers go to standard output:

    {"files": ["a.mp4", ...], "model": NAME, "version": "", "protocol": "http" or "grpc"}
    {"number": of the request, "seconds": ..., "label": [...], "scores": [[...]], "error": ...}
"""

from __future__ import annotations

import argparse
import importlib
import json
import queue
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np


def main() -> int:
    """Answer all requests."""
    parser = argparse.ArgumentParser(description="Ask a Triton server from many threads.")
    parser.add_argument("--http", required=True, help="host and port")
    parser.add_argument("--grpc", required=True, help="host and port")
    parser.add_argument("--clients", type=int, default=1, help="threads")
    options = parser.parse_args()
    waiting: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
    for number, line in enumerate(sys.stdin):
        waiting.put({"number": number, **json.loads(line)})
    for _ in range(options.clients):
        waiting.put(None)
    urls = {"http": options.http, "grpc": options.grpc}
    threads = [
        threading.Thread(target=_client, args=(waiting, urls)) for _ in range(options.clients)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return 0


_printing = threading.Lock()


def _client(waiting: queue.SimpleQueue[dict[str, Any] | None], urls: dict[str, str]) -> None:
    servers: dict[str, Any] = {}
    while (asked := waiting.get()) is not None:
        protocol = asked["protocol"]
        module = importlib.import_module(f"tritonclient.{protocol}")
        if protocol not in servers:
            slow = {"network_timeout": 600.0} if protocol == "http" else {}
            servers[protocol] = module.InferenceServerClient(urls[protocol], **slow)
        start = time.perf_counter()
        answer = _ask(module, servers[protocol], asked)
        seconds = time.perf_counter() - start
        with _printing:
            print(json.dumps({"number": asked["number"], "seconds": seconds, **answer}), flush=True)


def _ask(module: Any, server: Any, asked: dict[str, Any]) -> dict[str, Any]:
    contents = [[Path(file).read_bytes()] for file in asked["files"]]
    video = module.InferInput("video", [len(contents), 1], "BYTES")
    video.set_data_from_numpy(np.array(contents, dtype=object))
    try:
        answer = server.infer(asked["model"], [video], model_version=asked.get("version", ""))
    except module.InferenceServerException as error:
        return {"error": error.message(), "status": str(error.status())}
    labels = [label.decode() for label in answer.as_numpy("label").ravel()]
    version = answer.get_response()
    version = version["model_version"] if isinstance(version, dict) else version.model_version
    scores = answer.as_numpy("scores").tolist()
    return {"label": labels, "scores": scores, "version": version}


if __name__ == "__main__":
    raise SystemExit(main())
