"""Every method takes real steps, with the networks, layers and parameters that it should."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from export.network.strip import strip
from tests.train.distill.pairs import (
    CE,
    SECOND_CE,
    TERMS,
    S,
    T,
    batch,
    built,
    hooks,
    model,
    state,
    step,
)
from tests.train.tiny import ALONE, STUDENT, run, same, stop_at, weights
from train.checkpoints.checkpoint import BEST, load_file
from train.config.load import parse_model
from train.distill.build_recognizer import build_recognizer


@pytest.mark.parametrize("name", TERMS)
def test_a_frozen_teacher_teaches_and_stays(name: str) -> None:
    recognizer = built(TERMS[name])
    before = state(recognizer)
    terms = step(recognizer, *batch())
    assert len(terms) == 1 and all(np.isfinite(value) and value > 0 for value in terms.values())
    after = state(recognizer)
    moved = {key for key in after if not np.array_equal(before[key], after[key])}
    assert moved and not any(key.startswith("Teacher.") for key in moved)
    assert any(key.startswith("Student.0.stem") for key in moved)
    connectors = {key for key in after if key.startswith("connectors.")}
    assert bool(connectors) == (name in ("distance", "overhaul", "afd"))
    assert all(key in moved for key in connectors if key.endswith("conv.weight"))


def test_response_relation_and_feature_terms_add_up() -> None:
    names = ("kd", "rkd of embeddings", "overhaul", "afd")
    recognizer = built(CE, *(TERMS[name] for name in names), TERMS["overhaul"])
    inputs, target = batch()
    terms = recognizer.losses(recognizer(inputs), target)
    pair = f"{S}-{T}"
    kinds = ("KD", "RKD", "OverHaul", "AFD", "OverHaul#2")
    assert list(terms) == ["Student.CE", *(f"{pair}.{kind}" for kind in kinds)]
    # The same loss twice has connectors of its own, drawn by its place.
    first, second = (float(terms[f"{pair}.{kind}"]) for kind in ("OverHaul", "OverHaul#2"))
    assert first != second


def test_networks_of_one_architecture_need_no_connector() -> None:
    layer = "backbone.stages.3"
    twins = [{T: STUDENT}, {S: STUDENT}]
    term = {"name": "DistillationDistanceLoss", "s_key": layer, "t_key": layer}
    recognizer = built(CE, SECOND_CE, term, frozen=False, models=twins)
    assert not any(key.startswith("connectors.") for key in recognizer.state_dict())
    inputs, target = batch()
    outputs = recognizer(inputs)
    terms = recognizer.losses(outputs, target)
    a, b = (outputs.features[role, layer] for role in (S, T))
    wanted = float(((a - b) ** 2).mean())
    assert float(terms["Student-Teacher.Distance"]) == pytest.approx(wanted, rel=1e-5)
    forced = built(CE, SECOND_CE, {**term, "connector": True}, frozen=False, models=twins)
    assert any(key.startswith("connectors.") for key in forced.state_dict())


def test_a_cohort_of_three_learns_from_each_other() -> None:
    others = ["Second", "Third"]
    roles = [S, *others]
    pairs = [[a, b] for i, a in enumerate(roles) for b in roles[i + 1 :]]
    labels = [{**CE, "model_name_pairs": [role, "GroundTruth"]} for role in roles]
    cohort = {"name": "DistillationDMLLoss", "model_name_pairs": pairs, "loss_weight": 0.5}
    models = [{role: STUDENT} for role in roles]
    recognizer = built(*labels, cohort, models=models, freeze_params_list=[])
    before = state(recognizer)
    terms = step(recognizer, *batch())
    assert {f"{a}-{b}.DML" for a, b in pairs} <= set(terms)
    after = state(recognizer)
    for role in roles:
        assert not np.array_equal(before[f"{role}.0.fc.weight"], after[f"{role}.0.fc.weight"])


@pytest.mark.parametrize("clips", [1, 2])
def test_small_batches(clips: int) -> None:
    """A relation needs two clips; where unreadable ones leave fewer, its term is left out."""
    names = ["dkd", "dist", "rkd", "overhaul", "afd"]
    recognizer = built(CE, *(TERMS[name] for name in names))
    terms = step(recognizer, *batch(clips))
    assert ("Student-Teacher.RKD" in terms) == (clips == 2)
    assert all(np.isfinite(value) for value in terms.values())


def test_connectors_are_checkpointed_resumed_and_left_out_of_the_export(
    experiment: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = model(CE, SECOND_CE, TERMS["overhaul"], TERMS["afd"], frozen=False)
    file = experiment(spec, epochs=2)
    run(file, f"output_dir={tmp_path / 'whole'}")
    whole = weights(tmp_path / "whole")
    learnt = [key for key in whole if key.startswith("connectors.")]
    assert {key.split(".")[1] for key in learnt} == {"2", "3"}

    stop_at(monkeypatch, 4)
    with pytest.raises(KeyboardInterrupt):
        run(file, f"output_dir={tmp_path / 'cut'}")
    monkeypatch.undo()
    run(file, f"output_dir={tmp_path / 'cut'}", resume=True)
    assert same(whole, weights(tmp_path / "cut"))

    best = load_file(tmp_path / "whole" / BEST)
    stripped = strip(best, parse_model(spec), source="file")
    assert set(stripped.leftovers) == set(learnt) & set(best)
    assert list(stripped.others) == [T] and set(stripped.settings) == {"backbone", "head"}
    own = build_recognizer(ALONE, seed=0).student.state_dict()
    assert stripped.network.state_dict().keys() == own.keys()
    assert hooks(stripped.network) == 0


@pytest.mark.parametrize("name", ["kd", "js", "dkd", "dist", "rkd", "overhaul", "afd"])
def test_a_teacher_that_learns_takes_no_gradient_from_its_lessons(name: str) -> None:
    """Beside a mutual term the teacher is not frozen: only the term itself can keep it away."""
    mutual = {"name": "DistillationDMLLoss"}
    recognizer = built(CE, SECOND_CE, mutual, TERMS[name], frozen=False)
    inputs, target = batch()
    terms = recognizer.losses(recognizer(inputs), target)
    lesson = list(terms)[-1]
    assert lesson not in ("Student.CE", "Teacher.CE", f"{S}-{T}.DML")
    terms[lesson].backward()
    for role, network in recognizer.networks.items():
        moved = [p for p in network.parameters() if p.grad is not None and p.grad.abs().sum() > 0]
        assert bool(moved) == (role == S)
