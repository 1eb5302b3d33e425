"""Frozen teachers and frozen layers, and what they start from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
from paddle import nn

from infer.system.errors import ClipDuetError
from tests.train.distill.pairs import CE, SECOND_CE, TERMS, S, T, batch, built, model, state, step
from tests.train.tiny import ALONE, PAIR, STUDENT, TEACHER, run, same
from train.checkpoints.teachers import load_networks
from train.config.load import ConfigError, parse_model
from train.distill.build_recognizer import build_recognizer
from train.distill.recognizers import Recognizer
from train.models.pixels import PixelInput, input_adapter


def test_a_frozen_teacher_costs_the_optimiser_nothing(tmp_path: Path) -> None:
    recognizer = built(CE, TERMS["afd"])
    groups = recognizer.parameter_groups()
    assert [bool(group) for group in groups] == [False, True, True]
    teachers = {parameter.name for parameter in recognizer.networks[T].parameters()}
    assert not teachers & {parameter.name for group in groups for parameter in group}
    assert not any(layer.training for layer in recognizer.networks[T].sublayers())
    outputs = recognizer(batch()[0])
    assert outputs[T].stop_gradient and not outputs[S].stop_gradient
    assert all(f.stop_gradient for (role, _), f in outputs.features.items() if role == T)


def test_a_teacher_is_taken_entirely_or_not_at_all(tmp_path: Path) -> None:
    pair = build_recognizer(PAIR, seed=7)
    single = build_recognizer({"framework": "Recognizer2D", **TEACHER}, seed=8)
    files = {}
    donors = (("pair", pair), ("single", single), ("bare", single.student))
    pair_with_connectors = built(CE, SECOND_CE, TERMS["overhaul"], frozen=False)
    donors += (("connected", pair_with_connectors),)
    for name, donor in donors:
        files[name] = str(tmp_path / f"{name}.pdparams")
        paddle.save(donor.state_dict(), files[name])

    def load(path: str, **changes: Any) -> tuple[Recognizer, list[str]]:
        block = {**TEACHER, "pretrained": path, **changes}
        spec = parse_model(model(CE, TERMS["kd"], models=[{T: block}, {S: STUDENT}]))
        recognizer = build_recognizer(spec, seed=1)
        return recognizer, load_networks(recognizer, spec)

    whose = (("pair", pair.networks[T]), ("single", single.student), ("bare", single.student))
    for name, donor in whose:
        recognizer, lines = load(files[name])
        assert same(state(recognizer.networks[T]), state(donor))
        assert len(lines) == 1 and files[name] in lines[0]
    for words, arguments in (
        ("does not fit the config's networks", {"path": files["pair"], "pretrained_role": S}),
        (r"unexpected \(\d+\): 0.stem.0.conv.weight, .* and \d+ more$",
         {"path": files["pair"], "pretrained_role": S}),
        ("holds no network Third; it holds: Student, Teacher$",
         {"path": files["connected"], "pretrained_role": "Third"}),
        (r"^MODEL.models.0.Teacher.pretrained: no checkpoint at .*none\.pdparams",
         {"path": str(tmp_path / "none.pdparams")}),
    ):  # fmt: skip
        with pytest.raises(ClipDuetError, match=words):
            load(**arguments)
    with pytest.raises(ClipDuetError) as caught:
        load(path=files["pair"], pretrained_role=S)
    assert len(str(caught.value).splitlines()) <= 4
    spec = parse_model(model(CE, TERMS["kd"]))
    with pytest.raises(ClipDuetError, match="random weights"):
        load_networks(build_recognizer(spec, seed=1), spec)


@pytest.mark.parametrize(
    ("term", "gets", "words"),
    [
        ("kd", "nothing", "random weights"),
        ("kd", "backbone", r"random weights \(2 entries: head.fc.weight, head.fc.bias\)"),
        ("rkd", "backbone", r"\(2 entries"),
        ("kd", "student", "^MODEL.models.0.Teacher.pretrained: "),
        ("overhaul", "student", "random weights"),
        ("overhaul", "backbone", None),
        ("rkd of embeddings", "backbone", None),
        ("kd", "pair", None),
    ],
)
def test_a_frozen_teacher_is_filled_where_a_term_reads_it(
    experiment: Callable[..., Path], tmp_path: Path, term: str, gets: str, words: str | None
) -> None:
    pair, file = build_recognizer(PAIR, seed=7), str(tmp_path / "given.pdparams")
    donors = {"backbone": pair.networks[T][0], "student": pair.student, "pair": pair}
    if gets in donors:
        paddle.save(donors[gets].state_dict(), file)
    backbone = {**TEACHER["backbone"], **({"pretrained": file} if gets == "backbone" else {})}
    entries = [{T: {**TEACHER, "backbone": backbone}}, {S: STUDENT}]
    config = experiment(model(CE, TERMS[term], models=entries), epochs=1)
    changes = [f"weights={file}"] if gets in ("student", "pair") else []
    if words is None:
        run(config, *changes)
        return
    with pytest.raises(ClipDuetError, match=words):
        run(config, *changes)


def test_features_of_a_frozen_mobilenet_need_no_classifier() -> None:
    """An ImageNet file fills all but `out`, which features end before."""
    backbone = {"name": "PPTSM_MobileNetV2", "scale": 0.125, "num_seg": 4, "class_num": 3}
    teacher = {"backbone": backbone, "head": {"name": "MoViNetHead"}}
    for layer, needs_all in (("backbone.conv9", False), ("backbone.out", True)):
        term = {**TERMS["rkd of embeddings"], "t_key": layer}
        spec = parse_model(model(CE, term, models=[{T: teacher}, {S: STUDENT}]))
        recognizer = build_recognizer(spec, seed=1)
        keys = list(recognizer.networks[T].state_dict())
        filled = {T: [key for key in keys if not key.startswith("0.out.")]}
        if needs_all:
            with pytest.raises(ClipDuetError, match=r"2 entries: backbone\.out"):
                load_networks(recognizer, spec, filled=filled)
        else:
            assert load_networks(recognizer, spec, filled=filled) == []


def test_a_teacher_sees_its_own_normalisation_and_size() -> None:
    clips = np.random.default_rng(0).integers(0, 256, (2, 4, 32, 32, 3), dtype=np.uint8)
    own, wanted = PixelInput([0.5] * 3, [0.25] * 3), PixelInput([0.4, 0.5, 0.6], [0.2, 0.3, 0.1])
    frames = own(paddle.to_tensor(clips))
    adapter = input_adapter(own, mean=wanted.mean, std=wanted.std)
    np.testing.assert_allclose(
        adapter(frames).numpy(), wanted(paddle.to_tensor(clips)).numpy(), atol=1e-5
    )
    assert list(input_adapter(own, size=48)(frames).shape) == [8, 3, 48, 48]
    block = {**TEACHER, "input": {"mean": wanted.mean, "std": wanted.std, "size": 48}}
    spec = parse_model(model(CE, TERMS["kd"], models=[{T: block}, {S: STUDENT}]))
    recognizer = build_recognizer(spec, seed=1, pixels=own)
    recognizer.eval()
    seen = recognizer(frames)
    bigger = nn.functional.interpolate(
        wanted(paddle.to_tensor(clips)), size=[48, 48], mode="bilinear"
    )
    alone = recognizer.networks[T](bigger)
    np.testing.assert_allclose(seen[T].numpy(), alone.numpy(), atol=1e-5)
    np.testing.assert_array_equal(seen[S].numpy(), recognizer.student(frames).numpy())
    assert recognizer.state_dict().keys() == build_recognizer(PAIR, seed=1).state_dict().keys()


def test_only_the_layers_that_are_named_learn() -> None:
    block = {**ALONE, "trainable": ["backbone.fc", "*.stages.3.*.bn"]}
    recognizer = build_recognizer(parse_model(block), seed=1)
    recognizer.train()
    before = state(recognizer)
    step(recognizer, *batch())
    moved = {k for k, v in state(recognizer).items() if not np.array_equal(before[k], v)}
    assert {"backbone.fc.weight", "backbone.fc.bias"} <= moved
    assert any(".stages.3.0.pw_conv.bn._mean" in key for key in moved)
    assert all(".fc." in key or (".stages.3." in key and ".bn." in key) for key in moved)


def test_layers_that_cannot_learn_are_told_with_their_place() -> None:
    def told(spec: dict[str, Any]) -> dict[str, str]:
        with pytest.raises(ConfigError) as caught:
            build_recognizer(parse_model(spec), seed=1)
        return {".".join(map(str, m.where)): m.text for m in caught.value.mistakes}

    for pattern, words in (
        ("backbone.classifier", "'backbone.classifier'; "),
        ("head", "head"),
        ("*.act", "nothing learns: backbone"),
    ):
        alone = told({**ALONE, "trainable": [pattern]})
        assert list(alone) == ["MODEL.trainable"] and words in alone["MODEL.trainable"]
        entries = [{T: TEACHER}, {S: {**STUDENT, "trainable": pattern}}]
        pair = told(model(CE, TERMS["kd"], models=entries))
        place = "MODEL.models.1.Student.trainable"
        assert list(pair) == [place] and words in pair[place]
    both = told({**ALONE, "trainable": ["backbone.classifier", "head"]})
    assert "no layer" in both["MODEL.trainable"]
