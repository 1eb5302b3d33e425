"""ONNX Runtime on the CPU."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import numpy as np

from infer.bundle import Artifact, Bundle
from infer.errors import BackendError, BundleError
from infer.runtimes import Clips, Logits, check_clips, in_parts


class OrtRuntime:
    """Runs an ONNX artefact. `threads`: None for all cores.

    Its memory arena grows to what the largest batch needs (at most `max_batch` clips) and stays
    there: flat over any number of clips. Idle threads sleep instead of spinning, so that decoding
    beside the network has the cores.
    """

    backend = "onnxruntime"

    def __init__(self, bundle: Bundle, artifact: Artifact, *, threads: int | None) -> None:
        try:
            import onnxruntime as ort
        except ImportError as error:
            raise BackendError(
                f"onnxruntime cannot be imported ({error}); pip install onnxruntime"
            ) from None
        options = ort.SessionOptions()
        options.log_severity_level = 3
        if threads is not None:
            options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # Grow by what is asked for: doubling would hold up to twice the memory needed.
        provider = ("CPUExecutionProvider", {"arena_extend_strategy": "kSameAsRequested"})
        path = artifact.paths[0]
        try:
            session = ort.InferenceSession(str(path), options, providers=[provider])
        except Exception as error:  # onnxruntime raises a dozen unrelated types
            raise BundleError(f"{path} does not load in ONNX Runtime: {_short(error)}") from None
        _check_graph(session, bundle, str(path))
        self.precision = artifact.precision
        self.max_batch = bundle.max_batch
        self._bundle = bundle
        self._session = session

    def run(self, clips: Clips) -> Logits:
        """Logits float32 [n, classes] of uint8 [n, T, H, W, 3]."""
        if self._session is None:
            raise BackendError("this runtime was closed; open it again")
        check_clips(clips, self._bundle)
        feed, wanted = self._bundle.input_name, [self._bundle.output_name]
        try:
            parts = [
                self._session.run(wanted, {feed: part})[0]
                for part in in_parts(clips, self.max_batch)
            ]
        except Exception as error:
            raise BackendError(f"ONNX Runtime failed: {_short(error)}") from None
        return np.concatenate(parts).astype(np.float32)

    def close(self) -> None:
        """Free the session."""
        self._session = None

    def __enter__(self) -> OrtRuntime:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _check_graph(session: Any, bundle: Bundle, path: str) -> None:
    """The graph must take and give what bundle.json says; symbolic sizes fit anything."""
    clip, classes = [*bundle.spec.clip_shape], [len(bundle.classes)]
    ends = [
        ("input", session.get_inputs(), bundle.input_name, "tensor(uint8)", clip),
        ("output", session.get_outputs(), bundle.output_name, "tensor(float)", classes),
    ]
    for what, found, name, dtype, sizes in ends:
        if what == "input" and len(found) != 1:
            names = [f.name for f in found]
            raise BundleError(f"{path} takes {len(found)} inputs {names}, not one")
        by_name = {f.name: f for f in found}
        if name not in by_name:
            raise BundleError(f"{path} has no {what} {name!r}; it has {sorted(by_name)}")
        end = by_name[name]
        if end.type != dtype:
            raise BundleError(f"{path}: {what} {name!r} is {end.type}, bundle.json says {dtype}")
        fits = len(end.shape) == len(sizes) + 1 and all(
            not isinstance(got, int) or got == want
            for got, want in zip(end.shape[1:], sizes, strict=True)
        )
        if not fits:
            want = ["batch", *sizes]
            raise BundleError(f"{path}: {what} {name!r} is {end.shape}, bundle.json says {want}")
        if isinstance(end.shape[0], int):
            raise BundleError(f"{path}: {what} {name!r} has a fixed batch of {end.shape[0]}")


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
