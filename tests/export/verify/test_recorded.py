"""An accuracy that is not the one that training recorded is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest

from export.assemble.bundle import ExportOptions, export_bundle
from export.verify.recorded import Recorded, recorded_of
from infer.bundle.bundle import Bundle
from train.config.load import load_config
from train.data.fingerprint import fingerprint
from train.data.lists import Sample
from train.data.splits import training_datasets
from train.engine.loop import train
from train.evaluation.evaluate import Evaluation

FP32 = ExportOptions(max_batch=1, fp16=False, int8=(), threads=1, workers=0)


def test_a_checkpoint_that_was_exchanged_is_told_by_its_accuracy(
    experiment: Callable[..., Any], clips: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("WARNING", "clipduet")  # Paddle lets everything else through
    made, run = experiment("single"), tmp_path / "run"
    changes = [f'output_dir="{run}"', "DATASET.batch_size=2", "epochs=1"]
    cfg = load_config(made.config, changes)
    train_set, valid_set = training_datasets(cfg)
    train(cfg, train_set=train_set, valid_set=valid_set)

    def exported(cfg: Any) -> dict[str, Any] | None:
        folder = export_bundle(cfg, run / "best.pdparams", tmp_path / "b", options=FP32)
        found: dict[str, Any] | None = Bundle.load(folder).raw["origin"].get("recorded_accuracy")
        return found

    found = exported(cfg)
    assert found is not None and found["explained"]
    assert found["right"] == found["measured_right"]
    assert not caplog.messages

    # One class for everything: of the four clips, of four classes, that answers one right.
    state = paddle.load(str(run / "best.pdparams"))
    wrong = 0 if found["right"] == 1 else 4  # class 0 has no clip: none is right then
    bias = np.where(np.arange(5) == wrong, 100.0, 0.0).astype(np.float32)
    state["backbone.fc.bias"] = paddle.to_tensor(bias)
    paddle.save(state, str(run / "best.pdparams"))
    found = exported(cfg)
    assert found is not None and not found["explained"]
    (line,) = caplog.messages
    assert f"{found['right']} of 4 clips were right" in line
    assert f"now {found['measured_right']} of 4" in line

    # Another list: nothing is known of it.
    lines = (clips / "val.list").read_text().splitlines()
    (clips / "three.list").write_text("".join(f"{line}\n" for line in lines[:3]))
    other = load_config(made.config, [*changes, "DATASET.valid.file_path=three.list"])
    assert exported(other) is None
    assert len(caplog.messages) == 1


@pytest.fixture
def listed(tmp_path: Path) -> list[Sample]:
    """200 files, of classes 0 and 1 in turn."""
    found = []
    for index in range(200):
        path = tmp_path / f"{index}.mp4"
        path.write_bytes(b"x")
        found.append(Sample(path, index % 2, None, index + 1))
    return found


def compared(
    listed: list[Sample],
    right: int,
    measured: int,
    measured_right: int,
    *,
    tied: int = 0,
    **told: Any,
) -> Recorded | None:
    """What is said of a network that answers so many of the first clips right."""
    labels = np.array([sample.label for sample in listed[:measured]])
    hits = np.arange(measured) < measured_right
    logits = np.eye(2, dtype=np.float32)[np.where(hits, labels, 1 - labels)]
    logits[:tied] = 1.0 - 1e-6 * (1 - logits[:tied])
    found = Evaluation(logits, labels, tuple(str(s.path) for s in listed[:measured]))
    record = {
        "top1": right / len(listed),
        "validation": {
            "clips": fingerprint(listed),
            "failed": 0,
            "device": "cpu",
            "amp": None,
            **told,
        },
    }
    return recorded_of(record, listed, found)


@pytest.mark.parametrize(
    ("right", "measured", "measured_right", "tied", "explained"),
    [
        pytest.param(100, 200, 100, 0, True, id="the same"),
        pytest.param(100, 200, 101, 0, False, id="one clip more"),
        pytest.param(100, 200, 101, 1, True, id="one clip more, and one that nearly ties"),
        pytest.param(100, 200, 98, 1, False, id="two clips less, and one that nearly ties"),
        pytest.param(100, 50, 25, 0, True, id="a part of the list like the whole"),
        pytest.param(100, 50, 32, 0, True, id="a part that may be easier"),
        pytest.param(100, 50, 10, 0, False, id="a part that no choice explains"),
        pytest.param(200, 50, 49, 0, False, id="all were right"),
        pytest.param(0, 50, 1, 0, False, id="none was right"),
    ],
)
def test_what_rounding_and_a_choice_of_clips_explain(
    listed: list[Sample], right: int, measured: int, measured_right: int, tied: int, explained: bool
) -> None:
    found = compared(listed, right, measured, measured_right, tied=tied)
    assert found is not None and found.explained == explained


@pytest.mark.parametrize("told", [{"device": "gpu"}, {"amp": "float16"}, {"amp": "bfloat16"}])
def test_coarser_arithmetic_explains_more(listed: list[Sample], told: dict[str, Any]) -> None:
    labels = np.array([sample.label for sample in listed])
    near = np.full((200, 2), 1.0, np.float32) - 0.01 * np.eye(2, dtype=np.float32)[1 - labels]
    paths = tuple(str(sample.path) for sample in listed)
    for changes, explained in ({}, False), (told, True):
        validation = {"clips": fingerprint(listed), "device": "cpu", "amp": None, **changes}
        record = {"top1": 0.5, "validation": validation}
        found = recorded_of(record, listed, Evaluation(near, labels, paths))
        assert found is not None and found.explained == explained


def test_clips_that_cannot_be_read_any_more_explain_their_number(listed: list[Sample]) -> None:
    found = compared(listed, 100, 200, 97, failed=3)
    assert found is not None and found.explained


def test_nothing_is_said_where_nothing_was_recorded(listed: list[Sample]) -> None:
    labels = np.array([sample.label for sample in listed])
    logits = np.eye(2, dtype=np.float32)[labels]
    found = Evaluation(logits, labels, tuple(str(sample.path) for sample in listed))
    assert recorded_of({}, listed, found) is None
    assert recorded_of({"top1": 0.5}, listed, found) is None
    listed[0].path.write_bytes(b"another size")
    old = {"top1": 0.5, "validation": {"clips": "0" * 64}}
    assert recorded_of(old, listed, found) is None
    listed[0].path.unlink()
    assert recorded_of(old, listed, found) is None
