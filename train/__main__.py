"""`python -m train -c CONFIG`: train what a config describes.

Over several processes: `python -m paddle.distributed.launch train/__main__.py -c CONFIG`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

if __package__ in (None, ""):  # run as a file: Python put train/ first, the package is above it
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from infer.command.option_values import from_one
from infer.command.parser import Parser
from infer.command.runner import command, run_and_exit, told_when_stopped
from infer.system.log import logger
from train.config.options import add_override, add_trust, text_override
from train.config.run_folder import BEST, LATEST
from train.distributed.launcher import end_with_the_launcher
from train.engine.scalars import VIEWERS
from train.paddle_import import import_paddle
from train.process import prepare_process

if TYPE_CHECKING:
    from train.config.load import Config

log = logger("train.command")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = Parser(
        prog="python -m train",
        description="Train the networks of a config by themselves or by mutual learning.",
    )
    add = parser.add_argument
    add("-c", "--config", required=True, help="the experiment, a YAML file")
    add_override(parser)
    add(
        "-w",
        "--weights",
        metavar="FILE",
        help="checkpoint to start from, PaddleVideo's or a run's (default: the config's weights)",
    )
    add("--output", "--out", help="folder of the run (default: the config's output_dir)")
    add("--seed", type=int, help="seed of the run (default: the config's)")
    add(
        "--max-unreadable",
        type=float,
        metavar="PERCENT",
        help="share of a list's clips that may be unreadable (default: the config's, 5)",
    )
    add("--resume", action="store_true", help="go on with the run in the folder, if there is one")
    add(
        "--extend",
        type=from_one,
        default=0,
        metavar="EPOCHS",
        help="train the finished run in the folder on for so many epochs",
    )
    add(
        "--skip-missing",
        action="store_true",
        help="leave out listed clips whose files do not exist; they are counted",
    )
    add_trust(parser)
    for viewer in VIEWERS:
        told = f"write scalars for {viewer.name} to OUTPUT/{viewer.folder}"
        add(f"--{viewer.option}", action="store_true", help=told)
    return parser


@command(stopped="nothing was begun", extra="train")
def main(arguments: list[str] | None = None) -> int:
    """Run the command; see the module's docstring.

    Returns:
        0 done, 1 the loss diverged or too many clips cannot be read, 2 a mistake in config, lists
        or options.
    """
    end_with_the_launcher()
    options = parser().parse_args(arguments)
    overrides = list(options.override)
    if options.output:
        overrides.append(text_override("output_dir", options.output))
    if options.weights:
        overrides.append(text_override("weights", options.weights))
    if options.seed is not None:
        overrides.append(f"seed={options.seed}")
    if options.max_unreadable is not None:
        overrides.append(f"max_unreadable={options.max_unreadable:g}")
    if options.skip_missing:
        overrides.append("DATASET.skip_missing=true")
    # Mistakes in the config are told before Paddle is imported, which takes seconds.
    from train.config.load import load_config

    cfg = load_config(options.config, overrides, trust=options.trust)
    if cfg.ignored:
        names = ", ".join(cfg.ignored)
        log.warning(f"ignored, because these settings have no effect here: {names}")
    if cfg.repeated:
        log.warning(f"said twice, both times the same: {', '.join(cfg.repeated)}")
    folders = [Path(cfg.output_dir)]
    with told_when_stopped(lambda: _left_in(folders)):
        return _train(cfg, options, folders)


def _left_in(folders: Sequence[Path]) -> str:
    """How a run goes on that was stopped; `folders`: its own, and those of its stages."""
    if any((folder / LATEST).exists() for folder in folders):
        return "--resume goes on from the last checkpoint"
    return "before the first checkpoint: the same command begins again"


def _train(cfg: Config, options: argparse.Namespace, folders: list[Path]) -> int:
    prepare_process()
    import_paddle()
    from train.data.splits import training_datasets
    from train.stages.before import left, make

    stages = left(cfg)
    folders += [Path(one.cfg.output_dir) for one in stages if one.labelling is None]
    # Where something comes first, the dry run reads the lists.
    datasets = None if stages else training_datasets(cfg)
    from train.distributed.team import NETWORK_ERRORS, join
    from train.engine.loop import train
    from train.engine.reporter import Reporter
    from train.engine.scalars import Scalars
    from train.engine.stage_progress import stage_progress
    from train.engine.start import check_begun
    from train.engine.stopping import stop_requests
    from train.stages.dry_run import dry_run
    from train.stages.overrides import about_overrides

    folder = Path(cfg.output_dir)
    check_begun(folder, resume=options.resume, extend=options.extend)
    team = join()
    costs = dry_run(stages, cfg, team=team)
    *before, own = stage_progress(
        [*(stage.title for stage in stages), "training the student"], costs
    )

    stream = sys.stderr if team.leads else None
    viewers = [viewer for viewer in VIEWERS if getattr(options, viewer.option) and team.leads]
    scalars = Scalars(folder, viewers) if viewers else None
    reporter = Reporter(stream, scalars=scalars, stage=own)
    try:
        with stop_requests() as should_stop:
            for stage, now in zip(stages, before, strict=True):
                reporter.line(f"{now.long}  ({Path(stage.cfg.source).name})  {stage.target}")
                told = about_overrides(stage, cfg, options.override, last=own.number)
                if told is not None:
                    reporter.line(told)
                with closing(Reporter(stream, stage=now)) as shown:
                    make(stage, reporter=shown, should_stop=should_stop, team=team)
            if stages:
                reporter.line(f"{own.long}  ({Path(cfg.source).name})  {folder}")
            train_set, valid_set = datasets or training_datasets(cfg)
            progress = train(
                cfg,
                train_set=train_set,
                valid_set=valid_set,
                resume=options.resume,
                extend=options.extend,
                reporter=reporter,
                should_stop=should_stop,
                team=team,
            )
    except NETWORK_ERRORS as error:
        # Perhaps Paddle's, of a sum that nobody answers.
        lost = team.lost(error)
        if lost is None:
            raise
        raise lost from error
    finally:
        reporter.close()
    if not team.leads:
        return 0
    best = progress.best
    print(
        f"{folder}: {progress.epoch} epochs, {progress.step} steps, {progress.seconds:.0f} s; "
        f"best validation top-1 {best['top1']:.4f} in epoch {best['epoch']}; "
        f"weights in {folder / BEST}"
    )
    if progress.skipped:
        print(f"{len(progress.skipped)} times a clip could not be read and was skipped")
    return 0


if __name__ == "__main__":
    run_and_exit(main)
