"""How a run starts, and how it goes on after a stop or after its end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from infer.system.errors import ClipDuetError
from train.checkpoints.checkpoint import load_file, load_latest
from train.checkpoints.pretrained import load_pretrained, load_weights
from train.checkpoints.teachers import load_networks
from train.config.identity import changed_settings, completed, identity
from train.config.load import Config
from train.config.run_folder import BEST, LATEST
from train.data.dataset import ClipDataset
from train.distill.averages import start_averages
from train.distill.recognizers import Recognizer
from train.distributed.sync_bn import synchronise
from train.distributed.team import Team
from train.engine.length import extension
from train.engine.precision import build_precision
from train.engine.progress import Progress
from train.engine.run import Networks, Run, built_networks

Note = Callable[[str], None]
EXTEND = "--extend EPOCHS goes on with it for so many epochs more"


def open_run(
    cfg: Config,
    *,
    train_set: ClipDataset,
    valid_set: ClipDataset,
    team: Team,
    resume: bool,
    note: Note,
    networks: Networks | None = None,
    extend: int = 0,
) -> Run:
    """Build a run's networks and fill them: from its folder, from checkpoints, or by its seed.

    `networks` are taken instead, where there are any, and filled from the folder alone. `extend`
    is how many epochs a finished run goes on for.

    Raises:
        ClipDuetError: the folder holds a run and `resume` is off, or one that is another, or none
            that is finished where it is to be extended.
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
    if check_begun(run.folder, resume=resume, extend=extend):
        _continue(run)
        if extend:
            added = extension(cfg, run.progress, extend)
            run.go_on(replace(run.progress, extended=[*run.progress.extended, added]))
            note(f"extended by {extend} epochs, to {run.epochs}")
        done = run.finished
        note(f"{'was finished' if done else 'going on'} after {run.progress.step} steps")
        if done:
            note(f"to train longer: {EXTEND}, or {_from_its_weights(run.folder)}")
        return run
    for line in _fill(cfg, recognizer) if networks is None else []:
        note(line)
    start_averages(recognizer.networks, recognizer.averages)
    run.precision.prepare(recognizer, run.optimizer)
    if run.average is not None:
        run.average.set_state_dict(recognizer.state_dict())
    return run


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


def check_begun(folder: Path, *, resume: bool, extend: int = 0) -> bool:
    """Whether a folder holds a run that has begun; to extend one is to resume it.

    Raises:
        ClipDuetError: it does, and is neither resumed nor extended; or it does not, and is to be
            extended.
    """
    begun = (folder / LATEST).exists()
    if extend and not begun:
        raise ClipDuetError(
            f"{folder} holds no run: --extend goes on with one that is finished; leave it out, or "
            "name the run's folder with --output"
        )
    if begun and not (resume or extend):
        raise ClipDuetError(
            f"{folder} holds a run already: add --resume to go on with it, "
            f"or choose another --output. If it is finished: {EXTEND}, or "
            f"{_from_its_weights(folder)}"
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
            + f"\nundo the change, or choose another --output; {_from_its_weights(run.folder)}"
            + (f"; {EXTEND}" if any(line.startswith("epochs:") for line in changed) else "")
        )
    _check_conditions(run, stored)
    if run.average is not None:
        run.average.set_state_dict(average)
    run.go_on(Progress(**stored))


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
