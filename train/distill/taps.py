"""Look into a network while it runs: what comes out of a layer, or goes into it, by its path.

A path is that of the layer in the network, beginning with `backbone` or `head`:
`backbone.stages.3` is what comes out of the student's last stage, `backbone.fc:input` what
goes into its classifier. Taps are hooks that are there during one forward pass and then gone: a
network that is not tapped runs as if there were no such thing, and nothing is left to export.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import paddle
from paddle import Tensor, nn

PARTS = ("backbone", "head")
INPUT = ":input"
PROBE = 64
"""Height and width of the clip that shows the shapes of features."""


def layers(network: nn.Sequential) -> dict[str, nn.Layer]:
    """Every layer of `Sequential(backbone, head)` by its path."""
    found: dict[str, nn.Layer] = {}
    for part, layer in zip(PARTS, network, strict=True):
        named = layer.named_sublayers()
        found |= {part: layer} | {f"{part}.{name}": sublayer for name, sublayer in named}
    return found


def unknown_layer(path: str, network: nn.Sequential) -> str | None:
    """What is wrong with a path, and the nearest ones; None where it leads to a layer."""
    known = layers(network)
    name = path.removesuffix(INPUT)
    if name in known:
        return None
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    if not near:
        near = [key for key in known if key.count(".") <= 1][:12]
    return f"no layer {name!r}; the nearest: {', '.join(near)}"


@contextmanager
def tapped(network: nn.Sequential, paths: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Within it, a forward pass leaves the features of `paths` in the mapping."""
    features: dict[str, Tensor] = {}
    # A network without taps is not even looked through.
    known = layers(network) if paths else {}
    hooks = [_hook(known[path.removesuffix(INPUT)], path, features) for path in paths]
    try:
        yield features
    finally:
        for hook in hooks:
            hook.remove()


def _hook(layer: nn.Layer, path: str, features: dict[str, Tensor]) -> Any:
    def keep_input(_: nn.Layer, inputs: tuple[Tensor, ...]) -> None:
        features[path] = inputs[0]

    def keep_output(_: nn.Layer, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        features[path] = output

    if path.endswith(INPUT):
        return layer.register_forward_pre_hook(keep_input)
    return layer.register_forward_post_hook(keep_output)


@paddle.no_grad()
def feature_shapes(
    network: nn.Sequential, paths: Sequence[str], *, num_seg: int
) -> dict[str, list[int]]:
    """Shapes of the features for one small clip; a layer that a forward pass leaves out has none.

    Args:
        network: `Sequential(backbone, head)`; its state does not change.
        paths: of layers that there are.
        num_seg: frames of a clip.
    """
    training = [layer for layer in network.sublayers(include_self=True) if layer.training]
    network.eval()
    try:
        with tapped(network, paths) as features:
            network(paddle.zeros([num_seg, 3, PROBE, PROBE]))
    finally:
        for layer in training:
            layer.training = True
    return {path: list(feature.shape) for path, feature in features.items()}
