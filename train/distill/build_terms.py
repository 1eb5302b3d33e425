"""From the blocks of `MODEL.loss` to terms."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from paddle import Tensor, nn

from train.config.errors import ConfigError, Mistake
from train.config.schema.losses import pairs_of
from train.config.schema.model import GROUND_TRUTH
from train.distill.term_features import FEATURES, Sides
from train.distill.terms import Outputs, Term
from train.losses import (
    Target,
    collaborative,
    cross_entropy,
    decoupled,
    dist,
    js_divergence,
    kl_divergence,
    mutual,
)
from train.plugins.registry import BUILDERS, OF_EVERY_TERM, Response

RESPONSES = {
    "DistillationDMLLoss": Response("DML", mutual, both_learn=True),
    "DistillationEnsembleLoss": Response("KDCL", collaborative, both_learn=True, labels=True),
    "DistillationKLDivLoss": Response("KD", kl_divergence),
    "DistillationJSDivLoss": Response("JS", js_divergence),
    "DistillationDKDLoss": Response("DKD", decoupled, labels=True),
    "DistillationDISTLoss": Response("DIST", dist, between=True),
}


def label_term(role: str, *, label_smoothing: float = 0.0) -> Term:
    """Cross-entropy of one network to the labels."""

    def compute(outputs: Outputs, target: Target) -> Tensor:
        return cross_entropy(outputs[role], target, label_smoothing=label_smoothing)

    return Term(f"{role}.CE", compute, learners=(role,), reads=(role,))


def _of_labels(sides: Sides, **settings: Any) -> Term:
    return label_term(sides.b if sides.a == GROUND_TRUTH else sides.a, **settings)


BUILDERS.update({
    **RESPONSES,
    **FEATURES,
    "DistillationCELoss": _of_labels,
    "CrossEntropyLoss": _of_labels,
})  # fmt: skip


def build_terms(
    loss: Sequence[Mapping[str, Any]],
    networks: Mapping[str, nn.Sequential],
    blocks: Mapping[str, Mapping[str, Any]],
    *,
    seed_layer: Callable[[int], object],
) -> list[Term]:
    """The terms of one list of `MODEL.loss`.

    Args:
        loss: its blocks (validated by `train.config.load`).
        networks: `Sequential(backbone, head)` by role.
        blocks: the networks' settings by role.
        seed_layer: called with a term's number before it draws parameters.

    Raises:
        ConfigError: layers that are not there, with the nearest ones; all at once.
    """
    terms: list[Term] = []
    mistakes: list[Mistake] = []
    for index, block in enumerate(loss):
        where = ("MODEL", "loss", "Train", index)
        for a, b in pairs_of(block["model_name_pairs"]):
            seed_layer(len(terms))
            term = _build(block, Sides(a, b, networks, blocks, where, mistakes))
            if term is None:
                continue
            # A figure's name is its key: two terms of one kind must not be one.
            same = sum(other.name.partition("#")[0] == term.name for other in terms)
            terms.append(
                dataclasses.replace(
                    term,
                    name=f"{term.name}#{same + 1}" if same else term.name,
                    weight=float(block.get("loss_weight", 1.0)),
                    ramp=tuple(block["ramp"]) if block.get("ramp") else None,
                    decay=tuple(block["decay"]) if block.get("decay") else None,
                    floor=float(block.get("floor", 0.0)),
                )
            )
    if mistakes:
        raise ConfigError("MODEL", mistakes)
    return terms


def _build(block: Mapping[str, Any], sides: Sides) -> Term | None:
    """None where the block's layers are wrong, which is then told in `sides.mistakes`."""
    settings = {key: value for key, value in block.items() if key not in OF_EVERY_TERM}
    build = BUILDERS.get(block["name"])
    if build is None:
        what = f"{block['name']} is of a plugin that is not loaded; name its module: --plugins"
        sides.mistakes.append(Mistake((*sides.where, "name"), what))
        return None
    if isinstance(build, Response):
        return _response(build, sides, settings)
    term: Term | None = build(sides, **settings)
    return term


def _response(method: Response, sides: Sides, settings: Mapping[str, Any]) -> Term:
    def compute(outputs: Outputs, target: Target) -> Tensor:
        labels = (target,) if method.labels else ()
        pair = outputs[sides.a], outputs[sides.b]
        if method.between:
            pair = outputs.whole(pair[0]), outputs.whole(pair[1])
        return method.loss(*pair, *labels, **settings)

    learners = (sides.a, sides.b) if method.both_learn else (sides.a,)
    name = f"{sides.a}-{sides.b}.{method.short}"
    return Term(name, compute, learners=learners, reads=(sides.a, sides.b))
