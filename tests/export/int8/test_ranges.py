"""Calibration: histograms seen bit by bit, and what three calibrators make of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from export.int8.quantize import calibrate, quantize
from export.int8.ranges import AT_ONCE, HALF, Histogram
from export.network.captured_output import ConversionError
from infer.system.errors import ClipDuetError


def seen(*parts: np.ndarray) -> Histogram:
    histogram = Histogram()
    for part in parts:
        histogram.add(part.astype(np.float32))
    return histogram


def test_a_histogram_does_not_depend_on_the_order_of_what_it_sees() -> None:
    rng = np.random.default_rng(0)
    parts = [rng.normal(0, size, 5000) for size in (0.01, 3.0, 0.2, 40.0)]
    once, again = seen(*parts), seen(*parts[::-1])
    assert once.limit == again.limit
    assert once.counts.sum() == again.counts.sum() == 20_000
    # A value on the border of two bins may fall to either side after they were merged.
    assert np.abs(once.counts - again.counts).sum() <= 20
    everything = np.concatenate(parts).astype(np.float32)
    assert (once.least, once.most) == (everything.min(), everything.max())
    expected, _ = np.histogram(everything, bins=2 * HALF, range=(-once.limit, once.limit))
    assert np.abs(once.counts - expected).sum() <= 20


def test_of_many_values_some_are_counted_each_time_others() -> None:
    ramp = np.linspace(-1, 1, 5 * AT_ONCE // 2, dtype=np.float32)
    once, often = seen(ramp), seen(ramp, ramp, ramp)
    assert (once.least, once.most) == (-1, 1)
    assert once.counts.sum() <= AT_ONCE
    assert often.counts.sum() == ramp.size, "three turns see them all"
    expected, _ = np.histogram(ramp, bins=2 * HALF, range=(-1, 1))
    assert np.abs(often.counts - expected).max() <= 1


def test_minmax_is_what_was_seen() -> None:
    assert seen(np.array([0.5, 2.0]), np.array([-7.0])).range("minmax") == (-7.0, 2.0)
    assert seen(np.zeros(5)).range("minmax") == (0.0, 0.0)


def test_percentile_leaves_out_the_outliers() -> None:
    rng = np.random.default_rng(0)
    usual = np.maximum(rng.normal(0, 1, 2_000_000), 0)
    low, high = seen(usual, np.array([100.0])).range("percentile")
    assert low == 0
    assert np.quantile(usual, 1 - 1e-5) == pytest.approx(high, rel=0.05)
    assert seen(np.array([0.0, 1.0])).range("percentile") == (0.0, 1.0), "few values: all of them"


def test_entropy_trades_outliers_for_finer_steps() -> None:
    rng = np.random.default_rng(0)
    usual = np.abs(rng.normal(0, 1, 1_000_000))
    _, high = seen(usual, np.array([50.0])).range("entropy")
    assert 3 < high < 10
    rectified = seen(usual, np.array([50.0]), np.zeros(5_000_000))
    assert rectified.range("entropy")[1] == high, "zeros decide nothing"
    even = rng.uniform(0, 1, 1_000_000)
    assert seen(even).range("entropy")[1] > 0.95, "nothing to gain: everything stays"
    assert seen(np.zeros(10)).range("entropy") == (0.0, 0.0)
    low, high = seen(-usual, usual / 4).range("entropy")
    assert low < -2
    # Flat pictures: a few values again and again, and everything else beyond them.
    often = rng.choice(rng.uniform(0, 0.1, 60), 900_000, p=rng.dirichlet(np.ones(60)))
    assert seen(often, rng.uniform(0.1, 1, 100_000)).range("entropy")[1] > 0.95, "no outliers"


def test_unknown_calibrators_and_no_clips_are_told(exported: Callable[..., Any]) -> None:
    source = exported("single").folder / "model.fp32.onnx"
    with pytest.raises(ClipDuetError, match="'median'; allowed: minmax"):
        calibrate(source, [], calibrator="median")  # type: ignore[arg-type]
    with pytest.raises(ClipDuetError, match="no clips"):
        calibrate(source, [], threads=1)


def test_one_calibration_serves_every_calibrator(exported: Callable[..., Any]) -> None:
    """And the ranges are those of the tensors as ONNX Runtime computes them."""
    source = exported("single").folder / "model.fp32.onnx"
    clips = np.random.default_rng(0).integers(0, 256, (3, 4, 32, 32, 3), dtype=np.uint8)
    calibrated = calibrate(source, clips, calibrator="minmax", threads=1)
    assert calibrated.clips == 3
    model = onnx.load(str(source))
    name = next(n for n in model.graph.node if n.name == "Relu.3").output[0]
    model.graph.output[0].name = name
    model.graph.output[0].ClearField("type")
    session = onnxruntime.InferenceSession(model.SerializeToString())
    values = session.run(None, {"clip": clips})[0]
    histogram = calibrated.histograms[name]
    assert histogram.most == pytest.approx(values.max(), rel=1e-5)
    assert histogram.counts.sum() == values.size
    scales = {}
    for calibrator in ("minmax", "entropy", "percentile"):
        made = quantize(replace(calibrated, calibrator=calibrator), activations="uint8")  # type: ignore[arg-type]
        tensors = {t.name: numpy_helper.to_array(t) for t in made.graph.initializer}
        scales[calibrator] = float(tensors[f"{name}_scale"])
    assert scales["minmax"] == pytest.approx(values.max() / 255, rel=1e-5)
    assert scales["entropy"] <= scales["minmax"] and scales["percentile"] <= scales["minmax"]


def test_a_tensor_that_is_not_finite_is_named(exported: Callable[..., Any], tmp_path: Path) -> None:
    model = onnx.load(str(exported("single").folder / "model.fp32.onnx"))
    (bias,) = (t for t in model.graph.initializer if t.name == "backbone.stem.0.conv.bias")
    broken = numpy_helper.to_array(bias).copy()
    broken[0] = np.inf
    bias.CopyFrom(numpy_helper.from_array(broken, bias.name))
    onnx.save(model, str(tmp_path / "x.onnx"))
    with pytest.raises(ConversionError, match=r"relu\.0\.0 is not finite"):
        calibrate(tmp_path / "x.onnx", np.zeros((1, 4, 32, 32, 3), np.uint8), threads=1)
