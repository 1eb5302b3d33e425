"""Paddle Inference on the CPU: the only place in `infer` that imports Paddle, and lazily."""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ...bundle.bundle import Artifact, Bundle
from ...libraries.mkl import use_avx2_on_amd
from ...system.errors import BackendError, BundleError
from ...system.hardware import cores
from ..backend import Backend
from ..base import Clips, Logits, RuntimeOptions, check_clips, in_parts
from ..common import load_package, package_version, short
from ..process import check_process, in_other_process, this_process

CACHED_SHAPES = 4
"""Batch sizes whose oneDNN kernels are kept; without a limit memory grows with every new size."""
ACTIVATION_FUSION = "conv_activation_onednn_fuse_pass"


class PaddleRuntime:
    """Runs a Paddle inference model (inference.json and inference.pdiparams) with oneDNN.

    `threads`: None for all cores. Its first clip, a black one, is run while it opens, and what
    the process writes to stdout meanwhile is lost: Paddle prints a line about every mean there.
    Without `spinning`, OpenMP's threads sleep between the layers of whatever the calling thread
    runs from then on; else they stay awake for 200 ms.

    Threads: any number may call `run`; the calls take turns.
    """

    def __init__(
        self,
        backend: Backend,
        bundle: Bundle,
        artifact: Artifact,
        *,
        precision: str,
        options: RuntimeOptions,
    ) -> None:
        use_avx2_on_amd()
        inference = import_paddle_inference(backend)
        program = [p for p in artifact.paths if p.suffix in (".json", ".pdmodel")]
        weights = [p for p in artifact.paths if p.suffix == ".pdiparams"]
        if len(program) != 1 or len(weights) != 1:
            names = [f.file for f in artifact.files]
            raise BundleError(f"{bundle.root}: a Paddle model is two files, found {names}")
        try:
            config = _config(inference, program[0], weights[0], options)
            with _silent_stdout():
                predictor: Any = inference.create_predictor(config)
        except Exception as error:  # Paddle raises RuntimeError and its own kinds
            raise BundleError(f"{program[0]} does not load in Paddle: {short(error)}") from None
        names = predictor.get_input_names()
        if names != [bundle.input_name]:
            raise BundleError(f"{program[0]} takes {names}, bundle.json says {bundle.input_name}")
        self.backend = backend.name
        self.precision = precision
        self.max_batch = options.max_batch
        self._bundle = bundle
        self._process = this_process(self)
        self._predictor = predictor
        self._lock = threading.Lock()
        self._openmp = None if options.spinning else _openmp(backend)
        with _silent_stdout():
            self.run(np.zeros((1, *bundle.spec.clip_shape), np.uint8))

    def run(self, clips: Clips) -> Logits:
        """Logits float32 [n, classes] of uint8 [n, T, H, W, 3]."""
        check_process(self._process, self.backend)
        check_clips(clips, self._bundle)
        with self._lock:
            if self._predictor is None:
                raise BackendError("this runtime was closed; open it again")
            if self._openmp is not None:
                self._openmp.kmp_set_blocktime(0)  # of this thread and those that it wakes
            try:
                parts = [self._run_part(part) for part in in_parts(clips, self.max_batch)]
            except Exception as error:
                raise BackendError(f"Paddle Inference failed: {short(error)}") from None
        logits: Logits = np.concatenate(parts)
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
        """Free the predictor; waits for a `run` in another thread."""
        if in_other_process(self._process):
            return
        with self._lock:
            self._predictor = None

    def __enter__(self) -> PaddleRuntime:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


open_artifact = PaddleRuntime
"""As `Implementation.open_artifact`."""


def version(backend: Backend) -> str | None:
    """As `Implementation.version`."""
    import_paddle_inference(backend)
    return package_version(importlib.import_module("paddle"))


def check(backend: Backend) -> None:
    """As `Implementation.check`."""
    import_paddle_inference(backend).Config()


def import_paddle_inference(backend: Backend) -> Any:
    """`paddle.inference`. Raises BackendUnavailable, with how to install it."""
    return load_package(backend, "paddle.inference", ("Config", "create_predictor"))


def _openmp(backend: Backend) -> ctypes.CDLL | None:
    """Intel's OpenMP, which Paddle brings and has loaded; None where it has another."""
    package = load_package(backend, "paddle", ("__file__",))
    library = Path(package.__file__).parent / "libs" / "libiomp5.so"
    try:
        found = ctypes.CDLL(str(library), mode=os.RTLD_NOLOAD | os.RTLD_NOW)
    except OSError:
        return None
    return found if hasattr(found, "kmp_set_blocktime") else None


def _config(inference: Any, program: Path, weights: Path, options: RuntimeOptions) -> Any:
    config = inference.Config(str(program), str(weights))
    config.disable_gpu()
    config.disable_glog_info()
    config.set_cpu_math_library_num_threads(options.threads or cores())
    config.enable_mkldnn()
    config.set_mkldnn_cache_capacity(CACHED_SHAPES)
    if b"leaky_relu" in program.read_bytes():
        # Paddle 3.3 writes the slope as a double, and that pass reads a float: it ends the
        # process with a segmentation fault.
        config.delete_pass(ACTIVATION_FUSION)
    return config


@contextlib.contextmanager
def _silent_stdout() -> Iterator[None]:
    """Nothing gets through to file descriptor 1, not even from C++."""
    with contextlib.suppress(AttributeError, OSError, ValueError):
        sys.stdout.flush()
    _flush_c()
    try:
        kept = os.dup(1)
    except OSError:  # closed: nothing to keep silent
        yield
        return
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.close(nowhere)
        yield
    finally:
        _flush_c()
        os.dup2(kept, 1)
        os.close(kept)


def _flush_c() -> None:
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).fflush(None)
