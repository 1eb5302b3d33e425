"""What must hold before a bundle appears: its artefacts are the Student, and nothing but it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from paddle import nn

from export.assemble.left_out import FailedArtifacts
from export.assemble.options import (
    ACTIVATIONS,
    FP16,
    FP32,
    LABELS,
    LIMITS,
    ONNX_FILES,
    ExportOptions,
)
from export.clips import selection
from export.int8.goal import check_goal, check_loss, score
from export.network.convert import OFFSET, offset_by_row
from export.network.deploy import DeployNet
from export.network.fuse import fuse
from export.network.strip import Stripped
from export.verify import origin
from export.verify import parity as verify
from export.verify.collapse import check_collapse
from export.verify.limits import FLOAT32, INT8_BATCHES, Tolerance
from infer.bundle.bundle import Bundle
from infer.clips.spec import ClipSpec
from infer.runtimes.base import Runtime
from infer.runtimes.open import open_runtime
from infer.system.log import logger
from train.data.unreadable import unreadable_error
from train.evaluation.evaluate import Evaluation, evaluate
from train.models.pixels import PixelInput

log = logger(__name__)


def input_layer(spec: ClipSpec) -> PixelInput:
    """The input layer that the network was trained with."""
    return PixelInput(spec.preprocess.mean, spec.preprocess.std)


def check_tensors(
    folder: Path, net: DeployNet, stripped: Stripped, built: dict[str, Any], left: FailedArtifacts
) -> None:
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
    origin.check_origin("paddle", origin.paddle_tensors(folder / "paddle"), own, foreign)
    own[OFFSET] = offset_by_row(own[OFFSET], net.spec.preprocess.crop)
    model = onnx.load(str(folder / ONNX_FILES[FP32]))
    origin.check_origin(ONNX_FILES[FP32], origin.onnx_tensors(model), own, foreign)
    if FP16 in built:
        with left.unless_required(FP16):
            halves = origin.onnx_tensors(onnx.load(str(folder / ONNX_FILES[FP16])))
            origin.check_half_origin(ONNX_FILES[FP16], halves, own, foreign)
    for key in (key for key in ACTIVATIONS if key in built):
        with left.unless_required(key):
            quantized = origin.onnx_tensors(onnx.load(str(folder / ONNX_FILES[key])))
            check = (
                origin.check_trained_origin
                if "training" in built[key]["quantization"]
                else origin.check_quantized_origin
            )
            check(ONNX_FILES[key], quantized, own)


@dataclass(frozen=True)
class Reference:
    """The trained network's answers.

    Attributes:
        run: the network.
        found: on the validation list.
        alone: logits of each clip for the comparisons of batches, by itself.
        scale: the largest |logit| of all these clips.
    """

    run: verify.Run
    found: Evaluation
    alone: np.ndarray
    scale: float


def reference_of(
    spec: ClipSpec,
    stripped: Stripped,
    checks: selection.Verification,
    *,
    options: ExportOptions,
) -> Reference:
    """Ask the trained network about every clip that anything is verified on.

    Raises:
        UnreadableError: more of them cannot be read than the config allows.
    """
    trained = verify.dynamic(nn.Sequential(input_layer(spec), stripped.network))
    largest = [0.0]

    def watched(clips: np.ndarray) -> np.ndarray:
        logits = trained(clips)
        largest.append(float(np.abs(logits).max()))
        return logits

    found = _evaluate(watched, checks, options, "trained network")
    for path, reason in found.failed:
        log.info(f"failed    {path}: {reason}; it counts as wrong")
    beyond = unreadable_error(
        found.failed,
        listed=len(found.paths),
        limit=checks.max_unreadable,
        what=f"clips of {checks.list_file}",
    )
    if beyond is not None:
        raise beyond
    log.info(f"accuracy  trained network: {_figures(found)}")
    alone = np.concatenate([watched(clip[None]) for clip in checks.clips])
    return Reference(trained, found, alone, max(largest))


def compare_artifacts(
    folder: Path,
    reference: Reference,
    checks: selection.Verification,
    classes: list[str],
    built: dict[str, Any],
    *,
    options: ExportOptions,
    left: FailedArtifacts,
) -> None:
    """Compare every artefact with the trained network and add the figures to its entry.

    Raises:
        VerificationError: one that is required does not compute what the network computes.
    """
    bundle = Bundle.load(folder)
    sizes = sorted({1, 2, 3, options.max_batch} & set(range(1, options.max_batch + 1)))

    def in_batches(label: str, run: verify.Run, limits: Tolerance, *, itself: bool) -> verify.Gap:
        return verify.check_batches(
            label,
            run,
            None if itself else reference.alone,
            checks.clips,
            paths=checks.paths,
            batch_sizes=sizes,
            limits=limits,
            scale=reference.scale,
        )

    in_batches("Paddle's dynamic graph", reference.run, FLOAT32, itself=True)
    for key, entry in built.items():
        with left.unless_required(key), _opened(bundle, key, entry, options) as runtime:
            # Of floats an artefact gives the trained network's logits in any batch, else its own.
            limits = LIMITS.get(key)
            result = in_batches(
                LABELS[key], runtime.run, limits or INT8_BATCHES, itself=limits is None
            )
            if limits is not None:
                log.info(
                    f"parity    {LABELS[key]}: {result.share:.1e} of the largest logit (allowed "
                    f"{limits.largest:.0e}), batches of {', '.join(map(str, sizes))}"
                )
            found = _evaluate(runtime.run, checks, options, LABELS[key])
            if limits is None:
                parity, note = _judged(key, entry, reference.found, found, classes, options)
            else:
                note = ""
                parity = {
                    "reference": "trained network, Paddle dynamic graph, one clip at a time",
                    "clips": len(checks.clips),
                    "batch_sizes": sizes,
                    "max_difference": result.largest,
                    "max_share": result.share,
                    "tolerance": limits.largest,
                    "list": verify.check_answers(
                        LABELS[key], reference.found, found, limits=limits
                    ),
                }
            entry |= {"parity": parity, "accuracy": _accuracy(checks, found)}
            log.info(f"accuracy  {LABELS[key]}: {_figures(found)}{note}")


def _opened(bundle: Bundle, key: str, entry: dict[str, Any], options: ExportOptions) -> Runtime:
    return open_runtime(
        # This artefact, and not what would be the best one here.
        replace(bundle, artifacts={key: bundle.artifacts[key]}),
        backend="onnxruntime" if entry["format"] == "onnx" else "paddle",
        precision=entry["precision"],
        threads=options.threads,
    )


def _judged(
    key: str,
    entry: dict[str, Any],
    reference: Evaluation,
    found: Evaluation,
    classes: list[str],
    options: ExportOptions,
) -> tuple[dict[str, Any], str]:
    """The `parity` entry of a quantised artefact that lost no more than it may, and a note.

    Raises:
        VerificationError: it forgot classes, or loses more than it may.
    """
    collapse = check_collapse(LABELS[key], reference, found, classes)
    lost = score(reference, found)
    parity = {**_loose_parity(reference, found), "loss": lost.to_dict(), "collapse": collapse}
    trained = "training" in entry["quantization"]
    if options.goal is None:
        check_loss(LABELS[key], lost, trained=trained)
    else:
        check_goal(LABELS[key], options.goal, lost, trained=trained)
    note = (
        f", {parity['top1_agreement']:.2%} of the answers as before, expected "
        f"loss {lost.expected:.2f} points"
    )
    return parity, note


def _evaluate(
    run: verify.Run, checks: selection.Verification, options: ExportOptions, label: str
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
        **verify.top1_agreement(*here),
    }


def _accuracy(checks: selection.Verification, found: Evaluation) -> dict[str, Any]:
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
