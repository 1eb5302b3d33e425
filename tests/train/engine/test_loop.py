"""Real training on real, tiny clips: what is learnt, what is written, and going on after a stop."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest

from infer.system import signals
from infer.system.errors import ClipDuetError
from infer.system.files import WriteError
from infer.system.signals import Stopped, exit_status
from tests.train.engine.kills import command, killed_and_resumed
from tests.train.tiny import ALONE, LOSSES, PAIR, STUDENT, TEACHER, run, same, weights
from train.__main__ import main
from train.checkpoints.checkpoint import (
    BEST,
    LATEST,
    load_file,
    save_best,
    save_latest,
    set_weights,
)
from train.checkpoints.run_lock import run_lock
from train.config.identity import changed_settings, completed, identity
from train.config.load import load_config
from train.data.splits import training_datasets
from train.distill.build_terms import RESPONSES, Response
from train.distill.recognizers import build_recognizer
from train.engine.loop import train
from train.engine.precise_bn import recompute_statistics
from train.engine.run import DivergedError, Run
from train.engine.stopping import stop_requests
from train.models.pixels import PixelInput


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


def test_a_run_stopped_within_an_epoch_goes_on_as_if_it_had_not(
    experiment: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = experiment(PAIR, checkpoint_every_steps=2)
    whole = run(file, f"output_dir={tmp_path / 'whole'}")

    import train.engine.loop

    step = train.engine.loop.take_step

    def stop_at_8(state: Run, batch: Any) -> dict[str, float]:
        if state.progress.step == 7:
            raise KeyboardInterrupt
        return step(state, batch)

    monkeypatch.setattr(train.engine.loop, "take_step", stop_at_8)
    with pytest.raises(KeyboardInterrupt):
        run(file, f"output_dir={tmp_path / 'stopped'}")
    monkeypatch.undo()
    assert load_file(tmp_path / "stopped" / LATEST)["progress"]["step"] == 6
    resumed = run(file, f"output_dir={tmp_path / 'stopped'}", resume=True)
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "stopped"))
    assert resumed.best == whole.best
    assert untimed(resumed.history) == untimed(whole.history)


def untimed(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    cost = ("seconds", "waiting", "memory")
    return [{k: v for k, v in record.items() if k not in cost} for record in history]


def test_a_stop_that_is_asked_for_writes_a_checkpoint_first(
    experiment: Callable[..., Path], tmp_path: Path
) -> None:
    cfg = load_config(experiment(PAIR))
    train_set, valid_set = training_datasets(cfg)
    asked = iter([False, False, False, False, True])
    with pytest.raises(KeyboardInterrupt):
        train(cfg, train_set=train_set, valid_set=valid_set, should_stop=lambda: next(asked))
    assert load_file(tmp_path / "run" / LATEST)["progress"]["step"] == 5


@pytest.fixture
def environment(root: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(root)}


def test_kill_9_at_any_moment_then_resume_equals_an_uninterrupted_run(
    experiment: Callable[..., Path], tmp_path: Path, environment: dict[str, str]
) -> None:
    file = experiment(PAIR, epochs=10, checkpoint_every_steps=1)
    whole = run(file, f"output_dir={tmp_path / 'whole'}")
    twice = [signal.SIGKILL] * 2
    latest = killed_and_resumed(file, tmp_path / "killed", environment, signals=twice)
    progress = load_file(latest)["progress"]
    assert progress["step"] == whole.step
    assert progress["best"] == whole.best
    assert untimed(progress["history"]) == untimed(whole.history)
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "killed"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_end_a_run_without_a_traceback(
    experiment: Callable[..., Path],
    tmp_path: Path,
    environment: dict[str, str],
    number: signal.Signals,
) -> None:
    file = experiment(PAIR, epochs=500, checkpoint_every_steps=1)
    process = subprocess.Popen(
        command(file, tmp_path / "run"), env=environment, stderr=subprocess.PIPE, text=True
    )
    while process.poll() is None and not (tmp_path / "run" / LATEST).exists():
        time.sleep(0.01)
    process.send_signal(number)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 128 + number, errors
    assert "--resume goes on" in errors and "Traceback" not in errors
    assert not [path for path in (tmp_path / "run").iterdir() if path.name.endswith(".partial")]


def test_a_stop_that_is_sent_twice_is_one_and_a_second_one_is_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`timeout` sends its signal to the process and to its group."""

    def work() -> None:
        with stop_requests() as should_stop:
            assert not should_stop()
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGTERM)
            assert should_stop()
            monkeypatch.setattr(signals, "ONE_REQUEST", 0.0)
            signal.raise_signal(signal.SIGTERM)
            pytest.fail("the second request did not end it")

    with pytest.raises(Stopped) as caught:
        work()
    assert exit_status(caught.value) == 143


def test_ctrl_c_twice_is_at_once() -> None:
    def work() -> None:
        with stop_requests() as should_stop:
            signal.raise_signal(signal.SIGINT)
            assert should_stop()
            signal.raise_signal(signal.SIGINT)
            pytest.fail("the second request did not end it")

    with pytest.raises(KeyboardInterrupt):
        work()


def test_a_finished_run_is_left_as_it_is_and_another_is_not_overwritten(
    experiment: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = experiment(ALONE, epochs=1)
    arguments = ["-c", str(file)]
    assert main(arguments) == 0
    before = (tmp_path / "run" / LATEST).stat().st_mtime_ns
    assert main([*arguments, "--resume"]) == 0
    assert main(arguments) == 2
    assert "--resume" in capsys.readouterr().err
    assert main([*arguments, "--resume", "-o", "OPTIMIZER.weight_decay=0.5"]) == 2
    assert "weight_decay" in capsys.readouterr().err
    assert (tmp_path / "run" / LATEST).stat().st_mtime_ns == before


@pytest.mark.parametrize("change", ["label", "clip", "moved"])
def test_a_run_goes_on_with_the_clips_that_it_began_with(
    experiment: Callable[..., Path],
    clips: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: str,
) -> None:
    shutil.copytree(clips, tmp_path / "data")
    file = experiment(ALONE, epochs=1)
    assert main(["-c", str(file), "-o", f"DATASET.root={tmp_path / 'data'}"]) == 0
    listed = tmp_path / "data" / "train.list"
    name, _, label = listed.read_text().splitlines()[0].rpartition(" ")
    if change == "label":
        text = listed.read_text()
        listed.write_text(text.replace(f"{name} {label}", f"{name} {(int(label) + 1) % 3}", 1))
    elif change == "clip":
        with (listed.parent / name).open("ab") as clip:
            clip.write(b"0")
    root = (tmp_path / "data").rename(tmp_path / "moved")
    status = main(["-c", str(file), "--resume", "-o", f"DATASET.root={root}"])
    errors = capsys.readouterr().err
    if change == "moved":
        assert status == 0
    else:
        assert status == 2 and "other training" in errors


def test_two_trainings_never_share_a_folder(
    experiment: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = experiment(ALONE, epochs=1)
    with run_lock(tmp_path / "run"):
        assert main(["-c", str(file)]) == 2
    assert f"process {os.getpid()} is training in {tmp_path / 'run'}" in capsys.readouterr().err
    assert not (tmp_path / "run" / LATEST).exists()
    assert main(["-c", str(file)]) == 0


def test_an_output_that_is_no_folder_is_told(
    experiment: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("...")
    assert main(["-c", str(experiment(ALONE)), "--output", str(tmp_path / "file")]) == 2
    assert f"--output {tmp_path / 'file'} cannot be written" in capsys.readouterr().err


def test_the_run_keeps_its_settings_overrides_included(
    experiment: Callable[..., Path], tmp_path: Path
) -> None:
    file = experiment(PAIR, epochs=1)
    run(file, "seed=7", "OPTIMIZER.weight_decay=0.125")
    kept = load_config(tmp_path / "run" / "config.yaml")
    assert kept.to_dict() == load_config(file, ["seed=7", "OPTIMIZER.weight_decay=0.125"]).to_dict()


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


@pytest.mark.parametrize("file", [LATEST, BEST])
def test_a_checkpoint_that_cannot_be_written_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    recognizer = build_recognizer(ALONE, seed=1)
    optimizer = paddle.optimizer.AdamW(parameters=recognizer.trainable_parameters())

    def write() -> None:
        if file == LATEST:
            save_latest(tmp_path, recognizer, optimizer, {})
        else:
            save_best(tmp_path, recognizer, {})

    def full(content: Any, path: str) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    write()
    before = (tmp_path / file).read_bytes()
    monkeypatch.setattr(paddle, "save", full)
    with pytest.raises(WriteError, match=f"{file} .*No space left"):
        write()
    assert (tmp_path / file).read_bytes() == before
    assert not list(tmp_path.glob(f".{file}*"))


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
    monkeypatch.setitem(RESPONSES, "DistillationDMLLoss", broken)
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


def test_a_run_of_before_a_setting_existed_has_its_default(
    experiment: Callable[..., Path],
) -> None:
    cfg = load_config(experiment(ALONE))
    stored = identity(cfg)
    del stored["PRECISEBN"], stored["MODEL"]["backbone"]["dropout_prob"]
    assert changed_settings(stored, identity(cfg))
    assert not changed_settings(completed(stored), identity(cfg))
    stored["MODEL"]["backbone"]["scale"] = 2.0
    assert "MODEL.backbone.scale" in changed_settings(completed(stored), identity(cfg))[0]
    assert completed({"of": "another program"}) == {"of": "another program"}
