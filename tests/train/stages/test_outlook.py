"""What a run of several trainings says of where it stands and how long all of it takes."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.terminal import on_terminal
from tests.train.tiny import ALONE, KD, TEACHER, distilled
from train.__main__ import main
from train.config.load import load_config
from train.data.splits import training_datasets
from train.distributed.team import Team
from train.engine.precision import Precision
from train.engine.progress import Progress
from train.engine.reporter import Reporter, duration, fitting, wrapped
from train.engine.run import Run, built_networks
from train.engine.stage_progress import Cost, StageProgress, stage_progress
from train.stages.before import left
from train.stages.dry_run import dry_run

WIDTH = 70


@pytest.fixture
def two_stages(method: Callable[..., Path]) -> Path:
    """A student whose teacher is trained first."""
    method("teacher", {"framework": "Recognizer2D", **TEACHER}, epochs=2)
    return method("kd", distilled(KD), BEFORE={"TEACHER": {"train": "teacher.yaml"}}, epochs=3)


def test_stages_are_named_and_counted(
    two_stages: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["-c", str(two_stages), "--output", str(tmp_path / "out")]) == 0
    lines = capsys.readouterr().err.splitlines()
    begun = [line for line in lines if re.match(r"stage \d of \d: ", line)]
    assert [line.split("  ")[0] for line in begun] == [
        "stage 1 of 2: pretraining the teacher",
        "stage 2 of 2: training the student",
    ]
    epochs = [line.split("  ") for line in lines if "val top-1" in line]
    assert [parts[:2] for parts in epochs] == [
        *(["stage 1/2", f"epoch {n}/2"] for n in (1, 2)),
        *(["stage 2/2", f"epoch {n}/3"] for n in (1, 2, 3)),
    ]
    for parts in epochs:
        columns = {re.sub(r" [\d.]+.*", "", part) for part in parts}
        # The pair's names both networks.
        assert columns >= {"val top-1", "loss"} and any("train top-1" in part for part in parts)
    assert "Teacher" not in "".join(epochs[0])


def test_the_only_stage_is_not_counted(
    method: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["-c", str(method("alone", ALONE)), "--output", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().err
    assert "epoch 1/1" in said and "stage" not in said


def test_each_stage_is_timed_before_the_first_begins(two_stages: Path, tmp_path: Path) -> None:
    cfg = load_config(two_stages, [f"output_dir={tmp_path / 'out'}"])
    costs = dry_run(left(cfg), cfg, team=Team())
    # Three steps an epoch.
    assert [cost.steps for cost in costs if cost is not None] == [6, 9]
    assert all(cost is not None and cost.seconds > 0 for cost in costs)
    assert not (tmp_path / "out").exists()
    # Processes that train together would wait for each other.
    assert dry_run(left(cfg), cfg, team=Team(0, 2)) == [None, None]


def test_a_stage_that_labels_clips_is_timed_too(
    method: Callable[..., Path], clips: Path, tmp_path: Path
) -> None:
    method("teacher", {"framework": "Recognizer2D", **TEACHER}, epochs=2)
    listed = {"format": "VideoDataset", "file_path": "train.list"}
    labelling = {"label": "teacher.yaml", "weights": "${TEACHER}", "clips": listed}
    before = {"TEACHER": {"train": "teacher.yaml"}, "PSEUDO": labelling}
    cfg = load_config(method("semi", ALONE, BEFORE=before), [f"output_dir={tmp_path / 'out'}"])
    stages = left(cfg)
    costs = dry_run(stages, cfg, team=Team())
    assert [cost.steps for cost in costs if cost is not None] == [6, 3, 3]
    assert "labelling" in stages[1].title


def test_the_time_left_covers_the_stages_that_follow(
    method: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg = load_config(method("alone", ALONE, epochs=20), ["output_dir=x"])
    train_set, valid_set = training_datasets(cfg)
    recognizer, pixels = built_networks(cfg)

    def said(stage: StageProgress | None) -> str:
        now, stream = [0.0], io.StringIO()
        monkeypatch.setattr("train.engine.reporter.time", SimpleNamespace(monotonic=lambda: now[0]))
        state = Run(
            cfg=cfg, folder=Path("x"), recognizer=recognizer, pixels=pixels, train=train_set,
            valid=valid_set, precision=Precision(None), team=Team(), progress=Progress(),
        )  # fmt: skip
        reporter = Reporter(stream, stage=stage)
        for state.progress.step in range(1, 13):
            reporter.step(state)
            now[0] += 1
        reporter.epoch(state, {"epoch": 4, "valid.Student.top1": 0.5})
        return stream.getvalue().splitlines()[-1]

    # Twelve of sixty steps in twelve seconds.
    assert "  48 s left  " in said(None)
    teacher, student = Cost(60, 0.5), Cost(200, 1.0)
    first, second = stage_progress(["pretraining", "training"], [teacher, student])
    # The student's steps take twice as long: 400 of the teacher's.
    assert "  7 min left  " in said(first)
    assert "  48 s left  " in said(second)
    unknown = stage_progress(["pretraining", "training"], [teacher, None])[0]
    assert "  48 s left " in said(unknown) and "  48 s left  " not in said(unknown)


@given(st.lists(st.tuples(st.integers(0, 1000), st.floats(0.01, 10)), min_size=1, max_size=5))
def test_later_stages_add_up(given: list[tuple[int, float]]) -> None:
    costs = [Cost(steps, seconds) for steps, seconds in given]
    found = stage_progress([str(number) for number in range(len(costs))], costs)
    assert [(one.number, one.total) for one in found] == [
        (number, len(costs)) for number in range(1, len(costs) + 1)
    ]
    for number, (one, cost) in enumerate(zip(found, costs, strict=True), start=1):
        rest = sum(later.steps * later.seconds for later in costs[number:])
        assert one.later is not None and one.later * cost.seconds == pytest.approx(rest)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(19.4, "19 s"), (89, "89 s"), (2880, "48 min"), (12000, "3 h 20 min"), (187200, "2 d 4 h")],
)
def test_a_duration_has_two_units_at_most(seconds: float, text: str) -> None:
    assert duration(seconds) == text


PARTS = st.lists(st.text("abc 1", min_size=1).map(lambda s: " ".join(s.split()) or "x"), min_size=1)


@given(PARTS, st.integers(1, 60))
def test_no_part_of_a_line_is_cut(parts: list[str], width: int) -> None:
    line = "  ".join(parts)
    shown = fitting(line, width)
    assert len(shown) <= width
    if len(parts[0]) <= width:
        whole = shown.split("  ")
        assert whole == parts[: len(whole)]
    lines = wrapped(line, width).split("\n")
    assert [part for one in lines for part in one.strip().split("  ")] == parts
    assert all(len(one) <= width or "  " not in one.strip() for one in lines)


def test_a_dumb_terminal_gets_whole_lines(two_stages: Path, tmp_path: Path) -> None:
    arguments = ("-m", "train", "-c", str(two_stages), "--output", "run")
    status, said = on_terminal(*arguments, columns=WIDTH, cwd=tmp_path, kind="dumb")
    assert status == 0, said
    lines = said.split("\r\n")  # as a terminal driver ends a line
    assert not any("\r" in line or "\x1b" in line for line in lines)
    assert said.count("(best ") == 2 + 3  # epochs of the teacher and of the student


def test_lines_fit_a_narrow_terminal(two_stages: Path, tmp_path: Path) -> None:
    arguments = ("-m", "train", "-c", str(two_stages), "--output", "run")
    status, said = on_terminal(*arguments, columns=WIDTH, cwd=tmp_path)
    assert status == 0, said
    lines = [line.rstrip() for line in re.split(r"[\r\n]+", said) if line.strip()]
    shown = [line for line in lines if "stage" in line]
    assert any("%" in line for line in shown)
    assert max(map(len, shown)) <= WIDTH
    # Every column is whole: its name and its numbers.
    number = r"[\d.]+"
    known = rf"""\d+% | stage\ \d\ of\ 2:.* | \(.*\.yaml\) | run.*
        | stage\ \d/\d | epoch\ \d/\d | [\d\ hmins]+\ left | step\ \d+ | loss\ {number}
        | {number}\ clips/s | train\ top-1\ ((Teacher|Student)\ )?{number}(\ Student\ {number})?
        | best\ val\ top-1\ {number} | val\ top-1\ {number}\ \(best\ {number}\)"""
    for line in shown:
        for part in re.split(r" {2,}", line.strip()):
            assert re.fullmatch(known, part, re.VERBOSE), (part, line)
