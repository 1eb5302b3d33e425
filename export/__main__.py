"""`python -m export --checkpoint RUN/best.pdparams -c CONFIG --out BUNDLE`: make a bundle."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from export.assemble.folder import OutputError, check_target
from export.assemble.options import ACTIVATIONS, ExportOptions
from export.command_line import parser
from export.int8.defaults import MOST, Goal
from export.int8.quantize import KEEP_FLOAT
from export.option_limits import OptionError, memory_problems, refuse
from export.output_option import parse_options
from infer.command.runner import command, run_and_exit
from infer.system.errors import ClipDuetError
from train.paddle_import import import_paddle

if TYPE_CHECKING:
    from train.config.load import Config


@command(
    stopped="no bundle was written",
    failed="No bundle was written.",
    extra="export",
    information="stdout",
)
def main(arguments: list[str] | None = None) -> int:
    """Run the command.

    Returns:
        0 done, perhaps without a precision that failed and was not required; 1 a required
        artefact could not be made or verified; 2 a mistake in config, checkpoint, lists or
        options. But for 0 no bundle was written or changed.
    """
    given = parse_options(parser(), arguments)
    # Mistakes are told before Paddle is imported, which takes seconds.
    cfg, options = _checked(given)
    import_paddle()
    from export.assemble.bundle import export_bundle

    export_bundle(cfg, given.checkpoint, given.out, options=options)
    return 0


def _checked(arguments: argparse.Namespace) -> tuple[Config, ExportOptions]:
    """The config and the options, or everything that is wrong with them and the output."""
    from train.config.load import checkpoint_file, load_config, run_config

    problems: list[str] = []
    if arguments.int8_goal is None:
        problems += [
            f"--int8-{name} needs --int8-goal, the largest loss that is allowed"
            for name in ("least", "most")
            if getattr(arguments, f"int8_{name}") is not None
        ]
    try:
        options = _options(arguments)
    except OptionError as error:
        problems += error.problems
    try:
        check_target(arguments.out)
    except OutputError as error:
        problems.append(str(error))
    try:
        arguments.checkpoint = checkpoint_file(arguments.checkpoint)
    except ClipDuetError as error:
        problems.append(str(error))
        # Without it, and without -c, there is no config to look for either.
        if not arguments.config:
            if len(problems) == 1:
                raise
            refuse(problems)
    try:
        config = arguments.config or run_config(arguments.checkpoint)
        # A bundle is made of weights: it needs nothing of the plugins that the run's config names.
        cfg = load_config(
            config, arguments.override, trust=arguments.trust, stored=not arguments.config
        )
        if not problems:
            problems += memory_problems(
                "max_batch", options.max_batch, cfg.specs["valid"].clip_shape
            )
    except ClipDuetError as error:
        if not problems:
            raise
        problems.append(str(error))
    refuse(problems)
    return cfg, options


def _options(arguments: argparse.Namespace) -> ExportOptions:
    goal, most = arguments.int8_goal, arguments.int8_most
    wanted = tuple(k for k, a in ACTIVATIONS.items() if arguments.activations in (a, "both"))
    return ExportOptions(
        name=arguments.name or Path(os.path.realpath(arguments.out)).name,
        max_batch=arguments.max_batch,
        fp16=not arguments.no_fp16,
        int8=() if arguments.no_int8 else wanted,
        calibration_clips=arguments.calibration_clips,
        verify_clips=arguments.verify_clips,
        calibrator=arguments.calibrator,
        reduce_range=arguments.reduce_range,
        threads=arguments.threads,
        keep_float=(*KEEP_FLOAT, *arguments.keep_float),
        goal=None if goal is None else Goal(goal, arguments.int8_least),
        most_float=MOST if most is None else most,
        qat=Path(arguments.qat) if arguments.qat else None,
        require=tuple(arguments.require),
    )


if __name__ == "__main__":
    run_and_exit(main)
