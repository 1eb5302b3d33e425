"""The files of a bundle: what each is called, and how it is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from export import data, verify
from export.calibration import Calibration
from export.convert import OPSET, save_paddle, to_onnx
from export.deploy import DeployNet
from export.describe import ExportError
from export.finite import check_finite
from export.goal import Goal
from export.half import to_half
from export.int8_files import Int8, copy_trained, write_int8
from export.qdq import Activations
from export.quantize import KEEP_FLOAT, calibrate
from export.quiet import captured
from export.ranges import Calibrator
from export.sensitivity import MOST
from infer.bundle import describe_file

Say = Callable[[str], None]

FP32, FP16, PADDLE = "onnx.fp32", "onnx.fp16", "paddle.fp32"
INT8, INT8_X86 = "onnx.int8", "onnx.int8.x86"
ONNX_FILES = {
    FP32: "model.fp32.onnx",
    FP16: "model.fp16.onnx",
    INT8: "model.int8.onnx",
    INT8_X86: "model.int8.x86.onnx",
}
LABELS = {
    FP32: "ONNX Runtime fp32",
    FP16: "ONNX Runtime fp16",
    INT8: "ONNX Runtime int8",
    INT8_X86: "ONNX Runtime int8 for x86",
    PADDLE: "Paddle Inference",
}
ACTIVATIONS: dict[str, Activations] = {INT8: "int8", INT8_X86: "uint8"}
"""The quantised artefacts: symmetric for every engine, and what x86 CPUs run faster."""
TOLERANCES = {
    FP32: verify.TOLERANCE,
    FP16: verify.TOLERANCE_FP16,
    PADDLE: verify.TOLERANCE,
}
"""Artefacts of floats, and how far their logits may be from the trained network's."""

CALIBRATING = (
    ("--calibrator", "calibrator"),
    ("--calibration-clips", "calibration_clips"),
    ("--keep-float", "keep_float"),
    ("--reduce-range", "reduce_range"),
    ("--int8-most", "most_float"),
)
"""Options of the command, and their names here, that say how to calibrate and quantise."""


@dataclass(frozen=True)
class Options:
    """What an export can be told.

    Attributes:
        name: the bundle's name; None: that of its folder.
        max_batch: the largest batch that is verified and that runtimes will run at once.
        fp16: make the artefact of float16 too.
        int8: the quantised artefacts to make, keys of ``ACTIVATIONS``.
        calibration_clips: training clips that set their ranges.
        calibrator: how ranges follow from the values seen (:mod:`export.ranges`).
        reduce_range: 7-bit weights, for x86 CPUs without VNNI.
        keep_float: nodes that are not quantised (:func:`export.quantize.quantize`).
        verify_clips: samples of the validation list to compare accuracy on; 0: all.
        threads: CPU threads of the runtimes; None: all cores.
        workers: threads that read clips ahead.
        goal: what the quantised artefacts must reach on these samples; layers are kept in float
            where need be. None: there is no goal.
        most_float: largest share of the multiply-adds to keep in float for it.
        qat: folder of a fine-tune (:mod:`export.qat`) whose graphs become the quantised artefacts.
    """

    name: str | None = None
    max_batch: int = 32
    fp16: bool = True
    int8: tuple[str, ...] = tuple(ACTIVATIONS)
    calibration_clips: int = 128
    calibrator: Calibrator = "percentile"
    reduce_range: bool = False
    keep_float: tuple[str, ...] = KEEP_FLOAT
    verify_clips: int = 256
    threads: int | None = None
    workers: int = 1
    goal: Goal | None = None
    most_float: float = MOST
    qat: Path | None = None

    def __post_init__(self) -> None:
        for name, value, least in (
            ("max-batch", self.max_batch, 1),
            ("calibration-clips", self.calibration_clips, 1),
            ("verify-clips", self.verify_clips, 0),
            ("threads", 1 if self.threads is None else self.threads, 1),
            ("workers", self.workers, 0),
            ("int8-goal", 0 if self.goal is None else self.goal.loss, 0),
            ("int8-most", self.most_float, 0),
        ):
            if value < least:
                raise ExportError(f"{name} is {value}, allowed: {least} or more")


def calibrated_kinds(options: Options, trained: Mapping[str, Any] | None) -> list[Activations]:
    """The kinds of 8 bits that an export makes by calibration: those that were not trained.

    Args:
        options: of the export.
        trained: what :func:`export.qat.load_trained` found; None: nothing was trained for 8 bits.

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
            f"8-bit files to make are: {', '.join(wanted) or 'none'}; leave --qat out, or choose "
            "others: --activations"
        )
    idle = [] if left else [flag for flag, name in CALIBRATING if _differs(options, name)]
    if idle:
        raise ExportError(
            f"{', '.join(idle)} would have no effect: the 8-bit files ({', '.join(wanted)}) are "
            f"taken from {options.qat} as they were trained; leave it out, or leave --qat out"
        )
    return left


def _differs(options: Options, name: str) -> bool:
    return bool(getattr(options, name) != getattr(Options, name))


def build(
    folder: Path,
    net: DeployNet,
    checks: data.Verification,
    calibration: Calibration | None,
    trained: Mapping[str, Any] | None,
    *,
    options: Options,
    say: Say,
) -> dict[str, Any]:
    """Write every artefact; returns their entries for ``bundle.json``, without figures yet.

    Args:
        folder: the bundle's.
        net: what is shipped.
        checks: clips on which no tensor may be infinite.
        calibration: clips that set 8-bit ranges; None: nothing is calibrated.
        trained: what :func:`export.qat.load_trained` found; None: nothing was trained for 8 bits.
        options: of the export.
        say: gets a line for each file.
    """
    program, weights = save_paddle(net, folder / "paddle")
    built: dict[str, Any] = {}
    model = to_onnx(program, weights, folder / ONNX_FILES[FP32], net.tensor_names())
    built[FP32] = _entry(folder, "onnx", "fp32", [ONNX_FILES[FP32]])
    built[FP32]["opset"] = OPSET
    _say_built(say, "onnx", built[FP32], f"{len(model.graph.node)} nodes, opset {OPSET}")
    if options.fp16:
        built[FP16] = _halved(folder, checks, options, say)
    if options.int8:
        built |= _quantised(folder, calibration, checks, trained, options, say)
    names = [str(path.relative_to(folder)) for path in (program, weights)]
    built[PADDLE] = _entry(folder, "paddle", "fp32", names)
    _say_built(say, "paddle", built[PADDLE], "inference model")
    return built


def _halved(folder: Path, checks: data.Verification, options: Options, say: Say) -> dict[str, Any]:
    """Write the artefact of float16 and look for numbers that it cannot hold."""
    path = folder / ONNX_FILES[FP16]
    with captured("Converting to float16"):
        to_half(folder / ONNX_FILES[FP32], path)
    looked = check_finite(path, checks.clips, names=checks.paths, threads=options.threads)
    entry = _entry(folder, "onnx", "fp16", [ONNX_FILES[FP16]])
    _say_built(say, "fp16", entry, f"{looked} tensors finite on real and saturated clips")
    return {**entry, "opset": OPSET, "finite": {"tensors": looked, "clips": len(checks.clips)}}


def _quantised(
    folder: Path,
    calibration: Calibration | None,
    checks: data.Verification,
    trained: Mapping[str, Any] | None,
    options: Options,
    say: Say,
) -> dict[str, Any]:
    """Write every quantised artefact: those that were trained, and the others by calibration."""
    built: dict[str, Any] = {}
    left: dict[str, Activations] = {}
    for key in options.int8:
        activations, target = ACTIVATIONS[key], folder / ONNX_FILES[key]
        if trained is None or activations not in trained["trained"]:
            left[key] = activations
            continue
        record = copy_trained(trained, target, activations=activations)
        note = f"{activations} activations, trained for {record['training']['epochs']} epochs"
        built[key] = _int8_entry(folder, key, record)
        _say_built(say, "int8", built[key], note)
    if calibration is not None:
        built |= _calibrated(folder, left, calibration, checks, options, say)
    return {key: built[key] for key in options.int8}


def _calibrated(
    folder: Path,
    kinds: Mapping[str, Activations],
    calibration: Calibration,
    checks: data.Verification,
    options: Options,
    say: Say,
) -> dict[str, Any]:
    """Calibrate once, and write the artefacts of ``kinds``."""
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
        record = write_int8(
            calibrated,
            folder / ONNX_FILES[key],
            how,
            activations=activations,
            calibration=calibration,
            dataset=checks.dataset,
            say=say,
        )
        built[key] = _int8_entry(folder, key, record)
        note = f"{activations} activations, calibrated on {calibrated.clips} clips"
        _say_built(say, "int8", built[key], note)
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


def _say_built(say: Say, step: str, entry: dict[str, Any], note: str) -> None:
    size = sum(file["bytes"] for file in entry["files"])
    say(f"{step:<9} {entry['files'][0]['file']}, {size / 1e6:.2f} MB, {note}")
