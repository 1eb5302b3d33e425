"""An export that fails leaves what was there; each check can stop it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import export.assemble.bundle
import export.network.convert
from export.assemble.bundle import export_bundle
from export.assemble.folder import OutputError
from export.verify import origin
from export.verify.parity import VerificationError
from infer.bundle.bundle import Bundle
from tests.export.assemble.wrong_weights import wrong_weights
from tests.export.conftest import QUICK
from tests.trees import tree


@pytest.fixture
def old(exported: Callable[..., Any], tmp_path: Path) -> Path:
    """A good bundle that stands where the next one shall go."""
    return Path(shutil.copytree(exported("single").folder, tmp_path / "out" / "bundle"))


def altered_file(*arguments: Any, **options: Any) -> onnx.ModelProto:
    model = export.network.convert.to_onnx(*arguments, **options)
    (bias,) = (i for i in model.graph.initializer if i.name == "backbone.stem.0.conv.bias")
    changed = numpy_helper.to_array(bias) + np.float32(0.1)
    bias.CopyFrom(numpy_helper.from_array(changed, bias.name))
    onnx.save(model, str(arguments[2]))
    return model


def interrupted(*arguments: Any, **options: Any) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("name", "replacement", "error", "words"),
    [
        (
            "assemble.bundle.fuse",
            wrong_weights,
            VerificationError,
            ["fused network", "allowed: 0.0001"],
        ),
        (
            "assemble.artifacts.to_onnx",
            altered_file,
            VerificationError,
            ["stem.0.conv.bias [8]"],
        ),
        ("int8.files.quantize", interrupted, KeyboardInterrupt, []),
    ],
)
def test_a_failure_leaves_everything_as_it_was(
    name: str,
    replacement: Any,
    error: type[BaseException],
    words: list[str],
    old: Path,
    experiment: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, before = experiment("single"), tree(old)
    monkeypatch.setattr(f"export.{name}", replacement)
    for target in (old, old.with_name("new")):
        with pytest.raises(error) as caught:
            export_bundle(made.cfg, made.checkpoint, target, options=QUICK)
        for word in words:
            assert word in str(caught.value)
    assert tree(old) == before
    assert [path.name for path in old.parent.iterdir()] == ["bundle"]


def test_a_graph_that_computes_something_else_is_found_by_its_answers(
    experiment: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every weight is right here; the slopes of the leaky ReLUs are not."""
    made = experiment("resnet")

    def flatten(model: onnx.ModelProto, program: dict[str, Any]) -> None:
        for node in model.graph.node:
            for attribute in node.attribute:
                if node.op_type == "LeakyRelu":
                    attribute.f = 0.0

    monkeypatch.setattr(export.network.convert, "_restore_slopes", flatten)
    with pytest.raises(VerificationError) as caught:
        export_bundle(made.cfg, made.checkpoint, tmp_path / "bundle", options=QUICK)
    for words in (
        "ONNX Runtime fp32 on one clip",
        "logits [4, 5] differ",  # of the four clips of the validation list
        "allowed: 0.0001",
        "worst clip: ",
        ".mp4",
        "constraints.txt",
    ):
        assert words in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_success_replaces_an_old_bundle_whole(old: Path, experiment: Callable[..., Any]) -> None:
    (old / "engines").mkdir()
    (old / "engines" / "stale.engine").write_bytes(b"of the old network")
    made = experiment("pair")
    export_bundle(made.cfg, made.checkpoint, old, options=replace(QUICK, fp16=False, int8=()))
    assert Bundle.load(old).raw["origin"]["checkpoint"]["file"] == str(made.checkpoint)
    assert set(tree(old)) == {
        "bundle.json",
        "model.fp32.onnx",
        "paddle/inference.json",
        "paddle/inference.pdiparams",
    }
    assert [path.name for path in old.parent.iterdir()] == ["bundle"]


def test_other_folders_and_files_are_not_replaced(
    experiment: Callable[..., Any], tmp_path: Path
) -> None:
    made = experiment("single")
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.txt").write_text("...")
    (tmp_path / "file").write_text("...")
    for name, words in (("precious", "something else than a bundle"), ("file", "is a file")):
        with pytest.raises(OutputError, match=words):
            export_bundle(made.cfg, made.checkpoint, tmp_path / name, options=QUICK)
    assert set(tree(tmp_path)) == {"precious/thesis.txt", "file"}


@pytest.mark.parametrize(
    "check",
    [
        "export.verify.parity.check_fusion",
        "export.verify.parity.check_batches",
        "export.verify.parity.check_answers",
        "export.assemble.accept.check_collapse",
        "export.verify.origin.check_distinct",
        "export.verify.origin.check_origin",
        "export.verify.origin.check_half_origin",
        "export.verify.origin.check_quantized_origin",
    ],
)
def test_every_check_stops_the_export(
    experiment: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, check: str
) -> None:
    def fail(*args: Any, **options: Any) -> None:
        raise VerificationError(f"{check} says no")

    made = experiment("single")
    monkeypatch.setattr(check, fail)
    with pytest.raises(VerificationError, match=f"{check} says no"):
        export_bundle(
            made.cfg,
            made.checkpoint,
            tmp_path / "bundle",
            options=replace(QUICK, require=("all",)),
        )
    assert not list(tmp_path.iterdir())


def test_a_foreign_tensor_in_the_paddle_model_is_found(
    experiment: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = experiment("pair")
    weight = made.recognizer.networks["Teacher"].state_dict()["1.fc.weight"].numpy()
    tensors = origin.paddle_tensors
    monkeypatch.setattr(origin, "paddle_tensors", lambda path: {**tensors(path), "x": weight})
    with pytest.raises(VerificationError, match=r"paddle .*\n  x .* belongs to Teacher"):
        export_bundle(made.cfg, made.checkpoint, tmp_path / "bundle", options=QUICK)
