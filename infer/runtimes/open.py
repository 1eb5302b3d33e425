"""One way to run a bundle, whatever runs it: open, run uint8 clips, get float32 logits, close.

The module that runs a backend is imported when that is opened, and not before. Several runtimes,
of one backend or of different ones, live side by side in a process.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..bundle.bundle import Bundle
from ..system.errors import BackendError, listed
from ..system.whole_numbers import argument_problems
from .base import MOST_THREADS, Runtime, RuntimeOptions
from .implementations import open_known
from .registry import AUTO, BACKENDS, name_problem


def open_runtime(
    bundle: Bundle,
    *,
    backend: str = "onnxruntime",
    precision: str = "fp32",
    threads: int | None = None,
    max_batch: int | None = None,
    device: int = 0,
    streams: int = 1,
    spinning: bool = True,
    warm_up: Sequence[int] = (),
    expected_clips: int | None = None,
) -> Runtime:
    """Load an artefact of a bundle into a runtime.

    Args:
        bundle: what `export` wrote.
        backend: a key of `BACKENDS`; or "auto", which takes the best that runs here and logs
            in one line what it took and why (`infer.runtimes.auto`).
        precision: one that the bundle has for that backend; or "auto": int8 where the bundle has
            it and it computes here what its file says, else fp32.
        threads: CPU threads of the network; None: all cores.
        max_batch: clips that go through the network at once, at most; None: the largest batch
            that was verified at export, which is also the most that is allowed.
        device: which GPU, by its number among those that CUDA_VISIBLE_DEVICES shows; 0 on a CPU.
        streams: parts of a batch that run side by side, for throughput instead of latency. Only
            backends with `Backend.streams` have them, such as `openvino`.
        spinning: whether idle threads of ONNX Runtime and Paddle stay awake for the next layer:
            faster for the network, slower for all else on its cores. Other backends do not spin.
        warm_up: batch sizes to run once, on black clips, before this returns.
        expected_clips: how many will be run, where that is known; for a few, "auto" does not load
            what takes long to load.

    Raises:
        BackendError: everything that is wrong with the options; a precision that the bundle
            lacks; a backend that cannot run here, with what it needs and how to get it.
        BundleError: the artefact's files are not those that were exported, or do not load.
    """
    largest = bundle.max_batch if max_batch is None else max_batch
    options = RuntimeOptions(threads, largest, device, streams, spinning)
    problems = _problems(bundle, backend, options, warm_up)
    if problems:
        title = "wrong options of the runtime"
        raise BackendError(problems[0] if len(problems) == 1 else listed(title, problems))
    if precision == AUTO:
        from .auto import open_fastest

        runtime = open_fastest(bundle, backend, options, expected_clips)
    elif backend == AUTO:
        from .auto import open_best

        runtime = open_best(bundle, precision, options, expected_clips)
    else:
        runtime = open_known(bundle, backend, precision, options)
    try:
        for size in warm_up:
            runtime.run(np.zeros((size, *bundle.spec.clip_shape), np.uint8))
    except BaseException:
        runtime.close()
        raise
    return runtime


def _problems(
    bundle: Bundle, backend: str, options: RuntimeOptions, warm_up: Sequence[int]
) -> list[str]:
    """Everything that is wrong with the options, one line each."""
    out = []
    wrong_name = name_problem(backend) if backend != AUTO else None
    if wrong_name:
        out.append(wrong_name)
    most = bundle.max_batch
    if options.threads is not None:
        allowed = f"1 to {MOST_THREADS}, or none for all cores"
        out += argument_problems("threads", options.threads, 1, MOST_THREADS, allowed=allowed)
    allowed = f"1 to {most}, the largest batch that was verified at export"
    out += argument_problems("max_batch", options.max_batch, 1, most, allowed=allowed)
    out += argument_problems("device", options.device, 0, allowed="from 0, the number of a GPU")
    out += argument_problems("streams", options.streams, 1, allowed="from 1")
    for size in warm_up:
        out += argument_problems("a batch of warm_up", size, 1, allowed="from 1")
    known = BACKENDS.get(backend)
    if known is not None:
        if not known.gpu and options.device != 0:
            on_gpu = ", ".join(name for name, other in BACKENDS.items() if other.gpu)
            out.append(
                f"device is {options.device}, but {backend} runs on the CPU; on a GPU run: {on_gpu}"
            )
        if not known.streams and options.streams != 1:
            able = ", ".join(name for name, other in BACKENDS.items() if other.streams)
            out.append(f"streams is {options.streams}; only {able} has more than 1")
    return out
