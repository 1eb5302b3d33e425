"""From a config's MODEL block to its networks, with the losses that tie them together.

`Recognizer2D` is one network learning from the labels; `RecognizerDistillation` is several
that also learn from each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from train.config.networks import blocks_of, places_of
from train.config.schema.losses import layers_of
from train.config.schema.model import STUDENT
from train.distill.averages import add_averages
from train.distill.build_terms import build_terms, label_term
from train.distill.recognizers import Recognizer, SingleRecognizer, seed_draws
from train.distill.trainable import freeze_others
from train.models import build_network
from train.models.pixels import PixelInput, input_adapter


def build_recognizer(
    model: Mapping[str, Any], *, seed: int, pixels: PixelInput | None = None
) -> Recognizer:
    """Build the networks and losses of a MODEL block (validated by `train.config.load`).

    Every network's initial weights come from a generator seeded by `seed` and its role alone,
    so the student of a pair starts where the same student starts that trains without one: a
    comparison of the two then compares the training, not the draw.

    Args:
        model: `framework`, and `backbone` and `head` or `models` and `loss`.
        seed: the run's seed.
        pixels: the normalisation of the clips, which a network with another one is told.

    Raises:
        ConfigError: a layer that the losses, or `trainable`, name is not there.
    """
    blocks = blocks_of(model)
    networks = {}
    for role, block in blocks.items():
        seed_draws(seed, role)
        networks[role] = build_network(block)
    patterns = {role: layers_of(block.get("trainable")) for role, block in blocks.items()}
    freeze_others(networks, patterns, places_of(model))
    if model["framework"] == "Recognizer2D":
        smoothing = float(model["head"].get("ls_eps") or 0.0)
        terms = {
            "Train": [label_term(STUDENT, label_smoothing=smoothing)],
            "Val": [label_term(STUDENT)],
        }
        return SingleRecognizer(networks, terms)
    flags = model.get("freeze_params_list") or [False] * len(networks)
    frozen = frozenset(role for role, flag in zip(networks, flags, strict=True) if flag)
    averages = add_averages(model, networks, blocks)
    terms = {
        mode: build_terms(loss, networks, blocks, seed_layer=partial(seed_draws, seed, mode))
        for mode, loss in model["loss"].items()
    }
    return Recognizer(
        networks,
        terms,
        frozen=frozen,
        update=model.get("update", "together"),
        adapters={
            r: input_adapter(pixels, **b["input"]) for r, b in blocks.items() if b.get("input")
        },
        precisions={role: block["amp"] for role, block in blocks.items() if block.get("amp")},
        averages=averages,
    )
