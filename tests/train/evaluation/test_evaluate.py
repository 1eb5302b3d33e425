"""Evaluation: every listed clip counts, and one that cannot be read counts as wrong."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infer.system.errors import VideoError
from train.data.lists import Sample
from train.evaluation.evaluate import Evaluation, EvaluationError, evaluate

CLASSES = 4


class Coded:
    """Clips whose first pixel says which row of `answers` the network gives for each view."""

    clip_shape = (1, 2, 2, 3)

    def __init__(
        self, labels: list[int], *, broken: frozenset[int] = frozenset(), views: int = 1
    ) -> None:
        self.samples = tuple(
            Sample(Path(f"clip {i}.mp4"), label, None, i + 1) for i, label in enumerate(labels)
        )
        self.broken = broken
        self.views = views

    def __len__(self) -> int:
        return len(self.samples)

    def read(self, index: int, *, rng: np.random.Generator | None) -> tuple[np.ndarray, int]:
        if index in self.broken:
            raise VideoError(self.samples[index].path, f"no frames in {index}")
        clips = np.zeros((self.views, *self.clip_shape), np.uint8)
        clips[:, 0, 0, 0, 0] = index
        clips[:, 0, 0, 0, 1] = np.arange(self.views)
        return clips, self.samples[index].label


class Network:
    """Answers from a table [clips, views, classes]; keeps the sizes of what it was given."""

    def __init__(self, answers: np.ndarray) -> None:
        self.answers = answers.astype(np.float32)
        self.sizes: list[int] = []

    def __call__(self, clips: np.ndarray) -> np.ndarray:
        self.sizes.append(len(clips))
        return self.answers[clips[:, 0, 0, 0, 0], clips[:, 0, 0, 0, 1]]


@settings(max_examples=60, deadline=None)
@given(
    labels=st.lists(st.integers(0, CLASSES - 1), min_size=1, max_size=12),
    broken=st.frozensets(st.integers(0, 11), max_size=5),
    batch_size=st.integers(1, 5),
    workers=st.integers(0, 2),
    seed=st.integers(0, 2**32),
)
def test_figures_equal_a_plain_count(
    labels: list[int], broken: frozenset[int], batch_size: int, workers: int, seed: int
) -> None:
    # Few distinct values, so that equal logits happen.
    answers = np.random.default_rng(seed).integers(0, 3, (len(labels), 1, CLASSES))
    network = Network(answers)
    source = Coded(labels, broken=broken)
    broken = broken & set(range(len(labels)))
    if len(broken) == len(labels):
        with pytest.raises(EvaluationError, match="none of the"):
            evaluate(network, source, batch_size=batch_size, workers=workers)
        return
    result = evaluate(network, source, batch_size=batch_size, workers=workers)

    guesses: list[int | None] = []
    among_two = 0
    for i, label in enumerate(labels):
        ranked = sorted(range(CLASSES), key=lambda c: (-answers[i, 0, c], c))
        guesses.append(None if i in broken else ranked[0])
        among_two += i not in broken and label in ranked[:2]
    right = [guess == label for guess, label in zip(guesses, labels, strict=True)]
    f1s, recalls = [], {}
    for c in sorted(set(labels)):
        hits = sum(r and label == c for r, label in zip(right, labels, strict=True))
        precision = hits / max(sum(guess == c for guess in guesses), 1)
        recalls[c] = hits / labels.count(c)
        total = precision + recalls[c]
        f1s.append(2 * precision * recalls[c] / total if total else 0.0)

    assert result.correct.tolist() == right
    assert result.predictions.tolist() == [-1 if g is None else g for g in guesses]
    assert result.top1 == pytest.approx(sum(right) / len(labels))
    assert result.top(2) == pytest.approx(among_two / len(labels))
    assert result.top5 == pytest.approx(1 - len(broken) / len(labels)), "k capped at the classes"
    assert result.macro_f1 == pytest.approx(np.mean(f1s))
    assert {c: result.recall[c] for c in recalls} == pytest.approx(recalls)
    assert all(np.isnan(result.recall[c]) for c in set(range(CLASSES)) - set(labels))
    assert result.failed == tuple((f"clip {i}.mp4", f"no frames in {i}") for i in sorted(broken))
    assert np.isnan(result.logits[sorted(broken)]).all()
    assert result.decoded.sum() + len(result.failed) == len(labels)
    for i in set(range(len(labels))) - broken:
        assert np.array_equal(result.logits[i], answers[i, 0])
    assert max(network.sizes, default=0) <= batch_size


def test_views_are_averaged_as_scores_not_as_logits() -> None:
    # One view is sure of class 0, two lean to class 1; the mean of logits would say 0.
    answers = np.array([[[30.0, 0, 0, 0], [0, 3, 0, 0], [0, 3, 0, 0]]])
    network = Network(answers)
    result = evaluate(network, Coded([1], views=3), batch_size=2, workers=0)
    assert network.sizes == [2, 1], "views are split over batches too"
    assert result.predictions.tolist() == [1]
    scores = np.exp(answers) / np.exp(answers).sum(-1, keepdims=True)
    assert np.allclose(np.exp(result.logits), scores.mean(axis=1), atol=1e-6)


def test_nothing_readable_is_an_error_unless_the_caller_judges() -> None:
    source = Coded([0, 2], broken=frozenset({0, 1}))
    with pytest.raises(EvaluationError, match="none of the 2 listed clips") as caught:
        evaluate(Network(np.zeros((2, 1, 4))), source, batch_size=2, workers=1)
    assert "no frames in 0, such as clip 0.mp4" in str(caught.value)
    result = evaluate(
        Network(np.zeros((2, 1, 4))),
        source,
        batch_size=2,
        workers=1,
        may_all_fail=True,
    )
    assert (result.top1, result.top5, result.macro_f1) == (0.0, 0.0, 0.0)
    summary = json.loads(json.dumps(result.summary()))
    assert (summary["listed"], summary["decoded"], len(summary["failed"])) == (2, 0, 2)


def test_no_progress_bar_outside_a_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    network = Network(np.zeros((2, 1, 4)))
    evaluate(network, Coded([0, 1]), batch_size=2, workers=0, progress="valid")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (lambda clips: np.full((len(clips), 4), np.nan), "NaN or infinite"),
        (lambda clips: np.zeros((1, 4)), r"shape \(1, 4\) for 3 clips"),
        (lambda clips: np.zeros(len(clips)), r"shape \(3,\) for 3 clips"),
        (lambda clips: np.zeros((len(clips), 2)), "labels go from 0 to 3"),
    ],
)
def test_a_network_that_does_not_fit(run: object, said: str) -> None:
    with pytest.raises(EvaluationError, match=said):
        evaluate(run, Coded([0, 1, 3]), batch_size=3, workers=0)  # type: ignore[arg-type]


def test_empty_list() -> None:
    with pytest.raises(EvaluationError, match="empty"):
        evaluate(Network(np.zeros((1, 1, 4))), Coded([]), batch_size=2, workers=0)


def test_a_clip_cannot_get_lost() -> None:
    logits = np.zeros((3, 2), np.float32)
    labels, paths = np.zeros(3, np.int64), ("a", "b", "c")
    Evaluation(logits, labels, paths)
    with pytest.raises(EvaluationError, match=r"3 clips decoded \+ 1 failed is not 3 listed"):
        Evaluation(logits, labels, paths, (("c", "gone"),))
    holed = logits.copy()
    holed[1] = np.nan
    Evaluation(holed, labels, paths, (("b", "gone"),))
    with pytest.raises(EvaluationError, match="2 clips decoded"):
        Evaluation(holed, labels, paths)
    with pytest.raises(EvaluationError, match="listed as failed"):
        Evaluation(holed, labels, paths, (("c", "gone"),))
    with pytest.raises(EvaluationError, match="3 clips are listed"):
        Evaluation(logits[:2], labels, paths)
