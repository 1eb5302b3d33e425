"""The 8-bit files of a bundle: by calibration alone, with layers in float, or trained for it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.clips.calibration import Calibration
from export.int8.defaults import Goal
from export.int8.goal import GoalError, remedy
from export.int8.means import widen_means
from export.int8.pads import pad_bytes
from export.int8.placement import Activations
from export.int8.quantize import Calibrated, quantize
from export.int8.search import search
from export.int8.trials import Trials, work_of
from export.network.captured_output import captured
from train.evaluation.evaluate import ListedClips


@dataclass(frozen=True)
class Int8:
    """How an 8-bit file is made.

    Attributes:
        keep_float: nodes that compute with floats, see `export.int8.quantize.quantize`.
        reduce_range: 7-bit weights.
        goal: what must be reached, with layers in float where need be; None: there is no goal.
        most: largest share of the multiply-adds that may stay in float.
        threads: of ONNX Runtime; None: all cores.
    """

    keep_float: Sequence[str]
    reduce_range: bool
    goal: Goal | None
    most: float
    threads: int | None


def write_int8(
    calibrated: Calibrated,
    target: Path,
    how: Int8,
    *,
    activations: Activations,
    calibration: Calibration,
    dataset: ListedClips,
) -> dict[str, Any]:
    """Quantise, with layers in float until the goal holds.

    Args:
        calibrated: the fp32 graph.
        target: the file to write.
        how: settings.
        activations: kind of Q/DQ graph.
        calibration: the clips that the ranges came from.
        dataset: validation clips to judge the goal on.

    Returns:
        The `quantization` entry of `bundle.json`.

    Raises:
        GoalError: no set of layers within `how.most` is enough.
    """
    kept = list(how.keep_float)
    record: dict[str, Any] = {
        "method": "post-training",
        "activations": activations,
        "calibrator": calibrated.calibrator,
        "reduce_range": how.reduce_range,
        "calibration": calibration.to_dict(),
    }
    if how.goal is not None:
        trials = Trials(
            calibrated,
            dataset,
            activations=activations,
            keep_float=kept,
            reduce_range=how.reduce_range,
            threads=how.threads,
        )
        found = search(trials.layers, work_of(calibrated.model), trials, how.goal, most=how.most)
        if not found.found:
            raise GoalError(
                f"int8 with {activations} activations misses the goal of at most "
                f"{how.goal.loss:g} points lost, even with {found.work:.0%} of the multiply-adds "
                f"in float ({', '.join(found.layers) or 'no layer helps'}): {found.after}\n"
                f"  {remedy()}"
            )
        kept += found.layers
        record["search"] = found.to_dict()
    with captured("Quantising"):
        quantize(
            calibrated,
            activations=activations,
            keep_float=kept,
            reduce_range=how.reduce_range,
            target=target,
        )
    return {**record, "keep_float": kept}


def copy_trained(
    record: Mapping[str, Any],
    target: Path,
    *,
    activations: Activations,
    metadata: Mapping[str, str],
) -> dict[str, Any]:
    """Take the file that `export.qat` trained.

    Args:
        record: of `export.qat.trained.load_trained`.
        target: the file to write.
        activations: kind of Q/DQ graph.
        metadata: what it has to say of itself; the run may be older, or have had other names of
            classes.

    Returns:
        The `quantization` entry of `bundle.json`.
    """
    import onnx

    trained = record["trained"][activations]
    shutil.copyfile(trained["path"], target)
    model = onnx.load(str(target))
    # A run of an earlier version has means and pads that OpenVINO computes wrong.
    changed = widen_means(model) + pad_bytes(model)
    if changed or {entry.key: entry.value for entry in model.metadata_props} != metadata:
        onnx.helper.set_model_props(model, dict(metadata))
        onnx.save(model, str(target))
    return {
        "method": "quantisation-aware training",
        "activations": activations,
        "calibrator": record["calibrator"],
        "calibration": record["calibration"],
        # Not how long it took: two fine-tunes that came to the same make the same bundle.
        "training": {k: v for k, v in trained.items() if k not in ("file", "path", "seconds")},
    }
