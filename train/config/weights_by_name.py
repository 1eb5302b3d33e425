"""Weights that a config can name without a file: `pretrained: imagenet`, `pretrained: embedded`.

What each network may start from, where it lies, and what is known of it. Nothing is looked up
or fetched here; `train.checkpoints.weights_files` does so for a run that names them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

IMAGENET, EMBEDDED = "imagenet", "embedded"
NAMES = (IMAGENET, EMBEDDED)

SHIPPED = Path(__file__).parents[2] / "configs" / "pretrained"
"""Folder of the weights that come with the checkout, each with a JSON that says what it is."""


@dataclass(frozen=True)
class Published:
    """Weights at an address of their makers; they publish no checksums.

    Attributes:
        title: the makers' name of the network.
        url: the file.
        megabytes: about how large it is: four bytes for each of its numbers.
        top1: its accuracy on ImageNet's validation pictures, in percent, as its makers say.
    """

    title: str
    url: str
    megabytes: int
    top1: float

    licence = "Apache-2.0 as PaddleClas; trained on ImageNet-1k, which has terms of its own"


@dataclass(frozen=True)
class Shipped:
    """Weights that come with the checkout.

    Attributes:
        title: what they are.
        file: the checkpoint; the JSON beside it has its SHA-256 and its accuracy.
    """

    title: str
    file: Path


NamedWeights = Published | Shipped

_ALL = "https://paddle-imagenet-models-name.bj.bcebos.com/dygraph"
_CLAS = f"{_ALL}/legendary_models"
_VIDEO = "https://videotag.bj.bcebos.com"
RESNETS = {
    18: Published("ResNet18_vd", f"{_CLAS}/ResNet18_vd_pretrained.pdparams", 47, 72.26),
    34: Published("ResNet34_vd_ssld", f"{_CLAS}/ResNet34_vd_ssld_pretrained.pdparams", 87, 79.72),
    50: Published(
        "ResNet50_vd_ssld_v2",
        f"{_VIDEO}/PaddleVideo/PretrainModel/ResNet50_vd_ssld_v2_pretrained.pdparams",
        102,
        83.0,
    ),
    101: Published(
        "ResNet101_vd_ssld",
        f"{_VIDEO}/PaddleVideo-release2.2/ResNet101_vd_ssld_pretrained.pdparams",
        178,
        83.7,
    ),
    152: Published("ResNet152_vd", f"{_CLAS}/ResNet152_vd_pretrained.pdparams", 241, 80.59),
}
"""By depth. All addresses are those of PaddleVideo's `modeling/backbones`, or of PaddleClas."""
LCNET = Published(
    "PPLCNetV2_base_ssld", f"{_CLAS}/PPLCNetV2_base_ssld_pretrained.pdparams", 26, 80.07
)
MOBILENET_V2 = Published(
    "MobileNetV2_ssld", f"{_ALL}/MobileNetV2_ssld_pretrained.pdparams", 14, 76.74
)
MOBILENETS_V3 = {
    size: Published(
        f"MobileNetV3_{size}_x1_0_ssld",
        f"{_CLAS}/MobileNetV3_{size}_x1_0_ssld_pretrained.pdparams",
        megabytes,
        top1,
    )
    for size, megabytes, top1 in (("large", 21, 79.0), ("small", 12, 71.3))
}
STUDENT_OF_MOTIONS = {"scale": 0.375, "depths": [1, 1, 2, 1], "class_expand": 256}
TEACHER_OF_MOTIONS = {"depth": 18, "width": 0.25}


def named_weights(name: str, backbone: Mapping[str, Any]) -> NamedWeights:
    """The weights that a backbone can start from.

    Args:
        name: one of `NAMES`.
        backbone: its settings, with all defaults.

    Raises:
        ValueError: there are none for such a network; the message begins where a sentence about
            the setting goes on.
    """
    kind = backbone["name"]
    if name == IMAGENET and kind == "PPTSM_v2":
        _check(name, backbone, {"scale": 1, "depths": [2, 2, 6, 2]})
        return LCNET
    if name == IMAGENET and kind == "PPTSM_MobileNetV2":
        _check(name, backbone, {"scale": 1})
        return MOBILENET_V2
    if name == IMAGENET and kind == "PPTSM_MobileNetV3":
        _check(name, backbone, {"scale": 1})
        return MOBILENETS_V3[backbone["size"]]
    if name == IMAGENET and kind == "ResNetTweaksTSM":
        _check(name, backbone, {"width": 1})
        return RESNETS[backbone["depth"]]
    if name == EMBEDDED and kind == "PPTSM_v2":
        _check(name, backbone, STUDENT_OF_MOTIONS)
        return Shipped("the demo's student", SHIPPED / "motions_student.pdparams")
    if name == EMBEDDED and kind == "ResNetTweaksTSM":
        _check(name, backbone, TEACHER_OF_MOTIONS)
        return Shipped("the demo's teacher", SHIPPED / "motions_teacher.pdparams")
    raise ValueError(f"is {name}, which names no weights of a {kind}; name a file")


def _check(name: str, backbone: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    other = {key: value for key, value in wanted.items() if backbone[key] != value}
    if other:
        here = ", ".join(f"{key} {backbone[key]}" for key in other)
        there = ", ".join(f"{key} {value}" for key, value in other.items())
        raise ValueError(
            f"is {name}, whose {backbone['name']} has {there}; this one has {here}: set that, or "
            "name a file"
        )
