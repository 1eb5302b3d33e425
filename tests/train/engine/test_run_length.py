"""How long a run is: limits of steps, early stopping, and finished runs that train on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from infer.system.errors import ClipDuetError
from tests.train.tiny import ALONE, PAIR, run, same, stop_at, weights
from train.__main__ import main
from train.checkpoints.checkpoint import LATEST, load_file
from train.config.load import load_config
from train.data.splits import training_datasets
from train.engine.loop import train
from train.engine.progress import Progress

STILL = {"name": "AdamW", "learning_rate": {"name": "Constant", "learning_rate": 0.0}}
"""Nothing is learnt: no validation is better than the first."""


def extend(file: Path, epochs: int, *overrides: str) -> Progress:
    cfg = load_config(file, overrides)
    train_set, valid_set = training_datasets(cfg)
    return train(cfg, train_set=train_set, valid_set=valid_set, extend=epochs)


def test_a_run_ends_when_its_validation_gets_no_better(experiment: Callable[..., Path]) -> None:
    file = experiment(ALONE, epochs=9, OPTIMIZER=STILL, early_stopping={"patience": 2})
    progress = run(file)
    assert progress.epoch == 3 and progress.best["epoch"] == 1
    again = run(file, resume=True)
    assert again.epoch == 3 and again.step == progress.step


def test_a_run_that_ended_early_is_told_and_its_end_is_kept(
    experiment: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change = {"early_stopping": {"patience": 1}, "save_interval": 5}
    assert main(["-c", str(experiment(ALONE, epochs=4, OPTIMIZER=STILL, **change))]) == 0
    assert "early stopping" in capsys.readouterr().err
    assert load_file(tmp_path / "run" / LATEST)["progress"]["epoch"] == 2


def test_a_limit_of_steps_ends_the_run_and_its_schedule(
    experiment: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Three steps an epoch: the second one ends after two of them, and is validated.
    file = experiment(ALONE, epochs=3, max_steps=5, checkpoint_every_steps=1)
    whole = run(file, f"output_dir={tmp_path}/whole")
    assert (whole.step, whole.epoch, len(whole.history)) == (5, 2, 2)
    assert whole.history[-1]["rate"] == pytest.approx(0, abs=1e-9)
    assert run(file, f"output_dir={tmp_path}/whole", resume=True).step == 5
    stop_at(monkeypatch, 4)
    with pytest.raises(KeyboardInterrupt):
        run(file, f"output_dir={tmp_path}/stopped")
    monkeypatch.undo()
    assert run(file, f"output_dir={tmp_path}/stopped", resume=True).step == 5
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "stopped"))


def test_a_run_that_stopped_at_its_last_step_is_still_validated(
    experiment: Callable[..., Path], tmp_path: Path
) -> None:
    cfg = load_config(experiment(ALONE, epochs=3, max_steps=5))
    sets = dict(zip(("train_set", "valid_set"), training_datasets(cfg), strict=True))
    asked: list[int] = []

    def after_the_fifth() -> bool:
        asked.append(1)
        return len(asked) == 5

    with pytest.raises(KeyboardInterrupt):
        train(cfg, **sets, should_stop=after_the_fifth)
    assert load_file(tmp_path / "run" / LATEST)["progress"]["step"] == 5
    resumed = train(cfg, **sets, resume=True)
    assert (resumed.step, resumed.epoch, len(resumed.history)) == (5, 2, 2)


def test_more_steps_than_the_epochs_have_change_nothing(
    experiment: Callable[..., Path], tmp_path: Path
) -> None:
    file = experiment(ALONE)
    run(file, f"output_dir={tmp_path}/plain")
    run(file, "max_steps=100", f"output_dir={tmp_path}/limited")
    assert same(weights(tmp_path / "plain"), weights(tmp_path / "limited"))


def test_a_limit_within_the_warm_up_is_refused(experiment: Callable[..., Path]) -> None:
    with pytest.raises(ClipDuetError, match="warm-up"):
        run(experiment(ALONE, max_steps=1))


def test_a_finished_run_trains_on_along_the_schedule_of_the_longer_run(
    experiment: Callable[..., Path], tmp_path: Path
) -> None:
    file = experiment(ALONE, epochs=2)
    short = run(file)
    longer = run(file, "epochs=5", f"output_dir={tmp_path}/longer")
    extended = extend(file, 3)
    assert (extended.epoch, extended.step) == (5, 15)
    rates = [[record["rate"] for record in one.history] for one in (longer, extended)]
    assert rates[1][2:] == pytest.approx(rates[0][2:])
    assert extended.history[:2] == short.history
    # The same command again finds the run finished, with the epochs of the config.
    assert run(file, resume=True).epoch == 5
    assert extend(file, 1).epoch == 6


def test_an_extension_goes_on_after_a_stop_as_if_there_had_been_none(
    experiment: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ramp = {**PAIR["loss"]["Train"][2], "ramp": [0.2, 1.0]}
    model = {**PAIR, "loss": {**PAIR["loss"], "Train": [*PAIR["loss"]["Train"][:2], ramp]}}
    file = experiment(model, epochs=1, checkpoint_every_steps=1)
    for name in ("whole", "stopped"):
        run(file, f"output_dir={tmp_path}/{name}")
    whole = extend(file, 2, f"output_dir={tmp_path}/whole")
    stop_at(monkeypatch, 5)
    with pytest.raises(KeyboardInterrupt):
        extend(file, 2, f"output_dir={tmp_path}/stopped")
    monkeypatch.undo()
    with pytest.raises(ClipDuetError, match="not finished"):
        extend(file, 2, f"output_dir={tmp_path}/stopped")
    resumed = run(file, f"output_dir={tmp_path}/stopped", resume=True)
    assert (resumed.epoch, resumed.extended) == (3, whole.extended)
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "stopped"))


def test_an_extension_follows_the_cosine_also_where_the_config_says_its_end(
    experiment: Callable[..., Path],
) -> None:
    rate = {"name": "CustomWarmupCosineDecay", "cosine_base_lr": 0.003, "max_epoch": 2}
    file = experiment(ALONE, epochs=2, OPTIMIZER={"name": "AdamW", "learning_rate": rate})
    assert run(file).history[-1]["rate"] == pytest.approx(0, abs=1e-9)
    third, last = (record["rate"] for record in extend(file, 2).history[2:])
    assert third > 1e-4 and last == pytest.approx(0, abs=1e-9)


def test_patience_begins_anew_with_an_extension(experiment: Callable[..., Path]) -> None:
    file = experiment(ALONE, epochs=9, OPTIMIZER=STILL, early_stopping={"patience": 2})
    assert run(file).epoch == 3
    assert extend(file, 5).epoch == 5


@pytest.mark.parametrize("epochs", ["0", "-1", "x", "1.5"])
def test_a_wrong_number_of_epochs_is_refused(
    experiment: Callable[..., Path], epochs: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["-c", str(experiment(ALONE)), "--extend", epochs])
    assert stopped.value.code == 2
    assert "--extend" in capsys.readouterr().err


def test_a_run_that_is_not_there_is_not_extended(
    experiment: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["-c", str(experiment(ALONE)), "--extend", "2"]) == 2
    assert "--extend" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_the_command_extends_a_run(
    experiment: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = experiment(ALONE, epochs=1)
    assert main(["-c", str(file)]) == 0
    assert main(["-c", str(file), "--extend", "1"]) == 0
    assert "2 epochs" in capsys.readouterr().out
    stored = load_file(tmp_path / "run" / LATEST)["progress"]
    assert stored["extended"] == [{"epoch": 1, "step": 3, "epochs": 1}]
