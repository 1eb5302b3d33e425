"""The networks of the configs as YAML, and what the student learns of its teacher."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from train.config.schema.model import PPTSMv2Backbone, ResNetTweaksTSMBackbone
from train.init.choices import Choices
from train.init.networks import NONE, STUDENT, TEACHER

LAST_BLOCKS = {18: ("res3b", "res4b", "res5b"), 50: ("bb_1_3", "bb_2_5", "bb_3_2")}
"""The last block of the teacher's last three stages, by depth."""


def student(choices: Choices) -> str:
    """The student's backbone."""
    settings = {"num_seg": choices.num_seg, **choices.networks.student}
    return _backbone(STUDENT, settings, starts=True, choices=choices)


def teacher_of(choices: Choices, *, starts: bool = False) -> tuple[str, str]:
    """The teacher's backbone and head; `starts`: with what it begins its own training from."""
    own = choices.networks.teacher
    backbone = {**own, "num_seg": choices.num_seg}
    channels = ResNetTweaksTSMBackbone(name=TEACHER, **own).features
    head = f"{{name: ppTSMHead, in_channels: {channels}, drop_ratio: 0.2, "
    head += f"num_seg: {choices.num_seg}}}"
    return _backbone(TEACHER, backbone, starts=starts, choices=choices), head


def told_features(choices: Choices) -> str:
    """Why the student learns the teacher's features, or does not."""
    if TEACHER in choices.networks.started:
        return (
            "the student learns the teacher's features too (OverHaul), as in the demo: the teacher "
            "starts from weights that know more than these clips show. Not measured on small sets"
        )
    return (
        "answers alone: what a teacher that has seen nothing but these clips has in its features, "
        "the student can learn itself; --start embedded or imagenet adds them. Not measured on "
        "small sets"
    )


def features(choices: Choices) -> str:
    """The term of the loss for the teacher's features; empty without."""
    networks = choices.networks
    if TEACHER not in networks.started:
        return ""
    depths = PPTSMv2Backbone(name=STUDENT, **networks.student).depths
    last = [depth - 1 for depth in depths]
    # As in configs/motions_dml.yaml: what enters the last activation of three stages.
    students = [
        f"backbone.stages.1.{last[1]}.pw_conv.act:input",
        f"backbone.stages.2.{last[2]}.pw_conv_2.act:input",
        f"backbone.stages.3.{last[3]}.pw_conv.act:input",
    ]
    depth = networks.teacher["depth"]
    blocks = LAST_BLOCKS[depth]
    norm = "conv2" if depth >= 50 else "conv1"
    lines = [
        "- name: DistillationOverHaulLoss",
        "  model_name_pairs: [Student, Teacher]",
        "  s_key:",
        *(f"    - {key}" for key in students),
        f"  t_key: [{', '.join(f'backbone.{block}.act:input' for block in blocks)}]",
        "  t_norm:",
        *(f"    - backbone.{block}.{norm}._batch_norm" for block in blocks),
        "  loss_weight: 0.001",
    ]
    return "".join(f"      {line}\n" for line in lines)


def _backbone(name: str, settings: Mapping[str, Any], *, starts: bool, choices: Choices) -> str:
    named = {"name": name, **settings}
    if starts and name in choices.networks.started and choices.start != NONE:
        named["pretrained"] = choices.start
    return "{" + ", ".join(f"{key}: {value}" for key, value in named.items()) + "}"
