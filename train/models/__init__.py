"""The networks of the recipe, built from the `backbone` and `head` blocks of a config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paddle import nn

from train.models.heads import MoViNetHead, PPTSMHead
from train.models.pptsm_mobilenet_v2 import PPTSMMobileNetV2
from train.models.pptsm_mobilenet_v3 import PPTSMMobileNetV3
from train.models.pptsm_v2 import PPTSMv2
from train.models.resnet_tweaks_tsm import ResNetTweaksTSM

BACKBONES: dict[str, type[nn.Layer]] = {
    "PPTSM_v2": PPTSMv2,
    "PPTSM_MobileNetV2": PPTSMMobileNetV2,
    "PPTSM_MobileNetV3": PPTSMMobileNetV3,
    "ResNetTweaksTSM": ResNetTweaksTSM,
}
HEADS: dict[str, type[nn.Layer]] = {"MoViNetHead": MoViNetHead, "ppTSMHead": PPTSMHead}

NOT_ARCHITECTURE = {"name", "pretrained", "ls_eps"}
"""Keys of a config block that say something else than what the layer looks like."""

PARTS = {"backbone.": "0.", "head.": "1."}
"""Keys of a checkpoint of one network, and of its `Sequential(backbone, head)`."""


def _build(kinds: Mapping[str, type[nn.Layer]], block: Mapping[str, Any]) -> nn.Layer:
    settings = {k: v for k, v in block.items() if k not in NOT_ARCHITECTURE and v is not None}
    return kinds[block["name"]](**settings)


def build_network(block: Mapping[str, Any]) -> nn.Sequential:
    """Build `Sequential(backbone, head)`: float `[N * T, 3, H, W]` to logits `[N, classes]`.

    The sequence gives the keys of the public pair checkpoints: `0.` backbone, `1.` head.
    """
    return nn.Sequential(_build(BACKBONES, block["backbone"]), _build(HEADS, block["head"]))


def sequential_key(key: str) -> str | None:
    """The key in `Sequential(backbone, head)` of a key of one network's checkpoint."""
    for own, new in PARTS.items():
        if key.startswith(own):
            return new + key.removeprefix(own)
    return None
