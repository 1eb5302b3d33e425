"""Label videos with a Triton server that takes their bytes; a start for a client of your own.

    python video_client.py VIDEO ... --model NAME_video

Needs nothing but NumPy and `pip install tritonclient[http]` (for --grpc: tritonclient[grpc]).
Exit status: 0 all videos were labelled, 1 some were not, 2 no server or wrong use.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description="Label videos with a Triton server.")
    parser.add_argument("videos", nargs="+", metavar="VIDEO", help="files", type=Path)
    parser.add_argument("--model", required=True, help="name of its folder under videos/")
    parser.add_argument("--url", help="the server (default: localhost:8000; gRPC: localhost:8001)")
    parser.add_argument("--grpc", action="store_true", help="ask by gRPC instead of HTTP")
    parser.add_argument("-k", type=int, default=3, help="labels for each video (default: 3)")
    options = parser.parse_args()
    protocol = "grpc" if options.grpc else "http"
    try:
        client: Any = importlib.import_module(f"tritonclient.{protocol}")
    except Exception as error:  # without its extra it is a RuntimeError
        print(f"error: {error}; pip install tritonclient[{protocol}]", file=sys.stderr)
        return 2
    url = options.url or ("localhost:8001" if options.grpc else "localhost:8000")
    server = client.InferenceServerClient(url)
    try:
        ready = server.is_model_ready(options.model)
    except Exception as error:  # sockets' errors, and the client's own kind
        print(f"error: {url} does not answer: {error}", file=sys.stderr)
        return 2
    if not ready:
        print(f"error: {url} does not serve {options.model}", file=sys.stderr)
        return 2
    failed = 0
    for path in options.videos:
        try:
            print(f"{path}: {labels(client, server, options.model, path, options.k)}", flush=True)
        except (OSError, client.InferenceServerException) as error:
            failed += 1
            print(f"{path}: error: {error}", flush=True)
    return 1 if failed else 0


def labels(client: Any, server: Any, model: str, path: Path, k: int) -> str:
    """The best labels of a video file; raises OSError or InferenceServerException."""
    video = client.InferInput("video", [1, 1], "BYTES")
    video.set_data_from_numpy(np.array([[path.read_bytes()]], dtype=object))
    wanted = client.InferRequestedOutput("scores", class_count=k)
    best = server.infer(model, [video], outputs=[wanted]).as_numpy("scores").ravel()
    texts = [one.decode().split(":", 2) for one in best]  # score, number and name of each class
    return ", ".join(f"{name} ({float(score):.3f})" for score, _, name in texts)


if __name__ == "__main__":
    raise SystemExit(main())
