"""What must fit together within a MODEL block: classes, channels, frames, names, losses.

Every check takes the blocks that are well-formed in themselves and leaves out the others, so that
one message holds both kinds of mistakes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import TypeAdapter

from train.config.blocks import Blocks, dig
from train.config.errors import Location, Mistake, as_yaml, dotted, unknown_name
from train.config.schema.losses import (
    FEATURES,
    MUTUAL,
    DKDLoss,
    EnsembleLoss,
    LabelLoss,
    Loss,
    RKDLoss,
    layers_of,
    pairs_of,
)
from train.config.schema.model import (
    CONNECTORS,
    GROUND_TRUTH,
    STUDENT,
    Backbone,
    Head,
    MoViNetHeadOptions,
    PPTSMHeadOptions,
    PPTSMv2Backbone,
    ResNetTweaksTSMBackbone,
)

_BACKBONE: TypeAdapter[Any] = TypeAdapter(Backbone)
_HEAD: TypeAdapter[Any] = TypeAdapter(Head)
_LOSS: TypeAdapter[Any] = TypeAdapter(Loss)


class NetworkPart(NamedTuple):
    """A network of the config; parts that are not well-formed are None."""

    role: str
    where: Location
    backbone: PPTSMv2Backbone | ResNetTweaksTSMBackbone | None
    head: MoViNetHeadOptions | PPTSMHeadOptions | None

    def classes(self) -> tuple[Location, int] | None:
        """Width of the logits and the key that says it."""
        if isinstance(self.head, PPTSMHeadOptions):
            return (*self.where, "head", "num_classes"), self.head.num_classes
        if isinstance(self.backbone, PPTSMv2Backbone):
            return (*self.where, "backbone", "class_num"), self.backbone.class_num
        return None


def check_model(blocks: Blocks) -> Iterator[Mistake]:
    """Checks within the MODEL block."""
    model, networks = blocks.written("MODEL"), list(networks_of(blocks))
    for network in networks:
        yield from _check_network(network)
    yield from _same_classes(networks)
    if isinstance(model, Mapping) and model.get("framework") == "RecognizerDistillation":
        yield from _check_roles(model, networks)
        yield from _check_losses(blocks, model, networks)


def networks_of(blocks: Blocks) -> Iterator[NetworkPart]:
    """The networks of a MODEL block, as far as it has any."""

    def placed(role: str, *where: str | int) -> NetworkPart:
        backbone = blocks.checked(_BACKBONE, *where, "backbone")
        return NetworkPart(role, where, backbone, blocks.checked(_HEAD, *where, "head"))

    models = blocks.written("MODEL", "models")
    if isinstance(models, list):
        for index, entry in enumerate(models):
            if isinstance(entry, Mapping) and len(entry) == 1:
                (role,) = entry
                yield placed(role, "MODEL", "models", index, role)
    elif isinstance(blocks.written("MODEL"), Mapping):
        yield placed(STUDENT, "MODEL")


def _check_network(network: NetworkPart) -> Iterator[Mistake]:
    backbone, head, where = network.backbone, network.head, (*network.where, "head")
    if isinstance(backbone, PPTSMv2Backbone) and isinstance(head, PPTSMHeadOptions):
        what = "ppTSMHead needs features, PPTSM_v2 ends in logits; use MoViNetHead"
        yield Mistake((*where, "name"), what)
    if isinstance(backbone, ResNetTweaksTSMBackbone) and isinstance(head, MoViNetHeadOptions):
        what = "MoViNetHead needs logits, ResNetTweaksTSM ends in features; use ppTSMHead"
        yield Mistake((*where, "name"), what)
    if isinstance(backbone, ResNetTweaksTSMBackbone) and isinstance(head, PPTSMHeadOptions):
        if head.in_channels != backbone.features:
            what = (
                f"is {head.in_channels}, must be {backbone.features}, the channels of "
                f"ResNetTweaksTSM at depth {backbone.depth} and width {backbone.width:g}"
            )
            yield Mistake((*where, "in_channels"), what)
        if head.num_seg != backbone.num_seg:
            what = f"is {head.num_seg}, but the backbone's is {backbone.num_seg}"
            yield Mistake((*where, "num_seg"), what)


def _same_classes(networks: list[NetworkPart]) -> Iterator[Mistake]:
    widths = [width for network in networks if (width := network.classes()) is not None]
    for where, classes in widths[1:]:
        if classes != widths[0][1]:
            what = f"is {classes}, but {dotted(widths[0][0])} is {widths[0][1]}"
            yield Mistake(where, f"{what}: all networks tell the same classes apart")


def _check_roles(model: Mapping[str, Any], networks: list[NetworkPart]) -> Iterator[Mistake]:
    where = ("MODEL", "models")
    roles = [network.role for network in networks]
    models = model.get("models")
    complete = isinstance(models, list) and len(models) == len(networks)
    if complete and STUDENT not in roles:
        yield Mistake(where, f"has no {STUDENT}, which is the network that is deployed")
    for network in networks:
        if network.role == GROUND_TRUTH:
            yield Mistake(network.where, f"{GROUND_TRUTH} is the name of the labels")
        if network.role == CONNECTORS:
            yield Mistake(network.where, f"{CONNECTORS} is the name of what losses learn")
        if roles.count(network.role) > 1 and network.where[2] != roles.index(network.role):
            yield Mistake(network.where, f"the name {network.role} is taken; names must differ")
    frozen = model.get("freeze_params_list") or []
    if not complete or not isinstance(frozen, list):
        return
    if frozen and len(frozen) != len(roles):
        what = f"has {len(frozen)} entries for {len(roles)} models ({', '.join(map(str, roles))})"
        yield Mistake(("MODEL", "freeze_params_list"), what)
    elif STUDENT in roles and frozen and frozen[roles.index(STUDENT)] is True:
        what = f"freezes {STUDENT}: the network that is deployed would not learn"
        yield Mistake(("MODEL", "freeze_params_list", roles.index(STUDENT)), what)


def _check_losses(
    blocks: Blocks, model: Mapping[str, Any], networks: list[NetworkPart]
) -> Iterator[Mistake]:
    roles = [network.role for network in networks]
    frozen = _frozen(model, roles)
    for mode in ("Train", "Val"):
        for where, loss in losses_of(blocks, mode):
            if loss is not None:
                yield from _check_pairs(loss, roles, (*where, "model_name_pairs"))
                yield from _check_layers(loss, mode, where)
                yield from _check_fall(loss, where)
                yield from _check_learners(loss, frozen or set(), (*where, "model_name_pairs"))
    for network in networks:
        if isinstance(network.head, (MoViNetHeadOptions, PPTSMHeadOptions)) and network.head.ls_eps:
            what = "labels are smoothed by Recognizer2D only; the terms of MODEL.loss have no such"
            yield Mistake((*network.where, "head", "ls_eps"), f"{what} setting: leave it out")
        yield from _check_network_settings(model, network, frozen)
    if frozen is None or not networks or not _well_formed(blocks):
        return
    terms = [loss for _, loss in losses_of(blocks, "Train")]
    for role in roles:
        if role not in frozen:
            yield from _check_taught(role, [loss for loss in terms if role in _taught(loss)])
    if model.get("update") == "alternating" and len(set(roles) - frozen) < 2:
        what = "alternating needs two networks that learn; leave it out"
        yield Mistake(("MODEL", "update"), what)


def _taught(loss: Any) -> set[str]:
    """Who learns from a term."""
    return {role for pair in pairs_of(loss.model_name_pairs) for role in _learners(loss, pair)}


def _learners(loss: Any, pair: Sequence[str]) -> set[str]:
    return set(pair) if isinstance(loss, (LabelLoss, *MUTUAL)) else {pair[0]}


def _check_fall(loss: Any, where: Location) -> Iterator[Mistake]:
    """A factor has risen before it falls, and falls where it has a floor."""
    if loss.ramp is not None and loss.decay is not None and loss.decay[0] < loss.ramp[1]:
        what = f"begins at {loss.decay[0]:g}, before the ramp ends at {loss.ramp[1]:g}"
        yield Mistake((*where, "decay"), f"{what}: the factor would rise and fall at once")
    if loss.floor and loss.decay is None:
        what = "is where a decay ends: add decay: [from, to], or leave it out"
        yield Mistake((*where, "floor"), what)


def _check_learners(loss: Any, frozen: set[str], where: Location) -> Iterator[Mistake]:
    """A pair of a term teaches somebody."""
    for pair in pairs_of(loss.model_name_pairs):
        if _learners(loss, pair) <= frozen:
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


def _well_formed(blocks: Blocks) -> bool:
    """Whether both lists of terms are there, and each term is what it should be."""
    return all(
        isinstance(blocks.written("MODEL", "loss", mode), list)
        and all(loss is not None for _, loss in losses_of(blocks, mode))
        for mode in ("Train", "Val")
    )


def losses_of(blocks: Blocks, mode: str) -> Iterator[tuple[Location, Any]]:
    """The terms of a list with their places; None for those that are not well-formed."""
    terms = blocks.written("MODEL", "loss", mode)
    for index in range(len(terms) if isinstance(terms, list) else 0):
        where = ("MODEL", "loss", mode, index)
        yield where, blocks.checked(_LOSS, *where)


def _frozen(model: Mapping[str, Any], roles: list[str]) -> set[str] | None:
    """The networks that do not learn; None where the list is not well-formed."""
    flags = model.get("freeze_params_list") or [False] * len(roles)
    if not isinstance(flags, list) or len(flags) != len(roles):
        return None
    return {role for role, flag in zip(roles, flags, strict=True) if flag is True}


def _check_network_settings(
    model: Mapping[str, Any], network: NetworkPart, frozen: set[str] | None
) -> Iterator[Mistake]:
    block = dig(model, *network.where[1:])
    if network.role == STUDENT and dig(block, "input"):
        what = f"{STUDENT} sees the clips as deployment does: change PIPELINE instead"
        yield Mistake((*network.where, "input"), what)
    if dig(block, "amp") and frozen is not None and network.role not in frozen:
        what = f"is for frozen networks; {network.role} learns, at the precision of the run's amp"
        yield Mistake((*network.where, "amp"), what)
    if dig(block, "trainable") and frozen is not None and network.role in frozen:
        yield Mistake((*network.where, "trainable"), f"{network.role} is frozen: nothing learns")


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
    if mode == "Val" and (isinstance(loss, FEATURES) or relation):
        yield Mistake((*where, "name"), f"{loss.name} looks into layers, in training only")
    if not isinstance(loss, FEATURES) or not hasattr(loss, "connector"):
        return
    counts = {key: layers_of(getattr(loss, key, None)) for key in ("s_key", "t_key", "t_norm")}
    for key in ("t_key", "t_norm"):
        if counts[key] and len(counts[key]) != len(counts["s_key"]):
            what = f"names {len(counts[key])} layers, s_key {len(counts['s_key'])}: they are pairs"
            yield Mistake((*where, key), what)


def needs_labels(blocks: Blocks) -> Iterator[Location]:
    """Places of the terms that clips without labels cannot train."""
    if blocks.written("MODEL", "framework") == "Recognizer2D":
        yield ("MODEL", "framework")
    for where, loss in losses_of(blocks, "Train"):
        if (
            isinstance(loss, LabelLoss)
            or (isinstance(loss, DKDLoss) and not loss.use_target_as_gt)
            or (isinstance(loss, EnsembleLoss) and loss.ensemble != "mean")
        ):
            yield (*where, "name")
