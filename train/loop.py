"""The training loop: epochs over the list, validation, checkpoints, and going on after a stop.

A run is a function of its config and seed. The order of the clips, every random draw and the
learning rate follow from the seed and the number of the step, never from what came before, so a
run that was killed and continued takes the very steps of one that was not.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import yaml

from infer.errors import ClipDuetError
from infer.files import write_text
from train.checkpoint import CONFIG, LATEST, load_latest, save_best, save_latest
from train.claim import claimed
from train.config import Config, clip_spec
from train.data.dataset import ClipDataset
from train.data.loader import Batch, batches_in_epoch, epoch_batches
from train.data.mix import build_mix
from train.evaluate import Evaluation, evaluate
from train.identity import completed, deployed, differences, fingerprint, identity
from train.losses import Target
from train.memory import peak_memory
from train.models.pixels import PixelInput
from train.optim import build_optimizer
from train.precise_bn import recompute_statistics
from train.precision import Precision, build_precision
from train.pretrained import load_pretrained, load_weights
from train.recognizers import STUDENT, Recognizer, build_recognizer
from train.reporter import Reporter
from train.teachers import load_networks
from train.terms import Outputs


class DivergedError(ClipDuetError):
    """The loss is no number any more."""


@dataclass
class Progress:
    """Where a run stands; plain data, stored in every checkpoint.

    Attributes:
        epoch: epochs that are complete.
        batch: batches of the current epoch that are done.
        step: optimiser steps taken.
        best: the best validation so far: epoch, top1 (or -1 before the first).
        history: one record an epoch.
        skipped: training clips that could not be read, as ``path: reason``.
        seconds: time spent training, over all sittings.
        sums, counts: of the current epoch's training figures.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    best: dict[str, Any] = field(default_factory=lambda: {"epoch": 0, "top1": -1.0})
    history: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    seconds: float = 0.0
    sums: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)


@dataclass
class Run:
    """Everything that a run works with."""

    cfg: Config
    folder: Path
    recognizer: Recognizer
    pixels: PixelInput
    train: ClipDataset
    valid: ClipDataset
    precision: Precision
    progress: Progress

    def __post_init__(self) -> None:
        self.steps_per_epoch = batches_in_epoch(
            len(self.train), batch_size=self.cfg.DATASET.batch_size, drop_last=True
        )
        if self.steps_per_epoch == 0:
            raise ClipDuetError(
                f"{len(self.train)} training clips do not fill one batch of "
                f"{self.cfg.DATASET.batch_size}: lower DATASET.batch_size"
            )
        self.optimizer, self.schedule = build_optimizer(
            self.recognizer,
            self.cfg.optimizer,
            steps_per_epoch=self.steps_per_epoch,
            epochs=self.cfg.epochs,
        )
        self.mix = build_mix(self.cfg.mix)
        self.deployed = deployed(self.cfg)
        self.clips = {
            "training": fingerprint(self.train.samples),
            "validation": fingerprint(self.valid.samples),
        }

    @property
    def share(self) -> float:
        """Share of the run that is over, 0..1."""
        return self.progress.step / (self.steps_per_epoch * self.cfg.epochs)


def train(
    cfg: Config,
    *,
    train_set: ClipDataset,
    valid_set: ClipDataset,
    resume: bool = False,
    reporter: Reporter | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Progress:
    """Train the networks of a config; checkpoints go to ``cfg.output_dir``.

    Args:
        cfg: the experiment.
        train_set: its training clips.
        valid_set: its validation clips.
        resume: go on from ``latest.ckpt`` if there is one.
        reporter: shows progress; none shows nothing.
        should_stop: looked at after every step; when it is true, a checkpoint is written first.

    Raises:
        KeyboardInterrupt: ``should_stop`` said so.
        ClipDuetError: the folder holds a run and ``resume`` is off, or the run there has another
            config or other clips, or another process is at it.
        DivergedError: the loss is NaN or infinite; the last checkpoint is untouched.
    """
    with claimed(Path(cfg.output_dir)):
        return _train(cfg, train_set, valid_set, resume, reporter or Reporter(None), should_stop)


def _train(
    cfg: Config,
    train_set: ClipDataset,
    valid_set: ClipDataset,
    resume: bool,
    reporter: Reporter,
    should_stop: Callable[[], bool],
) -> Progress:
    folder = Path(cfg.output_dir)
    # What export needs of it, overrides included.
    write_text(folder / CONFIG, yaml.safe_dump(cfg.to_dict(), sort_keys=False))
    preprocess = clip_spec(cfg, "train").preprocess
    pixels = PixelInput(preprocess.mean, preprocess.std)
    recognizer = build_recognizer(cfg.model, seed=cfg.seed, pixels=pixels)
    run = Run(
        cfg=cfg,
        folder=folder,
        recognizer=recognizer,
        pixels=pixels,
        train=train_set,
        valid=valid_set,
        precision=build_precision(cfg, note=reporter.note),
        progress=Progress(),
    )
    if (folder / LATEST).exists():
        _continue(run, resume=resume)
        reporter.note(f"going on after {run.progress.step} steps")
    else:
        lines = load_pretrained(recognizer, cfg.model)
        if cfg.weights:
            lines += load_weights(recognizer, Path(cfg.weights))
        lines += load_networks(recognizer, cfg.model, others_filled=bool(cfg.weights))
        for line in lines:
            reporter.note(line)
    while run.progress.epoch < cfg.epochs:
        _epoch(run, reporter, should_stop)
    return run.progress


def _continue(run: Run, *, resume: bool) -> None:
    if not resume:
        raise ClipDuetError(
            f"{run.folder} holds a run already: add --resume to go on with it, "
            "or choose another --output"
        )
    stored = load_latest(run.folder, run.recognizer, run.optimizer)
    changed = differences(completed(stored.pop("config")), identity(run.cfg))
    if changed:
        raise ClipDuetError(
            f"{run.folder} holds a run with another config:\n  "
            + "\n  ".join(changed)
            + "\nundo the change, or choose another --output"
        )
    stored.pop("settings", None)
    clips = stored.pop("clips", run.clips)
    other = [name for name, value in run.clips.items() if clips.get(name) != value]
    if other:
        raise ClipDuetError(
            f"{run.folder} holds a run on other {' and '.join(other)} clips: their list, labels or "
            "files have changed since; put them back, or choose another --output"
        )
    run.progress = Progress(**stored)
    run.schedule.step(run.progress.step)


def _epoch(run: Run, reporter: Reporter, should_stop: Callable[[], bool]) -> None:
    progress, dataset = run.progress, run.cfg.DATASET
    run.recognizer.train()
    meter = Meter(progress.sums, progress.counts)
    batches = epoch_batches(
        run.train,
        batch_size=dataset.batch_size,
        seed=run.cfg.seed,
        epoch=progress.epoch,
        shuffle=True,
        drop_last=True,
        workers=dataset.num_workers,
        start=progress.batch,
    )
    started = time.monotonic()
    for batch in batches:
        for index, error in batch.failed:
            reporter.note(f"skipped: {error}")
            progress.skipped.append(f"{run.train.samples[index].path}: {error.reason}")
        if len(batch.labels):
            meter.add(_step(run, batch))
        progress.batch += 1
        reporter.step(run, meter)
        every, stop = run.cfg.checkpoint_every_steps, should_stop()
        if stop or (every and progress.step % every == 0):
            progress.seconds += time.monotonic() - started
            started = time.monotonic()
            _save(run)
        if stop:
            raise KeyboardInterrupt
    _check_weights(run)
    _precise_bn(run)
    result = evaluate(
        lambda clips: _logits(run, clips),
        run.valid,
        batch_size=dataset.valid_batch_size or dataset.batch_size,
        workers=dataset.num_workers,
    )
    progress.seconds += time.monotonic() - started
    for path, reason in result.failed:
        if not progress.history:
            reporter.note(f"validation: {path}: {reason}; it counts as wrong")
    progress.epoch, progress.batch = progress.epoch + 1, 0
    record = _record(run, meter, result)
    progress.sums, progress.counts = {}, {}
    progress.history.append(record)
    if result.top1 > progress.best["top1"]:
        progress.best = {"epoch": progress.epoch, "top1": result.top1}
        save_best(run.folder, run.recognizer, _best_record(run))
    if progress.epoch % run.cfg.save_interval == 0 or progress.epoch == run.cfg.epochs:
        _save(run)
    reporter.epoch(run, record)


def _step(run: Run, batch: Batch) -> dict[str, float]:
    """One optimiser step; returns loss terms and training accuracies by name."""
    cfg, step = run.cfg, run.progress.step
    clips, target = batch.clips, Target(paddle.to_tensor(batch.labels))
    if run.mix is not None:
        mixed = run.mix(clips, batch.labels, np.random.default_rng([cfg.seed, step, 0, 1]))
        clips = mixed.clips
        target = Target(
            paddle.to_tensor(mixed.labels_a),
            paddle.to_tensor(mixed.labels_b),
            paddle.to_tensor(mixed.lam),
        )
    # Dropout follows from the step and the network alone: the same after a resume, and the same
    # for a student that trains alone and one in a pair.
    draw = f"{cfg.seed}/step/{step}"
    with run.precision.autocast():
        inputs = run.pixels(paddle.to_tensor(clips))
        outputs = run.recognizer(inputs, draw=draw)
    terms: dict[str, float] = {}
    for learner, last in run.recognizer.turns:
        terms |= _update(run, outputs, target, learner)
        if learner is not None and not last:
            # The others learn from what this one has become.
            with run.precision.autocast(), paddle.no_grad():
                run.recognizer.run(learner, inputs, outputs, draw=draw)
    run.schedule.step()
    run.progress.step += 1
    return {
        "loss": sum(terms.values()),
        **terms,
        **{
            f"{role}.top1": _accuracy(logits, target)
            for role, logits in outputs.items()
            if run.cfg.DATASET.train.labelled
        },
    }


def _update(run: Run, outputs: Outputs, target: Target, learner: str | None) -> dict[str, float]:
    """Losses, backward and an optimiser step for one network, or for all; the terms by name."""
    with run.precision.autocast():
        seen = outputs if learner is None else outputs.seen_by(learner)
        terms = run.recognizer.losses(seen, target, progress=run.share, learner=learner)
        loss = paddle.add_n(list(terms.values()))
    values = {name: float(term) for name, term in terms.items()}
    if not math.isfinite(float(loss)):
        parts = ", ".join(f"{name} {value:g}" for name, value in values.items())
        raise _diverged(run, f"the loss is {float(loss)} ({parts})")
    run.precision.step(loss, run.optimizer, run.recognizer.parameter_groups())
    return values


def _diverged(run: Run, what: str) -> DivergedError:
    latest = run.folder / LATEST
    kept = f"the last good checkpoint is {latest}" if latest.exists() else "no checkpoint yet"
    return DivergedError(
        f"{what} at step {run.progress.step}; {kept}. "
        "Lower the learning rate, lengthen the warm-up, or set grad_clip"
    )


def _precise_bn(run: Run) -> None:
    """Recompute batch-norm statistics before the validations that the config names."""
    block, epoch = run.cfg.PRECISEBN, run.progress.epoch
    if block is None or (epoch % block.preciseBN_interval and epoch != run.cfg.epochs - 1):
        return
    count = min(block.num_iters_preciseBN, run.steps_per_epoch)
    # Epochs after the last one: other clips and draws than training, the same after a resume.
    batches = epoch_batches(
        run.train,
        batch_size=run.cfg.DATASET.batch_size,
        seed=run.cfg.seed,
        epoch=run.cfg.epochs + epoch,
        shuffle=True,
        drop_last=True,
        workers=run.cfg.DATASET.num_workers,
    )
    inputs = (run.pixels(paddle.to_tensor(batch.clips)) for batch in batches if len(batch.labels))
    recompute_statistics(run.recognizer, run.recognizer, itertools.islice(inputs, count))


def _accuracy(logits: paddle.Tensor, target: Target) -> float:
    """Share of right answers; a mixed clip counts each label by its share."""
    guess = logits.argmax(axis=-1)
    hit = (guess == target.labels).astype("float32")
    if target.labels_b is not None and target.lam is not None:
        hit_b = (guess == target.labels_b).astype("float32")
        hit = target.lam * hit + (1 - target.lam) * hit_b
    return float(hit.mean())


@paddle.no_grad()
def _logits(run: Run, clips: np.ndarray) -> np.ndarray:
    """The student's logits ``[N, classes]`` for uint8 clips ``[N, T, H, W, 3]``."""
    run.recognizer.eval()
    logits = run.recognizer.student(run.pixels(paddle.to_tensor(clips)))
    return logits.numpy()


class Meter:
    """Means over an epoch so far, kept in two mappings that a checkpoint holds."""

    def __init__(self, sums: dict[str, float], counts: dict[str, int]) -> None:
        self._sums, self._counts = sums, counts

    def add(self, values: dict[str, float]) -> None:
        """Take in the figures of one step; a loss term may be missing while its ramp is at 0."""
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
            self._counts[name] = self._counts.get(name, 0) + 1

    def means(self) -> dict[str, float]:
        """The mean of every figure."""
        return {name: total / self._counts[name] for name, total in self._sums.items()}


def _record(run: Run, meter: Meter, result: Evaluation) -> dict[str, Any]:
    return {
        "epoch": run.progress.epoch,
        "step": run.progress.step,
        "rate": float(run.optimizer.get_lr()),
        **{f"train.{name}": round(value, 6) for name, value in meter.means().items()},
        **_valid_loss(run, result),
        f"valid.{STUDENT}.top1": result.top1,
        "valid.failed": len(result.failed),
        "seconds": round(run.progress.seconds, 1),
        "memory": peak_memory(),
    }


def _valid_loss(run: Run, result: Evaluation) -> dict[str, float]:
    """The ``Val`` loss over the clips that could be read; none where it wants other networks."""
    read = result.decoded
    outputs = Outputs({STUDENT: paddle.to_tensor(result.logits[read])})
    if not read.any() or not run.recognizer.can_lose(outputs, mode="Val"):
        return {}
    target = Target(paddle.to_tensor(result.labels[read]))
    terms = run.recognizer.losses(outputs, target, mode="Val")
    return {"valid.loss": round(sum(float(term) for term in terms.values()), 6)}


def _best_record(run: Run) -> dict[str, Any]:
    return {
        **run.progress.best,
        "seed": run.cfg.seed,
        "config": run.cfg.source,
        "config_sha256": run.cfg.sha256(),
        "settings": run.deployed,
    }


def _check_weights(run: Run) -> None:
    """A ReLU turns NaN into 0 and the loss stays finite: what is saved is looked at itself."""
    for key, value in run.recognizer.state_dict().items():
        if not bool(paddle.isfinite(value).all()):
            raise _diverged(run, f"{key} holds NaN or infinity")


def _save(run: Run) -> None:
    _check_weights(run)
    progress = {
        **vars(run.progress),
        "config": identity(run.cfg),
        "clips": run.clips,
        "settings": run.deployed,
    }
    save_latest(run.folder, run.recognizer, run.optimizer, progress)
