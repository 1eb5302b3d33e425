"""Paddle Inference on the CPU: the only place in `infer` that imports Paddle, and lazily."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Any

import numpy as np

from infer.bundle import Artifact, Bundle
from infer.errors import BackendError, BundleError
from infer.mkl import use_avx2_on_amd
from infer.runtimes import Clips, Logits, check_clips, in_parts


class PaddleRuntime:
    """Runs a Paddle inference model (inference.json and inference.pdiparams).

    oneDNN is off: its kernels round differently, and parity with the trained network is what this
    runtime is for. `threads`: None for all cores.
    """

    backend = "paddle"

    def __init__(self, bundle: Bundle, artifact: Artifact, *, threads: int | None) -> None:
        use_avx2_on_amd()
        try:
            from paddle import inference
        except ImportError as error:
            raise BackendError(
                f"paddle cannot be imported ({error}); pip install paddlepaddle, or use the "
                "backend onnxruntime"
            ) from None
        program = [p for p in artifact.paths if p.suffix in (".json", ".pdmodel")]
        weights = [p for p in artifact.paths if p.suffix == ".pdiparams"]
        if len(program) != 1 or len(weights) != 1:
            names = [f.file for f in artifact.files]
            raise BundleError(f"{bundle.root}: a Paddle model is two files, found {names}")
        try:
            config = inference.Config(str(program[0]), str(weights[0]))
            config.disable_gpu()
            config.disable_mkldnn()
            config.disable_glog_info()
            config.set_cpu_math_library_num_threads(threads or os.cpu_count() or 1)
            predictor: Any = inference.create_predictor(config)
        except Exception as error:  # Paddle raises RuntimeError and its own kinds
            raise BundleError(f"{program[0]} does not load in Paddle: {_short(error)}") from None
        names = predictor.get_input_names()
        if names != [bundle.input_name]:
            raise BundleError(f"{program[0]} takes {names}, bundle.json says {bundle.input_name}")
        self.precision = artifact.precision
        self.max_batch = bundle.max_batch
        self._bundle = bundle
        self._predictor = predictor

    def run(self, clips: Clips) -> Logits:
        """Logits float32 [n, classes] of uint8 [n, T, H, W, 3]."""
        if self._predictor is None:
            raise BackendError("this runtime was closed; open it again")
        check_clips(clips, self._bundle)
        try:
            parts = [self._run_part(part) for part in in_parts(clips, self.max_batch)]
        except Exception as error:
            raise BackendError(f"Paddle Inference failed: {_short(error)}") from None
        logits: Logits = np.concatenate(parts).astype(np.float32)
        want = (len(clips), len(self._bundle.classes))
        if logits.shape != want:
            raise BackendError(f"Paddle Inference gave logits of {logits.shape}, not {want}")
        return logits

    def _run_part(self, part: Clips) -> Logits:
        entry = self._predictor.get_input_handle(self._bundle.input_name)
        entry.reshape(list(part.shape))
        entry.copy_from_cpu(part)
        self._predictor.run()
        name = self._predictor.get_output_names()[0]
        return np.array(self._predictor.get_output_handle(name).copy_to_cpu(), np.float32)

    def close(self) -> None:
        """Free the predictor."""
        self._predictor = None

    def __enter__(self) -> PaddleRuntime:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _short(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines)[-300:]
