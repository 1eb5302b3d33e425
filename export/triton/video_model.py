"""The model of a Triton server that takes the bytes of video files: `model.py` of its folder.

It runs in the server's Python backend. That Python needs what `pip install -c constraints.txt .`
installs, and nothing else of ClipDuet. Settings: the parameters of config.pbtxt.
"""

# mypy: disable-error-code="import-not-found"
from __future__ import annotations

import itertools
import json
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as triton

from clipduet.api import load
from clipduet.bundle.bundle import Bundle
from clipduet.containers.limits import Limits
from clipduet.isolation.reading import IsolatedReading
from clipduet.pipeline.predictions import Loaded, Prediction, load_video, predict_loaded
from clipduet.runtimes.base import Clips, Logits, in_parts
from clipduet.serve.refusal import FAILED, told_to_client
from clipduet.system.errors import BackendError, ClipDuetError
from clipduet.system.hardware import MOST_DECODERS, cores

WARMUP = "warmup.mp4"
FAULTS = ("timeout", "memory", "crash")
"""Failures of a video that the one who runs the server should know of."""
SERVER = "server"
"""Failure of the server, which is no fault of the client."""


class TritonPythonModel:
    """Reads videos in processes of their own, and runs the network on all of a batch."""

    def initialize(self, args: dict[str, str]) -> None:
        """Open the bundle beside this file, start the processes and warm up.

        Raises:
            Exception: one of that fails; the server does not load the model then.
        """
        config = json.loads(args["model_config"])
        given = {key: one["string_value"] for key, one in config["parameters"].items()}
        version = Path(args["model_repository"], args["model_version"])
        folder = version / "bundle"
        self._bundle, self._network, self._model = Bundle.load(folder), given["network"], None
        if not self._network:
            self._model = load(
                folder,
                backend=given["backend"],
                precision=given["precision"],
                threads=int(given["threads"]) or None,
            )
        limits = Limits(
            pixels=int(given["max_pixels"]),
            frames=int(given["max_frames"]),
            seconds=float(given["max_seconds"]),
            bytes=int(given["max_bytes"]),
        )
        workers = int(given["workers"]) or min(cores(), MOST_DECODERS)
        self._reading = IsolatedReading(
            workers,
            limits=limits,
            seconds=float(given["read_timeout"]),
            memory=int(given["read_memory"]) << 20,
        )
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="read")
        self._folder = tempfile.TemporaryDirectory(prefix="clipduet-triton-")
        self._numbers = itertools.count(1)
        try:
            self._warm_up(version / WARMUP, config["max_batch_size"])
        except BaseException:
            self.finalize()
            raise

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response for each request, in order: outputs, or an error that is its own."""
        waiting = [
            [
                self._threads.submit(self._load, content)
                for content in triton.get_input_tensor_by_name(one, "video").as_numpy().ravel()
            ]
            for one in requests
        ]
        loaded = [[video.result() for video in videos] for videos in waiting]
        everything = list(itertools.chain.from_iterable(loaded))
        classes = self._bundle.classes
        predictions = predict_loaded(everything, self._run, classes, len(classes))
        return [
            self._response(videos, list(itertools.islice(predictions, len(videos))))
            for videos in loaded
        ]

    def finalize(self) -> None:
        """End the processes, and give back the memory."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._reading.close()
        self._folder.cleanup()
        if self._model is not None:
            self._model.close()

    def _warm_up(self, video: Path, batch: int) -> None:
        """Read a video, and run the network on it, alone and as a full batch.

        Not by the server's own warm-up: Triton 2.51 may crash where that fails.
        """
        loaded = self._load(video.read_bytes())
        if loaded.clips is None:
            raise RuntimeError(f"the warm-up fails: {video}: {loaded.error}")
        if self._model is not None:
            for size in (1, batch):
                self._model.logits(np.concatenate([loaded.clips] * size))

    def _load(self, content: bytes) -> Loaded:
        path = Path(self._folder.name, str(next(self._numbers)))
        try:
            path.write_bytes(content)
            loaded = load_video(path, self._bundle.spec, self._reading.load)
        except (ClipDuetError, OSError) as error:
            triton.Logger.log_error(f"{self._bundle.name}: {error}")
            return Loaded(path, None, 0.0, FAILED, None, SERVER)
        finally:
            path.unlink(missing_ok=True)
        if loaded.failure in FAULTS:
            triton.Logger.log_warn(f"{self._bundle.name}: {loaded.error}")
        return loaded

    def _run(self, clips: Clips) -> Logits:
        if self._model is not None:
            return self._model.logits(clips)
        return np.concatenate([self._ask(part) for part in in_parts(clips, self._bundle.max_batch)])

    def _ask(self, clips: Clips) -> Logits:
        """The logits by another model of this server."""
        response = triton.InferenceRequest(
            model_name=self._network,
            inputs=[triton.Tensor(self._bundle.input_name, clips)],
            requested_output_names=[self._bundle.output_name],
            preferred_memory=triton.PreferredMemory(triton.TRITONSERVER_MEMORY_CPU, 0),
        ).exec()
        if response.has_error():
            raise BackendError(f"{self._network} fails: {response.error().message()}")
        logits: Logits = response.output_tensors()[0].as_numpy()
        return logits

    def _response(self, videos: list[Loaded], predictions: list[Prediction]) -> Any:
        for number, (video, one) in enumerate(zip(videos, predictions, strict=True), 1):
            if one.error is not None:
                ours = video.failure in ("", SERVER)
                if not video.failure:
                    triton.Logger.log_error(f"{self._bundle.name}: the network fails: {one.error}")
                told = FAILED if ours else told_to_client(one.error)
                if len(videos) > 1:
                    told = f"video {number}: {told}"
                code = triton.TritonError.INTERNAL if ours else triton.TritonError.INVALID_ARG
                return triton.InferenceResponse(error=triton.TritonError(told, code))
        scores = np.zeros((len(videos), len(self._bundle.classes)), np.float32)
        for row, one in zip(scores, predictions, strict=True):
            for ranked in one.topk:
                row[ranked.index] = ranked.score
        labels = np.array([[str(one.label).encode()] for one in predictions], object)
        return triton.InferenceResponse(
            [triton.Tensor("scores", scores), triton.Tensor("label", labels)]
        )
