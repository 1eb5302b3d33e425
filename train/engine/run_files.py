"""What a run writes for people to look at: its history, curves, and what the best epoch answers."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from infer.system.files import write_text
from train.distill.recognizers import STUDENT
from train.engine.reporter import Reporter
from train.engine.run import Run
from train.evaluation.answers import read_answers, write_answers
from train.evaluation.drawing import can_draw, shown, why_not, write_confusion, write_drawing
from train.evaluation.evaluate import Evaluation
from train.evaluation.per_class import confusion, per_class, write_per_class
from train.evaluation.wrong_clips import write_wrong_clips

HISTORY, CURVES, ANSWERS = "history.csv", "curves.svg", "val_predictions.csv"
PER_CLASS, CONFUSION, WRONG = "val_per_class.csv", "val_confusion.svg", "val_wrong.html"

SHARE = 0.01
"""Of the time that a run has trained, what drawing within it may take."""
FIRST = 2.0
"""Seconds that the first drawing is taken to need, Matplotlib's loading included."""
LAST = ("clips_per_second", "epoch_seconds", "training_seconds", "waiting", "seconds", "memory")
"""Columns that end a line of the history."""


class RunFiles:
    """Writes the files of one run; only the leader of a team does.

    Args:
        run: what they are about.
        reporter: takes notes.
    """

    def __init__(self, run: Run, reporter: Reporter) -> None:
        self._run, self._reporter = run, reporter
        self._spent = self._cost = 0.0
        self._trained = False

    def best(self, result: Evaluation) -> None:
        """Called with the answers of an epoch that is the best so far, before a checkpoint is."""
        if self._run.team.leads:
            names = self._run.deployed["classes"]
            write_answers(self._run.folder / ANSWERS, result, names)

    def epoch(self) -> None:
        """Called after every epoch, once it is part of the history."""
        run = self._run
        if not run.team.leads:
            return
        self._trained = True
        write_text(run.folder / HISTORY, history_table(run.progress.history))
        if self._spent + (self._cost or FIRST) <= SHARE * run.progress.seconds and can_draw():
            started = time.monotonic()
            write_curves(run)
            self._cost = time.monotonic() - started
            self._spent += self._cost

    def end(self) -> None:
        """Called when a run is finished."""
        run = self._run
        done = (run.folder / WRONG).exists() and not self._trained
        # A run of an older version has no answers.
        if not run.team.leads or done or not (run.folder / ANSWERS).is_file():
            return
        names = run.deployed["classes"]
        write_text(run.folder / HISTORY, history_table(run.progress.history))
        answers = read_answers(run.folder / ANSWERS)
        table = confusion(answers.labels, answers.predictions, classes=len(names))
        write_per_class(run.folder / PER_CLASS, per_class(table, names))
        if can_draw():
            write_curves(run)
            write_confusion(run.folder / CONFUSION, table, names)
        else:
            self._reporter.note(why_not())
        # Last: where it is there, so are the others.
        write_wrong_clips(run.folder / WRONG, answers, run.valid, names)


def history_table(history: Sequence[Mapping[str, Any]]) -> str:
    """The history of a run as CSV, a line an epoch.

    `seconds` is the time of the run so far, `waiting` the seconds of the epoch that were spent
    waiting for clips, `memory` the most bytes held at once. Records of older versions have no
    times of the epoch.
    """
    rows = []
    before = 0.0
    for record in history:
        row = dict(record)
        row["epoch_seconds"] = round(row["seconds"] - before, 1)
        before = row["seconds"]
        if row.get("training_seconds"):
            row["clips_per_second"] = round(row["clips"] / row["training_seconds"], 2)
        rows.append(row)
    keys = dict.fromkeys(key for row in rows for key in row)
    heads = [*(key for key in keys if key not in LAST), *(key for key in LAST if key in keys)]
    text = io.StringIO()
    writer = csv.DictWriter(text, heads, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def write_curves(run: Run) -> None:
    """Draw losses, top-1 and learning rate over the epochs."""
    history = run.progress.history
    epochs = [record["epoch"] for record in history]

    def line(axes: Any, key: str, label: str, **looks: Any) -> None:
        values = [record.get(key, np.nan) for record in history]
        marker = "." if len(epochs) < 40 else None
        axes.plot(epochs, values, label=label, marker=marker, linewidth=1.2, **looks)

    def draw(figure: Any) -> None:
        loss, top1, rate = figure.subplots(3, 1, sharex=True, height_ratios=[3, 3, 1])
        keys = dict.fromkeys(key for record in history for key in record)
        for key in (k for k in keys if k.startswith("train.") and not k.endswith(".top1")):
            line(loss, key, shown(f"training {key.removeprefix('train.')}"))
        if "valid.loss" in keys:
            line(loss, "valid.loss", "validation loss", linestyle="--")
        for key in (k for k in keys if k.startswith("train.") and k.endswith(".top1")):
            name = key.removeprefix("train.").removesuffix(".top1")
            line(top1, key, shown(f"training {name}"))
        line(top1, f"valid.{STUDENT}.top1", f"validation {STUDENT}", color="black")
        best = run.progress.best
        top1.plot(best["epoch"], best["top1"], "*", color="black", markersize=10, label="best")
        line(rate, "rate", "rate", color="gray")
        for axes, name in ((loss, "loss"), (top1, "top-1"), (rate, "rate")):
            axes.set_ylabel(name)
            axes.grid(color="0.9")
        rate.set_xlabel("epoch")
        rate.xaxis.get_major_locator().set_params(integer=True)
        for axes in (loss, top1):
            axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)

    write_drawing(run.folder / CURVES, draw, size=(8.5, 7.0))
