"""What must hold before a bundle appears: its artefacts are the Student, and nothing but it."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
from paddle import nn

from export import data, origin, verify
from export.artifacts import ACTIVATIONS, FP16, FP32, LABELS, ONNX_FILES, TOLERANCES, Options, Say
from export.collapse import check_collapse
from export.deploy import DeployNet
from export.fuse import fuse
from export.goal import check_goal, score
from export.strip import Stripped
from infer.bundle import Bundle
from infer.runtimes import open_runtime
from infer.spec import ClipSpec
from train.evaluate import Evaluation, evaluate
from train.models.pixels import PixelInput
from train.unreadable import excess


def input_layer(spec: ClipSpec) -> PixelInput:
    """The input layer that the network was trained with."""
    return PixelInput(spec.preprocess.mean, spec.preprocess.std)


def check_tensors(folder: Path, net: DeployNet, stripped: Stripped, built: dict[str, Any]) -> None:
    """No artefact holds a number that is not the Student's."""
    own = {name: tensor.numpy() for name, tensor in net.tensors().items()}
    raw = {name: tensor.numpy() for name, tensor in stripped.network.state_dict().items()}
    foreign = dict(stripped.leftovers)
    for role, network in stripped.others.items():
        state = {name: value.numpy() for name, value in network.state_dict().items()}
        foreign |= {f"{role}.{name}": value for name, value in state.items()}
    origin.check_distinct(own, raw, foreign)
    # A fused teacher would not be recognised by its raw weights.
    for role, network in stripped.others.items():
        folded = fuse(network).state_dict()
        foreign |= {f"{role}.{name}, fused": value.numpy() for name, value in folded.items()}
    model = onnx.load(str(folder / ONNX_FILES[FP32]))
    origin.check_origin(ONNX_FILES[FP32], origin.onnx_tensors(model), own, foreign)
    origin.check_origin("paddle", origin.paddle_tensors(folder / "paddle"), own, foreign)
    if FP16 in built:
        halves = origin.onnx_tensors(onnx.load(str(folder / ONNX_FILES[FP16])))
        origin.check_half_origin(ONNX_FILES[FP16], halves, own, foreign)
    for key in (key for key in ACTIVATIONS if key in built):
        quantized = origin.onnx_tensors(onnx.load(str(folder / ONNX_FILES[key])))
        check = (
            origin.check_trained_origin
            if "training" in built[key]["quantization"]
            else origin.check_quantized_origin
        )
        check(ONNX_FILES[key], quantized, own)


def check_answers(
    folder: Path,
    stripped: Stripped,
    checks: data.Verification,
    classes: list[str],
    built: dict[str, Any],
    *,
    options: Options,
    say: Say,
) -> None:
    """Compare every artefact with the trained network and add the figures to its entry."""
    bundle = Bundle.load(folder)
    trained = verify.dynamic(nn.Sequential(input_layer(bundle.spec), stripped.network))
    with ExitStack() as stack:
        runs: dict[str, verify.Run] = {}
        for key, entry in built.items():
            runtime = open_runtime(
                # This artefact, and not what would be the best one here.
                replace(bundle, artifacts={key: bundle.artifacts[key]}),
                backend="onnxruntime" if entry["format"] == "onnx" else "paddle",
                precision=entry["precision"],
                threads=options.threads,
            )
            runs[key] = stack.enter_context(runtime).run
        _check_batches(trained, runs, checks, built, options, say)
        reference = _evaluate(trained, checks, options, "trained network")
        for path, reason in reference.failed:
            say(f"failed    {path}: {reason}; it counts as wrong")
        beyond = excess(
            reference.failed,
            listed=len(reference.paths),
            limit=checks.max_unreadable,
            what=f"clips of {checks.list_file}",
        )
        if beyond is not None:
            raise beyond
        say(f"accuracy  trained network: {_figures(reference)}")
        for key, run in runs.items():
            found = _evaluate(run, checks, options, LABELS[key])
            entry = built[key]
            if key in TOLERANCES:
                entry["parity"]["list"] = verify.check_answers(
                    LABELS[key], reference, found, tolerance=TOLERANCES[key]
                )
                note = ""
            else:
                collapse = check_collapse(LABELS[key], reference, found, classes)
                lost = score(reference, found)
                entry["parity"] = {
                    **_loose_parity(reference, found),
                    "loss": lost.to_dict(),
                    "collapse": collapse,
                }
                if options.goal is not None:
                    so = "training" in entry["quantization"]
                    check_goal(LABELS[key], options.goal, lost, trained=so)
                note = (
                    f", {entry['parity']['top1_agreement']:.2%} of the answers as before, expected "
                    f"loss {lost.expected:.2f} points"
                )
            entry["accuracy"] = _accuracy(checks, found)
            say(f"accuracy  {LABELS[key]}: {_figures(found)}{note}")


def _check_batches(
    trained: verify.Run,
    runs: dict[str, verify.Run],
    checks: data.Verification,
    built: dict[str, Any],
    options: Options,
    say: Say,
) -> None:
    """In any batch an artefact of floats gives the trained network's logits, others their own."""
    sizes = sorted({1, 2, 3, options.max_batch} & set(range(1, options.max_batch + 1)))

    def largest(label: str, run: verify.Run, reference: verify.Run, tolerance: float) -> verify.Gap:
        return verify.check_batches(
            {label: run},
            reference,
            checks.clips,
            paths=checks.paths,
            batch_sizes=sizes,
            tolerance=tolerance,
        )[label]

    largest("Paddle's dynamic graph", trained, trained, verify.TOLERANCE)
    for key, run in runs.items():
        if key not in TOLERANCES:
            largest(LABELS[key], run, run, verify.BATCH_TOLERANCE_INT8)
            continue
        result = largest(LABELS[key], run, trained, TOLERANCES[key])
        built[key]["parity"] = {
            "reference": "trained network, Paddle dynamic graph, one clip at a time",
            "clips": len(checks.clips),
            "batch_sizes": sizes,
            "max_difference": result.largest,
            "max_share": result.share,
            "tolerance": TOLERANCES[key],
        }
        say(
            f"parity    {LABELS[key]}: {result.share:.1e} of the largest logit (allowed "
            f"{TOLERANCES[key]:.0e}), batches of {', '.join(map(str, sizes))}"
        )


def _evaluate(
    run: verify.Run, checks: data.Verification, options: Options, label: str
) -> Evaluation:
    return evaluate(
        run,
        checks.dataset,
        batch_size=min(options.max_batch, 16),
        workers=options.workers,
        progress=label,
    )


def _loose_parity(reference: Evaluation, found: Evaluation) -> dict[str, Any]:
    read = reference.decoded
    here = reference.logits[read], found.logits[read]
    result = verify.gap(*here)
    return {
        "reference": "trained network, Paddle dynamic graph",
        "clips": int(read.sum()),
        "max_difference": result.largest,
        "max_share": result.share,
        **verify.agreement(*here),
    }


def _accuracy(checks: data.Verification, found: Evaluation) -> dict[str, Any]:
    return {
        "list": checks.list_file,
        "listed": len(found.paths),
        "decoded": int(found.decoded.sum()),
        "failed": [path for path, _ in found.failed],
        "top1": found.top1,
        "top5": found.top5,
        "macro_f1": found.macro_f1,
    }


def _figures(found: Evaluation) -> str:
    right, listed = int(found.correct.sum()), len(found.paths)
    return f"top-1 {found.top1:.4f} ({right} of {listed} clips)"
