"""`python -m export.tensorrt --bundle B --precision fp16`: build an engine for this GPU."""

from __future__ import annotations

import argparse
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np

from export import option_limits as limits
from export.network.sessions import cpu_session
from export.tensorrt.build import Settings, build_plan
from export.tensorrt.files import EngineError, locked, write_all
from export.tensorrt.graph import NamedGraph, for_tensorrt
from infer.bundle.bundle import Bundle
from infer.bundle.engines import (
    FOLDER,
    Machine,
    Profile,
    Stamp,
    engine_mismatches,
    engine_path,
    onnx_sha256,
    read_engine,
    read_stamp,
    stamp_path,
)
from infer.command.parser import Parser
from infer.command.runner import command, run_and_exit
from infer.runtimes.tensorrt.backend import TENSORRT
from infer.runtimes.tensorrt.cuda_memory import Gpu, cuda_errors
from infer.runtimes.tensorrt.engine import engine_machine
from infer.runtimes.tensorrt.runtime import TensorRTRuntime, tensorrt_problem
from infer.system.errors import BackendError, BundleError
from infer.system.log import logger

log = logger("export.tensorrt")

NUMBERS = {
    "min_batch": limits.BATCH,
    "opt_batch": limits.BATCH,
    "max_batch": limits.BATCH,
    "workspace": limits.Allowed(1, 1 << 20, "MiB"),
    "device": limits.Allowed(0, 1023),
}
"""What the numbers of the command line may be."""

ALLOWED = {"fp32": 0.01, "fp16": 0.05, "int8": 0.5}
"""Largest difference from ONNX Runtime on noise, as a share of the largest logit: an engine beyond
it computes something else. What a precision costs is measured on real clips, by the benchmark."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = Parser(
        prog="python -m export.tensorrt",
        description="Build a TensorRT engine of a bundle's ONNX file, for the GPU and the TensorRT "
        "of this machine, check it against ONNX Runtime, and put it into BUNDLE/engines.",
    )
    add = parser.add_argument
    add("--bundle", required=True, help="folder that `python -m export` made")
    add("--precision", default="fp16", help="of the ONNX file: fp32, fp16, int8 (default: fp16)")
    add("--min-batch", type=int, default=1, help="fewest clips in a batch (default: 1)")
    add("--opt-batch", type=int, help="clips it is tuned for (default: 8, or --max-batch)")
    add("--max-batch", type=int, help="most clips in a batch (default: the bundle's)")
    add("--workspace", type=int, metavar="MIB", help="GPU memory one layer may use (default: all)")
    add("--tf32", action="store_true", help="multiply fp32 with 10 bits of mantissa")
    add("--timing-cache", metavar="FILE", help="remembers timings (default: in BUNDLE/engines)")
    add("--force", action="store_true", help="build even if the same engine is there already")
    add("--device", type=int, default=0, help="number of the GPU (default: 0)")
    return parser


@command(stopped="no engine was written", extra="export", information="stdout")
def main(arguments: list[str] | None = None) -> int:
    """Run the command.

    Returns:
        0 done, 1 no engine could be built or written, 2 wrong use, or no TensorRT or GPU here. But
        for 0 the engines are those that were there before.
    """
    build_engine(parser().parse_args(arguments))
    return 0


def build_engine(options: argparse.Namespace) -> Path:
    """Build, check and write one engine, unless the same is there; returns its path.

    Raises:
        ClipDuetError: see `main`.
    """
    limits.refuse(limits.number_problems(vars(options), NUMBERS))
    bundle = Bundle.load(options.bundle)
    precision = options.precision
    sha = onnx_sha256(bundle, precision)
    most = bundle.max_batch if options.max_batch is None else options.max_batch
    tuned = max(min(8, most), options.min_batch) if options.opt_batch is None else options.opt_batch
    profile = Profile(options.min_batch, tuned, most)
    why = tensorrt_problem(options.device)
    if why is not None:
        raise BackendError(
            f"no engine can be built here: {why}\nAn engine runs on the kind of GPU it was built "
            f"on: run this command there, after {TENSORRT.install}"
        )
    gpu = Gpu(options.device)
    here = engine_machine(gpu)
    path = engine_path(bundle, precision, here, profile)
    cache = f"timing-sm{here.compute_capability}-trt{here.tensorrt}.cache"
    settings = Settings(
        profile=profile,
        workspace_mib=options.workspace,
        tf32=options.tf32,
        timing_cache=Path(options.timing_cache or bundle.root / FOLDER / cache),
    )
    told = {"workspace_mib": settings.workspace_mib, "tf32": settings.tf32}
    with locked(bundle.root / FOLDER / ".lock"):
        if not options.force and _is_there(path, sha, here, told):
            log.info(f"done      {path} is there already (--force builds it again)")
            return path
        artifact = bundle.artifact(f"onnx.{precision}")
        log.info(f"build     {artifact.files[0].file} for {here.gpu} with TensorRT {here.tensorrt}")
        log.info(f"          batches of {profile} (fewest-tuned for-most); this takes minutes")
        started = time.monotonic()
        graph = for_tensorrt(artifact.paths[0])
        plan = _build_interruptibly(graph, bundle, precision, settings, gpu)
        stamp = Stamp(
            engine_bytes=len(plan),
            engine_sha256=sha256(plan).hexdigest(),
            onnx_file=artifact.files[0].file,
            onnx_sha256=sha,
            precision=precision,
            machine=here,
            profile=profile,
            options=told,
            build_seconds=round(time.monotonic() - started, 1),
            parity={},
        )
        parity = engine_difference(bundle, plan, stamp, device=options.device)
        log.info(
            f"parity    differs from ONNX Runtime by {parity['share']:.1e} of the largest logit"
        )
        stamp = replace(stamp, parity=parity)
        write_all({path: plan, stamp_path(path): stamp.to_json().encode()})
    log.info(f"done      {path}, {len(plan) / 1e6:.2f} MB, {stamp.build_seconds:.0f} s")
    return path


def engine_difference(bundle: Bundle, plan: bytes, stamp: Stamp, *, device: int) -> dict[str, Any]:
    """How far an engine's logits are from those of ONNX Runtime with the same ONNX file.

    The clips are noise, and the darkest and the brightest there can be: sums leave the range of
    fp16 there first. One more than fits into a batch, so that a partial one runs too.

    Raises:
        EngineError: they are not finite, or further away than rounding can explain.
    """
    import onnxruntime as ort

    count = stamp.profile.max_batch + 1
    rng = np.random.default_rng(0)
    clips = rng.integers(0, 256, (count, *bundle.spec.clip_shape), dtype=np.uint8)
    clips[0], clips[-1] = 0, 255
    session = cpu_session(bundle.root / stamp.onnx_file)
    feed, wanted = bundle.input_name, [bundle.output_name]
    expected = np.concatenate([session.run(wanted, {feed: clip[None]})[0] for clip in clips])
    with TensorRTRuntime(
        bundle, precision=stamp.precision, device=device, engine=(plan, stamp)
    ) as runtime:
        logits = runtime.run(clips)
    gap = float(np.abs(logits - expected).max())
    share = gap / max(float(np.abs(expected).max()), 1e-6)
    allowed = ALLOWED.get(stamp.precision, max(ALLOWED.values()))
    if not np.isfinite(logits).all():
        raise EngineError(f"the {stamp.precision} engine gives logits that are not finite")
    if not share <= allowed:
        raise EngineError(
            f"the {stamp.precision} engine computes something else: its logits differ from ONNX "
            f"Runtime's by {share:.2g} of the largest (allowed: {allowed}); it was not written"
        )
    agree = int((logits.argmax(1) == expected.argmax(1)).sum())
    reference = f"ONNX Runtime {ort.__version__}, CPU"
    return {"reference": reference, "clips": count, "share": share, "gap": gap, "agree": agree}


def _is_there(path: Path, sha: str, here: Machine, told: dict[str, Any]) -> bool:
    """Whether that engine was built already, from the same file, in the same way."""
    try:
        stamp = read_stamp(path)
        read_engine(path, stamp)
    except BundleError:
        return False
    return not engine_mismatches(stamp, onnx_sha256=sha, machine=here) and stamp.options == told


def _build_interruptibly(
    graph: NamedGraph, bundle: Bundle, precision: str, settings: Settings, gpu: Gpu
) -> bytes:
    """Build in another thread: Python answers Ctrl-C in the main one, which would be in C++."""
    stop = Event()

    def work() -> bytes:
        with gpu.active(), cuda_errors("TensorRT cannot build"):
            return build_plan(graph, bundle, precision, settings, stopped=stop.is_set)

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(work)
        try:
            return future.result()
        except BaseException:
            stop.set()
            raise


if __name__ == "__main__":
    run_and_exit(main)
