"""Everything that a run works with, how it starts, and how it goes on after a stop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import paddle
from paddle import nn

from infer.system.errors import ClipDuetError
from train.checkpoints.checkpoint import load_file, load_latest, save_latest
from train.checkpoints.names import BEST, LATEST
from train.checkpoints.pretrained import load_pretrained, load_weights
from train.checkpoints.teachers import load_networks
from train.config.identity import changed_settings, completed, deployed, identity
from train.config.load import Config
from train.data.dataset import ClipDataset
from train.data.fingerprint import fingerprint
from train.data.loader import batches_in_epoch
from train.data.mix import build_mix
from train.distill.averages import averaged_norms, start_averages
from train.distill.recognizers import Recognizer, build_recognizer
from train.distributed.sync_bn import synchronise
from train.distributed.team import Team
from train.engine.ema import Average
from train.engine.optim import build_optimizer
from train.engine.precision import Precision, build_precision
from train.engine.progress import Progress
from train.models.pixels import PixelInput

Note = Callable[[str], None]

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
        batch, clips = self.cfg.DATASET.batch_size * self.team.size, len(self.train)
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
    def share(self) -> float:
        """Share of the run that is over, 0..1."""
        return self.progress.step / (self.steps_per_epoch * self.cfg.epochs)

    def diverged(self, what: str) -> DivergedError:
        """The error that says so, and what is left."""
        latest = self.folder / LATEST
        kept = f"the last good checkpoint is {latest}" if latest.exists() else "no checkpoint yet"
        return DivergedError(
            f"{what} at step {self.progress.step}; {kept}. "
            "Lower the learning rate, lengthen the warm-up, or set grad_clip"
        )


def open_run(
    cfg: Config,
    *,
    train_set: ClipDataset,
    valid_set: ClipDataset,
    team: Team,
    resume: bool,
    note: Note,
    networks: Networks | None = None,
) -> Run:
    """Build a run's networks and fill them: from its folder, from checkpoints, or by its seed.

    `networks` are taken instead, where there are any, and filled from the folder alone.

    Raises:
        ClipDuetError: the folder holds a run and `resume` is off, or one that is another.
    """
    recognizer, pixels = networks or built_networks(cfg)
    run = Run(
        cfg=cfg,
        folder=Path(cfg.output_dir),
        recognizer=recognizer,
        pixels=pixels,
        train=train_set,
        valid=valid_set,
        precision=build_precision(cfg, note=note),
        team=team,
        progress=Progress(),
    )
    if team.size > 1 and cfg.sync_bn:
        synchronise(recognizer)
    if check_begun(run.folder, resume=resume):
        _continue(run)
        done = run.progress.epoch >= cfg.epochs
        note(f"{'was finished' if done else 'going on'} after {run.progress.step} steps")
        if done:
            note(f"to train longer: {_from_its_weights(run.folder)}")
        return run
    for line in _fill(cfg, recognizer) if networks is None else []:
        note(line)
    start_averages(recognizer.networks, recognizer.averages)
    run.precision.prepare(recognizer, run.optimizer)
    if run.average is not None:
        run.average.set_state_dict(recognizer.state_dict())
    return run


def built_networks(cfg: Config) -> Networks:
    """What a config trains, as it is before any checkpoint.

    Raises:
        ConfigError: a layer that the losses, or `trainable`, name is not there.
    """
    preprocess = cfg.specs["train"].preprocess
    pixels = PixelInput(preprocess.mean, preprocess.std)
    return build_recognizer(cfg.model, seed=cfg.seed, pixels=pixels), pixels


def _fill(cfg: Config, recognizer: Recognizer) -> list[str]:
    """Load the checkpoints that the config names; says what came from where."""
    read = partial(load_file, trust=cfg.trust)
    backbones = load_pretrained(recognizer, cfg.model, read=read)
    whole = load_weights(recognizer, Path(cfg.weights), read=read) if cfg.weights else {}
    filled = {role: [f"0.{key}" for key in found.loaded] for role, found in backbones.items()}
    for role, found in whole.items():
        filled[role] = [*filled.get(role, ()), *found.loaded]
    lines = [f"{role}: {found}" for each in (backbones, whole) for role, found in each.items()]
    return lines + load_networks(recognizer, cfg.model, filled=filled, read=read)


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


def check_begun(folder: Path, *, resume: bool) -> bool:
    """Whether a folder holds a run that has begun.

    Raises:
        ClipDuetError: it does, and `resume` is off.
    """
    begun = (folder / LATEST).exists()
    if begun and not resume:
        raise ClipDuetError(
            f"{folder} holds a run already: add --resume to go on with it, "
            f"or choose another --output. If it is finished: {_from_its_weights(folder)}"
        )
    return begun


def _from_its_weights(folder: Path) -> str:
    """How to train on where a run has ended."""
    return f"--weights {folder / BEST} and another --output begin a run from its weights"


def _continue(run: Run) -> None:
    stored, average = load_latest(
        run.folder,
        run.recognizer,
        run.optimizer,
        trust=run.cfg.trust,
        prepare=lambda: run.precision.prepare(run.recognizer, run.optimizer),
    )
    changed = changed_settings(completed(stored.pop("config")), identity(run.cfg))
    if changed:
        raise ClipDuetError(
            f"{run.folder} holds a run with another config:\n  "
            + "\n  ".join(changed)
            + "\nundo the change, or choose another --output; "
            + _from_its_weights(run.folder)
        )
    _check_conditions(run, stored)
    if run.average is not None:
        run.average.set_state_dict(average)
    run.progress = Progress(**stored)
    run.schedule.step(run.progress.step)


def _check_conditions(run: Run, stored: dict[str, Any]) -> None:
    """Clips, processes and weights are as the run began; takes them out of `stored`."""
    stored.pop("settings", None)
    precision = stored.pop("precision", {})
    weights = precision.get("weights", "float32")
    if weights != run.precision.weights:
        raise ClipDuetError(
            f"{run.folder} holds a run with weights in {weights}, now they would be in "
            f"{run.precision.weights}: amp.level O2 is for GPUs, on a CPU weights are float32; go "
            "on with the run where it began, or choose another --output"
        )
    run.precision.set_state(precision)
    clips = stored.pop("clips", run.clips)
    other = [name for name, value in run.clips.items() if clips.get(name) != value]
    if other:
        raise ClipDuetError(
            f"{run.folder} holds a run on other {' and '.join(other)} clips: their list, labels or "
            "files have changed since; put them back, or choose another --output"
        )
    processes = stored.pop("processes", 1)
    if processes != run.team.size:
        raise ClipDuetError(
            f"{run.folder} holds a run of {processes} processes, now there are {run.team.size}: "
            "batches would be others; start as many, or choose another --output"
        )
