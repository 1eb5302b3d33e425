"""Overrides of a command change its run alone: what is said where a stage comes before it."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence

from train.config.schema.before import Training
from train.config.schema.experiment import Config
from train.stages.stage import Stage

_PLAIN = re.compile(r"[\w./=+-]+")
"""What stands in a list of YAML without quotes."""


def about_overrides(
    stage: Stage, cfg: Config, overrides: Sequence[str], *, last: int
) -> str | None:
    """How the overrides of a command reach a stage that they do not change.

    Args:
        stage: what is about to be made.
        cfg: the run that needs it.
        overrides: those that were given as such, `a.b=value`.
        last: the number of the stage that they change.

    Returns:
        One line; None where there are none, or where the command says what the stage takes.
    """
    block = cfg.BEFORE.get(stage.name)
    own = [text for text in overrides if text.partition(".")[0].partition("=")[0] != "BEFORE"]
    # The configs of other stages' stages have BEFORE blocks of their own.
    if not own or len(own) < len(overrides) or stage.owner is not cfg:
        return None
    if not isinstance(block, Training):
        return None
    listed = ", ".join(_in_list(text) for text in [*block.override, own[0]])
    example = shlex.quote(f"BEFORE.{stage.name}.override=[{listed}]")
    return f"-o settings are of stage {last}; this stage takes its own, such as -o {example}"


def _in_list(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)
