"""Calibration: by hand, against SciPy and brute force, and what always holds."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import log_softmax as scipy_log_softmax

from benchmarks.measures import scores
from benchmarks.measures.calibration import measure
from benchmarks.measures.temperature import cross_fitted, halves
from benchmarks.stats.resample import Bootstrap, Groups
from export.confidence import temperature as scaling
from export.confidence.temperature import fit_temperature

BOOTSTRAP: Bootstrap = {"resamples": 500, "seed": 0, "level": 0.95}

logits = hnp.arrays(
    np.float64,
    st.tuples(st.integers(2, 40), st.integers(2, 5)),
    elements=st.floats(-20, 20, width=32),
)


def sampled(clips: int, temperature: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are calibrated once they are divided by the temperature; and labels."""
    rng = np.random.default_rng(seed)
    honest = rng.normal(0, 1.5, (clips, 4))
    chances = np.exp(scipy_log_softmax(honest, axis=1))
    labels = (chances.cumsum(axis=1) < rng.random((clips, 1))).sum(axis=1)
    return temperature * honest, np.minimum(labels, 3)


def test_ece_of_six_clips_by_hand() -> None:
    confidence = np.array([0.9, 0.5, 0.8, 0.6, 0.7, 1.0])
    right = np.array([1, 0, 0, 1, 1, 1], bool)
    # Three bins of two: (0.5, 0.6), (0.7, 0.8), (0.9, 1.0).
    gaps = [abs(1.1 - 1), abs(1.5 - 1), abs(1.9 - 2)]
    assert scores.ece(confidence, right, bins=3) == pytest.approx(sum(gaps) / 6)
    assert scores.ece(confidence, right, bins=1) == pytest.approx(abs(4.5 - 4) / 6)


def test_brier_and_nll_of_two_clips_by_hand() -> None:
    logs = scaling.log_softmax(np.log([[0.7, 0.2, 0.1], [0.25, 0.25, 0.5]]))
    labels = [0, 1]
    assert scores.brier(logs, labels) == pytest.approx(
        [0.3**2 + 0.2**2 + 0.1**2, 0.25**2 + 0.75**2 + 0.5**2]
    )
    assert scaling.nll(logs, labels) == pytest.approx([-math.log(0.7), -math.log(0.25)])


@given(logits, st.floats(0.1, 10))
@settings(deadline=None)
def test_the_softmax_is_scipy_s(values: np.ndarray, temperature: float) -> None:
    theirs = scipy_log_softmax(values / temperature, axis=1)
    np.testing.assert_allclose(scaling.log_softmax(values, temperature), theirs, atol=1e-9)


@given(hnp.arrays(np.float64, st.integers(1, 60), elements=st.floats(0, 1)), st.integers(1, 20))
@settings(deadline=None)
def test_bins_have_equal_mass_and_follow_confidence(values: np.ndarray, bins: int) -> None:
    found = scores.bins_of(values, bins)
    assert ((found >= 0) & (found < bins)).all()
    order = np.argsort(values, kind="stable")
    assert (np.diff(found[order]) >= 0).all()
    if len(np.unique(values)) == len(values):
        sizes = np.bincount(found, minlength=bins)
        assert sizes.max() - sizes.min() <= 1
    else:
        for one in np.unique(values):
            assert len(set(found[values == one])) == 1


@given(logits, st.integers(0, 2**31))
@settings(deadline=None)
def test_measures_do_not_hang_on_the_order_of_clips(values: np.ndarray, seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(values.shape[1], size=len(values))
    order = rng.permutation(len(values))
    ways = []
    for clips in (np.arange(len(values)), order):
        logs = scaling.log_softmax(values[clips])
        confidence, right = scores.confidences(logs, labels[clips])
        error = scores.ece(confidence, right)
        assert 0 <= error <= 1
        assert (scores.brier(logs, labels[clips]) >= 0).all()
        assert (scores.brier(logs, labels[clips]) <= 2 + 1e-12).all()
        ways.append([error, scores.brier(logs, labels[clips]).mean()])
    assert ways[0] == pytest.approx(ways[1])


@pytest.mark.parametrize("temperature", [0.25, 1.0, 4.0])
def test_the_fitted_temperature_is_the_one_that_spoiled_the_logits(temperature: float) -> None:
    values, labels = sampled(20_000, temperature)
    found = fit_temperature(values, labels)
    assert found == pytest.approx(temperature, rel=0.05)
    grid = np.geomspace(found / 1.2, found * 1.2, 81)
    losses = [scaling.nll(scaling.log_softmax(values, one), labels).mean() for one in grid]
    own = scaling.nll(scaling.log_softmax(values, found), labels).mean()
    assert own <= min(losses) + 1e-12


@given(logits, st.integers(0, 2**31))
@settings(max_examples=30, deadline=None)
def test_scaling_changes_no_answer_and_no_clip_fits_its_own_temperature(
    values: np.ndarray, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(values.shape[1], size=len(values))
    second = halves(len(values), seed=seed)
    assert second.sum() == len(values) // 2
    found = cross_fitted(values, labels, second)
    assert found is not None
    scaled, (of_first, of_second) = found
    assert of_first == fit_temperature(values[~second], labels[~second])
    np.testing.assert_array_equal(scaled[second], values[second] / of_first)
    np.testing.assert_array_equal(scaled[~second], values[~second] / of_second)
    # Labels of the second half do not reach the second half's logits.
    other = np.where(second, (labels + 1) % values.shape[1], labels)
    np.testing.assert_array_equal(cross_fitted(values, other, second)[0][second], scaled[second])  # type: ignore[index]


def test_groups_are_of_one_half() -> None:
    groups = Groups.of([str(clip % 7) for clip in range(70)])
    second = halves(70, seed=3, groups=groups)
    assert len({(int(g), bool(s)) for g, s in zip(groups.of_clip, second, strict=True)}) == 7
    assert second.sum() == 30


def test_an_overconfident_model_is_told_and_scaled() -> None:
    values, labels = sampled(4000, 3.0)
    found = measure([values], labels, BOOTSTRAP)
    assert found is not None and found["after"] is not None
    assert found["before"]["ece"]["low"] > 0.05
    assert found["after"]["ece"]["high"] < found["before"]["ece"]["low"]
    assert found["after"]["ece"]["point"] < 2 * found["after"]["ece"]["by_chance"]
    assert found["before"]["ece"]["point"] > 5 * found["before"]["ece"]["by_chance"]
    assert found["after"]["nll"]["point"] < found["before"]["nll"]["point"]
    assert found["temperatures"][0] == pytest.approx([3.0, 3.0], rel=0.15)


def test_points_are_those_of_the_measures_and_means_over_models() -> None:
    pair = [sampled(300, scale, seed=1)[0] for scale in (1.0, 2.0)]
    labels = sampled(300, 1.0, seed=1)[1]
    found = measure(pair, labels, BOOTSTRAP)
    assert found is not None
    logs = [scaling.log_softmax(one) for one in pair]
    expected = {
        "ece": np.mean([scores.ece(*scores.confidences(one, labels)) for one in logs]),
        "brier": np.mean([scores.brier(one, labels) for one in logs]),
        "nll": np.mean([scaling.nll(one, labels) for one in logs]),
    }
    for name, value in expected.items():
        record = found["before"][name]
        assert record["point"] == pytest.approx(value)
        assert record["low"] <= record["point"] <= record["high"]


def test_equal_logits_change_nothing_and_sharper_ones_do() -> None:
    values, labels = sampled(2000, 1.0)
    same = measure([values], labels, BOOTSTRAP, reference=[values])
    sharper = measure([2.5 * values], labels, BOOTSTRAP, reference=[values])
    assert same is not None and sharper is not None
    for name in ("ece", "brier", "nll"):
        assert [same["change"][name][end] for end in ("point", "low", "high")] == [0, 0, 0]
        assert sharper["change"][name]["low"] > 0
    # Paired: the change is known better than either value.
    width = {key: sharper[key]["nll"]["high"] - sharper[key]["nll"]["low"]
             for key in ("before", "change")}  # fmt: skip
    assert width["change"] < width["before"]


def test_clips_that_could_not_be_read_are_left_out() -> None:
    values, labels = sampled(100, 1.0)
    gaps = values.copy()
    gaps[::10] = np.nan
    read = np.isfinite(gaps).all(axis=1)
    found, alone = measure([gaps], labels, BOOTSTRAP), measure([values[read]], labels[read],
                                                               BOOTSTRAP)  # fmt: skip
    assert found == alone and found is not None and found["clips"] == 90
    assert measure([np.full((4, 3), np.nan)], [0, 1, 2, 0], BOOTSTRAP) is None
    lone = measure([values[:1]], labels[:1], BOOTSTRAP)
    assert lone is not None and lone["after"] is None and lone["temperatures"] == []
    with pytest.raises(ValueError, match="clips"):
        measure([values], labels[1:], BOOTSTRAP)


def test_the_ece_of_a_calibrated_model_is_that_of_chance() -> None:
    values, _ = sampled(400, 1.0)
    confidence = np.exp(scaling.log_softmax(values).max(axis=1))
    rng = np.random.default_rng(0)
    drawn = [scores.ece(confidence, rng.random(400) < confidence) for _ in range(400)]
    expected = pytest.approx((np.mean(drawn), np.std(drawn)), rel=0.1)
    assert scores.ece_by_chance(confidence) == expected


def test_the_interval_of_a_change_holds_no_change_about_as_often_as_it_says() -> None:
    held = 0
    for seed in range(100):
        values, labels = sampled(400, 2.0, seed=seed)
        # Both are as far from calibrated: one network is noisier on some clips, one on others.
        noise = np.random.default_rng(1000 + seed).normal(0, 0.3, (2, *values.shape))
        found = measure(
            [values + noise[0]], labels, {**BOOTSTRAP, "resamples": 200, "seed": seed},
            reference=[values + noise[1]],
        )  # fmt: skip
        assert found is not None
        held += found["change"]["ece"]["low"] <= 0 <= found["change"]["ece"]["high"]
    assert held >= 92
