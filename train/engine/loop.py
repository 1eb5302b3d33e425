"""The training loop: epochs over the list, validation, checkpoints.

A run is a function of its config and seed. The order of the clips, every random draw and the
learning rate follow from the seed and the number of the step, never from what came before, so a
run that was killed and continued takes the very steps of one that was not.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import yaml

from infer.system.files import write_text
from train.checkpoints.run_lock import run_lock
from train.config.load import Config
from train.config.run_folder import RUN_CONFIG
from train.data.balance import balance_notes, labels_of
from train.data.class_table import class_table
from train.data.dataset import ClipDataset
from train.distributed.team import Team
from train.engine.epoch import run_epoch
from train.engine.probe import probe_clips
from train.engine.progress import Progress
from train.engine.reporter import Reporter
from train.engine.run import Networks, Run
from train.engine.run_files import RunFiles
from train.engine.start import open_run


def train(
    cfg: Config,
    *,
    train_set: ClipDataset,
    valid_set: ClipDataset,
    resume: bool = False,
    reporter: Reporter | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    team: Team | None = None,
    networks: Networks | None = None,
    extend: int = 0,
    files: Callable[[Run, Reporter], RunFiles] = RunFiles,
) -> Progress:
    """Train the networks of a config; checkpoints go to `cfg.output_dir`.

    Args:
        cfg: the experiment.
        train_set: its training clips.
        valid_set: its validation clips.
        resume: go on from `latest.ckpt` if there is one.
        reporter: shows progress; none shows nothing.
        should_stop: looked at after every step; when it is true, a checkpoint is written first.
        team: the processes that train together; None: this one alone.
        networks: what to train instead of what the config builds, filled with what it starts
            from.
        extend: epochs that a run goes on for which is finished; 0: none.
        files: makes what writes the files that people look at.

    Raises:
        KeyboardInterrupt: `should_stop` said so.
        ClipDuetError: the folder holds a run and `resume` is off, or the run there has another
            config or other clips, or another process is at it.
        DivergedError: the loss is NaN or infinite; the last checkpoint is untouched.
        UnreadableError: more clips cannot be read than `cfg.max_unreadable` allows, by a sample
            before the first step or by all clips of an epoch; or an epoch had no step.
    """
    team, folder = team or Team(), Path(cfg.output_dir)
    reporter = reporter or Reporter(None)
    with run_lock(folder) if team.leads else nullcontext():
        run = open_run(
            cfg,
            train_set=train_set,
            valid_set=valid_set,
            team=team,
            resume=resume,
            note=reporter.note,
            networks=networks,
            extend=extend,
        )
        if not run.finished:
            _tell_classes(run, reporter)
            _tell_missing(run, reporter)
            probe_clips(
                {"training": train_set, "validation": valid_set},
                limit=cfg.max_unreadable,
                seed=cfg.seed,
                note=reporter.note,
                team=team,
            )
        if team.leads:
            # What export needs of it, overrides included.
            write_text(folder / RUN_CONFIG, yaml.safe_dump(cfg.to_file(), sort_keys=False))
        written = files(run, reporter)
        while not run.finished:
            run_epoch(run, reporter, written, should_stop)
            if run.finished and run.progress.epoch < run.epochs:
                reporter.note(run.finished)
        written.end()
        # Whatever reads what this run wrote comes after.
        team.wait()
    return run.progress


def _tell_classes(run: Run, reporter: Reporter) -> None:
    """How many clips each class has, of the lists that have labels."""
    data = run.cfg.DATASET
    splits = {"training": (data.train, run.train), "validation": (data.valid, run.valid)}
    labelled = {name: clips.samples for name, (file, clips) in splits.items() if file.labelled}
    names = run.deployed["classes"]
    for line in class_table(names, labelled):
        reporter.note(line)
    if data.train.labelled:
        labels, weights = labels_of(run.train.samples), data.class_weights
        for line in balance_notes(names, labels, balance=run.balance, weights=weights):
            reporter.note(line)


def _tell_missing(run: Run, reporter: Reporter) -> None:
    """How many listed clips were left out because they do not exist."""
    for name, clips in (("training", run.train), ("validation", run.valid)):
        if clips.missing:
            count, listed = len(clips.missing), len(clips.missing) + len(clips)
            reporter.note(
                f"warning: {count} of {listed} listed {name} clips do not exist and are left out, "
                f"such as {clips.missing[0]}"
            )
