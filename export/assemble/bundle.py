"""From a checkpoint to a verified bundle, step by step; the one place that knows the order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import paddle

from export.assemble import accept
from export.assemble.artifacts import build_artifacts, calibrated_kinds
from export.assemble.describe import count, describe, has_origin, provenance, record_of
from export.assemble.folder import staged
from export.assemble.known_answers import refusal_here, write_known_answers
from export.assemble.left_out import FailedArtifacts
from export.assemble.options import ACTIVATIONS, ONNX_FILES, ExportOptions
from export.clips import selection
from export.clips.length import clip_length
from export.confidence.thresholds import confidence_entry, why_no_temperature
from export.network.deploy import DeployNet
from export.network.fuse import fuse
from export.network.strip import Stripped, strip
from export.qat.trained import load_trained
from export.verify import parity
from export.verify.guessing import guessing_warning
from export.verify.limits import FLOAT32
from export.verify.recorded import Recorded, recorded_of
from infer.bundle.bundle import Bundle, write_bundle_json
from infer.system.files import sha256_of
from infer.system.log import logger
from train.checkpoints.checkpoint import load_file, model_weights
from train.config.load import Config
from train.evaluation.evaluate import Evaluation

log = logger(__name__)

__all__ = ["ACTIVATIONS", "ExportOptions", "export_bundle"]

PARITY_CLIPS = 8
"""Different clips in the comparisons of batches; larger batches repeat them."""


def export_bundle(
    cfg: Config,
    checkpoint: str | Path,
    output: str | Path,
    *,
    options: ExportOptions | None = None,
) -> Path:
    """Make a bundle of a checkpoint's Student, and verify it before it appears.

    A precision that cannot be made, or that fails its verification, is left out unless the options
    require it. An existing bundle at `output` is replaced on success only; on any other failure
    nothing new is left behind.

    Args:
        cfg: the run's config.
        checkpoint: `best.pdparams` or `latest.ckpt` of a run, or any state dict with
            PaddleVideo's keys.
        output: the bundle's folder.
        options: None for the defaults.

    Returns:
        The bundle's folder.

    Raises:
        StripError: config and checkpoint do not belong together.
        ConversionError: a converter failed, of fp32 or of a precision that is required.
        VerificationError: an artefact of these does not compute what the trained network
            computes, or misses the goal of the options.
        ClipDuetError: other mistakes in config, lists, options or output.
    """
    options = options or ExportOptions()
    checkpoint, output = Path(checkpoint), Path(output)
    stripped, record, origin = _read(cfg, checkpoint)
    classes = list(cfg.deployed_names)
    checks = selection.verification(
        cfg, count=options.verify_clips, parity=min(PARITY_CLIPS, options.max_batch)
    )
    trained = None
    if options.qat is not None:
        trained = load_trained(options.qat, checkpoint_sha256=sha256_of(checkpoint))
    calibration = None
    if calibrated_kinds(options, trained):
        calibration = selection.calibration(cfg, count=options.calibration_clips)
    left = FailedArtifacts(options.required)
    with staged(output) as folder:
        reference = accept.reference_of(cfg.specs["valid"], stripped, checks, options=options)
        recorded = recorded_of(record, checks.whole, reference.found)
        confidence = _confidence(reference.found, checks)
        net = _fused(cfg, stripped, checks)
        built = build_artifacts(
            folder,
            net,
            checks,
            calibration,
            trained,
            classes=classes,
            confidence=confidence,
            options=options,
            left=left,
        )
        description = describe(
            cfg,
            stripped,
            net,
            classes,
            name=options.name or output.resolve().name,
            max_batch=options.max_batch,
        )
        description |= _found_entries(cfg, origin, recorded, confidence)
        description["artifacts"] = built
        write_bundle_json(folder, description)
        accept.check_tensors(folder, net, stripped, built, left)
        log.info(
            f"origin    {description['model']['parameters']:,} weights, all of them the Student's"
        )
        left.drop(folder, built, ONNX_FILES)
        accept.compare_artifacts(
            folder, reference, checks, classes, built, options=options, left=left
        )
        left.drop(folder, built, ONNX_FILES)
        if left.reasons:
            description["left_out"] = left.reasons
        known = [key for key in ACTIVATIONS if key in built]
        if known:
            clips = checks.clips if calibration is None else calibration.clips
            description["known_answers"] = write_known_answers(
                folder, known, clips, threads=options.threads
            )
        write_bundle_json(folder, description)
        bundle = Bundle.load(folder)
        refused = refusal_here(bundle, threads=options.threads) if known else None
    log.info(f"done      {output}")
    guesses = guessing_warning(
        reference.found, recorded, checks.whole, classes, list_file=checks.list_file
    )
    if refused is not None:
        log.warning(f"warning: {refused}")
    if recorded is not None and not recorded.explained:
        log.warning(recorded.warning(checks.list_file))
    if guesses is not None:
        log.warning(guesses)
    for line in left.warnings(ONNX_FILES):
        log.warning(line)
    return output


def _read(cfg: Config, checkpoint: Path) -> tuple[Stripped, dict[str, Any], dict[str, Any]]:
    """The Student of a checkpoint, what its run recorded of it, and the entry `origin`."""
    content = load_file(checkpoint, trust=cfg.trust)
    stripped = strip(model_weights(content, source=checkpoint), cfg.model, source=checkpoint)
    others = f" ({', '.join(stripped.others)} left behind)" if stripped.others else ""
    log.info(f"strip     Student, {count(stripped.network):,} numbers{others}")
    record = record_of(checkpoint, content)
    ours = "settings" in record or has_origin(checkpoint)
    if not ours and cfg.specs["valid"].preprocess.resize != "pil":
        log.info(
            "note      nothing says what pixels the checkpoint was trained on; PaddleVideo resizes "
            "with Pillow, as PIPELINE.valid.transform.Scale.resize=pil does"
        )
    return stripped, record, provenance(cfg, checkpoint, record)


def _found_entries(
    cfg: Config,
    origin: dict[str, Any],
    recorded: Recorded | None,
    confidence: dict[str, Any] | None,
) -> dict[str, Any]:
    """`origin`, `clip_length` and `confidence` of `bundle.json`, as far as they are known."""
    found: dict[str, Any] = {"origin": origin}
    if recorded is not None:
        found["origin"] = {**origin, "recorded_accuracy": recorded.to_dict()}
    length = clip_length(cfg)
    if length is not None:
        found["clip_length"] = length.to_dict()
    if confidence is not None:
        found["confidence"] = confidence
    return found


def _confidence(found: Evaluation, checks: selection.Verification) -> dict[str, Any] | None:
    read = found.decoded
    logits, labels = found.logits[read], found.labels[read]
    entry = confidence_entry(logits, labels, list_file=checks.list_file)
    if entry is None:
        log.info(
            f"scores    no temperature: {why_no_temperature(logits, labels)}; --calibrated and "
            "--precision-goal are refused with this bundle"
        )
        return None
    goals = "".join(
        f", {one['precision']:.0%} of the answers are right from {one['threshold']:.3f}"
        for one in entry["thresholds"]
    )
    log.info(f"scores    temperature {entry['temperature']:.3f}, {entry['clips']} clips{goals}")
    return entry


def _fused(cfg: Config, stripped: Stripped, checks: selection.Verification) -> DeployNet:
    """The network to ship, compared with the one that was trained."""
    spec = cfg.specs["valid"]
    fused = fuse(stripped.network)
    with paddle.no_grad():
        frames = accept.input_layer(spec)(paddle.to_tensor(checks.clips))
    result = parity.check_fusion(stripped.network, fused, frames)
    net = DeployNet(fused, spec)
    before, after = len(stripped.network.state_dict()), len(net.network.state_dict())
    log.info(
        f"fuse      {before} tensors to {after}; differs by {result.share:.1e} of the largest "
        f"logit (allowed {FLOAT32.largest:.0e}), batch norms randomised too"
    )
    return net
