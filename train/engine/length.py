"""How long a run is: its epochs, a limit of steps, early stopping, and extensions.

An extension goes on with a run that is finished. From there on the learning rate, and the weights
of losses that rise or fall, are those of a run that was planned for all of its epochs from the
start: the rate of a cosine rises once, to where the longer cosine is at that epoch, and falls
again.
"""

from __future__ import annotations

from typing import Any

from infer.system.errors import ClipDuetError
from train.config.load import Config
from train.engine.optim import Schedule, build_schedule
from train.engine.progress import Progress

ENDS = ("max_epoch", "T_max")
"""Keys by which a schedule says itself when its cosine ends."""


def last_epoch(cfg: Config, progress: Progress) -> int:
    """The epoch that ends the run, if nothing else ends it before."""
    if progress.extended:
        return int(progress.extended[-1]["epoch"] + progress.extended[-1]["epochs"])
    return cfg.epochs


def step_limit(cfg: Config, progress: Progress) -> int | None:
    """Steps after which the run ends within its epochs; an extension is of whole epochs."""
    return None if progress.extended else cfg.max_steps


def planned_steps(cfg: Config, progress: Progress, *, steps_per_epoch: int) -> int:
    """Optimiser steps of the whole run, as far as all clips can be read and it is not stopped."""
    if progress.extended:
        last = progress.extended[-1]
        return int(last["step"] + last["epochs"] * steps_per_epoch)
    steps = steps_per_epoch * cfg.epochs
    return steps if cfg.max_steps is None else min(steps, cfg.max_steps)


def why_finished(cfg: Config, progress: Progress) -> str | None:
    """Why the run has ended; None while it goes on. It ends after an epoch's validation only."""
    limit = step_limit(cfg, progress)
    if progress.batch:
        return None
    if progress.epoch >= last_epoch(cfg, progress):
        return "all epochs are done"
    if limit is not None and progress.step >= limit:
        return f"max_steps, {limit}, is reached"
    if cfg.early_stopping is not None and progress.epoch:
        begin = progress.extended[-1]["epoch"] if progress.extended else 0
        since = max(begin, progress.best["epoch"])
        if progress.epoch - since >= cfg.early_stopping.patience:
            best = f"{progress.best['top1']:.4f} in epoch {progress.best['epoch']}"
            waited = f"{progress.epoch - since} epochs"
            return f"early stopping: {waited} without a better validation top-1 than {best}"
    return None


def run_schedule(cfg: Config, progress: Progress, *, steps_per_epoch: int) -> Schedule:
    """The learning rate of a run by its step.

    Raises:
        ClipDuetError: a limit of steps ends the run within its warm-up.
    """
    rate = cfg.optimizer["learning_rate"]
    steps = planned_steps(cfg, progress, steps_per_epoch=steps_per_epoch)
    whole = steps == steps_per_epoch * cfg.epochs
    epochs: float = cfg.epochs if whole else steps / steps_per_epoch
    warmup = rate.get("warmup_epochs", 0)
    if warmup and warmup >= epochs:
        raise ClipDuetError(
            f"max_steps ends the run after {epochs:.3g} epochs, within the {warmup:g} epochs of "
            "warm-up: lower OPTIMIZER.learning_rate.warmup_epochs, or raise max_steps"
        )
    if progress.extended:
        rate = {**rate, **{key: max(rate[key], epochs) for key in ENDS if rate.get(key)}}
    return build_schedule(rate, steps_per_epoch=steps_per_epoch, epochs=epochs)


def extension(cfg: Config, progress: Progress, epochs: int) -> dict[str, Any]:
    """What `Progress.extended` gets for so many epochs more.

    Raises:
        ClipDuetError: the run is not finished.
    """
    if why_finished(cfg, progress) is None:
        end = last_epoch(cfg, progress)
        raise ClipDuetError(
            f"{cfg.output_dir} holds a run that is not finished: {progress.epoch} of {end} epochs "
            "are done; --resume goes on with it, --extend is for afterwards"
        )
    return {"epoch": progress.epoch, "step": progress.step, "epochs": epochs}
