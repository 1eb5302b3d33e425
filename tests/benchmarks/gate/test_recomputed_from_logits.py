"""Stored flips and calibration, computed again from the logits with other code."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import rankdata

from benchmarks.deployments.logits import logits_path, read_logits
from benchmarks.gate.results.result_file import load_results
from benchmarks.report.__main__ import main
from tests.benchmarks.gate.networks import run
from tests.benchmarks.older_results import as_version_3

ROOT = Path(__file__).resolve().parents[3]


def _ece(chances: np.ndarray, labels: np.ndarray) -> float:
    confidence, right = chances.max(axis=1), chances.argmax(axis=1) == labels
    bins = ((rankdata(confidence, method="min") - 1) * 15 // len(labels)).astype(int)
    total = 0.0
    for one in range(15):
        own = bins == one
        if own.any():
            total += own.mean() * abs(confidence[own].mean() - right[own].mean())
    return total


def _check(file: Path) -> int:
    """How many models of how many deployments were computed again."""
    results = load_results(file)
    logits = read_logits(file, results["logits"])
    labels, pairs = np.asarray(results["data"]["labels"]), range(len(results["pairs"]))
    checked = 0
    tables = [np.stack([logits[f"{m}/{p}/{row['cell']}"] for p in pairs])
              for row in results["cells"] for m in ("baseline", "student")]  # fmt: skip
    read = np.isfinite(np.stack(tables)).all(axis=(0, 1, 3))

    def right(model: str, cell: str) -> np.ndarray:
        """bool [pairs, clips]"""
        given = np.stack([logits[f"{model}/{pair}/{cell}"] for pair in pairs])
        return np.where(np.isfinite(given).all(axis=2), given.argmax(axis=2), -1) == labels

    for row in results["cells"]:
        base, own = right("baseline", row["cell"]), right("student", row["cell"])
        assert row["flips"]["right_to_wrong"]["point"] == pytest.approx((base & ~own).mean())
        assert row["flips"]["wrong_to_right"]["point"] == pytest.approx((own & ~base).mean())
        for model in ("baseline", "student"):
            whole, here = right(model, results["reference"]), right(model, row["cell"])
            if row["cell"] != results["reference"]:
                found = row[model]["flips"]["right_to_wrong"]
                assert found["point"] == pytest.approx((whole & ~here).mean())
                assert found["count"] == (whole & ~here).sum()
            stored = row[model]["calibration"]["before"]
            chances = [
                softmax(logits[f"{model}/{pair}/{row['cell']}"][read].astype(np.float64), axis=1)
                for pair in pairs
            ]
            truth = labels[read]
            errors = [_ece(one, truth) for one in chances]
            assert stored["ece"]["point"] == pytest.approx(np.mean(errors), abs=1e-9)
            own_chance = [-np.log(one[np.arange(len(truth)), truth]).mean() for one in chances]
            assert stored["nll"]["point"] == pytest.approx(np.mean(own_chance))
            distance = [((one - np.eye(one.shape[1])[truth]) ** 2).sum(1).mean() for one in chances]
            assert stored["brier"]["point"] == pytest.approx(np.mean(distance))
            checked += 1
    return checked


@pytest.mark.usefixtures("tried")
def test_flips_and_calibration_follow_from_the_logits(world: Path, tmp_path: Path) -> None:
    """Of a small result that is made here, and of every committed one that has its logits."""
    out = tmp_path / "results.json"
    assert run(world, "blind noisy", "good good", out, "--no-latency") in (0, 1)
    assert _check(out) == 4
    gates = [
        *ROOT.glob("reports/gate/*/results.json"), *ROOT.glob("reports/real/*/gate/results.json")
    ]  # fmt: skip
    committed = [file for file in gates if logits_path(file).exists()]
    assert len(committed) > 1
    for file in committed:
        assert _check(file) > 0


@pytest.mark.usefixtures("tried")
def test_a_result_of_the_version_before_gets_its_calibration_from_its_logits(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "results.json"
    assert run(world, "blind", "good", out, "--no-latency") in (0, 1)
    today = load_results(out)
    out.write_text(
        json.dumps(as_version_3(json.loads(out.read_text(encoding="utf-8")))), encoding="utf-8"
    )
    assert load_results(out) == today
    assert "SHA-256" not in capsys.readouterr().err
    logits_path(out).write_bytes(b"damaged")
    assert main([str(out), "--out", str(tmp_path / "report")]) == 0
    assert "SHA-256" in capsys.readouterr().err
    logits_path(out).unlink()
    assert "calibration" not in load_results(out)["cells"][1]["student"]
