"""Classes of unequal size: repeated clips, class weights, and what is told about them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.train.tiny import ALONE, PAIR, run, same, stop_at, weights
from train.__main__ import main
from train.config.load import ConfigError, load_config
from train.data.balance import balanced_order, class_weights, epoch_length, shown_counts
from train.data.loader import epoch_batches
from train.losses import Target, cross_entropy

LABELS = st.lists(st.integers(0, 4), min_size=1, max_size=60).map(
    lambda values: np.array(values, np.int64)
)


@pytest.fixture
def unequal(clips: Path) -> str:
    """A list of 4 clips of class 0, 2 of class 1, one of class 2; relative to the clips."""
    lines = [f"{index}.mp4 {index % 3}" for index in (0, 3, 6, 9, 1, 4, 2)]
    (clips / "unequal.list").write_text("\n".join(lines))
    return "unequal.list"


def config(experiment: Callable[..., Path], listed: str, **changes: Any) -> Path:
    file = experiment(changes.pop("model", ALONE), **changes)
    text = file.read_text().replace("file_path: train.list", f"file_path: {listed}")
    file.write_text(text)
    return file


@given(LABELS, st.floats(0, 1), st.integers(0, 5), st.integers(0, 5))
def test_an_epoch_shows_each_class_as_often_as_the_formula_says(
    labels: np.ndarray, balance: float, seed: int, epoch: int
) -> None:
    order = balanced_order(labels, balance, seed=seed, epoch=epoch)
    counts = np.bincount(labels)
    wanted = [round(n * (counts.max() / n) ** balance) if n else 0 for n in counts.tolist()]
    assert np.bincount(labels[order.indices], minlength=len(counts)).tolist() == wanted
    assert len(order.indices) == epoch_length(labels, balance) == sum(wanted)
    # Every clip comes, none more than once more often than another one of its class.
    times = np.bincount(order.indices, minlength=len(labels))
    for label in np.flatnonzero(counts):
        own = times[labels == label]
        assert own.min() >= 1 and own.max() - own.min() <= 1
    # The repetitions of a clip are told apart.
    pairs = set(zip(order.indices.tolist(), order.copies.tolist(), strict=True))
    assert len(pairs) == len(order.indices)
    again = balanced_order(labels, balance, seed=seed, epoch=epoch)
    assert np.array_equal(order.indices, again.indices)


def test_another_epoch_repeats_other_clips() -> None:
    labels = np.array([0] * 30 + [1] * 20, np.int64)
    one, other = (balanced_order(labels, 1.0, seed=0, epoch=epoch) for epoch in (0, 1))
    assert sorted(one.indices.tolist()) != sorted(other.indices.tolist())


class Draws:
    """A dataset whose pixels are its random draws."""

    clip_shape, views = (1, 1, 1, 3), 1

    def __len__(self) -> int:
        return 3

    def read(self, index: int, *, rng: np.random.Generator | None) -> tuple[np.ndarray, int]:
        assert rng is not None
        return rng.integers(0, 256, (1, 1, 1, 1, 3)).astype(np.uint8), index


def test_a_repeated_clip_has_draws_of_its_own_and_the_first_those_without_balance() -> None:
    order = np.array([2, 2, 0, 1]), np.array([1, 0, 0, 0])
    options: dict[str, Any] = {"seed": 1, "epoch": 2, "shuffle": False, "drop_last": False}
    options |= {"batch_size": 4, "workers": 0}
    (batch,) = epoch_batches(Draws(), order=order, **options)
    (plain,) = epoch_batches(Draws(), **options)
    assert batch.labels.tolist() == [2, 2, 0, 1]
    assert np.array_equal(batch.clips[[2, 3, 1]], plain.clips)
    assert not np.array_equal(batch.clips[0], batch.clips[1])


def test_a_balanced_run_has_the_steps_of_its_epoch_and_goes_on_as_if_it_had_not_stopped(
    experiment: Callable[..., Path],
    unequal: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = config(experiment, unequal, epochs=2)
    change = ("DATASET.train.balance=1", "DATASET.batch_size=2", "checkpoint_every_steps=1")
    change = (*change, "DATASET.class_weights=balanced")
    whole = run(file, *change, f"output_dir={tmp_path}/whole")
    # 4 + 4 + 4 clips in batches of 2.
    assert whole.step == 2 * 6
    stop_at(monkeypatch, 8)
    with pytest.raises(KeyboardInterrupt):
        run(file, *change, f"output_dir={tmp_path}/stopped")
    monkeypatch.undo()
    resumed = run(file, *change, f"output_dir={tmp_path}/stopped", resume=True)
    assert resumed.step == whole.step
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "stopped"))


def test_balance_changes_what_is_learnt_and_0_does_not(
    experiment: Callable[..., Path], unequal: str, tmp_path: Path
) -> None:
    file = config(experiment, unequal, epochs=1)
    for name, share in (("none", "0"), ("zero", "0.0"), ("half", "0.5")):
        run(file, f"DATASET.train.balance={share}", f"output_dir={tmp_path}/{name}")
    assert same(weights(tmp_path / "none"), weights(tmp_path / "zero"))
    assert not same(weights(tmp_path / "none"), weights(tmp_path / "half"))


def test_balanced_weights_have_mean_1_over_the_clips_that_are_shown() -> None:
    labels = np.array([0] * 6 + [1] * 2 + [3], np.int64)
    shown = shown_counts(labels, 0.0, classes=4)
    found = class_weights("balanced", shown)
    assert found[labels].mean() == pytest.approx(1)
    assert found.tolist() == pytest.approx([9 / 18, 9 / 6, 1, 9 / 3])
    # What is repeated until it is as frequent weighs no more.
    even = class_weights("balanced", shown_counts(labels, 1.0, classes=4))
    assert even.tolist() == pytest.approx([1, 1, 1, 1])


def test_the_loss_of_a_clip_is_multiplied_by_the_weight_of_its_class() -> None:
    logits = paddle.to_tensor(np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32))
    labels, others = paddle.to_tensor([0, 1, 2, 1]), paddle.to_tensor([2, 2, 0, 1])
    lam = paddle.to_tensor(np.array([0.3, 1, 0.5, 0], np.float32))
    of = np.array([2.0, 0.5, 3.0], np.float32)
    p = np.log(np.exp(logits.numpy()) / np.exp(logits.numpy()).sum(1, keepdims=True))

    def own(wanted: list[int]) -> np.ndarray:
        rows = np.arange(4)
        return of[wanted] * (-0.9 * p[rows, wanted] - 0.1 * p.mean(1))

    weighed = Target(labels, class_weights=paddle.to_tensor(of))
    found = float(cross_entropy(logits, weighed, label_smoothing=0.1))
    assert found == pytest.approx(own([0, 1, 2, 1]).mean(), rel=1e-5)
    mixed = Target(labels, others, lam, paddle.to_tensor(of))
    share = lam.numpy()
    wanted = (share * own([0, 1, 2, 1]) + (1 - share) * own([2, 2, 0, 1])).mean()
    assert float(cross_entropy(logits, mixed, label_smoothing=0.1)) == pytest.approx(
        wanted, rel=1e-5
    )


@pytest.mark.parametrize("model", [ALONE, PAIR], ids=["alone", "pair"])
def test_class_weights_reach_the_label_loss_of_training_alone(
    experiment: Callable[..., Path], model: dict[str, Any], tmp_path: Path
) -> None:
    file = experiment(model, epochs=1)
    change = "OPTIMIZER.learning_rate={name: Constant, learning_rate: 0.0}"
    plain = run(file, change, f"output_dir={tmp_path}/plain").history[0]
    three = [f"DATASET.class_weights=[{w}, {w}, {w}]" for w in (1, 3)]
    ones, thrice = (
        run(file, change, weigh, f"output_dir={tmp_path}/{n}").history[0]
        for n, weigh in enumerate(three)
    )
    assert ones["train.Student.CE"] == pytest.approx(plain["train.Student.CE"], rel=1e-5)
    assert thrice["train.Student.CE"] == pytest.approx(3 * plain["train.Student.CE"], rel=1e-5)
    assert thrice["valid.loss"] == pytest.approx(plain["valid.loss"], rel=1e-5)


def test_labels_of_a_pair_are_smoothed_by_their_term(
    experiment: Callable[..., Path], tmp_path: Path
) -> None:
    rate = "OPTIMIZER.learning_rate={name: Constant, learning_rate: 0.0}"
    first = PAIR["loss"]["Train"][0]
    smooth = {**first, "label_smoothing": 0.3}
    losses = {**PAIR["loss"], "Train": [smooth, *PAIR["loss"]["Train"][1:]]}
    head = {**ALONE, "head": {**ALONE["head"], "ls_eps": 0.3}}
    found = {}
    for name, model in (("pair", {**PAIR, "loss": losses}), ("alone", head)):
        file = experiment(model, epochs=1, output_dir=str(tmp_path / name))
        found[name] = run(file, rate).history[0]["train.Student.CE"]
    plain = run(experiment(PAIR, epochs=1, output_dir=str(tmp_path / "plain")), rate).history[0]
    assert found["pair"] == pytest.approx(found["alone"], rel=1e-5)
    assert found["pair"] != pytest.approx(plain["train.Student.CE"], rel=1e-5)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("DATASET.train.balance=1.5", ["DATASET.train.balance"]),
        ("DATASET.valid.balance=0.5", ["DATASET.valid.balance", "training"]),
        ("DATASET.class_weights=[1, 2]", ["DATASET.class_weights", "2", "3"]),
        ("DATASET.class_weights=even", ["DATASET.class_weights", "balanced"]),
        ("DATASET.class_weights=[1, -2, 3]", ["DATASET.class_weights"]),
    ],
)
def test_a_wrong_balance_is_told(
    experiment: Callable[..., Path], change: str, words: list[str]
) -> None:
    with pytest.raises(ConfigError) as error:
        load_config(experiment(ALONE), [change])
    assert all(word in str(error.value) for word in words), error.value


def test_balance_without_labels_is_told(experiment: Callable[..., Path]) -> None:
    change = ["DATASET.train.labelled=false", "DATASET.train.balance=1"]
    with pytest.raises(ConfigError) as error:
        load_config(experiment(PAIR), change)
    assert "DATASET.train.balance" in str(error.value)


def test_unequal_classes_are_told_unless_something_is_done_about_them(
    experiment: Callable[..., Path], unequal: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = config(experiment, unequal, epochs=1)
    names = "DATASET.classes=[walk, run, fall]"
    told = {}
    for name, change in {
        "nothing": [],
        "repeated": ["DATASET.train.balance=1"],
        "weighed": ["DATASET.class_weights=balanced"],
    }.items():
        output = ["--output", str(file.parent / name)]
        changes = [part for one in (names, *change) for part in ("-o", one)]
        assert main(["-c", str(file), *output, *changes]) == 0
        told[name] = capsys.readouterr().err
    assert "4 to 1" in told["nothing"] and "walk 4" in told["nothing"]
    assert "fall 1" in told["nothing"] and "balance" in told["nothing"]
    for name in ("repeated", "weighed"):
        assert "4 to 1" not in told[name]
    assert "12 clips" in told["repeated"]
    assert "fall" in told["weighed"]
