"""Start from other weights: every spelling that files have, and a report that adds up."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest

from train.checkpoints.checkpoint import CheckpointError, load_file
from train.checkpoints.pretrained import load_pretrained, load_weights
from train.distill.build_recognizer import build_recognizer
from train.distill.recognizers import Recognizer
from train.models.resnet_tweaks_tsm import BLOCKS

CLASSES, SEGMENTS = 5, 4

STUDENT: dict[str, Any] = {
    "backbone": {
        "name": "PPTSM_v2",
        "scale": 0.25,
        "depths": [1, 1, 1, 1],
        "class_expand": 48,
        "num_seg": SEGMENTS,
        "class_num": CLASSES,
    },
    "head": {"name": "MoViNetHead"},
}


def resnet(depth: int) -> dict[str, Any]:
    channels = 256 if depth >= 50 else 64
    head = {"name": "ppTSMHead", "num_classes": CLASSES, "in_channels": channels}
    return {
        "backbone": {
            "name": "ResNetTweaksTSM",
            "depth": depth,
            "width": 0.125,
            "num_seg": SEGMENTS,
        },
        "head": {**head, "num_seg": SEGMENTS},
    }


def single(network: dict[str, Any]) -> dict[str, Any]:
    return {"framework": "Recognizer2D", **network}


PAIR: dict[str, Any] = {
    "framework": "RecognizerDistillation",
    "models": [{"Teacher": resnet(18)}, {"Student": STUDENT}],
    "loss": {"Train": [], "Val": []},
}


def state(layer: paddle.nn.Layer, prefix: str = "") -> dict[str, np.ndarray]:
    return {prefix + key: value.numpy() for key, value in layer.state_dict().items()}


def save(weights: dict[str, np.ndarray], path: Path) -> Path:
    paddle.save({key: paddle.to_tensor(value) for key, value in weights.items()}, str(path))
    return path


def equal(layer: paddle.nn.Layer, other: paddle.nn.Layer) -> bool:
    mine, theirs = state(layer), state(other)
    return mine.keys() == theirs.keys() and all(np.array_equal(mine[k], theirs[k]) for k in mine)


def with_pretrained(network: dict[str, Any], path: Path) -> dict[str, Any]:
    return {**network, "backbone": {**network["backbone"], "pretrained": str(path)}}


def donor(model: dict[str, Any]) -> Recognizer:
    return build_recognizer(model, seed=11)


def own_keys(key: str, depth: int) -> str:
    return key


def paddleclas(key: str, depth: int) -> str:
    """What PaddleClas since 2.1 calls an entry of its ResNet-vd."""
    names = [
        f"bb_{stage}_{i}" if depth >= 50 else f"res{stage + 2}{'abcdefgh'[i]}"
        for stage, blocks in enumerate(BLOCKS[depth])
        for i in range(blocks)
    ]
    first, rest = key.split(".", 1)
    rest = rest.replace("_conv.", "conv.").replace("_batch_norm.", "bn.")
    if first.startswith("conv1_"):
        return f"stem.{int(first[-1]) - 1}.{rest}"
    return f"blocks.{names.index(first)}.{rest}"


def paddleclas_2_0(key: str, depth: int) -> str:
    """What PaddleClas 2.0 called it: shallow networks had the names of deep ones."""
    block = re.match(r"res(\d)([a-z])\.", key)
    if block is None:
        return key
    return f"bb_{int(block[1]) - 2}_{ord(block[2]) - 97}." + key.split(".", 1)[1]


@pytest.mark.parametrize("depth", [18, 50])
@pytest.mark.parametrize("names", [own_keys, paddleclas, paddleclas_2_0])
def test_imagenet_resnets_fill_the_backbone(depth: int, names: Any, tmp_path: Path) -> None:
    given = donor(single(resnet(depth))).student[0]
    file = {names(key, depth): value for key, value in state(given).items()}
    file |= {"out.weight": np.ones((9, 1000), np.float32), "out.bias": np.ones(1000, np.float32)}
    path = save(file, tmp_path / "imagenet.pdparams")
    recognizer = build_recognizer(single(resnet(depth)), seed=5)
    before = state(recognizer.student[1])
    ((role, found),) = load_pretrained(
        recognizer, single(with_pretrained(resnet(depth), path))
    ).items()
    line = f"{role}: {found}"
    size = len(given.state_dict())
    assert line == (
        f"Student: {size} of {size} entries from {path}; not used (2): out.weight, out.bias"
    )
    assert equal(recognizer.student[0], given)
    assert all(np.array_equal(before[key], v) for key, v in state(recognizer.student[1]).items())


def test_a_classifier_of_another_size_is_left_out_and_said(tmp_path: Path) -> None:
    file = state(donor(single(STUDENT)).student[0])
    size = len(file)
    file["fc.weight"], file["fc.bias"] = np.ones((48, 7), np.float32), np.ones(7, np.float32)
    del file["stem.0.conv.weight"]
    path = save(file, tmp_path / "imagenet.pdparams")
    recognizer = build_recognizer(single(STUDENT), seed=5)
    before = state(recognizer.student[0])
    ((role, found),) = load_pretrained(recognizer, single(with_pretrained(STUDENT, path))).items()
    line = f"{role}: {found}"
    for part in (
        f"Student: {size - 3} of {size} ", str(path), "(2): fc.weight [48, 7], not [48, 5]",
        "fc.bias [7], not [5]", "(1): stem.0.conv.weight",
    ):  # fmt: skip
        assert part in line
    after = state(recognizer.student[0])
    for key in ("fc.weight", "fc.bias", "stem.0.conv.weight"):
        assert np.array_equal(before[key], after[key])


@pytest.mark.parametrize("form", ["single", "pair", "student"])
def test_a_backbone_may_come_out_of_a_whole_checkpoint(form: str, tmp_path: Path) -> None:
    source = donor(PAIR if form != "single" else single(STUDENT))
    weights = state(source if form != "student" else source.student)
    path = save(weights, tmp_path / "whole.pdparams")
    recognizer = build_recognizer(single(STUDENT), seed=5)
    load_pretrained(recognizer, single(with_pretrained(STUDENT, path)))
    assert equal(recognizer.student, source.student)


def test_a_teacher_starts_from_its_own_network_of_a_pair_or_from_a_run_of_its_own(
    tmp_path: Path,
) -> None:
    both, alone = donor(PAIR), donor(single(resnet(18)))
    for number, (source, given) in enumerate(
        ((both, both.networks["Teacher"]), (alone, alone.student))
    ):
        path = save(state(source), tmp_path / f"{number}.pdparams")
        teacher = with_pretrained(resnet(18), path)
        model = {**PAIR, "models": [{"Teacher": teacher}, {"Student": STUDENT}]}
        recognizer = build_recognizer(PAIR, seed=5)
        load_pretrained(recognizer, model)
        assert equal(recognizer.networks["Teacher"][0], given[0])


@pytest.mark.parametrize("form", ["pair", "student", "single"])
@pytest.mark.parametrize("model", [single(STUDENT), PAIR], ids=["one", "two"])
def test_whole_networks_start_from_any_checkpoint_that_holds_them(
    model: dict[str, Any], form: str, tmp_path: Path
) -> None:
    source = donor(single(STUDENT) if form == "single" else PAIR)
    weights = state(source if form != "student" else source.student)
    path = save(weights, tmp_path / "whole.pdparams")
    recognizer = build_recognizer(model, seed=5)
    lines = [f"{role}: {found}" for role, found in load_weights(recognizer, path).items()]
    assert equal(recognizer.student, source.student)
    if model is PAIR and form == "pair":
        assert equal(recognizer.networks["Teacher"], source.networks["Teacher"])
        assert not any("not used" in line or "new" in line for line in lines)
    elif model is PAIR:
        assert lines[0].startswith(f"Teacher: nothing in {path}")
    elif form == "pair":
        assert "not used" in lines[0] and "Teacher.0.conv1_1._conv.weight" in lines[0]


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    path = save(state(donor(single(resnet(50)))), tmp_path / "other.pdparams")
    recognizer = build_recognizer(single(STUDENT), seed=5)
    before = state(recognizer)
    words = r"fills 0 of \d+ entries: it belongs to another"
    with pytest.raises(CheckpointError, match=words):
        load_weights(recognizer, path)
    with pytest.raises(CheckpointError, match=words):
        load_pretrained(recognizer, single(with_pretrained(STUDENT, path)))
    assert all(np.array_equal(before[key], value) for key, value in state(recognizer).items())


def test_optimiser_files_are_named_as_such(tmp_path: Path) -> None:
    paddle.save({"LR_Scheduler": {"last_epoch": 3}}, str(tmp_path / "model.pdopt"))
    with pytest.raises(CheckpointError, match=r"ends in \.pdparams"):
        load_weights(build_recognizer(single(STUDENT), seed=5), tmp_path / "model.pdopt")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2) + pickle.dumps(1001), "a PyTorch file"),
        (b"PK\x03\x04" + bytes(60), "PyTorch"),
        (b"\x10" + bytes(7) + b'{"a": {"dtype"', "a safetensors file"),
        (b"", "empty|input"),
    ],
    ids=["torch", "zip", "safetensors", "empty"],
)
def test_files_of_other_programs_are_told(content: bytes, words: str, tmp_path: Path) -> None:
    file = tmp_path / "strange.pdparams"
    file.write_bytes(content)
    for trust in (False, True):
        with pytest.raises(
            CheckpointError, match=f"not a readable checkpoint: .*({words})"
        ) as told:
            load_file(file, trust=trust)
        assert "Paddle" in str(told.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"cno_such_module\nThing\n.", "no_such_module"),
        (b"cpickle\nNoSuchThing\n.", "NoSuchThing"),
        (b"cbuiltins\nlen\n)R.", "argument"),
    ],
    ids=["module", "attribute", "type"],
)
def test_whatever_a_trusted_file_raises_is_one_line(
    content: bytes, words: str, tmp_path: Path
) -> None:
    file = tmp_path / "strange.pdparams"
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match=f"not a readable checkpoint: .*({words})"):
        load_file(file, trust=True)
