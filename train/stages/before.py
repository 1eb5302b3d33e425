"""What a run builds on: teachers to train, clips to label, made first where they are not there.

A config says so in its BEFORE block, by the variables that the rest of it uses:

    BEFORE:
      TEACHER: {train: motions_teacher.yaml}
    MODEL:
      models:
        - Teacher: {..., pretrained: "${TEACHER}"}

Who has a checkpoint sets the variable, `TEACHER=file python -m train ...`, or names it in the
block (`ready`); for everybody else the teacher is trained in `OUTPUT/before/teacher`, which
resumes as the run itself does.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from train.config.errors import ConfigError, Mistake
from train.config.load import before_path, load_config
from train.config.options import text_override
from train.config.run_folder import LATEST
from train.config.schema.before import Labelling, Training
from train.config.schema.experiment import Config
from train.stages.stage import Stage

if TYPE_CHECKING:
    from train.distributed.team import Team
    from train.engine.reporter import Reporter


def plan(cfg: Config, *, environment: Mapping[str, str] | None = None) -> list[Stage]:
    """All stages of a run in their order, those of its stages included; empty where none is needed.

    Args:
        cfg: the run.
        environment: variables that are set, so that their stages are left out; None: the
            process's.

    Raises:
        ConfigError: a config of a stage has mistakes, or needs itself.
    """
    given = os.environ if environment is None else environment
    return list(_stages(cfg, given, (str(Path(cfg.source).resolve()),)))


def left(cfg: Config) -> list[Stage]:
    """The stages that a run still needs: none if it has begun, unless a list of its own is gone.

    Its checkpoint holds the networks that it started from, so their configs need not be there.

    Raises:
        ConfigError: as for `plan`.
    """
    folder = Path(cfg.output_dir)
    if (folder / LATEST).exists() and all(file.exists() for file in _own_lists(cfg)):
        return []
    return plan(cfg)


def make(
    stage: Stage,
    *,
    reporter: Reporter | None = None,
    should_stop: Callable[[], bool],
    team: Team | None = None,
) -> None:
    """Train or label, unless it is done already; a stage that stopped goes on.

    The processes of a team train together; one of them labels, and the others wait.

    Raises:
        KeyboardInterrupt: `should_stop` said so.
        ClipDuetError: the training diverged, or the clips cannot be labelled.
    """
    if stage.labelling is not None:
        from train.stages.pseudo_labels import write_labels

        if team is None or team.leads:
            write_labels(stage, reporter=reporter)
        if team is not None:
            team.wait()
        return
    from train.data.splits import training_datasets
    from train.engine.loop import train

    train_set, valid_set = training_datasets(stage.cfg)
    train(
        stage.cfg,
        train_set=train_set,
        valid_set=valid_set,
        resume=True,
        reporter=reporter,
        should_stop=should_stop,
        team=team,
    )


def _own_lists(cfg: Config) -> Iterator[Path]:
    """The lists that a run trains on and that BEFORE writes."""
    for name, block in cfg.BEFORE.items():
        if isinstance(block, Labelling) and not os.environ.get(name):
            yield _target(cfg, name, block)


def _stages(cfg: Config, given: Mapping[str, str], chain: tuple[str, ...]) -> Iterator[Stage]:
    # Clips are labelled by networks that are trained, whatever the order of the file.
    in_order = sorted(cfg.BEFORE.items(), key=lambda item: isinstance(item[1], Labelling))
    for name, block in in_order:
        if given.get(name):
            continue
        labelling = isinstance(block, Labelling)
        named = block.label if isinstance(block, Labelling) else block.train
        file = cfg.beside(block.relative_to) / named
        resolved = str(file.resolve())
        if resolved in chain and not labelling:
            text = f"{name}: {file} needs itself: {' -> '.join((*chain, resolved))}"
            raise ConfigError(cfg.source, [Mistake(("BEFORE", name), text)])
        if cfg.ready(name) is not None:
            continue
        target = _target(cfg, name, block)
        other = load_config(file, list(_changes(cfg, block, target)), trust=cfg.trust)
        if not labelling:
            yield from _stages(other, given, (*chain, resolved))
        yield Stage(name, other, target, block if isinstance(block, Labelling) else None, cfg)


def _target(cfg: Config, name: str, block: Training | Labelling) -> Path:
    return before_path(cfg.output_dir, name, block.model_dump(), folder=cfg.beside(""))


def _changes(cfg: Config, block: Any, target: Path) -> Iterator[str]:
    yield f"seed={cfg.seed}"
    yield f"max_unreadable={cfg.max_unreadable:g}"
    if cfg.DATASET.root:
        yield text_override("DATASET.root", cfg.DATASET.root)
    if not isinstance(block, Labelling):
        yield text_override("output_dir", str(target.parent))
        yield from block.override
