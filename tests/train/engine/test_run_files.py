"""What a run leaves to look at: history, curves, and what its best epoch answers."""

from __future__ import annotations

import csv
import importlib.util
import json
import re
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from tests.train.tiny import ALONE, PAIR, run, stop_at
from train.checkpoints.checkpoint import LATEST, load_file
from train.engine.run_files import history_table

drawn = pytest.mark.skipif(
    importlib.util.find_spec("matplotlib") is None, reason="Matplotlib draws; it is not installed"
)


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as opened:
        return list(csv.DictReader(opened))


def untimed(file: Path) -> list[dict[str, str]]:
    times = ("seconds", "waiting", "memory", "clips_per_second")
    return [{k: v for k, v in row.items() if not k.endswith(times)} for row in rows(file)]


def test_the_history_has_a_row_an_epoch(experiment: Callable[..., Path], tmp_path: Path) -> None:
    progress = run(experiment(PAIR, epochs=3))
    table = rows(tmp_path / "run/history.csv")
    assert [row["epoch"] for row in table] == ["1", "2", "3"]
    for row, record in zip(table, progress.history, strict=True):
        for key in (
            "train.loss", "train.Student.CE", "train.Teacher.CE", "train.Student-Teacher.DML",
            "train.Student.top1", "train.Teacher.top1", "valid.Student.top1", "rate",
        ):  # fmt: skip
            assert float(row[key]) == pytest.approx(record[key]), key
        assert row["clips"] == "12"
        seconds = float(row["training_seconds"])
        assert float(row["clips_per_second"]) == pytest.approx(12 / seconds, abs=0.01)
    total = sum(float(row["epoch_seconds"]) for row in table)
    assert total == pytest.approx(float(table[-1]["seconds"]), abs=0.01)


def test_history_and_answers_are_kept_over_a_resume(
    experiment: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = experiment(ALONE, epochs=3, checkpoint_every_steps=1)
    run(file, f"output_dir={tmp_path}/whole")
    stop_at(monkeypatch, 8)
    with pytest.raises(KeyboardInterrupt):
        run(file, f"output_dir={tmp_path}/stopped")
    assert len(rows(tmp_path / "stopped/history.csv")) == 2
    assert not (tmp_path / "stopped/val_wrong.html").exists()
    monkeypatch.undo()
    run(file, f"output_dir={tmp_path}/stopped", resume=True)
    one, other = tmp_path / "whole", tmp_path / "stopped"
    assert untimed(one / "history.csv") == untimed(other / "history.csv")
    for name in ("val_predictions.csv", "val_per_class.csv", "val_wrong.html"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


def test_a_run_that_ended_before_its_files_were_written_gets_them(
    experiment: Callable[..., Path], tmp_path: Path
) -> None:
    file = experiment(ALONE, epochs=1)
    run(file)
    kept = (tmp_path / "run/val_per_class.csv").read_bytes()
    for name in ("history.csv", "val_per_class.csv", "val_wrong.html"):
        (tmp_path / "run" / name).unlink()
    run(file, resume=True)
    assert (tmp_path / "run/val_per_class.csv").read_bytes() == kept
    assert len(rows(tmp_path / "run/history.csv")) == 1


def test_the_tables_are_those_of_the_best_epoch(
    experiment: Callable[..., Path], tmp_path: Path
) -> None:
    progress = run(experiment(ALONE))
    answers = rows(tmp_path / "run/val_predictions.csv")
    assert len(answers) == 6
    right = [int(row["right"]) for row in answers]
    assert np.mean(right) == pytest.approx(progress.best["top1"])
    assert json.loads((tmp_path / "run/best.json").read_text())["top1"] == np.mean(right)
    for row in answers:
        assert (row["prediction"] == row["label"]) == (row["right"] == "1")
        assert (row["label_rank"] == "1") == (row["right"] == "1")
        assert 1 / 3 <= float(row["confidence"]) <= 1
    table = rows(tmp_path / "run/val_per_class.csv")
    assert [row["clips"] for row in table] == ["2", "2", "2"]
    assert sum(int(row["right"]) for row in table) == sum(right)
    for row in table:
        assert float(row["low"]) <= float(row["recall"]) <= float(row["high"])


def test_clips_that_cannot_be_read_are_rows_too(
    experiment: Callable[..., Path], clips: Path, tmp_path: Path
) -> None:
    (clips / "broken.mp4").write_bytes(b"no video")
    (clips / "val_broken.list").write_text("broken.mp4 1\n" + (clips / "val.list").read_text())
    file = experiment(ALONE, epochs=1, max_unreadable=50)
    file.write_text(file.read_text().replace("val.list", "val_broken.list"))
    run(file)
    first = rows(tmp_path / "run/val_predictions.csv")[0]
    assert first["prediction"] == "" and first["right"] == "0" and first["failed"]
    table = rows(tmp_path / "run/val_per_class.csv")
    assert [row["clips"] for row in table] == ["2", "3", "2"]
    assert "1 could not be read" in (tmp_path / "run/val_wrong.html").read_text()


NAMES = ["<script>x</script>", "a & $b$", "\u8fd0\u52a8"]


@drawn
@pytest.mark.draws
def test_the_page_and_the_drawings_hold_any_name_and_load_nothing(
    experiment: Callable[..., Path], tmp_path: Path
) -> None:
    still = {"name": "AdamW", "learning_rate": {"name": "Constant", "learning_rate": 0.0}}
    file = experiment(ALONE, epochs=1, OPTIMIZER=still)
    run(file, f"DATASET.classes={json.dumps(NAMES)}")
    page = (tmp_path / "run/val_wrong.html").read_text(encoding="utf-8")
    assert "<script" not in page and "&lt;script&gt;" in page
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    wrong = sum(row["right"] == "0" for row in rows(tmp_path / "run/val_predictions.csv"))
    assert page.count("<img ") == wrong > 0
    assert len(page) < 500_000
    for name in ("curves.svg", "val_confusion.svg"):
        ElementTree.parse(tmp_path / "run" / name)
    drawing = ElementTree.parse(tmp_path / "run/val_confusion.svg").getroot()
    words = [element.text for element in drawing.iter() if element.tag.endswith("text")]
    assert set(NAMES) <= set(words)


def test_without_matplotlib_a_run_says_so_once_and_goes_on(
    experiment: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    from train.__main__ import main

    monkeypatch.setattr("train.engine.run_files.can_draw", lambda: False)
    assert main(["-c", str(experiment(ALONE, epochs=2))]) == 0
    assert capsys.readouterr().err.count("Matplotlib") == 1
    folder = tmp_path / "run"
    assert not (folder / "curves.svg").exists() and (folder / "val_wrong.html").exists()


def test_a_history_of_before_times_were_kept_is_still_a_table(
    experiment: Callable[..., Path], tmp_path: Path
) -> None:
    run(experiment(ALONE, epochs=2))
    history = load_file(tmp_path / "run" / LATEST)["progress"]["history"]
    for key in ("clips", "training_seconds"):
        del history[0][key]
    first, second = csv.DictReader(history_table(history).splitlines())
    assert first["clips_per_second"] == "" and float(second["clips_per_second"]) > 0
