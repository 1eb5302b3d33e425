"""Which deployments are compared, and what is said of those that are not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks import cells
from benchmarks.cells import Cell, choose
from benchmarks.errors import BenchmarkError
from infer.backends import BACKENDS
from infer.bundle import Artifact, Bundle
from infer.spec import ClipSpec
from infer.statuses import Status


def bundle(name: str, *keys: str) -> Bundle:
    artifacts = {key: Artifact(key, *key.split(".")[:2], (), {}, {}, Path(name)) for key in keys}
    return Bundle(Path(name), name, ("a", "b"), ClipSpec(), "x", "y", 4, artifacts, {})


FULL = ("paddle.fp32", "onnx.fp32", "onnx.int8")


@pytest.fixture(autouse=True)
def backends(monkeypatch: pytest.MonkeyPatch) -> dict[str, Status]:
    """What becomes of trying the backends: only ONNX Runtime and Paddle run."""
    known = {name: Status(name, False, f"no {name} here", None, "get it") for name in BACKENDS}
    known |= {name: Status(name, True, "", "1.0") for name in ("onnxruntime", "paddle")}
    monkeypatch.setattr(cells, "statuses", lambda names: [known[name] for name in names])
    return known


def keys(choice: cells.Choice) -> list[str]:
    return [cell.key for cell in choice.cells]


def test_everything_that_runs_is_compared_with_paddle() -> None:
    choice = choose([bundle("a", *FULL), bundle("b", *FULL)])
    assert keys(choice) == ["paddle:fp32", "onnxruntime:fp32", "onnxruntime:int8"]
    assert choice.reference == Cell("paddle", "fp32") and choice.instead_of is None
    reasons = {one.what: one.reason for one in choice.left_out}
    assert reasons["openvino"] == "no openvino here" and len(reasons) == len(BACKENDS) - 2


def test_what_cannot_run_or_is_not_in_both_bundles_is_left_out_with_its_reason(
    backends: dict[str, Status],
) -> None:
    backends["paddle"] = Status("paddle", False, "paddle is not installed")
    choice = choose([bundle("a", *FULL), bundle("b", "onnx.fp32")])
    assert keys(choice) == ["onnxruntime:fp32"]
    assert choice.instead_of == "paddle cannot run here: paddle is not installed"
    reasons = {one.what: one.reason for one in choice.left_out}
    assert reasons["paddle"] == "paddle is not installed"
    assert "no file for onnxruntime:int8 in b" in reasons["onnxruntime:int8"]


def test_the_reference_runs_whether_or_not_it_was_asked_for() -> None:
    both = [bundle("a", *FULL), bundle("b", *FULL)]
    asked = choose(both, backends=["onnxruntime"])
    assert keys(asked) == ["paddle:fp32", "onnxruntime:fp32", "onnxruntime:int8"]
    assert keys(choose(both, cells=["onnxruntime:int8"])) == ["paddle:fp32", "onnxruntime:int8"]
    without = [bundle("a", "onnx.fp32", "onnx.int8")]
    choice = choose(without, cells=["onnxruntime:int8"])
    assert keys(choice) == ["onnxruntime:fp32", "onnxruntime:int8"]
    assert "no file for paddle:fp32 in a" in str(choice.instead_of)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"backends": ["paddle", "paddle"]}, "paddle is named more than once"),
        ({"backends": ["torch"]}, "backend is 'torch'; allowed: onnxruntime, "),
        ({"backends": ["auto"]}, "auto would choose one backend: name"),
        ({"backends": ["openvino"]}, "openvino cannot run here: no openvino here; try: get it"),
        ({"cells": ["onnxruntime:fp16"]}, "no file for onnxruntime:fp16 in a, b (there: onnx.fp32"),
        ({"cells": ["onnxruntime"]}, "of the form backend:precision"),
        ({"cells": ["a:b"], "backends": ["a"]}, "not both"),
    ],
)
def test_what_was_asked_for_and_cannot_be_had_is_an_error(
    asked: dict[str, list[str]], message: str
) -> None:
    with pytest.raises(BenchmarkError, match=re.escape(message)):
        choose([bundle("a", *FULL), bundle("b", *FULL)], **asked)


def test_all_mistakes_are_told_at_once(backends: dict[str, Status]) -> None:
    backends["paddle"] = Status("paddle", False, "no such package")
    with pytest.raises(BenchmarkError) as caught:
        choose([bundle("a", *FULL)], cells=["paddle:fp32", "torch:fp32", "onnxruntime:fp8"])
    for part in ("paddle cannot run here: no such package", "'torch'", "onnxruntime:fp8"):
        assert part in str(caught.value)


def test_openvino_runs_the_float_file_in_bfloat16_and_int8_takes_the_variant_there_is(
    backends: dict[str, Status],
) -> None:
    backends["openvino"] = Status("openvino", True, "", "2025")
    both = [bundle("a", *FULL, "onnx.int8.x86"), bundle("b", *FULL)]
    found = keys(choose(both, backends=["openvino"]))
    assert found == ["paddle:fp32", "openvino:fp32", "openvino:bf16", "openvino:int8"]


def test_without_any_fp32_file_there_is_no_reference() -> None:
    with pytest.raises(BenchmarkError, match="nothing to compare with"):
        choose([bundle("a", "onnx.int8")])


@pytest.mark.parametrize("text", ["onnxruntime", ":fp32", "paddle:", ""])
def test_cells_are_backend_and_precision(text: str) -> None:
    with pytest.raises(BenchmarkError, match="backend:precision"):
        Cell.parse(text)
