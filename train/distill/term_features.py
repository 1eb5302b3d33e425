"""Terms that look into layers: relations, distances, OverHaul, attention.

Each builder takes the two networks and the settings of its loss, and returns a term, or None
where a layer is wrong, which it then tells.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from paddle import Tensor, nn

from train.config.errors import Location, Mistake
from train.config.schema.losses import layers_of
from train.distill.taps import feature_shapes, layers, unknown_layer
from train.distill.terms import Outputs, Term
from train.losses import (
    AttentionTransfer,
    Target,
    connector_layer,
    feature_distance,
    margins,
    partial_l2,
    rkd_angle,
    rkd_distance,
)
from train.losses.overhaul import same_size


@dataclass(frozen=True)
class Sides:
    """The two networks of a term, the one that learns first.

    Attributes:
        a: role of the first.
        b: role of the second.
        networks: `Sequential(backbone, head)` by role.
        blocks: their settings by role.
        where: the term's place in the config.
        mistakes: takes what is wrong with its layers.
    """

    a: str
    b: str
    networks: Mapping[str, nn.Sequential]
    blocks: Mapping[str, Mapping[str, Any]]
    where: Location
    mistakes: list[Mistake]

    @property
    def alike(self) -> bool:
        """Both networks have the same architecture."""

        def architecture(role: str) -> dict[str, Any]:
            backbone = self.blocks[role]["backbone"]
            return {key: value for key, value in backbone.items() if key != "pretrained"}

        return architecture(self.a) == architecture(self.b)

    def shapes(self, key: str, role: str, paths: Sequence[str], *, maps: bool) -> list[list[int]]:
        """Shapes of a network's features; mistakes where a layer is not there, or no map."""
        network, where = self.networks[role], (*self.where, key)
        wrong = [text for path in paths if (text := unknown_layer(path, network))]
        self.mistakes.extend(Mistake(where, f"{role} has {text}") for text in wrong)
        if wrong:
            return []
        num_seg = int(self.blocks[role]["backbone"]["num_seg"])
        shapes = feature_shapes(network, paths, num_seg=num_seg)
        for path in paths:
            if path not in shapes:
                self.mistakes.append(Mistake(where, f"{role} does not run its layer {path!r}"))
            elif maps and len(shapes[path]) != 4:
                what = f"{path} is no feature map: its shape is {shapes[path]}"
                self.mistakes.append(Mistake(where, f"{role}: {what}"))
        complete = all(len(shapes.get(path, ())) == 4 or not maps for path in paths)
        return [shapes[path] for path in paths if path in shapes] if complete else []


def _relation(
    sides: Sides,
    *,
    s_key: str | None = None,
    t_key: str | None = None,
    distance_weight: float = 25.0,
    angle_weight: float = 50.0,
) -> Term:
    taps, reads = [], []
    for key, role, path in (("s_key", sides.a, s_key), ("t_key", sides.b, t_key)):
        if path is None:
            reads.append(role)
        else:
            sides.shapes(key, role, [path], maps=False)
            taps.append((role, path))

    def embedding(outputs: Outputs, role: str, path: str | None) -> Tensor:
        """`[N, D]`: the mean over space and over a clip's frames."""
        if path is None:
            return outputs[role]
        feature = outputs.features[role, path]
        pooled = feature.mean(axis=list(range(2, feature.ndim))) if feature.ndim > 2 else feature
        return pooled.reshape([outputs[role].shape[0], -1, pooled.shape[1]]).mean(axis=1)

    def compute(outputs: Outputs, target: Target) -> Tensor:
        own, wanted = embedding(outputs, sides.a, s_key), embedding(outputs, sides.b, t_key)
        pair = outputs.whole(own), outputs.whole(wanted)
        loss = distance_weight * rkd_distance(*pair)
        return loss + angle_weight * rkd_angle(*pair) if angle_weight else loss

    return Term(
        f"{sides.a}-{sides.b}.RKD",
        compute,
        learners=(sides.a,),
        reads=tuple(reads),
        taps=tuple(taps),
        least=2,
    )


def _connected(
    sides: Sides, s_paths: list[str], t_paths: list[str], connector: bool | None
) -> nn.LayerList | None:
    """A connector a layer, an identity where none is needed; None where a layer is wrong."""
    own = sides.shapes("s_key", sides.a, s_paths, maps=True)
    wanted = sides.shapes("t_key", sides.b, t_paths, maps=True)
    if not own or not wanted:
        return None
    needed = not (sides.alike and s_paths == t_paths) if connector is None else connector
    made = []
    for path, s, t in zip(s_paths, own, wanted, strict=True):
        if not needed and s[1] != t[1]:
            what = f"{path} has {s[1]} channels, the other layer {t[1]}: a connector is needed"
            sides.mistakes.append(Mistake((*sides.where, "connector"), what))
        made.append(connector_layer(s[1], t[1]) if needed else nn.Identity())
    return nn.LayerList(made)


def _distance(
    sides: Sides,
    *,
    s_key: str | list[str],
    t_key: str | list[str],
    mode: str = "l2",
    connector: bool | None = None,
) -> Term | None:
    s_paths, t_paths = layers_of(s_key), layers_of(t_key)
    connectors = _connected(sides, s_paths, t_paths, connector)
    if connectors is None:
        return None

    def compute(outputs: Outputs, target: Target) -> Tensor:
        def one(connect: nn.Layer, s_path: str, t_path: str) -> Tensor:
            student = connect(outputs.features[sides.a, s_path])
            teacher = outputs.features[sides.b, t_path]
            return feature_distance(same_size(student, teacher), teacher, mode=mode)

        return sum(map(one, connectors, s_paths, t_paths)) / len(s_paths)

    return _term(sides, "Distance", compute, s_paths, t_paths, connectors, both_learn=True)


def _overhaul(
    sides: Sides,
    *,
    s_key: str | list[str],
    t_key: str | list[str],
    t_norm: str | list[str] | None = None,
    connector: bool | None = None,
) -> Term | None:
    s_paths, t_paths = layers_of(s_key), layers_of(t_key)
    connectors = _connected(sides, s_paths, t_paths, connector)
    norms = _batch_norms(sides, layers_of(t_norm) or t_paths, "t_norm" if t_norm else "t_key")
    if connectors is None or norms is None:
        return None

    def compute(outputs: Outputs, target: Target) -> Tensor:
        total = 0.0
        for index, (s_path, t_path) in enumerate(zip(s_paths, t_paths, strict=True)):
            teacher = outputs.features[sides.b, t_path]
            student = connectors[index](outputs.features[sides.a, s_path])
            margin = margins(norms[index].weight, norms[index].bias)
            loss = partial_l2(same_size(student, teacher), teacher, margin)
            # As in the paper's code: a stage has half as many features as the one before.
            total = total + loss / 2 ** (len(s_paths) - 1 - index)
        return total

    return _term(sides, "OverHaul", compute, s_paths, t_paths, connectors)


def _batch_norms(sides: Sides, paths: list[str], key: str) -> list[nn.Layer] | None:
    """The layers that margins follow from; what is unknown of `t_key` is told already."""
    network, wrong = sides.networks[sides.b], list[str]()
    known = layers(network)
    for path in paths:
        text = unknown_layer(path, network)
        if text is not None and key == "t_norm":
            wrong.append(f"{sides.b} has {text}")
        elif text is None and not isinstance(known.get(path), nn.BatchNorm2D):
            wrong.append(
                f"{path} is no batch norm, which margins follow from: name the last one before "
                "the ReLU as t_norm"
            )
    sides.mistakes.extend(Mistake((*sides.where, key), text) for text in wrong)
    return None if wrong else [known[path] for path in paths if path in known]


def _attention(
    sides: Sides, *, s_key: str | list[str], t_key: str | list[str], qk_dim: int = 128
) -> Term | None:
    s_paths, t_paths = layers_of(s_key), layers_of(t_key)
    own = sides.shapes("s_key", sides.a, s_paths, maps=True)
    wanted = sides.shapes("t_key", sides.b, t_paths, maps=True)
    if not own or not wanted:
        return None
    layer = AttentionTransfer([s[1] for s in own], [t[1] for t in wanted], qk_dim=qk_dim)

    def compute(outputs: Outputs, target: Target) -> Tensor:
        student = [outputs.features[sides.a, path] for path in s_paths]
        return layer(student, [outputs.features[sides.b, path] for path in t_paths])

    return _term(sides, "AFD", compute, s_paths, t_paths, layer)


def _term(
    sides: Sides,
    short: str,
    compute: Callable[[Outputs, Target], Tensor],
    s_paths: Sequence[str],
    t_paths: Sequence[str],
    layer: nn.Layer,
    *,
    both_learn: bool = False,
) -> Term:
    return Term(
        f"{sides.a}-{sides.b}.{short}",
        compute,
        learners=(sides.a, sides.b) if both_learn else (sides.a,),
        taps=(*((sides.a, path) for path in s_paths), *((sides.b, path) for path in t_paths)),
        layer=layer,
    )


FEATURES: dict[str, Callable[..., Term | None]] = {
    "DistillationRKDLoss": _relation,
    "DistillationDistanceLoss": _distance,
    "DistillationOverHaulLoss": _overhaul,
    "DistillationAFDLoss": _attention,
    "AFDLoss": _attention,
}
