"""From a MODEL block to networks and losses, in PaddleVideo's layout."""

from __future__ import annotations

from typing import Any

import paddle
import pytest
import yaml

from train.config.load import parse_model
from train.distill.build_recognizer import build_recognizer
from train.distill.terms import Term
from train.losses import Target

LOSS = """
    loss:
        Train:
            - name: "DistillationCELoss"
              model_name_pairs: ["Student", "GroundTruth"]
            - name: "DistillationCELoss"
              model_name_pairs: ["Teacher", "GroundTruth"]
            - name: "DistillationDMLLoss"
              model_name_pairs: ["Student", "Teacher"]
        Val:
            - name: "DistillationCELoss"
              model_name_pairs: ["Student", "GroundTruth"]
"""
STUDENT = """
            backbone:
                name: "PPTSM_v2"
                pretrained: "data/PPLCNetV2_base_ssld_pretrained.pdparams"
                num_seg: 16
            head:
                name: "MoViNetHead"
"""
RESNET = """
            backbone:
                name: "ResNetTweaksTSM"
                pretrained: "data/ResNet50_vd_ssld_v2_pretrained.pdparams"
                depth: 50
                num_seg: 16
            head:
                name: "ppTSMHead"
                num_classes: 400
                in_channels: 2048
                drop_ratio: 0.5
                std: 0.01
                num_seg: 16
"""


def pair_of(teacher: str) -> str:
    return f"""
    framework: "RecognizerDistillation"
    freeze_params_list:
    - False
    - False
    models:
    - Teacher:{teacher}
    - Student:{STUDENT}
{LOSS}"""


GUIDE = {
    "plain student": f'    framework: "Recognizer2D"\n{STUDENT.replace("            ", "    ")}',
    "resnet-50 teacher": pair_of(RESNET),
    "itself": pair_of(STUDENT),
}
"""The three layouts of PaddleVideo's distillation guide."""


@pytest.mark.parametrize("name", GUIDE)
def test_the_guides_blocks_build_and_train_a_step(name: str) -> None:
    model = parse_model(yaml.safe_load(GUIDE[name]))
    recognizer = build_recognizer(model, seed=0)
    recognizer.train()
    outputs = recognizer(paddle.randn([2 * 16, 3, 32, 32]))
    assert all(tuple(logits.shape) == (2, 400) for logits in outputs.values())
    target = Target(paddle.to_tensor([3, 5]))
    terms = recognizer.losses(outputs, target)
    expected = {"Student.CE"}
    if name != "plain student":
        expected |= {"Teacher.CE", "Student-Teacher.DML"}
    assert set(terms) == expected
    assert set(recognizer.losses(outputs, target, mode="Val")) == {"Student.CE"}
    paddle.add_n(list(terms.values())).backward()
    for network in recognizer.networks.values():
        assert any(
            float(p.grad.abs().sum()) > 0 for p in network.parameters() if p.grad is not None
        )
    first = next(iter(recognizer.state_dict()))
    assert first.startswith("backbone." if name == "plain student" else "Teacher.0.")


def test_a_ramp_rises_linearly_between_its_shares() -> None:
    def nothing(outputs: Any, target: Any) -> Any:
        raise AssertionError

    term = Term("x", nothing, weight=2.0, ramp=(0.25, 0.75))
    assert [term.factor(p) for p in (0, 0.25, 0.5, 0.75, 1)] == [0, 0, 1, 2, 2]
    assert Term("x", nothing, weight=2.0).factor(0) == 2
    assert [Term("x", nothing, ramp=(0.5, 0.5)).factor(p) for p in (0.4, 0.5)] == [0, 1]


def test_a_decay_falls_linearly_to_its_floor() -> None:
    def nothing(outputs: Any, target: Any) -> Any:
        raise AssertionError

    term = Term("x", nothing, weight=2.0, ramp=(0.0, 0.25), decay=(0.5, 0.75), floor=0.25)
    found = [term.factor(p) for p in (0, 0.125, 0.25, 0.5, 0.625, 0.75, 1)]
    assert found == [0, 1, 2, 2, 1.25, 0.5, 0.5]
    gone = Term("x", nothing, weight=2.0, decay=(0.5, 0.5))
    assert [gone.factor(p) for p in (0.4, 0.5, 1)] == [2, 0, 0]
    # A term that is gone is not computed.
    assert [gone.counts(4, p) for p in (0.4, 0.5)] == [True, False]
