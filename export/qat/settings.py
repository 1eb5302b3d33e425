"""What a config may ask of a fine-tune for 8 bits, and what it may not."""

from __future__ import annotations

from collections.abc import Iterator

from export.qat.trained import QatError
from infer.system.errors import listed
from train.config.load import Config
from train.config.schema.experiment import Qat
from train.config.schema.losses import pairs_of
from train.config.schema.model import GROUND_TRUTH, STUDENT, RecognizerDistillation


def qat_settings(cfg: Config) -> Qat:
    """The QAT block, or its defaults."""
    return cfg.QAT or Qat()


def check_settings(cfg: Config) -> None:
    """Refuse what a fine-tune cannot do, and what has no meaning for it.

    Raises:
        QatError: tells all of it.
    """
    problems = list(_of_mutual(cfg) if qat_settings(cfg).loss == "run" else _of_self(cfg))
    if problems:
        what = "settings that do not fit a fine-tune for 8 bits"
        raise QatError(listed(what, problems) if problems[1:] else problems[0])


def _of_self(cfg: Config) -> Iterator[str]:
    if cfg.MIX is not None:
        yield "MIX blends clips, and the teacher wants clips of bytes: set MIX: null"


def _of_mutual(cfg: Config) -> Iterator[str]:
    """Where the run's other networks learn along."""
    settings, defaults = qat_settings(cfg), Qat()
    for name in ("temperature", "label_weight"):
        value = getattr(settings, name)
        if value != getattr(defaults, name):
            yield (
                f"QAT.{name} is {value:g}, which is for QAT.loss: self; with QAT.loss: run the "
                f"weights and temperatures are those of MODEL.loss.Train: leave QAT.{name} out"
            )
    if cfg.EMA is not None:
        yield "EMA averages weights, and a fine-tune keeps the last ones: set EMA: null"
    if cfg.PRECISEBN is not None:
        yield "PRECISEBN is for batch norms, and the Student's are folded: set PRECISEBN: null"
    if not isinstance(cfg.MODEL, RecognizerDistillation):
        yield (
            "QAT.loss is run, but MODEL is one network, which has no partner to learn with: take "
            "the config of a run with several networks, or QAT.loss: self"
        )
        return
    shared = 0.0
    for index, loss in enumerate(cfg.MODEL.loss.Train):
        if getattr(loss, "s_key", None) or getattr(loss, "t_key", None):
            yield (
                f"MODEL.loss.Train.{index} is a {loss.name} of layers, which an 8-bit graph does "
                "not have: name the terms to learn by, of logits and labels, as MODEL.loss.Train "
                "in the file after --qat"
            )
        pairs = pairs_of(loss.model_name_pairs)
        if any(STUDENT in pair and GROUND_TRUTH not in pair for pair in pairs):
            shared += loss.loss_weight * (loss.floor if loss.decay else 1.0)
    if not shared:
        yield (
            "no term of MODEL.loss.Train lets the Student learn with another network at the end of "
            "the run, which is where a fine-tune goes on: give one a loss_weight, or a decay a "
            "floor, or take QAT.loss: self"
        )
