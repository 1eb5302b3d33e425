"""Networks that are moving averages of others: what they hold, who learns, and what is kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest

from export.network.strip import strip
from tests.train.distill.pairs import CE, SECOND_CE, S, T, batch, built, model, state
from tests.train.tiny import ALONE, KD, STUDENT, TEACHER, distilled, run, same, weights
from train.checkpoints.checkpoint import BEST, load_file
from train.config.load import ConfigError, load_config, parse_model
from train.distill.build_recognizer import build_recognizer
from train.losses import kl_divergence

MEANS = {"TeacherMean": {"of": T, "decay": 0.5}, "StudentMean": {"of": S, "decay": 0.9}}
PEERS = {"name": "DistillationKLDivLoss", "temperature": 3.0,
         "model_name_pairs": [[S, "TeacherMean"], [T, "StudentMean"]]}  # fmt: skip


def peers(**changes: Any) -> dict[str, Any]:
    return model(CE, SECOND_CE, PEERS, frozen=False, averages=MEANS, **changes)


def stops_at(monkeypatch: pytest.MonkeyPatch, step: int, seen: list[dict[str, np.ndarray]]) -> None:
    """The run ends before that step; `seen` takes the weights before each one, and then."""
    import train.engine.epoch

    take = train.engine.epoch.take_step

    def watched(run: Any, parts: Any) -> Any:
        seen.append(state(run.recognizer))
        if run.progress.step == step:
            raise KeyboardInterrupt
        return take(run, parts)

    monkeypatch.setattr(train.engine.epoch, "take_step", watched)


def test_averages_follow_their_networks_step_by_step(
    experiment: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In NumPy: min(decay, (1 + n) / (10 + n)) of the old after step n, statistics too."""
    seen: list[dict[str, np.ndarray]] = []
    stops_at(monkeypatch, 4, seen)
    with pytest.raises(KeyboardInterrupt):
        run(experiment(peers(), epochs=2), f"output_dir={tmp_path / 'a'}")
    assert len(seen) == 5
    moved = 0.0
    for role, name in ((T, "TeacherMean"), (S, "StudentMean")):
        for key in (key for key in seen[0] if key.startswith(f"{role}.")):
            mean = key.replace(role, name, 1)
            wanted = seen[0][key].astype(np.float64)
            assert np.array_equal(seen[0][mean], seen[0][key])
            for n, after in enumerate(seen[1:], start=1):
                decay = min(MEANS[name]["decay"], (1 + n) / (10 + n))
                wanted = decay * wanted + (1 - decay) * after[key]
                np.testing.assert_allclose(after[mean], wanted, rtol=2e-5, atol=1e-6)
            moved = max(moved, float(np.abs(seen[-1][mean] - seen[-1][key]).max()))
    assert moved > 1e-3


def test_a_network_learns_from_its_peers_average_alone() -> None:
    recognizer = built(CE, SECOND_CE, PEERS, frozen=False, averages=MEANS)
    assert recognizer.frozen == MEANS.keys()
    # The average says something else than the network, and says it in evaluation mode.
    mean = recognizer.networks["TeacherMean"]
    mean[1].fc.weight.set_value(mean[1].fc.weight + 0.1 * paddle.arange(3, dtype="float32"))
    inputs, target = batch()
    outputs = recognizer(inputs)
    terms = recognizer.losses(outputs, target)
    assert set(terms) == {"Student.CE", "Teacher.CE", f"{S}-TeacherMean.KD", f"{T}-StudentMean.KD"}
    mean.eval()
    with paddle.no_grad():
        answers = mean(inputs)
    assert np.array_equal(outputs["TeacherMean"].numpy(), answers.numpy())
    assert not np.allclose(outputs["TeacherMean"].numpy(), outputs[T].numpy(), atol=1e-3)
    wanted = float(kl_divergence(outputs[S], answers, temperature=3.0))
    assert float(terms[f"{S}-TeacherMean.KD"]) == pytest.approx(wanted, rel=1e-6)
    before = state(recognizer)
    terms[f"{S}-TeacherMean.KD"].backward()
    for role, network in recognizer.networks.items():
        moved = [p for p in network.parameters() if p.grad is not None and p.grad.abs().sum() > 0]
        assert bool(moved) == (role == S)
    # Nor do the averages' batch norms follow the batch.
    after = state(recognizer)
    assert all(np.array_equal(before[k], after[k]) for k in after if k.split(".")[0] in MEANS)
    averaged = {id(p) for role in MEANS for p in recognizer.networks[role].parameters()}
    assert not averaged & {id(p) for p in recognizer.trainable_parameters()}


def test_averages_are_checkpointed_resumed_and_left_out_of_the_export(
    experiment: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With an average for evaluation beside them, which leaves them alone."""
    file = experiment(peers(), epochs=2, EMA={"decay": 0.5})
    run(file, f"output_dir={tmp_path / 'whole'}")
    whole = weights(tmp_path / "whole")
    assert {key.split(".")[0] for key in whole} == {S, T, *MEANS}
    stops_at(monkeypatch, 4, [])
    with pytest.raises(KeyboardInterrupt):
        run(file, f"output_dir={tmp_path / 'cut'}")
    monkeypatch.undo()
    run(file, f"output_dir={tmp_path / 'cut'}", resume=True)
    assert same(whole, weights(tmp_path / "cut"))
    best = load_file(tmp_path / "whole" / BEST)
    stripped = strip(best, parse_model(peers()), source="file")
    assert set(stripped.others) == {T, *MEANS} and not stripped.leftovers
    for key, value in stripped.network.state_dict().items():
        assert np.array_equal(value.numpy(), best[f"{S}.{key}"].numpy())
    own = build_recognizer(ALONE, seed=0).student.state_dict()
    assert stripped.network.state_dict().keys() == own.keys()


def test_an_average_begins_as_the_trained_network(
    experiment: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher = build_recognizer({"framework": "Recognizer2D", **TEACHER}, seed=9)
    paddle.save(teacher.state_dict(), str(tmp_path / "teacher.pdparams"))
    trained = {**TEACHER, "pretrained": str(tmp_path / "teacher.pdparams")}
    seen: list[dict[str, np.ndarray]] = []
    stops_at(monkeypatch, 0, seen)
    with pytest.raises(KeyboardInterrupt):
        run(experiment(peers(models=[{T: trained}, {S: STUDENT}]), epochs=1))
    wanted = teacher.student.state_dict()
    for key, value in wanted.items():
        assert np.array_equal(seen[0][f"TeacherMean.{key}"], value.numpy())
        assert np.array_equal(seen[0][f"Teacher.{key}"], value.numpy())


def test_a_run_without_averages_is_what_it_was(
    experiment: Callable[..., Path], tmp_path: Path
) -> None:
    """An average that teaches with no weight to speak of changes nothing but its own keys."""
    plain = model(CE, SECOND_CE, {"name": "DistillationDMLLoss"}, frozen=False)
    unread = {**PEERS, "loss_weight": 0.0}
    beside = {**plain, "averages": MEANS}
    beside["loss"] = {**plain["loss"], "Train": [*plain["loss"]["Train"], unread]}
    for name, spec in (("a", plain), ("b", beside)):
        run(experiment(spec, epochs=1), f"output_dir={tmp_path / name}")
    a, b = (weights(tmp_path / name) for name in "ab")
    assert a.keys() < b.keys() and same(a, {key: b[key] for key in a})


@pytest.mark.parametrize(
    ("averages", "terms", "where", "words"),
    [
        ({"Student": {"of": "Teacher"}}, [], "averages.Student", "is taken"),
        ({"Mean": {"of": "Techer"}}, [["Student", "Mean"]], "averages.Mean.of", "Teacher"),
        ({"Mean": {"of": "Teacher"}}, [["Student", "Mean"]], "averages.Mean.of", "is frozen"),
        ({"Mean": {"of": "Student"}}, [["Mean", "Student"]], "model_name_pairs", "is an average"),
        ({"Mean": {"of": "Student"}}, [], "averages.Mean", "no term"),
        ({"Mean": {"of": "Student", "decay": 1.0}}, [["Student", "Mean"]], "averages.Mean.decay",
         "below 1"),
        ({"Mean": {"decay": 0.9}}, [["Student", "Mean"]], "averages.Mean.of", "missing"),
        ({"Mean": {"of": "Student"}}, [["Student", "Men"]], "model_name_pairs", "Mean"),
    ],
)  # fmt: skip
def test_averages_that_do_not_fit(
    method: Callable[..., Path],
    averages: dict[str, Any],
    terms: list[list[str]],
    where: str,
    words: str,
) -> None:
    spec = distilled(KD, *({**KD, "model_name_pairs": pair} for pair in terms), pretrained="x")
    with pytest.raises(ConfigError) as caught:
        load_config(method("x", {**spec, "averages": averages}))
    told = {".".join(map(str, m.where)): m.text for m in caught.value.mistakes}
    assert any(place.endswith(where) and words in text for place, text in told.items()), told


def test_labels_teach_no_average(method: Callable[..., Path]) -> None:
    spec = distilled(KD, {**KD, "model_name_pairs": ["Student", "Mean"]}, pretrained="x")
    spec["averages"] = {"Mean": {"of": "Student"}}
    assert load_config(method("x", spec)).model["averages"]["Mean"]["decay"] == 0.999
    spec["loss"]["Train"].append({**CE, "model_name_pairs": ["Mean", "GroundTruth"]})
    with pytest.raises(ConfigError, match="takes no gradient"):
        load_config(method("x", spec))
