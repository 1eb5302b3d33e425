"""Label videos with a Triton server; a start for a client of your own.

    python client.py VIDEO ... --model NAME

It reads and prepares videos exactly as training did, by the description in the bundle.json beside
it, and sends uint8 pixels. Needs, in a checkout of ClipDuet,
`pip install -c constraints.txt . 'tritonclient[http]'`.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import sys
from pathlib import Path
from typing import Any

try:
    import numpy as np

    with contextlib.suppress(ModuleNotFoundError):
        # What is installed is called clipduet; infer/ is the same package in a checkout.
        sys.modules.setdefault("infer", importlib.import_module("clipduet"))
    from infer.bundle.bundle import Bundle
    from infer.command.inputs import find_videos
    from infer.command.runner import command, run_and_exit
    from infer.containers.decoder import decoder_warning, installed
    from infer.pipeline.predictions import predict_videos
    from infer.runtimes.base import Clips, Logits, in_parts
    from infer.system.errors import BackendError
    from infer.system.log import logger
except ImportError as error:
    # Python looks beside this file and among installed packages, not in the current folder.
    print(
        f"error: {sys.executable}: {error}; in a checkout of ClipDuet: "
        "pip install -c constraints.txt . 'tritonclient[http]'",
        file=sys.stderr,
    )
    raise SystemExit(2) from None


log = logger("export.triton.client")


@command()
def main(arguments: list[str] | None = None) -> int:
    """0: all videos were labelled, 1: some were not, 2: wrong use, or no server."""
    parser = argparse.ArgumentParser(description="Label videos with a Triton server.")
    parser.add_argument("videos", nargs="+", metavar="VIDEO", help="files, folders or patterns")
    parser.add_argument("--model", required=True, help="name of its folder under models/")
    parser.add_argument("--url", default="localhost:8000", help="the server's HTTP address")
    parser.add_argument("-k", type=int, default=3, help="labels for each video (default: 3)")
    options = parser.parse_args(arguments)
    bundle = Bundle.load(Path(__file__).resolve().parent)
    warning = decoder_warning(bundle.decoder, installed())
    if warning:
        log.warning(warning)
    server = Server(bundle, options.model, options.url)
    inputs = find_videos(options.videos)
    failed = len(inputs.missing)
    for name, why in inputs.missing:
        log.error(f"{name}: {why}")
    for answer in predict_videos(
        inputs.videos, server.run, bundle.spec, bundle.classes, k=options.k
    ):
        labels = ", ".join(f"{ranked.label} ({ranked.score:.3f})" for ranked in answer.topk)
        print(f"{answer.video}: {answer.error or labels}", flush=True)
        failed += answer.error is not None
    return 1 if failed else 0


class Server:
    """One model of a Triton server. Raises BackendError when it cannot be reached."""

    def __init__(self, bundle: Bundle, model: str, url: str) -> None:
        try:
            from tritonclient import http
        except Exception as error:  # without the extra [http] it is a RuntimeError
            raise BackendError(f"{error}; pip install tritonclient[http]") from None
        self._http: Any = http
        self._bundle, self._model = bundle, model
        self._client: Any = http.InferenceServerClient(url)
        try:
            self._max_batch = int(self._client.get_model_config(model)["max_batch_size"])
        except Exception as error:  # sockets' errors, and the client's own kind
            raise BackendError(f"{url} does not serve {model}: {error}") from None

    def run(self, clips: Clips) -> Logits:
        """Logits float32 [n, classes] of uint8 [n, T, H, W, 3]."""
        return np.concatenate([self._ask(part) for part in in_parts(clips, self._max_batch)])

    def _ask(self, clips: Clips) -> Logits:
        tensor = self._http.InferInput(self._bundle.input_name, list(clips.shape), "UINT8")
        tensor.set_data_from_numpy(clips)
        wanted = [self._http.InferRequestedOutput(self._bundle.output_name)]
        try:
            answer = self._client.infer(self._model, [tensor], outputs=wanted)
        except Exception as error:
            raise BackendError(f"the server failed: {error}") from None
        logits: Logits = answer.as_numpy(self._bundle.output_name)
        return logits


if __name__ == "__main__":
    run_and_exit(main)
