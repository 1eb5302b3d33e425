"""A full-size network to time, from a config alone: random weights, every artefact of a bundle.

How fast a network runs does not depend on what it has learned; that its answers survive is the
gate's to show (`benchmarks.gain`), on networks that have.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from paddle import nn

from benchmarks.speed.graphs import float_input, without_shifts
from export.assemble.options import ACTIVATIONS, ONNX_FILES
from export.int8.quantize import calibrate, quantize
from export.network.convert import BATCH, INPUT, OPSET, OUTPUT, save_paddle, to_onnx
from export.network.deploy import DeployNet
from export.network.fuse import fuse
from export.verify.parity import randomise
from infer.bundle.bundle import FORMAT_VERSION, Bundle, describe_file, write_bundle_json
from infer.clips.spec import ClipSpec
from train.config.load import Config
from train.config.networks import blocks_of
from train.config.schema.model import STUDENT
from train.data.motions.clips import PLACES, MotionSpec, draw_clip
from train.distill.build_recognizer import build_recognizer

CALIBRATION_CLIPS = 4
FP32 = ONNX_FILES["onnx.fp32"]
FLOAT_INPUT = "float_input.onnx"
NO_SHIFT = {"onnx.fp32": "no_shift.fp32.onnx", "onnx.int8.x86": "no_shift.int8.onnx"}


def drawn_clips(spec: ClipSpec, count: int, *, seed: int) -> np.ndarray:
    """uint8 `[count, T, H, W, 3]`: the embedded dataset's motions in full size."""
    size, frames = spec.preprocess.crop, spec.sampling.length
    # Settings of the embedded dataset are for clips of 56 pixels; it has whole rounds of places.
    motion = MotionSpec(
        size=size + size % 2,
        frames=math.ceil(frames / PLACES) * PLACES,
        way=MotionSpec.way * size / 56,
        seed=seed,
    )
    clips = [draw_clip(motion, "test", index)[0][:frames] for index in range(count)]
    return np.ascontiguousarray(np.stack(clips)[:, :, :size, :size])


def random_student(cfg: Config, *, seed: int) -> nn.Sequential:
    """The config's student with random weights and batch norms, in evaluation mode."""
    student = build_recognizer(cfg.model, seed=seed).student
    randomise(student, seed=seed)
    student.eval()
    return student


def write_bundle(
    student: nn.Sequential,
    cfg: Config,
    spec: ClipSpec,
    folder: Path,
    *,
    calibration: np.ndarray,
    max_batch: int,
) -> Bundle:
    """Write a bundle of a student, in float32 and 8 bits, that nothing has verified.

    Args:
        student: in evaluation mode.
        cfg: its config.
        spec: sampling and preprocessing.
        folder: an empty one.
        calibration: clips of `spec`, of the 8-bit files.
        max_batch: clips at once that it says it takes.
    """
    net = DeployNet(fuse(student), spec)
    program, weights = save_paddle(net, folder / "paddle")
    to_onnx(program, weights, folder / FP32, net.tensor_names())
    files: dict[str, list[str]] = {
        "paddle.fp32": [str(path.relative_to(folder)) for path in (program, weights)],
        "onnx.fp32": [FP32],
    }
    calibrated = calibrate(folder / FP32, calibration, calibrator="minmax")
    for key, activations in ACTIVATIONS.items():
        files[key] = [ONNX_FILES[key]]
        quantize(calibrated, activations=activations, target=folder / ONNX_FILES[key])
    return _described(cfg, spec, folder, files, max_batch=max_batch)


def build_variants(
    cfg: Config, folder: Path, *, max_batch: int, seed: int
) -> tuple[Bundle, Bundle]:
    """Write a bundle of the config's student, and beside its files variants to compare with.

    Returns:
        The bundle, and one of the same network without its shift; `float_input.onnx` lies in
        their folder too.
    """
    import onnx

    spec = cfg.specs["valid"]
    calibration = drawn_clips(spec, CALIBRATION_CLIPS, seed=seed + 1)
    whole = write_bundle(
        random_student(cfg, seed=seed),
        cfg,
        spec,
        folder,
        calibration=calibration,
        max_batch=max_batch,
    )
    model = onnx.load(str(folder / FP32))
    onnx.save(float_input(model), str(folder / FLOAT_INPUT))
    onnx.save(without_shifts(model), str(folder / NO_SHIFT["onnx.fp32"]))
    source, target = (folder / name for name in NO_SHIFT.values())
    calibrated = calibrate(source, calibration, calibrator="minmax")
    quantize(calibrated, activations="uint8", target=target)
    still = {key: [name] for key, name in NO_SHIFT.items()}
    return whole, _described(cfg, spec, folder, still, max_batch=max_batch)


def _described(
    cfg: Config, spec: ClipSpec, folder: Path, files: dict[str, list[str]], *, max_batch: int
) -> Bundle:
    """Write `bundle.json`, with these files by the names of their artifacts."""
    description = {
        "format_version": FORMAT_VERSION,
        "name": "speed",
        "model": dict(blocks_of(cfg.model)[STUDENT]["backbone"]),
        "classes": [f"class_{index}" for index in range(cfg.class_num)],
        "spec": spec.to_dict(),
        "input": {"name": INPUT, "dtype": "uint8", "shape": [BATCH, *spec.clip_shape]},
        "output": {"name": OUTPUT, "dtype": "float32", "shape": [BATCH, cfg.class_num]},
        "max_batch": max_batch,
        "artifacts": {key: _entry(folder, key, names) for key, names in files.items()},
    }
    write_bundle_json(folder, description)
    return Bundle.load(folder)


def _entry(folder: Path, key: str, names: list[str]) -> dict[str, Any]:
    form, precision = key.split(".")[:2]
    entry = {
        "format": form,
        "precision": precision,
        "files": [describe_file(folder, name) for name in names],
    }
    return entry | ({"opset": OPSET} if form == "onnx" else {})
