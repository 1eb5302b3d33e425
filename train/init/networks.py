"""Which student and teacher, and what they start with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from train.config.weights_by_name import (
    EMBEDDED,
    IMAGENET,
    LCNET,
    RESNETS,
    STUDENT_OF_MOTIONS,
    TEACHER_OF_MOTIONS,
    Shipped,
    named_weights,
)

NONE = "none"
STARTS = (NONE, EMBEDDED, IMAGENET)
STUDENT: Literal["PPTSM_v2"] = "PPTSM_v2"
TEACHER: Literal["ResNetTweaksTSM"] = "ResNetTweaksTSM"
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
MOTIONS_MEAN, MOTIONS_STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)


@dataclass(frozen=True)
class Machine:
    """What trains: cores, whether Paddle computes on a GPU, bytes of memory."""

    cores: int
    gpu: bool
    memory: int


@dataclass(frozen=True)
class Networks:
    """The student and the ResNet-vd beside it: settings of their backbones that are no default.

    Attributes:
        student: of PPTSM_v2.
        teacher: of ResNetTweaksTSM.
        mean: of the pixels that they start from, for their normalisation.
        std: the same.
        started: the roles that start from weights by name.
    """

    student: dict[str, Any]
    teacher: dict[str, Any]
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    started: tuple[str, ...] = ()


def networks_of(start: str, crop: int, training: int, machine: Machine) -> tuple[Networks, str]:
    """The networks, and why.

    Args:
        start: one of `STARTS`.
        crop: height and width of the input.
        training: clips of an epoch.
        machine: what trains.
    """
    if start == IMAGENET:
        depth = 50 if machine.gpu else 18
        size = LCNET.megabytes + RESNETS[depth].megabytes
        return Networks({}, {"depth": depth, "width": 1.0}, started=(STUDENT, TEACHER)), (
            "the public student, which starts from ImageNet's weights, as the teacher does: about "
            f"{size} MB are fetched, once"
        )
    if start == EMBEDDED:
        student, teacher = dict(STUDENT_OF_MOTIONS), dict(TEACHER_OF_MOTIONS)
        there = tuple(
            name
            for name, block in ((STUDENT, student), (TEACHER, teacher))
            if _is_here({"name": name, **block})
        )
        who = {(): "none of them", (TEACHER,): "the teacher", (STUDENT,): "the student"}
        return Networks(student, teacher, MOTIONS_MEAN, MOTIONS_STD, there), (
            "the sizes of the demo's networks, whose weights come with the checkout; "
            f"{who.get(there, 'both')} can start from them"
        )
    why = f"narrower than the public network: for {training} clips and {crop} pixels"
    if crop <= 64:
        student = {"scale": 0.375, "depths": [1, 1, 2, 1], "class_expand": 256}
        return Networks(student, {"depth": 18, "width": 0.25}), why
    if not machine.gpu:
        return Networks({"scale": 0.5}, {"depth": 18, "width": 0.5}), why
    return Networks({}, {"depth": 18, "width": 1.0}), (
        "the public student: a GPU trains it in reasonable time"
    )


def _is_here(backbone: dict[str, Any]) -> bool:
    weights = named_weights(EMBEDDED, backbone)
    return isinstance(weights, Shipped) and weights.file.is_file()
