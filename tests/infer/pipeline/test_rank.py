"""From logits to labels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from infer.pipeline.rank import mean_scores, softmax, top_k
from infer.system.errors import BackendError

NAMES = ["a", "b", "c", "d"]
logits = arrays(np.float32, (3, 4), elements=st.floats(-1e4, 1e4, width=32))


@given(logits)
def test_scores_are_probabilities(z):
    assert np.allclose(softmax(z).sum(-1), 1)
    assert np.allclose(mean_scores(z).sum(), 1)
    ranked = top_k(z, 4, NAMES)
    assert sorted(r.index for r in ranked) == [0, 1, 2, 3]
    assert [r.score for r in ranked] == sorted((r.score for r in ranked), reverse=True)
    assert all(r.label == NAMES[r.index] for r in ranked)


def test_views_are_averaged_as_probabilities_not_as_logits():
    z = np.array([[10.0, 0, 0, 0], [0, 1.0, 0, 0], [0, 1.0, 0, 0]])
    by_hand = np.mean([np.exp(v) / np.exp(v).sum() for v in z], axis=0)
    assert np.allclose(mean_scores(z), by_hand)
    assert top_k(z, 1, NAMES)[0].score == pytest.approx(by_hand[0])


def test_ties_keep_the_order_of_the_classes_and_k_may_be_large():
    assert [r.label for r in top_k(np.zeros(4), 9, NAMES)] == NAMES


@pytest.mark.parametrize("z", [np.zeros(3), np.full(4, np.nan), np.array([0, 0, 0, np.inf])])
def test_logits_that_make_no_sense(z):
    with pytest.raises(BackendError):
        top_k(z, 1, NAMES)
