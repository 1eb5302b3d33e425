"""What must fit together within a MODEL block: classes, channels, frames, names, losses.

Every check takes the blocks that are well-formed in themselves and leaves out the others, so that
one message holds both kinds of mistakes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from pydantic import TypeAdapter

from train.config.blocks import Blocks, dig
from train.config.errors import Location, Mistake, dotted, unknown_name
from train.config.loss_checks import check_losses
from train.config.schema.model import (
    CONNECTORS,
    GROUND_TRUTH,
    STUDENT,
    AnyBackbone,
    AveragedNetwork,
    Backbone,
    Head,
    LogitsBackbone,
    MoViNetHeadOptions,
    PPTSMHeadOptions,
    ResNetTweaksTSMBackbone,
)
from train.config.weights_by_name import NAMES, named_weights

_BACKBONE: TypeAdapter[Any] = TypeAdapter(Backbone)
_HEAD: TypeAdapter[Any] = TypeAdapter(Head)
_AVERAGE: TypeAdapter[AveragedNetwork] = TypeAdapter(AveragedNetwork)


class ConfigNetwork(NamedTuple):
    """A network of the config; what of it is not well-formed is None."""

    role: str
    where: Location
    backbone: AnyBackbone | None
    head: MoViNetHeadOptions | PPTSMHeadOptions | None

    def classes(self) -> tuple[Location, int] | None:
        """Width of the logits and the key that says it."""
        if isinstance(self.head, PPTSMHeadOptions):
            return (*self.where, "head", "num_classes"), self.head.num_classes
        if isinstance(self.backbone, LogitsBackbone):
            return (*self.where, "backbone", "class_num"), self.backbone.class_num
        return None


def check_model(blocks: Blocks) -> Iterator[Mistake]:
    """Checks within the MODEL block."""
    model, networks = blocks.written("MODEL"), list(networks_of(blocks))
    for network in networks:
        yield from _check_network(network)
        yield from _check_start(blocks, network)
    yield from _same_classes(networks)
    if isinstance(model, Mapping) and model.get("framework") == "RecognizerDistillation":
        yield from _check_roles(model, networks)
        yield from _check_distillation(blocks, model, networks)


def networks_of(blocks: Blocks) -> Iterator[ConfigNetwork]:
    """The networks of a MODEL block, as far as it has any."""

    def placed(role: str, *where: str | int) -> ConfigNetwork:
        backbone = blocks.checked(_BACKBONE, *where, "backbone")
        return ConfigNetwork(role, where, backbone, blocks.checked(_HEAD, *where, "head"))

    models = blocks.written("MODEL", "models")
    if isinstance(models, list):
        for index, entry in enumerate(models):
            if isinstance(entry, Mapping) and len(entry) == 1:
                (role,) = entry
                yield placed(role, "MODEL", "models", index, role)
    elif isinstance(blocks.written("MODEL"), Mapping):
        yield placed(STUDENT, "MODEL")


def _check_network(network: ConfigNetwork) -> Iterator[Mistake]:
    backbone, head, where = network.backbone, network.head, (*network.where, "head")
    if isinstance(backbone, LogitsBackbone) and isinstance(head, PPTSMHeadOptions):
        what = f"ppTSMHead needs features, {backbone.name} ends in logits; use MoViNetHead"
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


def _check_start(blocks: Blocks, network: ConfigNetwork) -> Iterator[Mistake]:
    """Weights that are named without a file belong to a backbone, and to one that they fit."""
    whole = (*network.where, "pretrained")
    if blocks.written(*whole) in NAMES:
        what = (
            f"is {blocks.written(*whole)}, weights of a backbone: set backbone.pretrained instead"
        )
        yield Mistake(whole, what)
    if network.backbone is None:
        return
    name = (network.backbone.pretrained or "").strip()
    try:
        if name in NAMES:
            named_weights(name, network.backbone.model_dump())
    except ValueError as error:
        yield Mistake((*network.where, "backbone", "pretrained"), str(error))


def _same_classes(networks: list[ConfigNetwork]) -> Iterator[Mistake]:
    widths = [width for network in networks if (width := network.classes()) is not None]
    for where, classes in widths[1:]:
        if classes != widths[0][1]:
            what = f"is {classes}, but {dotted(widths[0][0])} is {widths[0][1]}"
            yield Mistake(where, f"{what}: all networks tell the same classes apart")


def _check_roles(model: Mapping[str, Any], networks: list[ConfigNetwork]) -> Iterator[Mistake]:
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


def _check_distillation(
    blocks: Blocks, model: Mapping[str, Any], networks: list[ConfigNetwork]
) -> Iterator[Mistake]:
    roles = [network.role for network in networks]
    frozen = _frozen(model, roles)
    written = model.get("averages")
    averages = [str(name) for name in written] if isinstance(written, Mapping) else []
    yield from _check_averages(blocks, averages, roles, frozen or set())
    yield from check_losses(blocks, roles, frozen, averages)
    for network in networks:
        if isinstance(network.head, (MoViNetHeadOptions, PPTSMHeadOptions)) and network.head.ls_eps:
            what = "smooths labels of Recognizer2D only: leave it out, and set label_smoothing in"
            where = (*network.where, "head", "ls_eps")
            yield Mistake(where, f"{what} the terms of MODEL.loss that learn from labels")
        yield from _check_network_settings(model, network, frozen)
    alternating = frozen is not None and model.get("update") == "alternating"
    if alternating and len(set(roles) - (frozen or set())) < 2:
        what = "alternating needs two networks that learn; leave it out"
        yield Mistake(("MODEL", "update"), what)


def _check_averages(
    blocks: Blocks, averages: list[str], roles: list[str], frozen: set[str]
) -> Iterator[Mistake]:
    """Averages have names of their own and follow networks that learn."""
    for name in averages:
        where = ("MODEL", "averages", name)
        block = blocks.checked(_AVERAGE, *where)
        if name in (*roles, GROUND_TRUTH, CONNECTORS):
            yield Mistake(where, f"the name {name} is taken; an average needs one of its own")
        if block is None or not roles:
            continue
        if block.of not in roles:
            yield Mistake((*where, "of"), unknown_name("network", block.of, roles))
        elif block.of in frozen:
            what = f"{block.of} is frozen, its average would be itself: name {block.of} in the term"
            yield Mistake((*where, "of"), what)


def _frozen(model: Mapping[str, Any], roles: list[str]) -> set[str] | None:
    """The networks that do not learn; None where the list is not well-formed."""
    flags = model.get("freeze_params_list") or [False] * len(roles)
    if not isinstance(flags, list) or len(flags) != len(roles):
        return None
    return {role for role, flag in zip(roles, flags, strict=True) if flag is True}


def _check_network_settings(
    model: Mapping[str, Any], network: ConfigNetwork, frozen: set[str] | None
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
