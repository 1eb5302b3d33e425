"""How much accuracy 8 bits may lose: what is counted, what is expected, and when a goal holds."""

from __future__ import annotations

import numpy as np
import pytest

from export.int8.defaults import Goal
from export.int8.goal import GoalError, check_goal, check_loss, score, temperature_of
from train.evaluation.evaluate import Evaluation


def evaluation(logits: np.ndarray, labels: np.ndarray) -> Evaluation:
    paths = tuple(f"{i}.mp4" for i in range(len(labels)))
    failed = tuple((paths[i], "broken") for i in np.flatnonzero(np.isnan(logits).any(axis=1)))
    return Evaluation(logits.astype(np.float32), labels, paths, failed)


def drawn(count: int, *, temperature: float = 1.0, seed: int = 0) -> Evaluation:
    """Clips whose labels are drawn from a network's own probabilities, at a temperature."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (count, 4))
    scaled = np.exp(logits / temperature)
    scaled /= scaled.sum(axis=1, keepdims=True)
    labels = np.array([rng.choice(4, p=p) for p in scaled])
    return evaluation(logits, labels)


def noisy(reference: Evaluation, size: float, seed: int = 1) -> Evaluation:
    noise = np.random.default_rng(seed).normal(0, size, reference.logits.shape)
    return evaluation(reference.logits + noise, reference.labels)


def test_the_same_network_loses_nothing() -> None:
    reference = drawn(50)
    found = score(reference, reference)
    assert (found.lost, found.won, found.loss, found.expected) == (0, 0, 0.0, 0.0)
    assert found.agreement == 1.0
    assert found.divergence == pytest.approx(0.0)
    assert found.sqnr == np.inf
    assert found.reaches(Goal(0.0))


def test_figures_by_hand() -> None:
    # Two classes; the second clip turns from right to wrong, the third from wrong to right.
    logits = np.log(np.array([[0.9, 0.1], [0.6, 0.4], [0.7, 0.3], [0.2, 0.8]]))
    labels = np.array([0, 0, 1, 1])
    turned = logits.copy()
    turned[1:3] = turned[1:3, ::-1]
    found = score(evaluation(logits, labels), evaluation(turned, labels), temperature=1.0)
    assert (found.clips, found.lost, found.won) == (4, 1, 1)
    assert found.top1 == 0.75
    assert found.agreement == 0.5
    assert found.loss == 0.0
    assert found.uncertainty == pytest.approx(196 * np.sqrt(2) / 4)
    # The turns give up 0.6 - 0.4 and 0.7 - 0.3 of a clip.
    assert found.expected == pytest.approx(100 * 0.6 / 4, rel=1e-5)
    divergence = 0.2 * np.log(0.6 / 0.4) + 0.4 * np.log(0.7 / 0.3)
    assert found.divergence == pytest.approx(divergence / 4, rel=1e-5)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_the_temperature_that_labels_were_drawn_with_is_found(temperature: float) -> None:
    assert temperature_of(drawn(4000, temperature=temperature)) == pytest.approx(
        temperature, rel=0.1
    )


@pytest.mark.parametrize("temperature", [0.5, 1.0])
def test_the_expected_loss_is_what_many_clips_would_show(temperature: float) -> None:
    reference = drawn(40000, temperature=temperature)
    found = score(reference, noisy(reference, 0.5))
    assert found.expected > 0.4
    assert found.loss == pytest.approx(found.expected, abs=found.uncertainty)
    few = drawn(400, temperature=temperature, seed=5)
    guess = score(few, noisy(few, 0.5))
    assert abs(guess.expected - found.expected) < 0.3 * guess.uncertainty


def test_a_goal_holds_on_what_is_expected_unless_the_count_refutes_it() -> None:
    logits = np.tile([1.0, 0.99], (100, 1))
    labels = np.zeros(100, np.int64)
    labels[::2] = 1
    turned = logits[:, ::-1].copy()
    reference = evaluation(logits, labels)
    # Half of the turns win, half lose: nothing is expected, nothing refutes it.
    every = score(reference, evaluation(turned, labels))
    assert every.expected < 1
    assert every.reaches(Goal(1.0))
    # Only turns that lose: by the network's probabilities next to nothing, by the count 50 points.
    lost = np.where((labels == 0)[:, None], turned, logits)
    only = score(reference, evaluation(lost, labels))
    assert only.expected < 1
    assert only.loss == 50
    assert not only.reaches(Goal(1.0))


def test_a_goal_is_missed_by_what_is_expected_even_where_luck_wins() -> None:
    logits = np.tile([3.0, 0.0], (100, 1))
    labels = np.array([0] * 95 + [1] * 5)
    turned = logits.copy()
    turned[-5:] = turned[-5:, ::-1]
    found = score(evaluation(logits, labels), evaluation(turned, labels))
    assert found.loss == -5
    assert not found.reaches(Goal(1.0))


def test_the_least_accuracy() -> None:
    reference = drawn(200)
    found = score(reference, reference)
    assert found.reaches(Goal(0.5, least=100 * reference.top1))
    assert not found.reaches(Goal(0.5, least=100 * reference.top1 + 0.1))


def test_clips_that_cannot_be_read_do_not_count() -> None:
    reference = drawn(60)
    logits = reference.logits.copy()
    logits[::3] = np.nan
    found = score(reference, evaluation(logits, reference.labels))
    assert found.clips == 40
    assert found.lost == found.won == 0


@pytest.mark.parametrize(("trained", "word"), [(False, "make qat"), (True, "train longer")])
def test_a_missed_goal_says_what_is_next(trained: bool, word: str) -> None:
    reference = drawn(300)
    found = score(reference, noisy(reference, 3.0))
    check_goal("int8", Goal(90.0), found)
    with pytest.raises(GoalError, match=r"goal of at most 0.5") as caught:
        check_goal("int8", Goal(0.5), found, trained=trained)
    assert word in str(caught.value).lower()


def test_without_a_goal_only_a_broken_network_is_refused() -> None:
    reference = drawn(300)
    check_loss("int8", score(reference, noisy(reference, 0.5)))
    with pytest.raises(GoalError, match=r"int8 loses more than 10 points(.|\n)*make qat"):
        check_loss("int8", score(reference, noisy(reference, 3.0)))


def test_answers_that_nearly_tied_prove_nothing_against_a_network() -> None:
    labels = np.zeros(300, np.int64)
    logits = np.tile(np.array([0.01, 0.0, -1.0], np.float32), (300, 1))
    turned = logits[:, [1, 0, 2]]
    found = score(evaluation(logits, labels), evaluation(turned, labels))
    assert found.loss == 100
    check_loss("int8", found)


def test_a_few_lost_clips_prove_nothing_against_a_network() -> None:
    labels = np.zeros(6, np.int64)
    logits = np.tile(np.array([5.0, 0.0, -1.0], np.float32), (6, 1))
    found = score(evaluation(logits, labels), evaluation(logits[:, [1, 0, 2]], labels))
    assert found.loss == 100
    check_loss("int8", found)
