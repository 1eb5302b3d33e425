"""What must fit together in `MODEL.loss`: names of networks, layers, factors, and who learns.

As in `train.config.model_checks`, terms that are not well-formed are left out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from pydantic import TypeAdapter

from train.config.blocks import Blocks
from train.config.errors import Location, Mistake, as_yaml, unknown_name
from train.config.schema.any_loss import Loss, facts_of
from train.config.schema.losses import (
    DKDLoss,
    EnsembleLoss,
    LabelLoss,
    RKDLoss,
    layers_of,
    pairs_of,
)
from train.config.schema.model import GROUND_TRUTH

_LOSS: TypeAdapter[Any] = TypeAdapter(Loss)


def check_losses(
    blocks: Blocks, roles: Sequence[str], frozen: Collection[str] | None, averages: Collection[str]
) -> Iterator[Mistake]:
    """Checks of the terms.

    Args:
        blocks: the config.
        roles: names of `MODEL.models`.
        frozen: those that do not learn; None where that is not well-formed.
        averages: names of `MODEL.averages`.
    """
    for mode in ("Train", "Val"):
        for where, loss in losses_of(blocks, mode):
            if loss is not None:
                pairs = (*where, "model_name_pairs")
                yield from _check_pairs(loss, [*roles, *averages], pairs)
                yield from _check_layers(loss, mode, where)
                yield from _check_fall(loss, where)
                yield from _check_learners(loss, frozen or (), averages, pairs)
    if frozen is None or not roles or not _well_formed(blocks):
        return
    terms = [loss for _, loss in losses_of(blocks, "Train")]
    for role in roles:
        if role not in frozen:
            yield from _check_taught(role, [loss for loss in terms if role in _taught(loss)])
    read = {role for loss in terms for pair in pairs_of(loss.model_name_pairs) for role in pair}
    for role in averages:
        if role not in read:
            what = "no term of MODEL.loss.Train reads it: it would cost time for nothing"
            yield Mistake(("MODEL", "averages", role), what)


def losses_of(blocks: Blocks, mode: str) -> Iterator[tuple[Location, Any]]:
    """The terms of a list with their places; None for those that are not well-formed."""
    terms = blocks.written("MODEL", "loss", mode)
    for index in range(len(terms) if isinstance(terms, list) else 0):
        where = ("MODEL", "loss", mode, index)
        yield where, blocks.checked(_LOSS, *where)


def needs_labels(blocks: Blocks) -> Iterator[Location]:
    """Places of the terms that clips without labels cannot train."""
    if blocks.written("MODEL", "framework") == "Recognizer2D":
        yield ("MODEL", "framework")
    for where, loss in losses_of(blocks, "Train"):
        if (
            facts_of(loss).labels
            or (isinstance(loss, DKDLoss) and not loss.use_target_as_gt)
            or (isinstance(loss, EnsembleLoss) and loss.ensemble != "mean")
        ):
            yield (*where, "name")


def _well_formed(blocks: Blocks) -> bool:
    """Whether both lists of terms are there, and each term is what it should be."""
    return all(
        isinstance(blocks.written("MODEL", "loss", mode), list)
        and all(loss is not None for _, loss in losses_of(blocks, mode))
        for mode in ("Train", "Val")
    )


def _taught(loss: Any) -> set[str]:
    """Who learns from a term."""
    return {role for pair in pairs_of(loss.model_name_pairs) for role in _learners(loss, pair)}


def _learners(loss: Any, pair: Sequence[str]) -> set[str]:
    return set(pair) if facts_of(loss).both_learn else {pair[0]}


def _check_fall(loss: Any, where: Location) -> Iterator[Mistake]:
    """A factor has risen before it falls, and falls where it has a floor."""
    if loss.ramp is not None and loss.decay is not None and loss.decay[0] < loss.ramp[1]:
        what = f"begins at {loss.decay[0]:g}, before the ramp ends at {loss.ramp[1]:g}"
        yield Mistake((*where, "decay"), f"{what}: the factor would rise and fall at once")
    if loss.floor and loss.decay is None:
        what = "is where a decay ends: add decay: [from, to], or leave it out"
        yield Mistake((*where, "floor"), what)


def _check_learners(
    loss: Any, frozen: Collection[str], averages: Collection[str], where: Location
) -> Iterator[Mistake]:
    """A pair of a term teaches somebody."""
    for pair in pairs_of(loss.model_name_pairs):
        learners = _learners(loss, pair)
        if learners & set(averages) and learners <= {*averages, GROUND_TRUTH}:
            average = next(role for role in pair if role in averages)
            what = f"{average} is an average, which takes no gradient: nobody would learn from it"
            yield Mistake(where, what)
        elif learners <= {*frozen, *averages}:
            what = f"{pair[0]}, which would learn from it, is frozen; the learner is first"
            yield Mistake(where, what)


def _check_taught(role: str, terms: Sequence[Any]) -> Iterator[Mistake]:
    """A network that is not frozen learns in every step; `terms` teach it."""
    weighty = [loss for loss in terms if loss.loss_weight]
    if any(loss.ramp is None and (loss.decay is None or loss.floor) for loss in weighty):
        return
    what = f"no term holds {role}, which is not frozen: it would never learn"
    if weighty:
        kind = "a ramp" if all(loss.ramp for loss in weighty) else "a ramp, or a decay to 0"
        what = f"every term that teaches {role} has {kind}: leave it out of one of them"
    elif terms:
        what = f"every term that teaches {role} has loss_weight 0: it would never learn"
    yield Mistake(("MODEL", "loss", "Train"), what)


def _check_pairs(loss: Any, roles: list[str], where: Location) -> Iterator[Mistake]:
    labels = isinstance(loss, LabelLoss)
    allowed = [*roles, GROUND_TRUTH] if labels else roles
    for pair in pairs_of(loss.model_name_pairs):
        unknown = [name for name in pair if name not in allowed]
        for name in unknown:
            if name == GROUND_TRUTH:
                what = f"{loss.name} compares two networks, not one with {GROUND_TRUTH}"
                yield Mistake(where, what)
            else:
                yield Mistake(where, unknown_name("network", name, allowed))
        if unknown:
            continue
        if not labels and pair[0] == pair[1]:
            yield Mistake(where, f"{loss.name} needs two different networks, not {as_yaml(pair)}")
        elif labels and pair.count(GROUND_TRUTH) != 1:
            what = f"{loss.name} needs one network and {GROUND_TRUTH}, not {as_yaml(pair)}"
            yield Mistake(where, what)


def _check_layers(loss: Any, mode: str, where: Location) -> Iterator[Mistake]:
    relation = isinstance(loss, RKDLoss) and bool(loss.s_key or loss.t_key)
    if mode == "Val" and (facts_of(loss).layers or relation):
        yield Mistake((*where, "name"), f"{loss.name} looks into layers, in training only")
    if not facts_of(loss).layers or not hasattr(loss, "connector"):
        return
    counts = {key: layers_of(getattr(loss, key, None)) for key in ("s_key", "t_key", "t_norm")}
    for key in ("t_key", "t_norm"):
        if counts[key] and len(counts[key]) != len(counts["s_key"]):
            what = f"names {len(counts[key])} layers, s_key {len(counts['s_key'])}: they are pairs"
            yield Mistake((*where, key), what)
