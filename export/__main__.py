"""`python -m export --checkpoint RUN/best.pdparams -c CONFIG --out BUNDLE`: make a bundle."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from export.command_line import parser
from export.int8.defaults import MOST
from export.output_option import parse
from infer.command.runner import command, run_and_exit
from infer.system.errors import ClipDuetError
from infer.system.signals import import_paddle

if TYPE_CHECKING:
    from export.int8.goal import Goal


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
        options; 130 interrupted, 143 or 129 ended by SIGTERM or SIGHUP. But for 0 no bundle was
        written or changed.
    """
    options = parse(parser(), arguments)
    # Mistakes in the config are told before Paddle is imported, which takes seconds.
    from train.config.load import load_config, run_config

    config = options.config or run_config(Path(options.checkpoint))
    cfg = load_config(config, options.override, trust=options.trust)
    import_paddle()
    from export.assemble.bundle import ACTIVATIONS, ExportOptions, export_bundle
    from export.int8.quantize import KEEP_FLOAT

    export_bundle(
        cfg,
        options.checkpoint,
        options.out,
        options=ExportOptions(
            name=options.name,
            max_batch=options.max_batch,
            fp16=not options.no_fp16,
            int8=()
            if options.no_int8
            else tuple(k for k, a in ACTIVATIONS.items() if options.activations in (a, "both")),
            calibration_clips=options.calibration_clips,
            verify_clips=options.verify_clips,
            calibrator=options.calibrator,
            reduce_range=options.reduce_range,
            threads=options.threads,
            keep_float=(*KEEP_FLOAT, *options.keep_float),
            goal=_goal(options),
            most_float=MOST if options.int8_most is None else options.int8_most,
            qat=Path(options.qat) if options.qat else None,
            require=tuple(options.require),
        ),
    )
    return 0


def _goal(options: argparse.Namespace) -> Goal | None:
    from export.int8.goal import Goal

    if options.int8_goal is None:
        for name, value in (("least", options.int8_least), ("most", options.int8_most)):
            if value is not None:
                raise ClipDuetError(
                    f"--int8-{name} needs --int8-goal, the largest loss that is allowed"
                )
        return None
    return Goal(options.int8_goal, options.int8_least)


if __name__ == "__main__":
    run_and_exit(main)
