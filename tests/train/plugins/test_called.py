"""What functions of plugins return and raise: it is told with their name, file and line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import paddle
import pytest

from tests.train.plugins.conftest import WriteModule
from tests.train.plugins.modules import LOSS, OWN, pair, registering
from train.__main__ import main as train
from train.data.augment.transforms import build_transforms
from train.distill.build_terms import build_terms
from train.distill.terms import Outputs
from train.losses import Target
from train.plugins import PluginError
from train.plugins.load import load_plugins


@pytest.mark.parametrize(
    "answer", ["frames", "(frames.astype(float), label)", "(frames[:2], label)", "(frames, None)"]
)
def test_an_augmentation_returns_frames_and_a_label(answer: str, write_module: WriteModule) -> None:
    write_module(
        "own_module", registering(f"@augmentation('X')\ndef f(frames, label, rng): return {answer}")
    )
    load_plugins(["own_module"])
    (own,) = build_transforms([{"X": {}}])
    with pytest.raises(PluginError, match=r"the augmentation X \(own_module.py:2\) must return"):
        own(np.zeros((4, 8, 8, 3), np.uint8), 1, np.random.default_rng(0))


def test_an_augmentation_that_fails_in_a_step_is_named(
    write_module: WriteModule,
    dimmed: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_module("own_module", LOSS.replace("frames // by", "frames[:, :, by:] + frames"))
    assert train(["-c", str(dimmed(pair(OWN)))]) == 2
    (said,) = [line for line in capsys.readouterr().err.splitlines() if "error:" in line]
    assert "the augmentation Dim (own_module.py:10)" in said and "own_module.py:12" in said
    assert "ValueError" in said


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("return (a - b.detach()) ** 2", ["must return a scalar, not [4, 3]"]),
        ("return 0.5", ["must return a scalar, not float"]),
        ("return None", ["must return a scalar, not NoneType"]),
        ("return a.nothing", ["AttributeError", "nothing"]),
        ("return (a + b[:, :2]).mean()", ["ValueError", "mismatch"]),
    ],
)
def test_a_loss_that_fails_in_a_step_is_named(
    body: str,
    words: list[str],
    write_module: WriteModule,
    experiment: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_module("own_module", registering(f"@loss('VecLoss')\ndef vec(a, b):\n    {body}"))
    term = {"name": "VecLoss", "model_name_pairs": ["Student", "Teacher"]}
    assert train(["-c", str(experiment(pair(term), epochs=1))]) == 2
    (said,) = [line for line in capsys.readouterr().err.splitlines() if "error:" in line]
    assert all(word in said for word in ["the loss VecLoss (own_module.py:2)", *words]), said


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("return 3", ["must return a Term", "int"]),
        ("return sides.nothing", ["AttributeError", "own_module.py:5"]),
        ("return Term('T', lambda outputs, target: outputs[sides.a])", ["scalar, not [4, 3]"]),
        ("return Term('T', lambda outputs, target: outputs['Nobody'])", ["KeyError", "Nobody"]),
    ],
)
def test_a_loss_of_layers_that_fails_is_named(
    body: str, words: list[str], write_module: WriteModule
) -> None:
    code = "from train.distill.terms import Term\n"
    code += f"@loss_of_layers('Own')\ndef own(sides):\n    {body}"
    write_module("own_module", registering(code))
    load_plugins(["own_module"])
    block = {"name": "Own", "model_name_pairs": [["Student", "Teacher"]]}

    def computed() -> None:
        (term,) = build_terms([block], {}, {}, seed_layer=lambda _: None)
        term.compute(Outputs({"Student": paddle.zeros([4, 3])}), Target(paddle.zeros([4])))

    with pytest.raises(PluginError) as error:
        computed()
    said = str(error.value)
    assert all(word in said for word in ["the loss Own (own_module.py:3)", *words]), said


def test_settings_of_a_loss_may_have_any_name(write_module: WriteModule) -> None:
    code = "import paddle\nfrom train.distill.terms import Term\n"
    arguments = "where: float, function: float, build: float, self: float"
    code += f"@loss('A')\ndef one(a, b, *, {arguments}): return a.mean() + where\n"
    code += f"@loss_of_layers('B')\ndef two(sides, *, {arguments}):\n"
    code += "    return Term('T', lambda outputs, target: paddle.to_tensor(where))\n"
    write_module("own_module", registering(code))
    load_plugins(["own_module"])
    chosen = dict.fromkeys(("where", "function", "build", "self"), 2.0)
    blocks = [
        {"name": name, "model_name_pairs": [["Student", "Teacher"]], **chosen} for name in "AB"
    ]
    terms = build_terms(blocks, {}, {}, seed_layer=lambda _: None)
    outputs = Outputs({role: paddle.zeros([4, 3]) for role in ("Student", "Teacher")})
    for term in terms:
        assert float(term.compute(outputs, Target(paddle.zeros([4])))) == 2.0
