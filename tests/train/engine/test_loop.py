"""Real training on real, tiny clips: what is learnt, what is written, and going on after a stop."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest

from infer.system.errors import ClipDuetError
from tests.train.tiny import ALONE, LOSSES, PAIR, STUDENT, TEACHER, run, same, weights
from train.__main__ import main
from train.checkpoints.checkpoint import BEST, load_file, set_weights
from train.config.load import load_config
from train.data.splits import training_datasets
from train.distill.build_recognizer import build_recognizer
from train.engine.precise_bn import recompute_statistics
from train.engine.run import DivergedError
from train.models.pixels import PixelInput
from train.plugins.registry import BUILDERS, Response


@pytest.mark.parametrize("mix", [None, {"name": "VideoMix"}])
def test_the_pair_learns_and_leaves_its_checkpoints(
    experiment: Callable[..., Path], tmp_path: Path, mix: dict[str, Any] | None
) -> None:
    progress = run(experiment(PAIR, epochs=8, MIX=mix))
    first, last = progress.history[0], progress.history[-1]
    assert last["train.Student.CE"] < 0.8 * first["train.Student.CE"]
    assert last["train.Teacher.CE"] < first["train.Teacher.CE"]
    assert progress.step == 8 * 3
    best = load_file(tmp_path / "run" / BEST)
    assert all(key.startswith(("Student.0.", "Teacher.0.", "Teacher.1.")) for key in best)
    record = json.loads((tmp_path / "run" / "best.json").read_text())
    assert record["top1"] == max(r["valid.Student.top1"] for r in progress.history)


def test_momentum_with_nesterov_and_clipping_learns(experiment: Callable[..., Path]) -> None:
    optimizer = {
        "name": "Momentum",
        "momentum": 0.9,
        "use_nesterov": True,
        "learning_rate": {
            "name": "CustomWarmupCosineDecay",
            "cosine_base_lr": 0.03,
            "warmup_epochs": 0.5,
            "warmup_start_lr": 0.001,
        },
        "weight_decay": {"name": "L2", "value": 1e-4},
        "grad_clip": 2.0,
    }
    history = run(experiment(ALONE, epochs=16, OPTIMIZER=optimizer)).history
    losses = [record["train.Student.CE"] for record in history]
    assert np.mean(losses[-3:]) < 0.7 * losses[0], losses


def test_baseline_and_student_of_the_pair_start_alike() -> None:
    alone = build_recognizer(ALONE, seed=3).student.state_dict()
    pair = build_recognizer(PAIR, seed=3).student.state_dict()
    other = build_recognizer(PAIR, seed=4).student.state_dict()
    assert same({k: v.numpy() for k, v in alone.items()}, {k: v.numpy() for k, v in pair.items()})
    assert not all(np.array_equal(pair[k].numpy(), other[k].numpy()) for k in pair)


def test_two_networks_of_one_kind_start_apart() -> None:
    twins = {**PAIR, "models": [{"Teacher": STUDENT}, {"Student": STUDENT}]}
    networks = build_recognizer(twins, seed=3).networks
    one, other = (networks[role].state_dict() for role in ("Teacher", "Student"))
    assert one.keys() == other.keys()
    for key, value in one.items():
        if len(value.shape) == 4:
            assert not np.array_equal(value.numpy(), other[key].numpy()), key


def test_without_the_mutual_term_the_student_trains_as_if_alone(
    experiment: Callable[..., Path], tmp_path: Path
) -> None:
    """The comparison is fair: the pair's student sees the same batches, draws and schedule."""
    alone = run(experiment(ALONE, output_dir=str(tmp_path / "alone"), grad_clip=0.5))
    silent = [LOSSES["Train"][0], LOSSES["Train"][1], {**LOSSES["Train"][2], "loss_weight": 0.0}]
    pair = {**PAIR, "loss": {**LOSSES, "Train": silent}}
    run(experiment(pair, output_dir=str(tmp_path / "pair"), grad_clip=0.5))
    a, b = weights(tmp_path / "alone"), weights(tmp_path / "pair")
    student = {key.removeprefix("Student.0."): v for key, v in b.items() if "Student.0." in key}
    own = {key.removeprefix("backbone."): value for key, value in a.items()}
    assert alone.step == 9
    assert same(own, student)


def test_validation_reports_the_loss_of_its_list(experiment: Callable[..., Path]) -> None:
    file = experiment(PAIR, epochs=1)
    cfg = load_config(file)
    progress = run(file)
    recognizer = build_recognizer(cfg.model, seed=cfg.seed)
    set_weights(recognizer, load_file(Path(cfg.output_dir) / BEST), source=file)
    recognizer.eval()
    spec = cfg.specs["valid"].preprocess
    pixels = PixelInput(spec.mean, spec.std)
    seen = training_datasets(cfg)[1]
    clips = paddle.to_tensor(np.stack([seen.read(i, rng=None)[0][0] for i in range(len(seen))]))
    with paddle.no_grad():
        logits = recognizer.student(pixels(clips))
    labels = paddle.to_tensor([sample.label for sample in seen.samples])
    expected = float(paddle.nn.functional.cross_entropy(logits, labels))
    assert progress.history[0]["valid.loss"] == pytest.approx(expected, rel=1e-4)


def test_a_term_rises_with_the_run(experiment: Callable[..., Path]) -> None:
    *labels, mutual = LOSSES["Train"]
    ramped = {**LOSSES, "Train": [*labels, {**mutual, "ramp": [0.5, 1.0]}]}
    first, second, third, last = run(experiment({**PAIR, "loss": ramped}, epochs=4)).history
    name = "train.Student-Teacher.DML"
    assert name not in first and name not in second
    assert third[name] < last[name]


def test_of_equal_validations_the_first_is_best(experiment: Callable[..., Path]) -> None:
    still = {"name": "AdamW", "learning_rate": {"name": "Constant", "learning_rate": 0.0}}
    progress = run(experiment(ALONE, epochs=4, OPTIMIZER=still))
    scores = [record["valid.Student.top1"] for record in progress.history]
    assert len(set(scores)) < len(scores)
    assert progress.best["epoch"] == 1 + scores.index(max(scores))


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_good_checkpoint(
    experiment: Callable[..., Path], tmp_path: Path
) -> None:
    optimizer = {
        "name": "Momentum",
        "learning_rate": {
            "name": "CustomWarmupCosineDecay",
            "cosine_base_lr": 1e38,
            "warmup_epochs": 1,
            "warmup_start_lr": 1e-3,
        },
    }
    file = experiment(ALONE, epochs=4, OPTIMIZER=optimizer, checkpoint_every_steps=1)
    with pytest.raises(DivergedError, match=r"at step [23].*latest.ckpt"):
        run(file)
    assert all(np.isfinite(value).all() for value in weights(tmp_path / "run").values())


def test_a_nan_in_the_loss_names_the_term(
    experiment: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Response("DML", lambda a, b, **_: (a - b).mean() * float("nan"))
    monkeypatch.setitem(BUILDERS, "DistillationDMLLoss", broken)
    with pytest.raises(DivergedError, match=r"Student-Teacher.DML nan"):
        run(experiment(PAIR, epochs=1))


def test_clips_that_cannot_be_read_are_skipped_and_counted(
    experiment: Callable[..., Path], clips: Path, tmp_path: Path
) -> None:
    (clips / "broken.mp4").write_bytes(b"no video " * 100)
    lists = (clips / "train.list").read_text(), (clips / "val.list").read_text()
    (clips / "damaged.list").write_text(lists[0] + "\nbroken.mp4 0\n")
    (clips / "damaged_val.list").write_text(lists[1] + "\nbroken.mp4 0\n")
    progress = run(
        experiment(ALONE, epochs=2),
        "DATASET.train.file_path=damaged.list",
        "DATASET.valid.file_path=damaged_val.list",
        "DATASET.batch_size=13",
    )
    assert len(progress.skipped) == 2 and all("broken.mp4" in line for line in progress.skipped)
    assert [record["valid.failed"] for record in progress.history] == [1, 1]
    assert max(record["valid.Student.top1"] for record in progress.history) <= 6 / 7


def test_all_wrong_lines_are_told_before_training_starts(
    experiment: Callable[..., Path], clips: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (clips / "wrong.list").write_text("0.mp4 0\nmissing.mp4 1\n1.mp4 77\n2.mp4 two\n")
    file = experiment(ALONE)
    assert main(["-c", str(file), "-o", "DATASET.train.file_path=wrong.list"]) == 2
    message = capsys.readouterr().err
    assert all(f"wrong.list:{line}" in message for line in (2, 3, 4))
    assert "Traceback" not in message


def test_precise_statistics_are_the_means_over_batches() -> None:
    network = build_recognizer(ALONE, seed=1)
    network.train()
    batches = [paddle.randn([8, 3, 32, 32]) * k for k in (1.0, 2.0, 3.0)]
    stem = network.student[0].stem[0]
    with paddle.no_grad():
        means = [stem.conv(batch).mean(axis=[0, 2, 3]).numpy() for batch in batches]
    assert recompute_statistics(network, network, iter(batches)) == 3
    np.testing.assert_allclose(stem.bn._mean.numpy(), np.mean(means, axis=0), atol=1e-5)
    assert stem.bn._momentum == 0.9


def test_a_run_with_precise_statistics_validates_with_them(
    experiment: Callable[..., Path], tmp_path: Path
) -> None:
    plain = run(experiment(ALONE, epochs=1, output_dir=str(tmp_path / "plain")))
    file = experiment(
        ALONE,
        epochs=1,
        output_dir=str(tmp_path / "precise"),
        PRECISEBN={"preciseBN_interval": 1, "num_iters_preciseBN": 2},
    )
    precise = run(file)
    a, b = weights(tmp_path / "plain"), weights(tmp_path / "precise")
    moved = {key for key in a if not np.array_equal(a[key], b[key])}
    assert moved and all(key.endswith(("_mean", "_variance")) for key in moved)
    assert plain.step == precise.step


def test_a_frozen_teacher_does_not_move(experiment: Callable[..., Path], tmp_path: Path) -> None:
    donor = build_recognizer(PAIR, seed=9)
    paddle.save(donor.state_dict(), str(tmp_path / "teacher.pdparams"))
    before = {k: v.numpy() for k, v in donor.networks["Teacher"].state_dict().items()}
    teacher = {**TEACHER, "pretrained": str(tmp_path / "teacher.pdparams")}
    models = [{"Teacher": teacher}, {"Student": STUDENT}]
    run(experiment({**PAIR, "models": models, "freeze_params_list": [True, False]}, epochs=1))
    after = {
        k.removeprefix("Teacher."): v
        for k, v in weights(tmp_path / "run").items()
        if k.startswith("Teacher.")
    }
    assert same(before, after)


def test_a_run_starts_from_the_weights_it_is_given(
    experiment: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    donor = build_recognizer(ALONE, seed=11)
    paddle.save(donor.state_dict(), str(tmp_path / "donor.pdparams"))
    file = experiment(ALONE, epochs=1, OPTIMIZER={"name": "AdamW", "learning_rate": 0.0})
    assert main(["-c", str(file), "-w", str(tmp_path / "donor.pdparams")]) == 0
    size = len(donor.state_dict())
    assert f"Student: {size} of {size} entries from" in capsys.readouterr().err
    learned = {key for key in donor.state_dict() if "_mean" not in key and "_variance" not in key}
    mine = {key: value.numpy() for key, value in donor.state_dict().items() if key in learned}
    assert same(mine, {k: v for k, v in weights(tmp_path / "run").items() if k in learned})


def test_pretrained_weights_are_loaded_and_a_stranger_is_refused(
    experiment: Callable[..., Path], tmp_path: Path
) -> None:
    donor = build_recognizer(ALONE, seed=11).student[0].state_dict()
    donor["fc.weight"], donor["fc.bias"] = paddle.zeros([32, 7]), paddle.zeros([7])
    paddle.save(donor, str(tmp_path / "donor.pdparams"))
    backbone = {**STUDENT["backbone"], "pretrained": str(tmp_path / "donor.pdparams")}
    recognizer = build_recognizer(ALONE, seed=5)
    from train.checkpoints.pretrained import load_pretrained

    (found,) = load_pretrained(recognizer, {**ALONE, "backbone": backbone}).values()
    assert "left out (2): fc.weight" in str(found)
    key = "stem.0.conv.weight"
    assert np.array_equal(recognizer.student[0].state_dict()[key].numpy(), donor[key].numpy())
    paddle.save({"x": paddle.zeros([1])}, str(tmp_path / "donor.pdparams"))
    with pytest.raises(ClipDuetError, match="another network"):
        load_pretrained(recognizer, {**ALONE, "backbone": backbone})
