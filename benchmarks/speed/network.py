"""A full-size network to time, from a config alone: random weights, every artefact of a bundle.

How fast a network runs does not depend on what it has learned; that its answers survive is the
gate's to show (`benchmarks.gain`), on networks that have.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

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
from train.data.motions.clips import PLACES, MotionSpec, draw_clip
from train.distill.build_recognizer import build_recognizer

CALIBRATION_CLIPS = 4
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
    student = build_recognizer(cfg.model, seed=seed).student
    randomise(student, seed=seed)
    student.eval()
    net = DeployNet(fuse(student), spec)
    calibration = drawn_clips(spec, CALIBRATION_CLIPS, seed=seed + 1)
    program, weights = save_paddle(net, folder / "paddle")
    model = to_onnx(program, weights, folder / "model.fp32.onnx", net.tensor_names())
    onnx.save(float_input(model), str(folder / FLOAT_INPUT))
    onnx.save(without_shifts(model), str(folder / NO_SHIFT["onnx.fp32"]))
    files: dict[str, list[str]] = {
        "paddle.fp32": [str(path.relative_to(folder)) for path in (program, weights)],
        "onnx.fp32": ["model.fp32.onnx"],
    }
    calibrated = calibrate(folder / "model.fp32.onnx", calibration, calibrator="minmax")
    for key, activations in ACTIVATIONS.items():
        files[key] = [ONNX_FILES[key]]
        quantize(calibrated, activations=activations, target=folder / ONNX_FILES[key])
    source, target = (folder / name for name in NO_SHIFT.values())
    calibrated = calibrate(source, calibration, calibrator="minmax")
    quantize(calibrated, activations="uint8", target=target)
    description = {
        "format_version": FORMAT_VERSION,
        "name": "speed",
        "model": dict(cfg.model["backbone"]),
        "classes": [f"class_{index}" for index in range(cfg.class_num)],
        "spec": spec.to_dict(),
        "input": {"name": INPUT, "dtype": "uint8", "shape": [BATCH, *spec.clip_shape]},
        "output": {"name": OUTPUT, "dtype": "float32", "shape": [BATCH, cfg.class_num]},
        "max_batch": max_batch,
        "artifacts": {key: _entry(folder, key, names) for key, names in files.items()},
    }
    write_bundle_json(folder, description)
    whole = Bundle.load(folder)
    description["artifacts"] = {key: _entry(folder, key, [n]) for key, n in NO_SHIFT.items()}
    write_bundle_json(folder, description)
    return whole, Bundle.load(folder)


def _entry(folder: Path, key: str, names: list[str]) -> dict[str, Any]:
    form, precision = key.split(".")[:2]
    entry = {
        "format": form,
        "precision": precision,
        "files": [describe_file(folder, name) for name in names],
    }
    return entry | ({"opset": OPSET} if form == "onnx" else {})
