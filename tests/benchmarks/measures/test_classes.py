"""Every class by itself: by hand, against SciPy, and the rule of classes that collapse."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from benchmarks.measures.classes import class_figures, collapsed_classes
from benchmarks.stats.resample import Bootstrap, Groups
from train.evaluation.per_class import confusion

BOOTSTRAP: Bootstrap = {"resamples": 500, "seed": 0, "level": 0.95}


def test_a_confusion_matrix_by_hand() -> None:
    found = confusion(np.array([0, 0, 1, 1, 2, 2]), np.array([0, 1, 1, 2, -1, 2]), classes=4)
    assert found.tolist() == [
        [1, 1, 0, 0, 0], [0, 1, 1, 0, 0], [0, 0, 1, 0, 1], [0, 0, 0, 0, 0],
    ]  # fmt: skip


@given(st.integers(0, 2**31), st.integers(1, 5), st.integers(1, 60))
@settings(max_examples=40, deadline=None)
def test_recalls_are_the_diagonal_and_sum_to_the_accuracy(
    seed: int, classes: int, clips: int
) -> None:
    rng = np.random.default_rng(seed)
    labels, said = rng.integers(classes, size=clips), rng.integers(-1, classes, size=clips)
    table = confusion(labels, said, classes=classes)
    assert table.sum() == clips and (table.sum(axis=1) == np.bincount(labels, None, classes)).all()
    figures = class_figures({"a": (said == labels)[None]}, "a", labels, BOOTSTRAP)["a"]
    for place, one in enumerate(figures["class"]):
        theirs = binomtest(int(table[one, one]), figures["clips"][place])
        wilson = theirs.proportion_ci(0.95, method="wilson")
        assert figures["recall"][place] == pytest.approx(theirs.statistic)
        assert figures["low"][place] == pytest.approx(wilson.low, abs=1e-12)
        assert figures["high"][place] == pytest.approx(wilson.high, abs=1e-12)
    weighted = np.dot(figures["recall"], figures["clips"]) / clips
    assert weighted == pytest.approx((said == labels).mean())
    assert figures["recall"][figures["class"].index(figures["worst"])] == min(figures["recall"])


def test_the_largest_fall_is_told_with_an_interval_that_holds_for_all_classes() -> None:
    labels = np.repeat([0, 1, 2, 5], 100)
    before = np.ones(400, bool)
    after = before.copy()
    after[100:103] = False  # of class 1
    after[300:340] = False  # of class 5
    found = class_figures({"a": before[None], "b": after[None]}, "a", labels, BOOTSTRAP)
    assert "change" not in found["a"]
    change = found["b"]["change"]
    assert found["b"]["class"] == [0, 1, 2, 5] and found["b"]["worst"] == 5
    assert change["point"] == pytest.approx([0, -0.03, 0, -0.4]) and change["largest_fall"] == 5
    assert change["level"] == pytest.approx(1 - 0.05 / 4)
    assert change["low"][3] <= -0.4 <= change["high"][3] < -0.25
    # What did not change is known as well as so many clips can tell, not for certain.
    assert change["low"][0] < 0 < change["high"][0]
    same = class_figures({"a": before[None], "b": before[None]}, "a", labels, BOOTSTRAP)
    assert same["b"]["change"]["largest_fall"] is None


def test_several_pairs_widen_what_their_trainings_differ_in() -> None:
    labels = np.zeros(200, np.int64)
    before = np.ones((3, 200), bool)
    after = before.copy()
    after[0, :120] = False
    found = class_figures({"a": before, "b": after}, "a", labels, BOOTSTRAP)["b"]
    assert found["recall"] == pytest.approx([0.8])
    assert found["low"][0] < 0.5 and found["change"]["low"][0] < -0.6


def _right(counts: dict[int, int], clips: int = 40) -> np.ndarray:
    """Of each class so many of its clips are right."""
    return np.concatenate([np.arange(clips) < count for count in counts.values()])


def test_a_class_that_is_no_longer_answered_collapses_and_one_that_falls_does_not() -> None:
    labels = np.repeat([0, 1, 2, 3], 40)
    before = _right({0: 40, 1: 30, 2: 30, 3: 0})
    after = _right({0: 4, 1: 4, 2: 0, 3: 0})
    found = collapsed_classes(before, after, labels)
    assert found == [
        {"class": 0, "clips": 40, "before": 40, "after": 4},
        {"class": 2, "clips": 40, "before": 30, "after": 0},
    ]  # class 1 keeps more than a tenth, class 3 was never recognised


@pytest.mark.parametrize(("right", "collapses"), [(6, False), (7, True)])
def test_few_clips_collapse_only_where_chance_does_not_explain_it(
    right: int, collapses: bool
) -> None:
    # One half to the power of 6 is above 5 % of four classes, and to the power of 7 below.
    labels = np.repeat([0, 1, 2, 3], 40)
    before = _right({0: 40, 1: 40, 2: 40, 3: right})
    after = _right({0: 40, 1: 40, 2: 40, 3: 0})
    assert bool(collapsed_classes(before, after, labels)) == collapses


def test_clips_of_one_group_are_one_witness() -> None:
    labels = np.zeros(40, np.int64)
    before, after = np.ones(40, bool), np.zeros(40, bool)
    assert collapsed_classes(before, after, labels)
    groups = Groups.of([str(clip // 20) for clip in range(40)])
    assert not collapsed_classes(before, after, labels, groups=groups)


@given(st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_equal_answers_never_collapse(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels, right = rng.integers(4, size=50), rng.random(50) < 0.5
    assert collapsed_classes(right, right, labels) == []
