"""Everything that a run works with, and what it leaves; `train.engine.start` begins it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import paddle
from paddle import nn

from infer.system.errors import ClipDuetError
from train.checkpoints.checkpoint import save_latest
from train.config.identity import deployed, identity
from train.config.load import Config
from train.config.run_folder import LATEST
from train.data.balance import class_weights, epoch_length, labels_of, shown_counts
from train.data.dataset import ClipDataset
from train.data.fingerprint import fingerprint
from train.data.loader import batches_in_epoch
from train.data.mix import build_mix
from train.distill.averages import averaged_norms
from train.distill.build_recognizer import build_recognizer
from train.distill.recognizers import Recognizer
from train.distributed.team import Team
from train.engine.ema import Average
from train.engine.length import (
    last_epoch,
    planned_steps,
    run_schedule,
    step_limit,
    why_finished,
)
from train.engine.optim import build_optimizer
from train.engine.precision import Precision
from train.engine.progress import Progress
from train.models.pixels import PixelInput

Networks = tuple[Recognizer, nn.Layer]
"""What learns, and the layer that makes its input of uint8 clips `[N, T, H, W, 3]`."""


class DivergedError(ClipDuetError):
    """The loss is no number any more."""

    exit_status = 1


@dataclass
class Run:
    """Everything that a run works with."""

    cfg: Config
    folder: Path
    recognizer: Recognizer
    pixels: nn.Layer
    train: ClipDataset
    valid: ClipDataset
    precision: Precision
    team: Team
    progress: Progress

    def __post_init__(self) -> None:
        batch, labels = self.cfg.DATASET.batch_size * self.team.size, labels_of(self.train.samples)
        clips = epoch_length(labels, self.balance)
        self.parts = _parts(self.cfg, batch)
        self.clips_per_step = batch * self.parts
        self.steps_per_epoch = batches_in_epoch(
            clips, batch_size=self.clips_per_step, drop_last=True
        )
        if self.steps_per_epoch == 0:
            shares = f", shared by {self.team.size} processes" if self.team.size > 1 else ""
            raise ClipDuetError(
                f"{clips} training clips do not fill one batch of {self.clips_per_step}{shares}: "
                "lower DATASET.batch_size"
            )
        self.optimizer, self.schedule = build_optimizer(
            self.recognizer,
            self.cfg.optimizer,
            steps_per_epoch=self.steps_per_epoch,
            epochs=self.cfg.epochs,
        )
        if self.cfg.max_steps is not None:
            self._set_schedule()
        self.class_weights = _class_weights(self.cfg, labels)
        self.mix = build_mix(self.cfg.mix)
        self.average = (
            Average(self.recognizer, self.cfg.EMA.decay, still=self.recognizer.still)
            if self.cfg.EMA is not None
            else None
        )
        self.deployed = deployed(self.cfg)
        self.clips = {
            "training": fingerprint(self.train.samples),
            "validation": fingerprint(self.valid.samples),
        }

    @property
    def balance(self) -> float:
        """How far clips of rare classes are repeated, see `train.data.balance`."""
        return self.cfg.DATASET.train.balance

    @property
    def epochs(self) -> int:
        """The epoch that ends the run, if nothing else ends it before."""
        return last_epoch(self.cfg, self.progress)

    @property
    def total_steps(self) -> int:
        """Optimiser steps of the whole run, as far as it can be known."""
        return planned_steps(self.cfg, self.progress, steps_per_epoch=self.steps_per_epoch)

    @property
    def steps_are_done(self) -> bool:
        """Whether the run's limit of steps is reached."""
        limit = step_limit(self.cfg, self.progress)
        return limit is not None and self.progress.step >= limit

    @property
    def finished(self) -> str | None:
        """Why the run has ended; None while it goes on."""
        return why_finished(self.cfg, self.progress)

    @property
    def share(self) -> float:
        """Share of the run that is over, 0..1."""
        return self.progress.step / self.total_steps

    def go_on(self, progress: Progress) -> None:
        """Take over where a run stands."""
        self.progress = progress
        if progress.extended:
            self._set_schedule()
        self.schedule.step(progress.step)

    def _set_schedule(self) -> None:
        self.schedule.lr_lambda = run_schedule(
            self.cfg, self.progress, steps_per_epoch=self.steps_per_epoch
        )
        self.schedule.step(self.progress.step)

    def diverged(self, what: str) -> DivergedError:
        """The error that says so, and what is left."""
        latest = self.folder / LATEST
        kept = f"the last good checkpoint is {latest}" if latest.exists() else "no checkpoint yet"
        return DivergedError(
            f"{what} at step {self.progress.step}; {kept}. "
            "Lower the learning rate, lengthen the warm-up, or set grad_clip"
        )


def built_networks(cfg: Config) -> Networks:
    """What a config trains, as it is before any checkpoint.

    Raises:
        ConfigError: a layer that the losses, or `trainable`, name is not there.
    """
    preprocess = cfg.specs["train"].preprocess
    pixels = PixelInput(preprocess.mean, preprocess.std)
    return build_recognizer(cfg.model, seed=cfg.seed, pixels=pixels), pixels


def save(run: Run) -> None:
    """Write `latest.ckpt`, by one process for all.

    Raises:
        DivergedError: a weight is no number.
    """
    check_weights(run)
    average_statistics(run)
    if not run.team.leads:
        return
    progress = {
        **vars(run.progress),
        "config": identity(run.cfg),
        "clips": run.clips,
        "settings": run.deployed,
        "processes": run.team.size,
        **({"precision": state} if (state := run.precision.state()) else {}),
    }
    average = None if run.average is None else run.average.state_dict()
    save_latest(run.folder, run.recognizer, run.optimizer, progress, average=average)


def check_weights(run: Run) -> None:
    """A ReLU turns NaN into 0 and the loss stays finite: what is saved is looked at itself.

    Raises:
        DivergedError: a weight is no number.
    """
    for key, value in run.recognizer.state_dict().items():
        if not bool(paddle.isfinite(value).all()):
            raise run.diverged(f"{key} holds NaN or infinity")


def average_statistics(run: Run) -> None:
    """Give the batch norms of all processes the same statistics, which each has of its clips.

    The moving averages' too: one process keeps them for all.
    """
    if run.team.size == 1 or run.cfg.sync_bn:
        return
    averaged = averaged_norms(run.recognizer.networks, run.recognizer.averages)
    norms = [*run.recognizer.norms, *averaged]
    tensors = [t for norm in norms for t in (norm._mean, norm._variance)]
    run.team.average(tensors + (run.average.statistics() if run.average is not None else []))


def _class_weights(cfg: Config, labels: np.ndarray) -> paddle.Tensor | None:
    """float32 [classes], what the cross-entropy of each weighs; None: all alike."""
    given = cfg.DATASET.class_weights
    if given is None:
        return None
    shown = shown_counts(labels, cfg.DATASET.train.balance, classes=cfg.class_num)
    return paddle.to_tensor(class_weights(given, shown))


def _parts(cfg: Config, batch: int) -> int:
    """Batches whose gradients make one step; `batch`: clips of all processes in one."""
    block = cfg.GRADIENT_ACCUMULATION
    if block is None:
        return 1
    parts, rest = divmod(block.global_batch_size, batch)
    if rest or not parts:
        raise ClipDuetError(
            f"GRADIENT_ACCUMULATION.global_batch_size is {block.global_batch_size}, allowed: "
            f"multiples of {batch}, which is DATASET.batch_size times the number of processes"
        )
    return parts
