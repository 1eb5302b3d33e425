"""A quantised network that forgot classes is named; one that was merely unlucky is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import export.int8.files
from export.assemble.bundle import export_bundle
from export.verify.collapse import check_collapse, find_collapse
from export.verify.parity import VerificationError
from infer.bundle.bundle import Bundle
from tests.export.conftest import QUICK
from train.evaluation.evaluate import Evaluation

CLASSES = ["left", "right", "up", "down"]


def answers(predictions: np.ndarray, labels: np.ndarray) -> Evaluation:
    """An evaluation with these answers; -1 is a clip that could not be read."""
    logits = np.eye(len(CLASSES), dtype=np.float32)[predictions]
    logits[predictions < 0] = np.nan
    paths = tuple(f"{i}.mp4" for i in range(len(labels)))
    failed = tuple((paths[i], "broken") for i in np.flatnonzero(predictions < 0))
    return Evaluation(logits, labels, paths, failed)


def forget(labels: np.ndarray, label: int, *, share: float) -> np.ndarray:
    """Right answers, but for the first ``share`` of one class's clips."""
    own = np.flatnonzero(labels == label)
    predictions = labels.copy()
    lost = own[: round(share * len(own))]
    predictions[lost] = (label + 1) % len(CLASSES)
    return predictions


def test_one_answer_for_everything_is_named() -> None:
    labels = np.repeat(np.arange(4), 5)
    good = answers(labels, labels)
    collapsed = answers(np.full_like(labels, 1), labels)
    assert check_collapse("int8", good, good, CLASSES)["clips"] == 20
    with pytest.raises(VerificationError, match="'right' for all 20") as caught:
        check_collapse("int8", good, collapsed, CLASSES)
    assert "answers 4 classes" in str(caught.value)
    # It was so before: quantisation has not changed it.
    check_collapse("int8", collapsed, collapsed, CLASSES)


def test_a_few_clips_of_one_class_prove_nothing() -> None:
    labels = np.array([0, 1, 1, 1])
    same = answers(np.array([1, 1, 1, 1]), labels)
    check_collapse("int8", answers(labels, labels), same, CLASSES)


def test_a_class_that_is_forgotten_is_named_with_its_recalls() -> None:
    labels = np.repeat(np.arange(4), 30)
    good = answers(labels, labels)
    with pytest.raises(VerificationError) as caught:
        check_collapse("int8", good, answers(forget(labels, 2, share=0.6), labels), CLASSES)
    text = str(caught.value)
    assert "int8 forgot 1 of 4 classes" in text
    assert "'up': recall 1.00 before, 0.40 after, on 30 clips" in text
    assert "'left'" not in text


def test_the_deepest_fall_comes_first() -> None:
    labels = np.repeat(np.arange(4), 30)
    after = np.where(labels == 0, forget(labels, 0, share=0.7), forget(labels, 3, share=0.9))
    found = find_collapse(answers(labels, labels), answers(after, labels))
    assert [fall.label for fall in found.falls] == [3, 0]


@pytest.mark.parametrize(("clips", "share", "falls"), [(30, 0.45, 0), (8, 1.0, 0), (9, 1.0, 1)])
def test_losses_below_half_or_too_few_to_tell_are_no_collapse(
    clips: int, share: float, falls: int
) -> None:
    # 0.5 ** 8 is above 1 % shared among four classes, 0.5 ** 9 below.
    labels = np.repeat(np.arange(4), clips)
    found = find_collapse(answers(labels, labels), answers(forget(labels, 2, share=share), labels))
    assert len(found.falls) == falls
    assert found.blind == ((0, 1, 2, 3) if clips == 8 else ())


def test_answers_that_only_swap_accuse_nobody() -> None:
    # Both are right on a third of the clips, on different ones: noise, not a collapse.
    labels = np.zeros(90, np.int64)
    labels[0] = 1
    before, after = np.full(90, 2), np.full(90, 3)
    before[1:30], after[30:60] = 0, 0
    found = find_collapse(answers(before, labels), answers(after, labels))
    assert not found.found


def test_the_chance_to_accuse_an_innocent_network_is_small() -> None:
    rng = np.random.default_rng(0)
    accused = 0
    for _ in range(300):
        labels = rng.integers(0, 4, 60)
        one, other = (np.where(rng.random(60) < 0.4, labels, 3) for _ in range(2))
        accused += find_collapse(answers(one, labels), answers(other, labels)).found
    assert accused <= 6


def test_clips_that_cannot_be_read_are_left_out() -> None:
    labels = np.repeat(np.arange(4), 30)
    unread = np.where(labels == 2, -1, labels)
    found = find_collapse(answers(labels, labels), answers(unread, labels))
    assert found.clips == 90
    assert not found.found


def test_a_network_that_collapsed_is_left_out(
    experiment: Callable[..., Any],
    clips: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = (clips / "val.list").read_text().splitlines()
    (clips / "often.list").write_text("".join(f"{line}\n" for line in lines * 10))
    valid = {"format": "VideoDataset", "file_path": "often.list"}
    made = experiment("single", valid=valid)
    quantize = export.int8.files.quantize

    def destroy(calibrated: Any, *, target: Path, **options: Any) -> onnx.ModelProto:
        model = quantize(calibrated, **options)
        for tensor in model.graph.initializer:
            if tensor.name == "backbone.fc.weight":
                zeros = np.zeros_like(numpy_helper.to_array(tensor))
                tensor.CopyFrom(numpy_helper.from_array(zeros, tensor.name))
        onnx.save(model, str(target))
        return model

    monkeypatch.setattr(export.int8.files, "quantize", destroy)
    monkeypatch.setattr(export.verify.origin, "check_quantized_origin", lambda *_: None)
    with pytest.raises(VerificationError, match=r"answers '\w+' for all 40 clips"):
        export_bundle(
            made.cfg,
            made.checkpoint,
            tmp_path / "bundle",
            options=replace(QUICK, require=("int8",)),
        )
    assert not list(tmp_path.iterdir())
    folder = export_bundle(made.cfg, made.checkpoint, tmp_path / "bundle", options=QUICK)
    bundle = Bundle.load(folder)
    assert set(bundle.artifacts) == {"onnx.fp32", "onnx.fp16", "paddle.fp32"}
    assert not list(folder.glob("*int8*"))
    assert set(bundle.raw["left_out"]) == {"onnx.int8", "onnx.int8.x86"}
