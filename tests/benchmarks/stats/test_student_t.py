"""P-values of means over a few trainings, alone and many together."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import ttest_1samp

from benchmarks.stats.student_t import holm, t_interval, t_p_value


@given(st.lists(st.floats(-10, 10), min_size=2, max_size=12))
def test_the_p_value_is_that_of_the_t_test(values: list[float]) -> None:
    assume(np.std(values) > 1e-6)
    found = t_p_value(t_interval(values), values=len(values))
    assert found == pytest.approx(ttest_1samp(values, 0).pvalue, rel=1e-6, abs=1e-12)


def test_equal_trainings_leave_no_doubt() -> None:
    assert t_p_value(t_interval([0.5, 0.5]), values=2) == 0.0
    assert t_p_value(t_interval([0.0, 0.0]), values=2) == 1.0


def test_one_training_has_no_p_value() -> None:
    assert t_p_value(t_interval([0.3]), values=1) is None


def test_many_tests_are_adjusted_as_holm_did() -> None:
    # Holm (1979): multiplied by how many are left, never below the one before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == [] and holm([0.7]) == [0.7]
    assert holm([0.9, 0.6]) == [1.0, 1.0]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_an_adjusted_p_value_is_never_smaller(values: list[float]) -> None:
    adjusted = holm(values)
    assert all(a >= p for a, p in zip(adjusted, values, strict=True))
    order = np.argsort(values, kind="stable")
    assert list(np.array(adjusted)[order]) == sorted(adjusted)
    assert min(adjusted) == min(1.0, len(values) * min(values))
