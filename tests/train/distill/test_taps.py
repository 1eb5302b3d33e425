"""Layers that terms look into: hooks, inputs, and paths that are wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.train.distill.pairs import BLOCKS, CE, NORMS, STAGES, TERMS, S, T, batch, built, hooks
from train.config.load import ConfigError


def test_taps_are_gone_after_the_pass_and_not_there_in_evaluation() -> None:
    recognizer = built(CE, TERMS["afd"])
    outputs = recognizer(batch()[0])
    assert set(outputs.features) == {(S, path) for path in STAGES} | {(T, path) for path in BLOCKS}
    assert all(hooks(network) == 0 for network in recognizer.networks.values())
    recognizer.eval()
    assert recognizer(batch()[0]).features == {}
    plain = built(CE, TERMS["kd"])
    assert plain(batch()[0]).features == {}


def test_an_input_tap_is_what_the_activation_takes() -> None:
    layer = "backbone.stages.3.0.pw_conv"
    recognizer = built(
        CE,
        {**TERMS["rkd"], "s_key": f"{layer}.act:input", "t_key": BLOCKS[0]},
        {**TERMS["rkd"], "s_key": layer, "t_key": BLOCKS[0]},
    )
    features = recognizer(batch()[0]).features
    before, after = features[S, f"{layer}.act:input"].numpy(), features[S, layer].numpy()
    assert before.min() < 0
    np.testing.assert_array_equal(np.maximum(before, 0), after)


@pytest.mark.parametrize(
    ("changes", "where", "words"),
    [
        ({"s_key": "backbone.stage.3"}, "s_key", "no layer 'backbone.stage.3'; the nearest: backb"),
        ({"t_key": ["backbone.res9a"]}, "t_key", "'backbone.res9a'"),
        ({"t_norm": "backbone.res5b"}, "t_norm", "no batch norm"),
        ({"t_norm": None}, "t_key", "t_norm"),
        ({"s_key": "backbone.fc"}, "s_key", r"backbone.fc .* shape is \[1, 3"),
        ({"s_key": "backbone.stages.2.0.dw_conv"}, "s_key", "does not run"),
        ({"connector": False}, "connector", "16 channels|channels, "),
    ],
)
def test_wrong_layers_are_told_with_the_nearest(
    changes: dict[str, Any], where: str, words: str
) -> None:
    one = {**TERMS["overhaul"], "s_key": STAGES[1], "t_key": BLOCKS[1], "t_norm": NORMS[1]}
    with pytest.raises(ConfigError, match=words) as caught:
        built(CE, {**one, **changes})
    assert [m.where for m in caught.value.mistakes] == [("MODEL", "loss", "Train", 1, where)]


def test_all_wrong_layers_are_told_at_once() -> None:
    wrong = {"s_key": ["backbone.x"], "t_key": ["backbone.y"]}
    with pytest.raises(ConfigError) as caught:
        built(CE, {**TERMS["afd"], **wrong}, {**TERMS["distance"], **wrong})
    assert len(caught.value.mistakes) == 4
