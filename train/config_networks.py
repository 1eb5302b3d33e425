"""What must fit together within a MODEL block: classes, channels, frames, names, losses.

Every check takes the blocks that are well-formed in themselves and leaves out the others, so that
one message holds both kinds of mistakes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

from pydantic import TypeAdapter, ValidationError

from train.config_errors import Location, Mistake, dotted, shown, unknown_name
from train.schema_model import (
    GROUND_TRUTH,
    STUDENT,
    Backbone,
    Head,
    Loss,
    MoViNetHead,
    MutualLoss,
    PPTSMHead,
    PPTSMv2Backbone,
    ResNetTweaksTSMBackbone,
)

T = TypeVar("T")

_BACKBONE: TypeAdapter[Any] = TypeAdapter(Backbone)
_HEAD: TypeAdapter[Any] = TypeAdapter(Head)
_LOSS: TypeAdapter[Any] = TypeAdapter(Loss)


class Placed(NamedTuple):
    """A network of the config; parts that are not well-formed are None."""

    role: str
    where: Location
    backbone: PPTSMv2Backbone | ResNetTweaksTSMBackbone | None
    head: MoViNetHead | PPTSMHead | None

    def classes(self) -> tuple[Location, int] | None:
        """Width of the logits and the key that says it."""
        if isinstance(self.head, PPTSMHead):
            return (*self.where, "head", "num_classes"), self.head.num_classes
        if isinstance(self.backbone, PPTSMv2Backbone):
            return (*self.where, "backbone", "class_num"), self.backbone.class_num
        return None


def check_model(model: Any) -> Iterator[Mistake]:
    """Checks within the MODEL block."""
    networks = list(networks_of(model))
    for network in networks:
        yield from _check_network(network)
    yield from _same_classes(networks)
    if isinstance(model, Mapping) and model.get("framework") == "RecognizerDistillation":
        yield from _check_roles(model, networks)
        yield from _check_losses(model, networks)


def attempt(adapter: TypeAdapter[T], raw: Any) -> T | None:
    """``raw`` as the type, or None where it is not well-formed."""
    try:
        return adapter.validate_python(raw)
    except ValidationError:
        return None


def dig(raw: Any, *keys: str) -> Any:
    """The value below a path of keys, or None."""
    for key in keys:
        raw = raw.get(key) if isinstance(raw, Mapping) else None
    return raw


def networks_of(model: Any) -> Iterator[Placed]:
    """The networks of a MODEL block, as far as it has any."""

    def placed(role: str, where: Location, block: Any) -> Placed:
        backbone = attempt(_BACKBONE, dig(block, "backbone"))
        return Placed(role, where, backbone, attempt(_HEAD, dig(block, "head")))

    models = dig(model, "models")
    if isinstance(models, list):
        for index, entry in enumerate(models):
            if isinstance(entry, Mapping) and len(entry) == 1:
                ((role, block),) = entry.items()
                yield placed(role, ("MODEL", "models", index, role), block)
    elif isinstance(model, Mapping):
        yield placed(STUDENT, ("MODEL",), model)


def _check_network(network: Placed) -> Iterator[Mistake]:
    backbone, head, where = network.backbone, network.head, (*network.where, "head")
    if isinstance(backbone, PPTSMv2Backbone) and isinstance(head, PPTSMHead):
        what = "ppTSMHead needs features, PPTSM_v2 ends in logits; use MoViNetHead"
        yield Mistake((*where, "name"), what)
    if isinstance(backbone, ResNetTweaksTSMBackbone) and isinstance(head, MoViNetHead):
        what = "MoViNetHead needs logits, ResNetTweaksTSM ends in features; use ppTSMHead"
        yield Mistake((*where, "name"), what)
    if isinstance(backbone, ResNetTweaksTSMBackbone) and isinstance(head, PPTSMHead):
        if head.in_channels != backbone.features:
            what = (
                f"is {head.in_channels}, must be {backbone.features}, the channels of "
                f"ResNetTweaksTSM at depth {backbone.depth} and width {backbone.width:g}"
            )
            yield Mistake((*where, "in_channels"), what)
        if head.num_seg != backbone.num_seg:
            what = f"is {head.num_seg}, but the backbone's is {backbone.num_seg}"
            yield Mistake((*where, "num_seg"), what)


def _same_classes(networks: list[Placed]) -> Iterator[Mistake]:
    widths = [width for network in networks if (width := network.classes()) is not None]
    for where, classes in widths[1:]:
        if classes != widths[0][1]:
            what = f"is {classes}, but {dotted(widths[0][0])} is {widths[0][1]}"
            yield Mistake(where, f"{what}: all networks tell the same classes apart")


def _check_roles(model: Mapping[str, Any], networks: list[Placed]) -> Iterator[Mistake]:
    where = ("MODEL", "models")
    roles = [network.role for network in networks]
    models = model.get("models")
    complete = isinstance(models, list) and len(models) == len(networks)
    if complete and STUDENT not in roles:
        yield Mistake(where, f"has no {STUDENT}, which is the network that is deployed")
    for network in networks:
        if network.role == GROUND_TRUTH:
            yield Mistake(network.where, f"{GROUND_TRUTH} is the name of the labels")
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


def _check_losses(model: Mapping[str, Any], networks: list[Placed]) -> Iterator[Mistake]:
    roles = [network.role for network in networks]
    learning: set[str] = set()
    complete = bool(networks)
    for mode in ("Train", "Val"):
        blocks = dig(model, "loss", mode)
        for index, block in enumerate(blocks if isinstance(blocks, list) else ()):
            where = ("MODEL", "loss", mode, index, "model_name_pairs")
            loss = attempt(_LOSS, block)
            if loss is None:
                complete = False
                continue
            if mode == "Train":
                learning |= set(loss.model_name_pairs)
            yield from _check_pair(loss, roles, where)
        complete = complete and isinstance(blocks, list)
    for network in networks:
        if isinstance(network.head, (MoViNetHead, PPTSMHead)) and network.head.ls_eps:
            what = "labels are smoothed by Recognizer2D only; the terms of MODEL.loss have no such"
            yield Mistake((*network.where, "head", "ls_eps"), f"{what} setting: leave it out")
    flags = model.get("freeze_params_list") or [False] * len(roles)
    if complete and isinstance(flags, list) and len(flags) == len(roles):
        for network, flag in zip(networks, flags, strict=True):
            if flag is not True and network.role not in learning:
                what = f"no term holds {network.role}, which is not frozen: it would never learn"
                yield Mistake(("MODEL", "loss", "Train"), what)


def _check_pair(loss: Any, roles: list[str], where: Location) -> Iterator[Mistake]:
    pair = loss.model_name_pairs
    allowed = roles if isinstance(loss, MutualLoss) else [*roles, GROUND_TRUTH]
    unknown = [name for name in pair if name not in allowed]
    for name in unknown:
        if name == GROUND_TRUTH:
            yield Mistake(where, f"{loss.name} compares two networks, not one with {GROUND_TRUTH}")
        else:
            yield Mistake(where, unknown_name("network", name, allowed))
    if unknown:
        return
    if isinstance(loss, MutualLoss):
        if pair[0] == pair[1]:
            yield Mistake(where, f"{loss.name} needs two different networks, not {shown(pair)}")
    elif pair.count(GROUND_TRUTH) != 1:
        yield Mistake(where, f"{loss.name} needs one network and {GROUND_TRUTH}, not {shown(pair)}")
