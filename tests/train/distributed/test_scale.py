"""Large batches: many processes, accumulated gradients, averaged weights."""

from __future__ import annotations

import io
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import paddle
import psutil
import pytest
import yaml

from infer.system.errors import ClipDuetError
from tests.train.distributed.teams import (
    CALM,
    CALM_PAIR,
    SLOW,
    finish,
    kill,
    launch,
    launch_several,
    near,
    wait_for_step,
)
from tests.train.tiny import ALONE, PAIR, STUDENT, TEACHER, run, same, stop_at, weights
from train.checkpoints.checkpoint import BEST, LATEST, load_file
from train.config.load import load_config
from train.data.loader import epoch_batches
from train.data.splits import training_datasets
from train.distill.build_recognizer import build_recognizer
from train.distributed.team import Team
from train.engine.ema import Average
from train.engine.precision import Precision
from train.engine.progress import Progress
from train.engine.reporter import Reporter
from train.engine.run import Run, built_networks
from train.evaluation.sharded import _Share


def test_two_processes_follow_one_with_the_same_batch(
    experiment: Callable[..., Path], tmp_path: Path, root: Path
) -> None:
    """Networks, losses, clipping and statistics of four clips, two in each process."""
    alone = run(experiment(CALM_PAIR, OPTIMIZER=SLOW, grad_clip=1.0), f"output_dir={tmp_path}/one")
    file = tmp_path / "experiment.yaml"
    output = finish(
        launch(root, tmp_path / "log", file, "-o", "DATASET.batch_size=2", "--output",
               str(tmp_path / "two"))
    )  # fmt: skip
    stored = load_file(tmp_path / "two" / LATEST)["progress"]
    assert stored["step"] == alone.step == 9 and stored["processes"] == 2
    assert near(weights(tmp_path / "one"), weights(tmp_path / "two"), 2e-4)
    for mine, theirs in zip(alone.history, stored["history"], strict=True):
        assert theirs["train.loss"] == pytest.approx(mine["train.loss"], rel=1e-3)
        assert theirs["valid.loss"] == pytest.approx(mine["valid.loss"], rel=1e-3)
        assert theirs["valid.Student.top1"] == mine["valid.Student.top1"]
    assert output.count("epoch 3/3") == 1  # one process reports
    assert json.loads((tmp_path / "two" / "best.json").read_text())["top1"] == alone.best["top1"]
    with pytest.raises(ClipDuetError, match="run of 2 processes"):
        run(file, "DATASET.batch_size=2", f"output_dir={tmp_path}/two", resume=True)


def test_two_machines_follow_one_process(
    experiment: Callable[..., Path], tmp_path: Path, root: Path
) -> None:
    """Two launchers that know of each other by --master only, a process each.

    And each with a folder of its own: only that of the first process holds anything after it.
    """
    calm = {"framework": "Recognizer2D", **CALM}
    alone = run(experiment(calm, OPTIMIZER=SLOW), f"output_dir={tmp_path}/one")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        master = f"127.0.0.1:{free.getsockname()[1]}"
    both = [
        launch(
            root, tmp_path / f"log{rank}", tmp_path / "experiment.yaml",
            "-o", "DATASET.batch_size=2", "-o", "checkpoint_every_steps=1",
            "--output", str(output), processes=1,
            machines=["--master", master, "--nnodes", "2", "--rank", str(rank)],
        )
        for rank, output in enumerate((tmp_path / "two", tmp_path / "second"))
    ]  # fmt: skip
    outputs = [finish(process) for process in both]
    stored = load_file(tmp_path / "two" / LATEST)["progress"]
    assert stored["step"] == alone.step and stored["processes"] == 2
    assert near(weights(tmp_path / "one"), weights(tmp_path / "two"), 2e-4)
    assert sum(output.count("epoch 3/3") for output in outputs) == 1
    assert not (tmp_path / "second").exists()


def test_a_team_that_is_killed_goes_on(
    experiment: Callable[..., Path], tmp_path: Path, root: Path
) -> None:
    """And its clips that cannot be read are left out once, by all."""
    clips = tmp_path / "clips"
    file = experiment(CALM_PAIR, epochs=4, checkpoint_every_steps=1)
    config = yaml.safe_load(file.read_text())
    shutil.copytree(config["DATASET"]["root"], clips)
    broken = (clips / "train.list").read_text().split()[0]
    (clips / broken).write_bytes(b"no video")
    arguments = ["-o", f"DATASET.root={clips}", "-o", "DATASET.batch_size=2", "--resume"]
    killed = tmp_path / "killed"
    process = launch(root, tmp_path / "log", file, *arguments, "--output", str(killed))
    wait_for_step(killed, 1, [process])
    kill(process)
    assert load_file(killed / LATEST)["progress"]["step"] < 12
    outputs = [killed, tmp_path / "whole"]
    trainings = [["-c", str(file), *arguments, "--output", str(output)] for output in outputs]
    finish(launch_several(root, tmp_path, trainings))
    assert same(weights(tmp_path / "whole"), weights(killed))
    progress = load_file(killed / LATEST)["progress"]
    assert len(progress["skipped"]) == 4 and all(broken in line for line in progress["skipped"])
    assert [record["valid.failed"] for record in progress["history"]] == [1] * 4


def test_one_process_that_fails_ends_the_job_with_its_error(
    experiment: Callable[..., Path], tmp_path: Path, root: Path
) -> None:
    file = experiment(ALONE)
    process = launch(root, tmp_path / "log", file, "-o", "DATASET.batch_size=20")
    output, _ = process.communicate(timeout=120)
    assert process.returncode != 0
    assert "batch of 40, shared by 2" in output


@pytest.mark.parametrize("victim", [0, 1])
def test_a_process_that_is_killed_ends_the_job_and_is_named(
    experiment: Callable[..., Path], tmp_path: Path, root: Path, victim: int
) -> None:
    """The others wait for it in a sum, where no signal of Python's reaches them."""
    file = experiment(CALM_PAIR, epochs=1000, checkpoint_every_steps=1)
    options = ["-o", "DATASET.batch_size=2", "--output", str(tmp_path / "run")]
    job = launch(root, tmp_path / "log", file, *options)
    wait_for_step(tmp_path / "run", 2, [job])
    (process,) = [
        child for child in psutil.Process(job.pid).children()
        if child.environ().get("PADDLE_TRAINER_ID") == str(victim)
    ]  # fmt: skip
    process.kill()
    output, _ = job.communicate(timeout=120)
    assert job.returncode != 0
    assert psutil.pid_exists(process.pid) is False
    # Whatever comes first: the launcher sees it, or the other process.
    said = f"error: process {victim} of 2 (pid {process.pid}) has ended"
    assert said in output or f"Container rank {victim} status failed" in output
    other = (tmp_path / "log" / f"workerlog.{1 - victim}").read_text()
    assert (said in other or "\nstopped" in other) and "Traceback" not in other


def test_processes_do_not_outlive_their_launcher(
    experiment: Callable[..., Path], tmp_path: Path, root: Path
) -> None:
    """They have sessions of their own; and keep what they have learned."""
    file = experiment(ALONE, epochs=1000, checkpoint_every_steps=1)
    output = ["-o", "DATASET.batch_size=2", "--output", str(tmp_path / "run")]
    job = launch(root, tmp_path / "log", file, *output)
    wait_for_step(tmp_path / "run", 2, [job])
    workers = psutil.Process(job.pid).children()
    assert len(workers) == 2
    job.kill()
    gone, alive = psutil.wait_procs(workers, timeout=60)
    assert len(gone) == 2 and not alive
    log = (tmp_path / "log" / "workerlog.0").read_text()
    assert "--resume" in log and "Traceback" not in log


def test_nor_do_those_that_have_hardly_begun(
    experiment: Callable[..., Path], tmp_path: Path, root: Path
) -> None:
    """Config, lists and Paddle take seconds, in which a launcher may be killed too."""
    file = experiment(ALONE, epochs=1000, checkpoint_every_steps=1)
    job = launch(root, tmp_path / "log", file, "--output", str(tmp_path / "run"), processes=1)
    deadline = time.monotonic() + 120
    while not (workers := psutil.Process(job.pid).children()):
        assert job.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(1)
    job.kill()
    gone, alive = psutil.wait_procs(workers, timeout=60)
    for one in alive:
        one.kill()
    assert len(gone) == 1 and not (tmp_path / "run" / LATEST).exists()


def test_a_process_that_has_ended_is_found_at_once() -> None:
    """Also before its parent takes notice; and one that runs is not."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    here = (socket.gethostname(), os.getpid())
    team = Team(0, 2, (here, (here[0], child.pid)))
    raised = RuntimeError("an error of no network")
    assert team.lost(raised, patience=0.1) is None
    child.kill()
    error = team.lost(raised, patience=60)
    assert error is not None and f"process 1 of 2 (pid {child.pid}) has ended" in str(error)
    child.wait()
    assert team.lost(raised, patience=0) is not None
    elsewhere = Team(0, 2, (here, ("another machine", child.pid)))
    assert elsewhere.lost(raised, patience=0) is None


@pytest.mark.parametrize("count", [1, 2, 5, 6])
@pytest.mark.parametrize("size", [1, 2, 4])
def test_shares_hold_every_clip_once(
    experiment: Callable[..., Path], count: int, size: int
) -> None:
    dataset = training_datasets(load_config(experiment(ALONE)))[1]
    dataset.samples = dataset.samples[:count]
    shares = [_Share(dataset, Team(rank, size)) for rank in range(size)]
    seen = [share.samples[i].path for share in shares for i in range(len(share))]
    assert sorted(seen) == sorted(sample.path for sample in dataset.samples)
    for share in shares:
        for index in range(len(share)):
            clip = share.read(index, rng=None)[0]
            place = share.places[index]
            assert np.array_equal(clip, dataset.read(place, rng=None)[0])


def test_shares_of_a_batch_make_it_up(experiment: Callable[..., Path]) -> None:
    dataset = training_datasets(load_config(experiment(ALONE)))[0]

    def batches(size: int, share: tuple[int, int]) -> list[Any]:
        return list(
            epoch_batches(
                dataset, batch_size=size, seed=3, epoch=1, shuffle=True, drop_last=True, workers=0,
                start=1, share=share,
            )
        )  # fmt: skip

    whole = batches(4, (0, 1))
    first, second = batches(2, (0, 2)), batches(2, (1, 2))
    assert len(whole) == len(first) == len(second) == 2
    for all_of, a, b in zip(whole, first, second, strict=True):
        assert np.array_equal(all_of.clips, np.concatenate([a.clips, b.clips]))
        assert all_of.indices.tolist() == [*a.indices, *b.indices] and all_of.number == a.number


def test_accumulated_gradients_are_those_of_the_whole_batch(
    experiment: Callable[..., Path], tmp_path: Path
) -> None:
    """Batch norms see a part at a time, so they are kept still: a frozen backbone's."""
    still = {"framework": "Recognizer2D", **CALM, "trainable": ["backbone.fc"]}
    file = experiment(still, OPTIMIZER=SLOW, grad_clip=0.5)
    whole = run(file, f"output_dir={tmp_path / 'whole'}")
    accumulated = run(
        file,
        f"output_dir={tmp_path / 'parts'}",
        "DATASET.batch_size=2",
        "GRADIENT_ACCUMULATION.global_batch_size=4",
    )
    assert accumulated.step == whole.step == 9
    assert near(weights(tmp_path / "whole"), weights(tmp_path / "parts"), 1e-5)
    for mine, theirs in zip(whole.history, accumulated.history, strict=True):
        assert theirs["train.loss"] == pytest.approx(mine["train.loss"], rel=1e-4)
        assert theirs["train.Student.top1"] == pytest.approx(mine["train.Student.top1"])
    with pytest.raises(ClipDuetError, match=r"global_batch_size is 6, allowed: multiples of 4"):
        run(file, f"output_dir={tmp_path / 'x'}", "GRADIENT_ACCUMULATION.global_batch_size=6")


def test_a_run_with_accumulation_and_average_resumes(
    experiment: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = experiment(
        PAIR, checkpoint_every_steps=1, EMA={"decay": 0.5},
        GRADIENT_ACCUMULATION={"global_batch_size": 8},
    )  # fmt: skip
    whole = run(file, "DATASET.batch_size=2", f"output_dir={tmp_path / 'whole'}")
    assert whole.step == 3  # of twelve clips, eight at a time
    stop_at(monkeypatch, 2)
    with pytest.raises(KeyboardInterrupt):
        run(file, "DATASET.batch_size=2", f"output_dir={tmp_path / 'cut'}")
    monkeypatch.undo()
    run(file, "DATASET.batch_size=2", f"output_dir={tmp_path / 'cut'}", resume=True)
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "cut"))
    averages = [load_file(tmp_path / name / LATEST)["average"] for name in ("whole", "cut")]
    one, other = ({k: v.numpy() for k, v in average.items()} for average in averages)
    assert same(one, other)


def test_the_average_follows_and_is_what_is_validated_and_kept(
    experiment: Callable[..., Path], tmp_path: Path
) -> None:
    run(experiment(ALONE, epochs=1, EMA={"decay": 0.9}))
    stored = load_file(tmp_path / "run" / LATEST)
    best = load_file(tmp_path / "run" / BEST)
    assert same(
        {k: v.numpy() for k, v in stored["average"].items()},
        {k: v.numpy() for k, v in best.items()},
    )
    assert not same(weights(tmp_path / "run"), {k: v.numpy() for k, v in best.items()})


def test_the_average_of_numbers() -> None:
    layer = paddle.nn.Linear(1, 1)
    layer.weight.set_value(paddle.to_tensor([[0.0]]))
    average = Average(layer, 0.5)
    expected = 0.0
    for step in range(1, 30):
        layer.weight.set_value(paddle.to_tensor([[float(step)]]))
        average.update(step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
    assert average.state_dict()["weight"].item() == pytest.approx(expected, rel=1e-5)
    with average.in_place():
        assert layer.weight.item() == pytest.approx(expected, rel=1e-5)
    assert layer.weight.item() == 29.0


def test_a_frozen_teacher_is_kept_as_it_taught(
    experiment: Callable[..., Path], tmp_path: Path
) -> None:
    """The average leaves it out; a checkpoint of when it did not still goes on."""
    donor = build_recognizer({"framework": "Recognizer2D", **TEACHER}, seed=9)
    paddle.save(donor.state_dict(), str(tmp_path / "teacher.pdparams"))
    models = [{"Teacher": {**TEACHER, "pretrained": str(tmp_path / "teacher.pdparams")}},
              {"Student": STUDENT}]  # fmt: skip
    model = {**PAIR, "models": models, "freeze_params_list": [True, False]}
    model["loss"] = {"Train": PAIR["loss"]["Train"][::2], "Val": PAIR["loss"]["Val"]}
    file = experiment(model, epochs=2, EMA={"decay": 0.9})
    run(file)
    taught = {f"Teacher.{key}": v.numpy() for key, v in donor.student.state_dict().items()}
    best = {k: v.numpy() for k, v in load_file(tmp_path / "run" / BEST).items()}
    assert same(taught, {k: v for k, v in best.items() if k.startswith("Teacher.")})
    stored = load_file(tmp_path / "run" / LATEST)
    assert stored["average"].keys() == {k for k in best if k.startswith("Student.")}
    old = {**stored["average"], **{k: v for k, v in stored["model"].items() if k in taught}}
    paddle.save({**stored, "average": old}, str(tmp_path / "run" / LATEST))
    assert run(file, resume=True).epoch == 2


def test_clips_a_second_are_those_of_all_processes_and_parts(
    experiment: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg = load_config(
        experiment(ALONE, epochs=9, GRADIENT_ACCUMULATION={"global_batch_size": 12}),
        ["DATASET.batch_size=2"],
    )
    train_set, valid_set = training_datasets(cfg)
    recognizer, pixels = built_networks(cfg)
    state = Run(
        cfg=cfg, folder=Path(cfg.output_dir), recognizer=recognizer, pixels=pixels,
        train=train_set, valid=valid_set, precision=Precision(None), team=Team(0, 3),
        progress=Progress(),
    )  # fmt: skip
    now = [0.0]
    monkeypatch.setattr("train.engine.reporter.time", SimpleNamespace(monotonic=lambda: now[0]))
    said = io.StringIO()
    reporter = Reporter(said)
    now[0] = 60.0  # long enough for the first step to be told
    for state.progress.step in (1, 2, 3):
        reporter.step(state)
        now[0] += 20
    # The first step has taken no time yet, and so has no speed.
    assert "clips/s" not in said.getvalue().splitlines()[0]
    # A minute for three steps of twelve clips: two in each of three processes, twice.
    reporter.epoch(state, {"epoch": 3, "valid.Student.top1": 0.5})
    last = said.getvalue().splitlines()[-1]
    assert "  2 min left  " in last and last.endswith("  1 clips/s")
