"""What the gate compares where nothing says beforehand which backends run."""

from __future__ import annotations

from pathlib import Path

from benchmarks.deployments import deployment
from benchmarks.deployments.deployment import Deployment
from infer.bundle.bundle import Bundle
from infer.runtimes.registry import BACKENDS


def test_what_runs_here_is_found_by_trying_it(world: Path, tmp_path: Path) -> None:
    bundles = [Bundle.load(world / name) for name in ("blind", "good")]
    choice = deployment.choose_deployments(bundles)
    assert choice.reference == Deployment(
        "onnxruntime", "fp32"
    )  # these bundles have nothing for Paddle
    assert Deployment("onnxruntime", "int8") in choice.cells
    named = {one.what.partition(":")[0] for one in choice.left_out}
    assert named | {cell.backend for cell in choice.cells} == set(BACKENDS)
    assert all(one.reason for one in choice.left_out)
