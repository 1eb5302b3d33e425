"""One epoch of a run: its steps, the validation after them, its record and checkpoints."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import paddle

from train.checkpoints.checkpoint import save_best
from train.data.balance import balanced_order, labels_of
from train.data.dataset import ClipDataset
from train.data.loader import Batch, epoch_batches
from train.data.unreadable import Failed, UnreadableError, reasons, unreadable_error
from train.distributed.shards import redistribute
from train.engine.precise_bn import recompute_statistics
from train.engine.progress import Progress
from train.engine.records import best_record, epoch_record
from train.engine.reporter import Reporter
from train.engine.run import Run, average_statistics, check_weights, save
from train.engine.run_files import RunFiles
from train.engine.step import Part, parts_of, take_step
from train.evaluation.evaluate import Evaluation
from train.evaluation.sharded import evaluate_together


def run_epoch(
    run: Run, reporter: Reporter, files: RunFiles, should_stop: Callable[[], bool]
) -> None:
    """Take the steps that are left of the current epoch, validate, and note what came of it.

    Args:
        run: where it stands; it is one epoch further afterwards.
        reporter: shows progress.
        files: writes what people look at.
        should_stop: see `train.engine.loop.train`.

    Raises:
        KeyboardInterrupt: `should_stop` said so; a checkpoint was written.
        DivergedError: the loss is NaN or infinite; the last checkpoint is untouched.
        UnreadableError: more clips cannot be read than the config allows, or there was no step.
    """
    progress = run.progress
    if not progress.batch:
        progress.began = progress.seconds
    clock = _Clock(progress)
    _learn(run, reporter, clock, should_stop)
    check_weights(run)
    clock.add()
    trained = progress.seconds
    average_statistics(run)
    _precise_bn(run)
    found = _validate(run, reporter)
    with _averaged(run):
        clock.add()
        record = epoch_record(run, found, trained=trained)
        progress.end_epoch(record)
        if found.top1 > progress.best["top1"]:
            progress.best = {"epoch": progress.epoch, "top1": found.top1}
            if run.team.leads:
                save_best(run.folder, run.recognizer, best_record(run, found))
            files.best(found)
    if progress.epoch % run.cfg.save_interval == 0 or run.finished:
        save(run)
    files.epoch()
    reporter.epoch(run, record)


class _Clock:
    """Adds the time that passes to the run's."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self._since = progress, time.monotonic()

    def add(self) -> None:
        """Add what has passed since the last call."""
        now = time.monotonic()
        self._progress.seconds += now - self._since
        self._since = now


def _learn(run: Run, reporter: Reporter, clock: _Clock, should_stop: Callable[[], bool]) -> None:
    """Take the epoch's steps, and write the checkpoints that are due between them."""
    progress = run.progress
    run.recognizer.train()
    left = 0 if run.steps_are_done else run.steps_per_epoch * run.parts - progress.batch
    batches = itertools.islice(_batches(run, progress.epoch, start=progress.batch), left)
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
            clock.add()
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


def _validate(run: Run, reporter: Reporter) -> Evaluation:
    """The student's answers to the validation list, by averaged weights where there are any."""
    data = run.cfg.DATASET
    with _averaged(run):
        found = evaluate_together(
            lambda clips: _logits(run, clips),
            run.valid,
            team=run.team,
            batch_size=data.valid_batch_size or data.batch_size,
            workers=data.num_workers,
        )
    if not run.progress.history:
        for path, reason in found.failed:
            reporter.note(f"validation: {path}: {reason}; it counts as wrong")
    _check_read(run, found.failed, run.valid, "validation clips")
    return found


def _averaged(run: Run) -> AbstractContextManager[None]:
    """The averaged weights in place of the run's, where it has them."""
    return run.average.in_place() if run.average is not None else nullcontext()


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
