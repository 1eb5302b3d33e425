"""Which deployments are compared, and what is said of those that are not."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.common.errors import BenchmarkError
from benchmarks.deployments import deployment
from benchmarks.deployments.deployment import Deployment, choose_deployments, deployed_bytes
from infer.bundle.bundle import Artifact, ArtifactFile, Bundle
from infer.bundle.engines import Machine, Profile, Stamp, engine_path, stamp_path
from infer.clips.spec import ClipSpec
from infer.runtimes.registry import BACKENDS
from infer.runtimes.status import Status
from infer.runtimes.tensorrt import cuda_memory, engine


def bundle(name: str, *keys: str) -> Bundle:
    artifacts = {key: Artifact(key, *key.split(".")[:2], (), {}, {}, Path(name)) for key in keys}
    return Bundle(Path(name), name, ("a", "b"), ClipSpec(), "x", "y", 4, artifacts, {})


FULL = ("paddle.fp32", "onnx.fp32", "onnx.int8")


@pytest.fixture(autouse=True)
def backends(monkeypatch: pytest.MonkeyPatch) -> dict[str, Status]:
    """What becomes of trying the backends: only ONNX Runtime and Paddle run."""
    known = {name: Status(name, False, f"no {name} here", None, "get it") for name in BACKENDS}
    known |= {name: Status(name, True, "", "1.0") for name in ("onnxruntime", "paddle")}
    monkeypatch.setattr(deployment, "statuses", lambda names: [known[name] for name in names])
    return known


def keys(choice: deployment.Choice) -> list[str]:
    return [cell.key for cell in choice.cells]


def test_everything_that_runs_is_compared_with_paddle() -> None:
    choice = choose_deployments([bundle("a", *FULL), bundle("b", *FULL)])
    assert keys(choice) == ["paddle:fp32", "onnxruntime:fp32", "onnxruntime:int8"]
    assert choice.reference == Deployment("paddle", "fp32") and choice.instead_of is None
    reasons = {one.what: one.reason for one in choice.left_out}
    assert reasons["openvino"] == "no openvino here" and len(reasons) == len(BACKENDS) - 2


def test_what_cannot_run_or_is_not_in_both_bundles_is_left_out_with_its_reason(
    backends: dict[str, Status],
) -> None:
    reason = "paddle is not installed"
    backends["paddle"] = Status("paddle", False, reason)
    choice = choose_deployments([bundle("a", *FULL), bundle("b", "onnx.fp32")])
    assert keys(choice) == ["onnxruntime:fp32"]
    assert choice.instead_of is not None and reason in choice.instead_of
    reasons = {one.what: one.reason for one in choice.left_out}
    assert reasons["paddle"] == reason
    assert "onnxruntime:int8 in b" in reasons["onnxruntime:int8"]


def test_the_reference_runs_whether_or_not_it_was_asked_for() -> None:
    both = [bundle("a", *FULL), bundle("b", *FULL)]
    asked = choose_deployments(both, backends=["onnxruntime"])
    assert keys(asked) == ["paddle:fp32", "onnxruntime:fp32", "onnxruntime:int8"]
    assert keys(choose_deployments(both, cells=["onnxruntime:int8"])) == [
        "paddle:fp32",
        "onnxruntime:int8",
    ]
    without = [bundle("a", "onnx.fp32", "onnx.int8")]
    choice = choose_deployments(without, cells=["onnxruntime:int8"])
    assert keys(choice) == ["onnxruntime:fp32", "onnxruntime:int8"]
    assert "paddle:fp32 in a" in str(choice.instead_of)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"backends": ["paddle", "paddle"]}, "paddle is named more than once"),
        ({"backends": ["torch"]}, "'torch'; allowed: "),
        ({"backends": ["auto"]}, "auto"),
        ({"backends": ["openvino"]}, "no openvino here; try: get it"),
        ({"cells": ["onnxruntime:fp16"]}, "onnxruntime:fp16 in a, b"),
        ({"cells": ["onnxruntime"]}, "backend:precision"),
        ({"cells": ["a:b"], "backends": ["a"]}, "not both"),
    ],
)
def test_what_was_asked_for_and_cannot_be_had_is_an_error(
    asked: dict[str, list[str]], message: str
) -> None:
    with pytest.raises(BenchmarkError, match=re.escape(message)):
        choose_deployments([bundle("a", *FULL), bundle("b", *FULL)], **asked)


def test_all_mistakes_are_told_at_once(backends: dict[str, Status]) -> None:
    backends["paddle"] = Status("paddle", False, "no such package")
    with pytest.raises(BenchmarkError) as caught:
        choose_deployments(
            [bundle("a", *FULL)], cells=["paddle:fp32", "torch:fp32", "onnxruntime:fp8"]
        )
    for part in ("no such package", "'torch'", "onnxruntime:fp8"):
        assert part in str(caught.value)


def test_openvino_runs_the_float_file_in_bfloat16(backends: dict[str, Status]) -> None:
    backends["openvino"] = Status("openvino", True, "", "2025")
    for variants in ((), ("onnx.int8.x86",)):
        both = [bundle(name, *FULL, *variants) for name in "ab"]
        found = keys(choose_deployments(both, backends=["openvino"]))
        assert found == ["paddle:fp32", "openvino:fp32", "openvino:bf16", "openvino:int8"]


def test_two_kinds_of_int8_are_not_compared_with_each_other() -> None:
    both = [bundle("a", *FULL, "onnx.int8.x86"), bundle("b", *FULL)]
    choice = choose_deployments(both)
    assert keys(choice) == ["paddle:fp32", "onnxruntime:fp32"]
    reasons = {one.what: one.reason for one in choice.left_out}
    assert "onnx.int8.x86 in a, onnx.int8 in b" in reasons["onnxruntime:int8"]
    with pytest.raises(BenchmarkError, match="runs other files in other bundles"):
        choose_deployments(both, cells=["onnxruntime:int8"])


def test_without_any_fp32_file_there_is_no_reference() -> None:
    with pytest.raises(BenchmarkError, match="nothing to compare with"):
        choose_deployments([bundle("a", "onnx.int8")])


@pytest.mark.parametrize("text", ["onnxruntime", ":fp32", "paddle:", ""])
def test_cells_are_backend_and_precision(text: str) -> None:
    with pytest.raises(BenchmarkError, match="backend:precision"):
        Deployment.parse(text)


class FakeGpu:
    """What a bundle's engines are compared with, without CUDA."""

    name, compute_capability = "GPU A", "9.0"


@pytest.fixture
def tensorrt(backends: dict[str, Status], monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorRT 11 runs here, on "GPU A"."""
    backends["tensorrt"] = Status("tensorrt", True, "", "11.0")
    monkeypatch.setattr(cuda_memory, "Gpu", FakeGpu)
    monkeypatch.setattr(engine, "engine_machine", lambda gpu: Machine("11.0", gpu.name, "9.0"))


def with_engine(name: str, folder: Path, gpu: str = "GPU A", sha: str = "now") -> Bundle:
    """A bundle with an fp16 file, and an engine stamped for a GPU and a file."""
    made = bundle(name, *FULL, "onnx.fp16")
    files = (ArtifactFile("model.onnx", 1, "now"),)
    there = {key: replace(one, files=files) for key, one in made.artifacts.items()}
    made = replace(made, root=folder / name, artifacts=there)
    machine, profile = Machine("11.0", gpu, "9.0"), Profile(1, 4, 8)
    engine = engine_path(made, "fp16", machine, profile)
    engine.parent.mkdir(parents=True)
    engine.write_bytes(b"plan")
    stamp = Stamp(
        *(4, "digest", "model.onnx", sha, "fp16", machine, profile),
        *({}, 1.0, {}),
    )
    stamp_path(engine).write_text(stamp.to_json())
    return made


@pytest.mark.usefixtures("tensorrt")
def test_tensorrt_takes_part_where_every_bundle_has_an_engine(tmp_path: Path) -> None:
    choice = choose_deployments([with_engine("a", tmp_path), with_engine("b", tmp_path)])
    assert [key for key in keys(choice) if "tensorrt" in key] == ["tensorrt:fp16"]
    reasons = {one.what: one.reason for one in choice.left_out}
    assert "tensorrt:fp16" not in reasons
    assert "no fp32 engine in" in reasons["tensorrt:fp32"]
    assert "python -m export.tensorrt --bundle" in reasons["tensorrt:fp32"]
    made = with_engine("c", tmp_path)
    assert deployed_bytes(made, Deployment("tensorrt", "fp16")) == len(b"plan")
    assert (
        deployed_bytes(made, Deployment("onnxruntime", "fp16")) == made.artifacts["onnx.fp16"].bytes
    )


@pytest.mark.usefixtures("tensorrt")
@pytest.mark.parametrize(
    ("stamped", "reason"),
    [
        ({"gpu": "GPU B"}, "GPU A"),
        ({"sha": "before"}, "model.onnx: "),
    ],
)
def test_an_engine_that_may_not_run_here_is_left_out_with_the_difference(
    tmp_path: Path, stamped: dict[str, str], reason: str
) -> None:
    both = [with_engine("a", tmp_path), with_engine("b", tmp_path, **stamped)]
    choice = choose_deployments(both)
    assert not [key for key in keys(choice) if "tensorrt" in key]
    left = {one.what: one.reason for one in choice.left_out}["tensorrt:fp16"]
    assert reason in left and "Build one" in left and "\n" not in left
    for asked in ({"cells": ["tensorrt:fp16"]}, {"backends": ["tensorrt"]}):
        with pytest.raises(BenchmarkError, match=re.escape(reason)):
            choose_deployments(both, **asked)
