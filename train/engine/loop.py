"""The training loop: epochs over the list, validation, checkpoints.

A run is a function of its config and seed. The order of the clips, every random draw and the
learning rate follow from the seed and the number of the step, never from what came before, so a
run that was killed and continued takes the very steps of one that was not.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import paddle
import yaml

from infer.system.files import write_text
from train.checkpoints.checkpoint import save_best
from train.checkpoints.run_lock import run_lock
from train.config.load import Config
from train.config.run_folder import RUN_CONFIG
from train.data.balance import balance_notes, balanced_order, labels_of
from train.data.class_table import class_table
from train.data.dataset import ClipDataset
from train.data.loader import Batch, epoch_batches
from train.data.unreadable import Failed, UnreadableError, reasons, unreadable_error
from train.distributed.shards import redistribute
from train.distributed.team import Team
from train.engine.precise_bn import recompute_statistics
from train.engine.probe import probe_clips
from train.engine.progress import Progress
from train.engine.records import best_record, epoch_record
from train.engine.reporter import Reporter
from train.engine.run import Networks, Run, average_statistics, check_weights, save
from train.engine.run_files import RunFiles
from train.engine.start import open_run
from train.engine.step import Part, parts_of, take_step
from train.evaluation.sharded import evaluate_together


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
            _epoch(run, reporter, written, should_stop)
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


def _epoch(run: Run, reporter: Reporter, files: RunFiles, should_stop: Callable[[], bool]) -> None:
    progress = run.progress
    if not progress.batch:
        progress.began = progress.seconds
    run.recognizer.train()
    batches = _batches(run, progress.epoch, start=progress.batch)
    left = 0 if run.steps_are_done else run.steps_per_epoch * run.parts - progress.batch
    batches = itertools.islice(batches, left)
    started = time.monotonic()
    pending: list[Part] = []
    failed: list[Failed] = []
    for number, part in enumerate(parts_of(run, _timed(run, batches)), start=progress.batch + 1):
        failed += part.failed
        for path, reason in part.failed:
            reporter.note(f"skipped: {path}: {reason}")
        if part.useful:
            pending.append(part)
        elif part.left_out:
            reporter.note(f"left out: {part.left_out}")
        if number % run.parts:
            continue
        if pending:
            progress.add(take_step(run, pending))
        pending, progress.batch = [], number
        reporter.step(run)
        every, stop = run.cfg.checkpoint_every_steps, _agreed(run, should_stop)
        if stop or (every and progress.step % every == 0):
            progress.seconds += time.monotonic() - started
            started = time.monotonic()
            save(run)
        if stop:
            raise KeyboardInterrupt
        so_far = f"training clips, so far in epoch {progress.epoch + 1},"
        _check_read(run, failed, run.train, so_far)
        if run.steps_are_done:
            break
    if not progress.counts:
        raise UnreadableError("\n  ".join([
            f"epoch {progress.epoch + 1} ended without a step: nothing could be learnt from its "
            f"{run.steps_per_epoch * run.clips_per_step} clips", *reasons(failed),
        ]))  # fmt: skip
    check_weights(run)
    trained = progress.seconds + time.monotonic() - started
    average_statistics(run)
    _precise_bn(run)
    with run.average.in_place() if run.average is not None else nullcontext():
        result = evaluate_together(
            lambda clips: _logits(run, clips),
            run.valid,
            team=run.team,
            batch_size=run.cfg.DATASET.valid_batch_size or run.cfg.DATASET.batch_size,
            workers=run.cfg.DATASET.num_workers,
        )
        if not progress.history:
            for path, reason in result.failed:
                reporter.note(f"validation: {path}: {reason}; it counts as wrong")
    _check_read(run, result.failed, run.valid, "validation clips")
    with run.average.in_place() if run.average is not None else nullcontext():
        progress.seconds += time.monotonic() - started
        record = epoch_record(run, result, trained=trained)
        progress.epoch, progress.batch = progress.epoch + 1, 0
        progress.sums, progress.counts, progress.waiting = {}, {}, 0.0
        progress.history.append(record)
        if result.top1 > progress.best["top1"]:
            progress.best = {"epoch": progress.epoch, "top1": result.top1}
            if run.team.leads:
                save_best(run.folder, run.recognizer, best_record(run, result))
            files.best(result)
    if progress.epoch % run.cfg.save_interval == 0 or run.finished:
        save(run)
    files.epoch()
    reporter.epoch(run, record)


def _check_read(run: Run, failed: Sequence[Failed], clips: ClipDataset, what: str) -> None:
    """Stop where too many clips of an epoch cannot be read; what was learnt so far is kept.

    Raises:
        UnreadableError: they are more than the config allows.
    """
    if run.balance:  # a clip that is repeated is one
        failed = list(dict.fromkeys(failed))
    error = unreadable_error(failed, listed=len(clips), limit=run.cfg.max_unreadable, what=what)
    if error is not None:
        if run.progress.step:
            save(run)
        raise error


def _batches(run: Run, epoch: int, *, start: int = 0) -> Iterator[Batch]:
    return epoch_batches(
        run.train,
        batch_size=run.cfg.DATASET.batch_size,
        seed=run.cfg.seed,
        epoch=epoch,
        shuffle=True,
        drop_last=True,
        workers=run.cfg.DATASET.num_workers,
        start=start,
        share=(run.team.rank, run.team.size),
        order=balanced_order(
            labels_of(run.train.samples), run.balance, seed=run.cfg.seed, epoch=epoch
        )
        if run.balance
        else None,
    )


def _timed(run: Run, batches: Iterator[Batch]) -> Iterator[Batch]:
    """The same, with the time that passes before each of them added up."""
    while True:
        begin = time.monotonic()
        batch = next(batches, None)
        if batch is None:
            return
        run.progress.waiting += time.monotonic() - begin
        yield batch


def _agreed(run: Run, should_stop: Callable[[], bool]) -> bool:
    """Whether anybody wants to stop: then all do, at the same step."""
    return run.team.sums([should_stop()])[0] > 0


def _precise_bn(run: Run) -> None:
    """Recompute batch-norm statistics before the validations that the config names."""
    block, epoch = run.cfg.PRECISEBN, run.progress.epoch
    if block is None or (epoch % block.preciseBN_interval and epoch != run.epochs - 1):
        return
    count = min(block.num_iters_preciseBN, run.steps_per_epoch)
    # Epochs after the last one: other clips and draws than training, the same after a resume.
    shared = (redistribute(batch, run.team) for batch in _batches(run, run.epochs + epoch))
    inputs = (
        run.pixels(paddle.to_tensor(batch.clips)) for batch, shards in shared if all(shards.clips)
    )
    with run.precision.autocast():
        recompute_statistics(run.recognizer, run.recognizer, itertools.islice(inputs, count))
    average_statistics(run)


@paddle.no_grad()
def _logits(run: Run, clips: np.ndarray) -> np.ndarray:
    """The student's logits, float32 `[N, classes]`, for uint8 clips `[N, T, H, W, 3]`.

    At the run's precision: weights of level O2 take no float32 input outside of it.
    """
    run.recognizer.eval()
    with run.precision.autocast():
        logits = run.recognizer.student(run.pixels(paddle.to_tensor(clips)))
    # NumPy has no bfloat16: it would be given the bits as integers.
    return logits.astype("float32").numpy()
