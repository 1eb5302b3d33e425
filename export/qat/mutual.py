"""A run's networks go on learning from each other while the Student rounds.

So what the Student learns is what 8 bits can hold, and its partners learn what it can say in them
(quantisation-aware mutual learning). Labels, terms and weights are the run's; what rises or falls
along the run is where it was at the end. The partners start from the run's checkpoint, compute
with floats, learn if they learnt in the run, and stay behind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from paddle import Tensor, nn

from export.qat.trained import QatError
from train.checkpoints.checkpoint import CheckpointError, load_file, set_weights
from train.checkpoints.teachers import network_weights
from train.config.load import Config
from train.config.networks import blocks_of
from train.distill.recognizers import STUDENT, Recognizer
from train.engine.run import built_networks


def mutual_recognizer(cfg: Config, checkpoint: Path, rounded: Callable[[], nn.Layer]) -> Recognizer:
    """The networks of a run with a Student that rounds; its input are clips of bytes.

    Args:
        cfg: the run's config.
        checkpoint: the run's weights.
        rounded: makes the Student: uint8 clips `[N, T, H, W, 3]` to logits. Called once more for
            each of `MODEL.averages` that follows the Student, since an average of roundings has
            to be rounded alike.

    Raises:
        QatError: the checkpoint lacks a partner.
        CheckpointError: it belongs to another config.
    """
    built, pixels = built_networks(cfg)
    weights = partner_weights(cfg, load_file(checkpoint, trust=cfg.trust), source=checkpoint)
    networks: dict[str, nn.Layer] = {}
    adapters: dict[str, Callable[[Tensor], Tensor]] = {}
    for role, network in built.networks.items():
        if STUDENT in (role, built.averages[role].role if role in built.averages else None):
            networks[role] = rounded()
            continue
        if role in weights:
            set_weights(network, weights[role], source=checkpoint)
        networks[role] = network
        adapters[role] = _after(pixels, built.adapters.get(role))
    return Recognizer(
        networks,
        {**built.terms, "Train": [term.at_end() for term in built.terms["Train"]]},
        frozen=built.frozen,
        update=built.update,
        adapters=adapters,
        precisions=built.precisions,
        averages=built.averages,
    )


def partner_weights(cfg: Config, content: Any, *, source: Path) -> dict[str, Mapping[str, Any]]:
    """The weights of every network of a config but the Student, by role.

    Args:
        cfg: the run's config.
        content: of a checkpoint.
        source: its file, for messages.

    Raises:
        QatError: they are not in it.
    """
    partners = [role for role in blocks_of(cfg.model) if role != STUDENT]
    try:
        return {role: network_weights(source, role, read=lambda _: content)[1] for role in partners}
    except CheckpointError as error:
        raise QatError(
            f"{error}. QAT.loss: run goes on with all networks of the run ({', '.join(partners)} "
            "besides the Student): name the run's own best.pdparams or latest.ckpt, which hold "
            "them, or take QAT.loss: self"
        ) from error


def _after(
    pixels: nn.Layer, adapter: Callable[[Tensor], Tensor] | None
) -> Callable[[Tensor], Tensor]:
    """From clips of bytes to what a network of the run sees."""
    if adapter is None:
        return pixels
    return lambda clips: adapter(pixels(clips))
