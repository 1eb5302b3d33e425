"""`pretrained: imagenet` and `embedded`: fetched once or of the checkout, and nothing unasked."""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest

from infer.system.cache import cache_folder
from infer.system.files import sha256_of
from tests.train.http_server import Server
from train.checkpoints.checkpoint import CheckpointError
from train.checkpoints.pretrained import load_pretrained
from train.checkpoints.weights_files import weights_file
from train.config import weights_by_name
from train.config.load import ConfigError, parse_model
from train.config.weights_by_name import (
    LCNET,
    MOBILENET_V2,
    MOBILENETS_V3,
    RESNETS,
    STUDENT_OF_MOTIONS,
    TEACHER_OF_MOTIONS,
    Published,
    Shipped,
    named_weights,
)
from train.data.prepare import download
from train.distill.build_recognizer import build_recognizer

CONTENT = b"\x80\x04" + np.random.default_rng(0).bytes(200_000)
NAME = "Some_pretrained.pdparams"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CLIPDUET_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("CLIPDUET_OFFLINE", raising=False)
    return tmp_path / "cache" / "weights"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(download, "PAUSE", 0.001)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    made = Server()
    made.files[f"/a/{NAME}"] = CONTENT
    yield made
    made.close()


def at(server: Server, name: str = NAME) -> Published:
    return Published("Some", server.url(f"/a/{name}"), 1, 80.0)


def student(**changes: Any) -> dict[str, Any]:
    backbone = {"name": "PPTSM_v2", "num_seg": 4, "class_num": 3, **changes}
    return {"framework": "Recognizer2D", "backbone": backbone, "head": {"name": "MoViNetHead"}}


def teacher(**changes: Any) -> dict[str, Any]:
    backbone = {"name": "ResNetTweaksTSM", "num_seg": 4, **TEACHER_OF_MOTIONS, **changes}
    head = {"name": "ppTSMHead", "num_classes": 3, "in_channels": 128, "num_seg": 4}
    return {"framework": "Recognizer2D", "backbone": backbone, "head": head}


def test_a_file_is_fetched_once_whatever_interrupts_it(server: Server, cache: Path) -> None:
    server.breaks = [50_000, 0, 90_000]
    file = weights_file(at(server))
    assert file == cache / NAME and file.read_bytes() == CONTENT
    assert [wanted for *_, wanted in server.asked] == ["", *["bytes=50000-"] * 2, "bytes=140000-"]
    about = json.loads(file.with_suffix(".json").read_text())
    assert about == {"url": at(server).url, "bytes": len(CONTENT), "sha256": sha256_of(file)}
    assert {path.name for path in cache.iterdir()} == {
        NAME, Path(NAME).with_suffix(".json").name, f".{NAME}.lock",
    }  # fmt: skip
    assert weights_file(at(server)) == file and len(server.asked) == 4


def test_processes_that_want_a_file_at_once_fetch_it_once(server: Server, cache: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        files = set(pool.map(lambda _: weights_file(at(server)), range(4)))
    assert files == {cache / NAME} and len(server.asked) == 1


def test_a_file_that_has_changed_since_is_not_used(server: Server, cache: Path) -> None:
    file = weights_file(at(server))
    file.write_bytes(CONTENT[:-1] + b"x")
    with pytest.raises(CheckpointError, match="has changed") as error:
        weights_file(at(server))
    assert str(file) in str(error.value) and len(server.asked) == 1


def test_without_a_connection_it_is_told_what_to_put_where(
    server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLIPDUET_OFFLINE", "1")
    with pytest.raises(CheckpointError, match="CLIPDUET_OFFLINE") as error:
        weights_file(at(server))
    assert at(server).url in str(error.value) and str(cache / NAME) in str(error.value)
    assert not server.asked and not cache.exists()
    cache.mkdir(parents=True)
    (cache / NAME).write_bytes(CONTENT)
    assert weights_file(at(server)) == cache / NAME
    monkeypatch.setenv("CLIPDUET_OFFLINE", "0")
    with pytest.raises(CheckpointError, match="404") as error:
        weights_file(at(server, "other.pdparams"))
    assert str(cache / "other.pdparams") in str(error.value)


def test_a_page_of_a_server_is_no_weights(server: Server, cache: Path) -> None:
    server.files[f"/a/{NAME}"] = b"<html>log in first</html>"
    with pytest.raises(CheckpointError, match="something else"):
        weights_file(at(server))
    assert [path.name for path in cache.iterdir()] == [f".{NAME}.lock"]
    server.files[f"/a/{NAME}"] = CONTENT
    assert weights_file(at(server)).read_bytes() == CONTENT


def test_a_cache_that_cannot_be_written_is_told(server: Server, cache: Path) -> None:
    cache.parent.touch()
    with pytest.raises(CheckpointError, match="CLIPDUET_CACHE"):
        weights_file(at(server))


@pytest.mark.parametrize(
    ("environment", "folder"),
    [({"CLIPDUET_CACHE": "/own", "XDG_CACHE_HOME": "/xdg"}, "/own/weights"),
     ({"CLIPDUET_CACHE": "", "XDG_CACHE_HOME": "/xdg"}, "/xdg/clipduet/weights"),
     ({"XDG_CACHE_HOME": "relative"}, f"{Path.home()}/.cache/clipduet/weights"),
     ({}, f"{Path.home()}/.cache/clipduet/weights")],
)  # fmt: skip
def test_where_fetched_files_lie(environment: dict[str, str], folder: str) -> None:
    assert cache_folder("weights", environment) == Path(folder)


def test_imagenet_fills_a_backbone_but_its_classifier(
    server: Server, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The makers' file: a backbone's own keys, with a classifier of 1000 classes."""
    donor = build_recognizer(parse_model(student(class_num=1000)), seed=3).student[0]
    paddle.save(donor.state_dict(), str(tmp_path / "made.pdparams"))
    server.files["/a/lcnet.pdparams"] = (tmp_path / "made.pdparams").read_bytes()
    monkeypatch.setattr(weights_by_name, "LCNET", at(server, "lcnet.pdparams"))
    model = parse_model(student(pretrained="imagenet"))
    recognizer = build_recognizer(model, seed=1)
    assert not server.asked
    found = load_pretrained(recognizer, model)["Student"]
    own = recognizer.student[0].state_dict()
    left_out = {key for key in own if key.startswith("fc.")}
    assert left_out and set(found.loaded) == own.keys() - left_out
    assert {one.split()[0] for one in found.reshaped} <= left_out
    key = found.loaded[0]
    assert np.array_equal(own[key].numpy(), donor.state_dict()[key].numpy())
    told = str(found)
    assert told.startswith(f"{len(found.loaded)} of {len(own)} entries from imagenet")
    assert str(cache / "lcnet.pdparams") in told and "other shape" in told


@pytest.mark.parametrize(
    ("made", "file", "left_out"),
    [(teacher, "motions_teacher.pdparams", set()),
     (functools.partial(student, **STUDENT_OF_MOTIONS), "motions_student.pdparams",
      {"fc.weight", "fc.bias"})],
)  # fmt: skip
def test_embedded_is_in_the_checkout(
    made: Callable[..., dict[str, Any]], file: str, left_out: set[str]
) -> None:
    """All of the backbone but a classifier of other classes; 8 classes, not 3."""
    model = parse_model(made(pretrained="embedded"))
    recognizer = build_recognizer(model, seed=1)
    found = load_pretrained(recognizer, model)["Student"]
    assert set(found.loaded) == set(recognizer.student[0].state_dict()) - left_out
    assert {one.split()[0] for one in found.reshaped} == left_out
    assert not found.new
    assert "embedded" in str(found) and file in str(found)


SHIPPED = [
    {"name": "ResNetTweaksTSM", **TEACHER_OF_MOTIONS},
    {"name": "PPTSM_v2", **STUDENT_OF_MOTIONS},
]


@pytest.mark.parametrize("backbone", SHIPPED, ids=["teacher", "student"])
def test_shipped_weights_are_what_their_json_says(backbone: dict[str, Any], tmp_path: Path) -> None:
    shipped = named_weights("embedded", backbone)
    assert isinstance(shipped, Shipped)
    assert weights_file(shipped) == shipped.file
    copy = tmp_path / "copy.pdparams"
    shutil.copy(shipped.file, copy)
    with pytest.raises(CheckpointError, match="not in this checkout"):
        weights_file(Shipped("a copy", copy))
    shutil.copy(shipped.file.with_suffix(".json"), copy.with_suffix(".json"))
    assert weights_file(Shipped("a copy", copy)) == copy
    copy.write_bytes(copy.read_bytes() + b"x")
    with pytest.raises(CheckpointError, match="has changed"):
        weights_file(Shipped("a copy", copy))


@pytest.mark.parametrize(
    ("model", "told"),
    [(student(scale=0.5, pretrained="imagenet"), "scale 1"),
     (student(depths=[1, 1, 1, 1], pretrained="imagenet"), "depths [2, 2, 6, 2]"),
     (student(pretrained="embedded"), "scale 0.375"),
     (teacher(pretrained="imagenet"), "width 1"),
     (student(name="PPTSM_MobileNetV2", scale=0.5, pretrained="imagenet"), "scale 1"),
     (student(name="PPTSM_MobileNetV3", pretrained="embedded"), "name a file"),
     ({**teacher(), "pretrained": "imagenet"}, "backbone.pretrained")],
)  # fmt: skip
def test_a_network_that_they_do_not_fit_is_a_mistake_of_the_config(
    model: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigError) as error:
        parse_model(model)
    assert told in str(error.value) and "pretrained" in str(error.value)


def test_every_address_is_an_official_one() -> None:
    for weights in (LCNET, MOBILENET_V2, *MOBILENETS_V3.values(), *RESNETS.values()):
        assert weights.url.startswith("https://") and ".bj.bcebos.com/" in weights.url
        assert weights.title in weights.url and weights.url.endswith("_pretrained.pdparams")
    for size in MOBILENETS_V3:
        block = {"name": "PPTSM_MobileNetV3", "size": size, "scale": 1.0}
        assert named_weights("imagenet", block) == MOBILENETS_V3[size]
    for depth in RESNETS:
        block = {"name": "ResNetTweaksTSM", "depth": depth, "width": 1.0}
        assert named_weights("imagenet", block) == RESNETS[depth]
