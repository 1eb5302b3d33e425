"""From a checkpoint to a verified bundle, step by step; the one place that knows the order."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import onnx
import paddle
from paddle import nn

from export import data, origin, verify
from export.calibration import Calibration
from export.collapse import check_collapse
from export.convert import OPSET, save_paddle, to_onnx
from export.deploy import DeployNet
from export.describe import ExportError, classes_of, count, describe, provenance
from export.folder import staged
from export.fuse import fuse
from export.qdq import Activations
from export.quantize import KEEP_FLOAT, calibrate, quantize
from export.ranges import Calibrator
from export.strip import Stripped, strip
from infer.bundle import Bundle, describe_file, write_bundle_json
from infer.runtimes import open_runtime
from infer.spec import ClipSpec
from train.checkpoint import load_file, model_weights
from train.config import Config, clip_spec
from train.evaluate import Evaluation, evaluate
from train.models.pixels import PixelInput

Say = Callable[[str], None]

FP32, INT8, INT8_X86, PADDLE = "onnx.fp32", "onnx.int8", "onnx.int8.x86", "paddle.fp32"
ONNX_FILES = {
    FP32: "model.fp32.onnx",
    INT8: "model.int8.onnx",
    INT8_X86: "model.int8.x86.onnx",
}
LABELS = {
    FP32: "ONNX Runtime fp32",
    INT8: "ONNX Runtime int8",
    INT8_X86: "ONNX Runtime int8 for x86",
    PADDLE: "Paddle Inference",
}
ACTIVATIONS: dict[str, Activations] = {INT8: "int8", INT8_X86: "uint8"}
"""The quantised artefacts: symmetric for every engine, and what x86 CPUs run faster."""

PARITY_CLIPS = 8
"""Different clips in the comparisons of batches; larger batches repeat them."""


@dataclass(frozen=True)
class Options:
    """What an export can be told.

    Attributes:
        name: the bundle's name; None: that of its folder.
        max_batch: the largest batch that is verified and that runtimes will run at once.
        int8: the quantised artefacts to make, keys of ``ACTIVATIONS``.
        calibration_clips: training clips that set their ranges.
        calibrator: how ranges follow from the values seen (:mod:`export.ranges`).
        reduce_range: 7-bit weights, for x86 CPUs without VNNI.
        keep_float: nodes that are not quantised (:func:`export.quantize.quantize`).
        verify_clips: samples of the validation list to compare accuracy on; 0: all.
        threads: CPU threads of the runtimes; None: all cores.
        workers: threads that read clips ahead.
    """

    name: str | None = None
    max_batch: int = 32
    int8: tuple[str, ...] = tuple(ACTIVATIONS)
    calibration_clips: int = 128
    calibrator: Calibrator = "percentile"
    reduce_range: bool = False
    keep_float: tuple[str, ...] = KEEP_FLOAT
    verify_clips: int = 256
    threads: int | None = None
    workers: int = 1

    def __post_init__(self) -> None:
        for name, value, least in (
            ("max-batch", self.max_batch, 1),
            ("calibration-clips", self.calibration_clips, 1),
            ("verify-clips", self.verify_clips, 0),
            ("threads", 1 if self.threads is None else self.threads, 1),
            ("workers", self.workers, 0),
        ):
            if value < least:
                raise ExportError(f"{name} is {value}, allowed: {least} or more")


def export_bundle(
    cfg: Config,
    checkpoint: str | Path,
    output: str | Path,
    *,
    options: Options | None = None,
    say: Say = lambda line: None,
) -> Path:
    """Make a bundle of a checkpoint's Student, and verify it before it appears.

    An existing bundle at ``output`` is replaced on success only; on any failure nothing new is
    left behind.

    Args:
        cfg: the run's config.
        checkpoint: ``best.pdparams`` or ``latest.ckpt`` of a run, or any state dict with
            PaddleVideo's keys.
        output: the bundle's folder.
        options: None for the defaults.
        say: gets a line for each step done.

    Returns:
        The bundle's folder.

    Raises:
        StripError: config and checkpoint do not belong together.
        ConversionError: a converter failed.
        VerificationError: an artefact does not compute what the trained network computes.
        ClipDuetError: other mistakes in config, lists, options or output.
    """
    options = options or Options()
    checkpoint, output = Path(checkpoint), Path(output)
    content = load_file(checkpoint)
    stripped = strip(model_weights(content, source=checkpoint), cfg.model, source=checkpoint)
    others = f" ({', '.join(stripped.others)} left behind)" if stripped.others else ""
    say(f"strip     Student, {count(stripped.network):,} numbers{others}")
    classes = classes_of(cfg)
    checks = data.verification(
        cfg, count=options.verify_clips, parity=min(PARITY_CLIPS, options.max_batch)
    )
    calibration = None
    if options.int8:
        calibration = data.calibration(cfg, count=options.calibration_clips, say=say)
    with staged(output) as folder:
        net = _fused(cfg, stripped, checks, say)
        built = _build(folder, net, calibration, options, say)
        description = describe(
            cfg,
            stripped,
            net,
            classes,
            name=options.name or output.resolve().name,
            max_batch=options.max_batch,
        )
        description["origin"] = provenance(cfg, checkpoint, content)
        description["artifacts"] = built
        write_bundle_json(folder, description)
        _check_tensors(folder, net, stripped, built)
        say(f"origin    {description['model']['parameters']:,} weights, all of them the Student's")
        _verify(folder, cfg, stripped, checks, classes, options, built, say)
        write_bundle_json(folder, description)
        Bundle.load(folder)
    say(f"done      {output}")
    return output


def _fused(cfg: Config, stripped: Stripped, checks: data.Verification, say: Say) -> DeployNet:
    """The network to ship, compared with the one that was trained."""
    spec = clip_spec(cfg)
    fused = fuse(stripped.network)
    with paddle.no_grad():
        frames = _pixels(spec)(paddle.to_tensor(checks.clips[:2]))
    result = verify.check_fusion(stripped.network, fused, frames)
    net = DeployNet(fused, spec)
    before, after = len(stripped.network.state_dict()), len(net.network.state_dict())
    say(
        f"fuse      {before} tensors to {after}; differs by {result.share:.1e} of the largest "
        f"logit (allowed {verify.TOLERANCE:.0e}), batch norms randomised too"
    )
    return net


def _pixels(spec: ClipSpec) -> PixelInput:
    """The input layer that the network was trained with."""
    return PixelInput(spec.preprocess.mean, spec.preprocess.std)


def _build(
    folder: Path, net: DeployNet, calibration: Calibration | None, options: Options, say: Say
) -> dict[str, Any]:
    """Write every artefact; returns their entries for ``bundle.json``, without figures yet."""
    program, weights = save_paddle(net, folder / "paddle")
    built: dict[str, Any] = {}
    model = to_onnx(program, weights, folder / ONNX_FILES[FP32], net.tensor_names())
    built[FP32] = _entry(folder, "onnx", "fp32", [ONNX_FILES[FP32]])
    built[FP32]["opset"] = OPSET
    _say_built(say, "onnx", built[FP32], f"{len(model.graph.node)} nodes, opset {OPSET}")
    if calibration is not None:
        built |= _quantised(folder, calibration, options, say)
    names = [str(path.relative_to(folder)) for path in (program, weights)]
    built[PADDLE] = _entry(folder, "paddle", "fp32", names)
    _say_built(say, "paddle", built[PADDLE], "inference model")
    return built


def _quantised(
    folder: Path, calibration: Calibration, options: Options, say: Say
) -> dict[str, Any]:
    """Calibrate once, and write every quantised artefact."""
    calibrated = calibrate(
        folder / ONNX_FILES[FP32],
        calibration.clips,
        calibrator=options.calibrator,
        threads=options.threads,
    )
    built: dict[str, Any] = {}
    for key in options.int8:
        quantize(
            calibrated,
            activations=ACTIVATIONS[key],
            keep_float=options.keep_float,
            reduce_range=options.reduce_range,
            target=folder / ONNX_FILES[key],
        )
        built[key] = _entry(folder, "onnx", "int8", [ONNX_FILES[key]])
        built[key]["opset"] = OPSET
        built[key]["quantization"] = {
            "activations": ACTIVATIONS[key],
            "calibrator": options.calibrator,
            "reduce_range": options.reduce_range,
            "keep_float": list(options.keep_float),
            "calibration": calibration.to_dict(),
        }
        note = f"{ACTIVATIONS[key]} activations, calibrated on {calibrated.clips} clips"
        _say_built(say, "int8", built[key], note)
    return built


def _entry(folder: Path, form: str, precision: str, files: list[str]) -> dict[str, Any]:
    described = [describe_file(folder, file) for file in files]
    return {"format": form, "precision": precision, "files": described}


def _say_built(say: Say, step: str, entry: dict[str, Any], note: str) -> None:
    size = sum(file["bytes"] for file in entry["files"])
    say(f"{step:<9} {entry['files'][0]['file']}, {size / 1e6:.2f} MB, {note}")


def _check_tensors(folder: Path, net: DeployNet, stripped: Stripped, built: dict[str, Any]) -> None:
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
    for key in (key for key in ACTIVATIONS if key in built):
        quantized = origin.onnx_tensors(onnx.load(str(folder / ONNX_FILES[key])))
        origin.check_quantized_origin(ONNX_FILES[key], quantized, own)


def _verify(
    folder: Path,
    cfg: Config,
    stripped: Stripped,
    checks: data.Verification,
    classes: list[str],
    options: Options,
    built: dict[str, Any],
    say: Say,
) -> None:
    """Compare every artefact with the trained network and add the figures to its entry."""
    bundle = Bundle.load(folder)
    trained = verify.dynamic(nn.Sequential(_pixels(bundle.spec), stripped.network))
    sizes = sorted({1, 2, 3, options.max_batch} & set(range(1, options.max_batch + 1)))
    with ExitStack() as stack:
        runs = {}
        for key, entry in built.items():
            runtime = open_runtime(
                # This artefact, and not what would be the best one here.
                replace(bundle, artifacts={key: bundle.artifacts[key]}),
                backend="onnxruntime" if entry["format"] == "onnx" else "paddle",
                precision=entry["precision"],
                threads=options.threads,
            )
            runs[key] = stack.enter_context(runtime).run
        exact = {LABELS[key]: run for key, run in runs.items() if key not in ACTIVATIONS}
        gaps = verify.check_batches(
            {"Paddle's dynamic graph": trained, **exact},
            trained,
            checks.clips,
            paths=checks.paths,
            batch_sizes=sizes,
        )
        for key in (key for key in built if key not in ACTIVATIONS):
            result = gaps[LABELS[key]]
            built[key]["parity"] = {
                "reference": "trained network, Paddle dynamic graph, one clip at a time",
                "clips": len(checks.clips),
                "batch_sizes": sizes,
                "max_difference": result.largest,
                "max_share": result.share,
                "tolerance": verify.TOLERANCE,
            }
            say(
                f"parity    {LABELS[key]}: {result.share:.1e} of the largest logit (allowed "
                f"{verify.TOLERANCE:.0e}), batches of {', '.join(map(str, sizes))}"
            )
        reference = _evaluate(trained, checks, options, "trained network")
        say(f"accuracy  trained network: {_figures(reference)}")
        for key, run in runs.items():
            found = _evaluate(run, checks, options, LABELS[key])
            entry = built[key]
            if key in ACTIVATIONS:
                verify.check_batches(
                    {LABELS[key]: run},
                    run,
                    checks.clips,
                    paths=checks.paths,
                    batch_sizes=sizes,
                    tolerance=verify.BATCH_TOLERANCE_INT8,
                )
                collapse = check_collapse(LABELS[key], reference, found, classes)
                entry["parity"] = {**_loose_parity(reference, found), "collapse": collapse}
                note = f", {entry['parity']['top1_agreement']:.2%} of the answers as before"
            else:
                entry["parity"]["list"] = verify.check_answers(LABELS[key], reference, found)
                note = ""
            entry["accuracy"] = _accuracy(checks, found)
            say(f"accuracy  {LABELS[key]}: {_figures(found)}{note}")


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
        "top1": found.top1,
        "top5": found.top5,
        "macro_f1": found.macro_f1,
    }


def _figures(found: Evaluation) -> str:
    right, listed = int(found.correct.sum()), len(found.paths)
    return f"top-1 {found.top1:.4f} ({right} of {listed} clips)"
