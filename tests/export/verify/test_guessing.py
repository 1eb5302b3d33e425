"""A network that does not classify is exported with a warning."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest

from export.assemble.bundle import ExportOptions, export_bundle
from export.verify.guessing import at_chance, binomial_tail, guessing_warning, one_class
from export.verify.recorded import Recorded
from train.config.load import load_config
from train.data.lists import Sample
from train.evaluation.evaluate import Evaluation

FP32 = ExportOptions(max_batch=1, fp16=False, int8=(), threads=1, workers=0)
CLASSES = ("left", "right", "up", "down", "still")


def evaluation(said: np.ndarray, labels: np.ndarray) -> Evaluation:
    paths = tuple(f"{index}.mp4" for index in range(len(said)))
    return Evaluation(np.eye(5, dtype=np.float32)[said], labels, paths)


def test_a_network_that_answers_one_class_is_told_and_exported(
    experiment: Callable[..., Any], clips: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = experiment("single")
    lines = (clips / "val.list").read_text().splitlines()
    (clips / "thrice.list").write_text("".join(f"{line}\n" for line in lines * 3))
    cfg = load_config(made.config, ["DATASET.valid.file_path=thrice.list"])
    state = paddle.load(str(made.checkpoint))
    state["backbone.fc.bias"] = paddle.to_tensor(np.float32([0, 0, 1000, 0, 0]))
    paddle.save(state, str(tmp_path / "useless.pdparams"))
    folder = export_bundle(cfg, tmp_path / "useless.pdparams", tmp_path / "b", options=FP32)
    assert (folder / "bundle.json").is_file()
    (line,) = (r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING)
    assert "'up' for 12 of 12 clips" in line and "thrice.list" in line


LABELS = np.arange(100) % 5


@pytest.mark.parametrize(
    ("said", "word"),
    [
        (np.full(100, 3), "'down' for 100 of 100"),
        (np.where(np.arange(100) < 3, LABELS, 3), "'down' for 9"),
        ((LABELS + 1 + np.arange(100) // 5 % 4) % 5, "right on 0 of 100"),  # never right
        (np.where(np.arange(100) < 25, LABELS, (LABELS + 1) % 5), "right on 25 of 100"),
    ],
)
def test_guesses_are_told(said: np.ndarray, word: str) -> None:
    told = guessing_warning(evaluation(said, LABELS), None, [], CLASSES, list_file="val.list")
    assert told is not None and word in told and told.startswith("warning: ")


@pytest.mark.parametrize("right", [30, 60, 100])
def test_a_network_that_knows_something_is_not_accused(right: int) -> None:
    said = np.where(np.arange(100) < right, LABELS, (LABELS + 1) % 5)
    assert guessing_warning(evaluation(said, LABELS), None, [], CLASSES, list_file="l") is None


def test_few_clips_and_one_class_accuse_nobody() -> None:
    labels, wrong = np.arange(4), (np.arange(4) + 1) % 5
    assert guessing_warning(evaluation(wrong, labels), None, [], CLASSES, list_file="l") is None
    for clips, told in ((9, False), (10, True)):
        one = evaluation(np.full(clips, 4), np.arange(clips) % 4)
        assert bool(guessing_warning(one, None, [], CLASSES, list_file="l")) is told
    same = np.zeros(100, np.int64)
    assert guessing_warning(evaluation(same + 1, same), None, [], CLASSES, list_file="l") is None


def test_what_training_recorded_of_the_whole_list_decides() -> None:
    few = evaluation((np.arange(12) + 1) % 5, np.arange(12) % 5)
    whole = [Sample(Path(f"{i}.mp4"), i % 5, None, i + 1) for i in range(500)]
    recorded = Recorded(500, 140, 8, 0, 0, True)
    told = guessing_warning(few, replace(recorded, right=110), whole, CLASSES, list_file="l")
    assert told is not None and "right on 110 of 500" in told
    assert guessing_warning(few, recorded, whole, CLASSES, list_file="l") is None


@pytest.mark.parametrize("tries", [1, 7, 300])
@pytest.mark.parametrize("chance", [0.01, 0.5, 0.9])
def test_the_tail_is_that_of_the_binomial_distribution(tries: int, chance: float) -> None:
    for most in range(0, tries + 1, max(1, tries // 7)):
        exact = sum(
            math.comb(tries, k) * chance**k * (1 - chance) ** (tries - k) for k in range(most + 1)
        )
        assert binomial_tail(most, tries, chance) == pytest.approx(exact, rel=1e-9)


def test_large_lists_and_the_ends() -> None:
    assert binomial_tail(49_000, 100_000, 0.5) < 1e-9 < binomial_tail(50_000, 100_000, 0.5)
    assert binomial_tail(0, 10, 0.0) == 1.0 and binomial_tail(3, 10, 1.0) == 0.0
    assert at_chance(500, 1000, 500) and not at_chance(550, 1000, 500)
    assert one_class([], []) is None
