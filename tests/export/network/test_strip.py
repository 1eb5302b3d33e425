"""Taking the Student out of a checkpoint: exactly it, or a message that lists what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from export.network.strip import SHOWN, StripError, strip


def weights_of(made: Any) -> dict[str, np.ndarray]:
    return {key: value.numpy() for key, value in made.recognizer.state_dict().items()}


@pytest.mark.parametrize("kind", ["single", "attention", "pair", "resnet"])
def test_the_student_has_the_weights_of_the_file(kind: str, experiment: Callable[..., Any]) -> None:
    made = experiment(kind)
    stripped = strip(weights_of(made), made.cfg.model, source="file")
    own = {k: v.numpy() for k, v in made.recognizer.student.state_dict().items()}
    found = {k: v.numpy() for k, v in stripped.network.state_dict().items()}
    assert found.keys() == own.keys()
    assert all(np.array_equal(found[key], own[key]) for key in own)
    assert not stripped.network.training
    assert not stripped.leftovers
    assert list(stripped.others) == (["Teacher"] if kind == "pair" else [])


def test_the_teacher_may_be_incomplete_or_absent(experiment: Callable[..., Any]) -> None:
    made = experiment("pair")
    weights = weights_of(made)
    alone = {key: value for key, value in weights.items() if key.startswith("Student.")}
    assert strip(alone, made.cfg.model, source="file").others == {}
    some = alone | {"Teacher.1.fc.weight": weights["Teacher.1.fc.weight"]}
    stripped = strip(some, made.cfg.model, source="file")
    assert stripped.others == {}
    assert list(stripped.leftovers) == ["Teacher.1.fc.weight"]


@pytest.mark.parametrize("kind", ["pair", "single"])
def test_paddlevideos_file_of_the_student_alone(kind: str, experiment: Callable[..., Any]) -> None:
    made = experiment(kind)
    own = {key: value.numpy() for key, value in made.recognizer.student.state_dict().items()}
    stripped = strip(own, made.cfg.model, source="x_student.pdparams")
    found = {k: v.numpy() for k, v in stripped.network.state_dict().items()}
    assert all(np.array_equal(found[key], own[key]) for key in own) and not stripped.leftovers
    lacking = {key: value for key, value in own.items() if key != "0.fc.bias"}
    with pytest.raises(StripError, match=r"missing \(1\):\s+0\.fc\.bias"):
        strip(lacking, made.cfg.model, source="x_student.pdparams")


def test_everything_that_is_wrong_is_listed_at_once(experiment: Callable[..., Any]) -> None:
    made = experiment("pair")
    weights = weights_of(made)
    del weights["Student.0.stem.0.conv.weight"], weights["Student.0.fc.bias"]
    weights["Student.0.stem.9.conv.weight"] = np.zeros(3, np.float32)
    weights["Friend.0.fc.weight"] = np.zeros(3, np.float32)
    weights["Student.0.fc.weight"] = np.zeros((7, 2), np.float32)
    weights["Student.0.last_conv.weight"] = weights["Student.0.last_conv.weight"] * np.nan
    with pytest.raises(StripError) as caught:
        strip(weights, made.cfg.model, source="run/best.pdparams")
    error = caught.value
    assert sorted(error.missing) == ["Student.0.fc.bias", "Student.0.stem.0.conv.weight"]
    assert sorted(error.unexpected) == ["Friend.0.fc.weight", "Student.0.stem.9.conv.weight"]
    assert error.broken == ["Student.0.last_conv.weight"]
    for words in (
        "run/best.pdparams",
        "missing (2)",
        "Student.0.fc.bias",
        "unexpected (2)",
        "Friend.0.fc.weight",
        "Student.0.fc.weight: the file has [7, 2], the network needs [48, 5]",
        "NaN",
    ):
        assert words in str(error)


def test_a_file_with_the_teacher_only_says_so(experiment: Callable[..., Any]) -> None:
    made = experiment("pair")
    weights = {k: v for k, v in weights_of(made).items() if k.startswith("Teacher.")}
    with pytest.raises(StripError, match="no Student") as caught:
        strip(weights, made.cfg.model, source="file")
    assert len(caught.value.missing) == len(made.recognizer.student.state_dict())
    assert f"... and {len(caught.value.missing) - SHOWN} more" in str(caught.value)


@pytest.mark.parametrize(
    ("of_file", "of_config", "words"),
    [
        ("pair", "single", r"several networks \(Student, Teacher\)"),
        ("single", "pair", "one network .*several"),
        ("attention", "single", "belong together"),
        ("single", "resnet", "belong together"),
    ],
)
def test_config_and_checkpoint_of_different_runs(
    of_file: str, of_config: str, words: str, experiment: Callable[..., Any]
) -> None:
    weights, model = weights_of(experiment(of_file)), experiment(of_config).cfg.model
    with pytest.raises(StripError, match=words):
        strip(weights, model, source="file")
