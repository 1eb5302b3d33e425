"""The files of a bundle: how each is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
from tqdm import tqdm

from export.assemble.describe import ExportError
from export.assemble.left_out import FailedArtifacts
from export.assemble.options import ACTIVATIONS, FP16, FP32, ONNX_FILES, PADDLE, ExportOptions
from export.clips import selection
from export.clips.calibration import Calibration
from export.int8.files import Int8, copy_trained, write_int8
from export.int8.placement import Activations
from export.int8.quantize import calibrate, check_patterns
from export.network.captured_output import captured
from export.network.convert import OPSET, save_paddle, to_onnx
from export.network.deploy import DeployNet
from export.network.float16 import to_half
from export.verify.finite import check_finite
from infer import __version__
from infer.bundle.bundle import describe_file
from infer.bundle.onnx_metadata import onnx_metadata
from infer.system.log import logger

log = logger(__name__)

CALIBRATING = (
    ("--calibrator", "calibrator"),
    ("--calibration-clips", "calibration_clips"),
    ("--keep-float", "keep_float"),
    ("--reduce-range", "reduce_range"),
    ("--int8-most", "most_float"),
)
"""Options of the command, and their names here, that say how to calibrate and quantise."""


def calibrated_kinds(
    options: ExportOptions, trained: Mapping[str, Any] | None
) -> list[Activations]:
    """The kinds of 8 bits that an export makes by calibration: those that were not trained.

    Args:
        options: of the export.
        trained: what `export.qat.trained.load_trained` found; None: nothing was trained for 8 bits.

    Raises:
        ExportError: there are none, and options say how to make them; or none was trained.
    """
    wanted = [ACTIVATIONS[key] for key in options.int8]
    if trained is None:
        return wanted
    left = [kind for kind in wanted if kind not in trained["trained"]]
    if left == wanted:
        raise ExportError(
            f"the fine-tune in {options.qat} trained {', '.join(trained['trained'])}, and the "
            f"8-bit files to make are: {', '.join(wanted)}; leave --qat out, or choose "
            "others: --activations"
        )
    idle = [] if left else [flag for flag, name in CALIBRATING if _differs(options, name)]
    if idle:
        raise ExportError(
            f"{', '.join(idle)} would have no effect: the 8-bit files ({', '.join(wanted)}) are "
            f"taken from {options.qat} as they were trained; leave it out, or leave --qat out"
        )
    return left


def _differs(options: ExportOptions, name: str) -> bool:
    return bool(getattr(options, name) != getattr(ExportOptions, name))


def build_artifacts(
    folder: Path,
    net: DeployNet,
    checks: selection.Verification,
    calibration: Calibration | None,
    trained: Mapping[str, Any] | None,
    *,
    classes: Sequence[str],
    confidence: Mapping[str, Any] | None,
    options: ExportOptions,
    left: FailedArtifacts,
) -> dict[str, Any]:
    """Write every artefact; returns their entries for `bundle.json`, without figures yet.

    Args:
        folder: the bundle's.
        net: what is shipped.
        checks: clips on which no tensor may be infinite.
        calibration: clips that set 8-bit ranges; None: nothing is calibrated.
        trained: what `export.qat.trained.load_trained` found; None: nothing was trained for 8 bits.
        classes: names, which every ONNX file says.
        confidence: temperature and thresholds, which it says too; None: there are none.
        options: of the export.
        left: gets those that cannot be made.
    """
    program, weights = save_paddle(net, folder / "paddle")
    built: dict[str, Any] = {}
    metadata = onnx_metadata(classes, net.spec, version=__version__, confidence=confidence)
    model = to_onnx(
        program, weights, folder / ONNX_FILES[FP32], net.tensor_names(), metadata=metadata
    )
    built[FP32] = _entry(folder, "onnx", "fp32", [ONNX_FILES[FP32]])
    built[FP32]["opset"] = OPSET
    _log_built("onnx", built[FP32], f"{len(model.graph.node)} nodes, opset {OPSET}")
    if options.fp16:
        with left.unless_required(FP16):
            built[FP16] = _halved(folder, checks, options)
    if options.int8:
        built |= _quantised(folder, calibration, checks, trained, metadata, options, left)
    names = [str(path.relative_to(folder)) for path in (program, weights)]
    built[PADDLE] = _entry(folder, "paddle", "fp32", names)
    _log_built("paddle", built[PADDLE], "inference model")
    return built


def _halved(folder: Path, checks: selection.Verification, options: ExportOptions) -> dict[str, Any]:
    """Write the artefact of float16 and look for numbers that it cannot hold."""
    path = folder / ONNX_FILES[FP16]
    with captured("Converting to float16"):
        to_half(folder / ONNX_FILES[FP32], path)
    looked = check_finite(path, checks.clips, names=checks.paths, threads=options.threads)
    entry = _entry(folder, "onnx", "fp16", [ONNX_FILES[FP16]])
    _log_built("fp16", entry, f"{looked} tensors finite on real and saturated clips")
    return {**entry, "opset": OPSET, "finite": {"tensors": looked, "clips": len(checks.clips)}}


def _quantised(
    folder: Path,
    calibration: Calibration | None,
    checks: selection.Verification,
    trained: Mapping[str, Any] | None,
    metadata: Mapping[str, str],
    options: ExportOptions,
    left: FailedArtifacts,
) -> dict[str, Any]:
    """Write every quantised artefact: those that were trained, and the others by calibration."""
    built: dict[str, Any] = {}
    others: dict[str, Activations] = {}
    for key in options.int8:
        activations, target = ACTIVATIONS[key], folder / ONNX_FILES[key]
        if trained is None or activations not in trained["trained"]:
            others[key] = activations
            continue
        record = copy_trained(trained, target, activations=activations, metadata=metadata)
        note = f"{activations} activations, trained for {record['training']['epochs']} epochs"
        built[key] = _int8_entry(folder, key, record)
        _log_built("int8", built[key], note)
    if calibration is not None:
        with left.unless_required(*others):
            built |= _calibrated(folder, others, calibration, checks, options, left)
    return {key: built[key] for key in options.int8 if key in built}


def _calibrated(
    folder: Path,
    kinds: Mapping[str, Activations],
    calibration: Calibration,
    checks: selection.Verification,
    options: ExportOptions,
    left: FailedArtifacts,
) -> dict[str, Any]:
    """Calibrate once, and write the artefacts of `kinds`."""
    check_patterns(onnx.load(str(folder / ONNX_FILES[FP32])), options.keep_float)
    calibrated = calibrate(
        folder / ONNX_FILES[FP32],
        tqdm(calibration.clips, desc="ranges of int8", unit="clip", leave=False, disable=None),
        calibrator=options.calibrator,
        threads=options.threads,
    )
    how = Int8(
        keep_float=options.keep_float,
        reduce_range=options.reduce_range,
        goal=options.goal,
        most=options.most_float,
        threads=options.threads,
    )
    built = {}
    for key, activations in kinds.items():
        with left.unless_required(key):
            record = write_int8(
                calibrated,
                folder / ONNX_FILES[key],
                how,
                activations=activations,
                calibration=calibration,
                dataset=checks.dataset,
            )
        if key in left.reasons:
            continue
        built[key] = _int8_entry(folder, key, record)
        note = f"{activations} activations, calibrated on {calibrated.clips} clips"
        _log_built("int8", built[key], note)
    return built


def _int8_entry(folder: Path, key: str, record: dict[str, Any]) -> dict[str, Any]:
    return {
        **_entry(folder, "onnx", "int8", [ONNX_FILES[key]]),
        "opset": OPSET,
        "quantization": record,
    }


def _entry(folder: Path, form: str, precision: str, files: list[str]) -> dict[str, Any]:
    described = [describe_file(folder, file) for file in files]
    return {"format": form, "precision": precision, "files": described}


def _log_built(step: str, entry: dict[str, Any], note: str) -> None:
    size = sum(file["bytes"] for file in entry["files"])
    log.info(f"{step:<9} {entry['files'][0]['file']}, {size / 1e6:.2f} MB, {note}")
