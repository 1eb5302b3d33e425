"""Published figures, computed again from stored answers and logits with NumPy and SciPy alone.

Nothing of the product is used: neither its way to score nor its intervals.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

ROOT = Path(__file__).resolve().parents[2]
REPORTS = ROOT / "reports"
CELLS = {
    "Paddle fp32": "dynamic:fp32",
    "ONNX Runtime fp32": "onnxruntime:fp32",
    "ONNX Runtime int8": "onnxruntime:int8",
}


def _read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((REPORTS / name / "results.json").read_text("utf-8"))
    return found


def _right(runs: list[list[int]], labels: list[int]) -> np.ndarray:
    """bool [runs, clips]"""
    return np.asarray(runs) == np.asarray(labels)


def _across(gains: np.ndarray) -> tuple[float, float]:
    """Student's 95 % interval of the mean."""
    half = stats.t.ppf(0.975, len(gains) - 1) * gains.std(ddof=1) / np.sqrt(len(gains))
    return gains.mean() - half, gains.mean() + half


def _crossed(base: np.ndarray, student: np.ndarray) -> tuple[float, float]:
    """Percentile bootstrap of the mean gain over runs and clips, 4,000 resamples."""
    rng = np.random.default_rng(7)
    gain = student.astype(np.float64) - base
    runs, clips = gain.shape
    means = np.empty(4000)
    for k in range(len(means)):
        weight = np.bincount(rng.integers(0, clips, clips), minlength=clips)
        means[k] = (gain[rng.integers(0, runs, runs)].mean(axis=0) @ weight) / clips
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def _study(cell: str) -> tuple[np.ndarray, np.ndarray]:
    study = _read("study")
    answers = {
        role: [run["cells"][cell]["predictions"] for run in study["runs"] if run["role"] == role]
        for role in ("baseline", "student")
    }
    seeds = {
        role: [run["seed"] for run in study["runs"] if run["role"] == role] for role in answers
    }
    assert seeds["baseline"] == seeds["student"] == study["seeds"]
    labels = study["data"]["labels"]
    return _right(answers["baseline"], labels), _right(answers["student"], labels)


def _figures(text: str) -> list[float]:
    return [float(figure) for figure in re.findall(r"[-+]?\d+(?:\.\d+)?", text)]


def _table(file: str, first: str) -> dict[str, list[float]]:
    """The figures of a Markdown table, by what stands first in a row; `first` heads the table."""
    lines = (ROOT / file).read_text("utf-8").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {first} |")) + 2
    rows = {}
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        name, rest = line.strip("| ").split("|", 1)
        rows[name.strip()] = _figures(rest)
    return rows


@pytest.mark.parametrize("name", CELLS)
def test_the_studys_table(name: str) -> None:
    base, student = _study(CELLS[name])
    gains = 100 * (student.mean(axis=1) - base.mean(axis=1))
    row = _table("docs/results.md", "deployment")[name]
    alone, with_dml, gain, low, high, seeds_low, seeds_high = row
    assert alone == pytest.approx(100 * base.mean(), abs=0.006)
    assert with_dml == pytest.approx(100 * student.mean(), abs=0.006)
    assert gain == pytest.approx(gains.mean(), abs=0.006)
    assert (seeds_low, seeds_high) == pytest.approx(_across(gains), abs=0.006)
    # Two bootstraps of other draws.
    assert (low, high) == pytest.approx([100 * end for end in _crossed(base, student)], abs=0.25)
    assert (gains > 0).all() and len(gains) == 10


def test_what_readme_says_of_the_seeds() -> None:
    base, student = _study("dynamic:fp32")
    gains = 100 * (student.mean(axis=1) - base.mean(axis=1))
    text = (ROOT / "README.md").read_text("utf-8")
    found = re.search(r"All ten seeds gained, by ([\d.]+) to ([\d.]+) points", text)
    assert found is not None
    assert [float(one) for one in found.groups()] == pytest.approx(
        [gains.min(), gains.max()], abs=0.006
    )
    pair = re.search(r"mean gain is \+([\d.]+) to \+([\d.]+)", text)
    assert pair is not None
    assert [float(one) for one in pair.groups()] == pytest.approx(_across(gains), abs=0.006)


def test_readmes_table_follows_from_the_gates_logits() -> None:
    gate = _read("gate/motions")
    labels = np.asarray(gate["data"]["labels"])
    cells = [row["cell"] for row in gate["cells"]]
    rows = _table("README.md", "deployment")
    assert len(rows) == len(cells)
    top1, checked = {}, 0
    with np.load(REPORTS / "gate/motions/logits.npz") as stored:
        for cell in cells:
            top1[cell] = tuple(
                np.stack([
                    stored[f"{role}/{pair}/{cell}"].argmax(axis=1) == labels
                    for pair in range(len(gate["pairs"]))
                ])
                for role in ("baseline", "student")
            )  # fmt: skip
    reference = top1[gate["reference"]]
    whole = reference[1].mean() - reference[0].mean()
    for name, figures in rows.items():
        cell = _cell_of(name)
        base, student = top1[cell]
        gain = student.mean() - base.mean()
        assert figures[:3] == pytest.approx(
            [100 * base.mean(), 100 * student.mean(), 100 * gain], abs=0.006
        )
        assert figures[3:5] == pytest.approx(
            [100 * end for end in _crossed(base, student)], abs=0.25
        )
        if len(figures) > 5:
            assert figures[5] == pytest.approx(100 * gain / whole, abs=0.51)
            checked += 1
    assert checked == 6


def _cell_of(name: str) -> str:
    backend, precision = name.removesuffix(" (reference)").rsplit(" ", 1)
    key = {"Paddle": "paddle", "ONNX Runtime": "onnxruntime", "OpenVINO": "openvino"}[backend]
    return f"{key}:{precision}"


def test_the_table_of_other_cameras() -> None:
    found = _read("perturb")
    labels = found["data"]["labels"]
    rows = _table("docs/results.md", "clips")
    titles = {block["title"]: key for key, block in found["perturbations"].items()}
    titles["as they are"] = titles.pop("clean")
    assert set(rows) == set(titles)
    for name, figures in rows.items():
        said = found["perturbations"][titles[name]]["predictions"]
        for cell, ends in (("onnxruntime:fp32", figures[:5]), ("onnxruntime:int8", figures[5:])):
            base, student = (_right(said[role][cell], labels) for role in ("baseline", "student"))
            gains = 100 * (student.mean(axis=1) - base.mean(axis=1))
            if len(ends) == 5:
                assert ends[:2] == pytest.approx(
                    [100 * base.mean(), 100 * student.mean()], abs=0.006
                )
                ends = ends[2:]
            gain, low, high = ends
            assert gain == pytest.approx(gains.mean(), abs=0.006)
            # The widest of three intervals is told; Student's t is one of them.
            seeds_low, seeds_high = _across(gains)
            assert low <= seeds_low + 0.006 and high >= seeds_high - 0.006
            assert high - low < 1.3 * (seeds_high - seeds_low)


def test_the_table_of_methods() -> None:
    found = _read("methods")
    labels = found["data"]["labels"]
    right = {
        method["method"]: _right(
            [run["cells"]["dynamic:fp32"]["predictions"] for run in method["runs"]], labels
        )
        for method in found["methods"]
    }
    base = right.pop("baseline")
    rows = _table("docs/distillation.md", "method | top-1")
    assert rows.pop("alone") == pytest.approx([100 * base.mean()], abs=0.006)
    assert {name.strip("`") for name in rows} == set(right)
    for name, figures in rows.items():
        own = right[name.strip("`")]
        gains = 100 * (own.mean(axis=1) - base.mean(axis=1))
        top1, gain, low, high, seeds_low, seeds_high, ahead, seeds = figures
        assert (top1, gain) == pytest.approx((100 * own.mean(), gains.mean()), abs=0.006)
        assert (seeds_low, seeds_high) == pytest.approx(_across(gains), abs=0.006)
        assert (low, high) == pytest.approx([100 * end for end in _crossed(base, own)], abs=0.25)
        assert (ahead, seeds) == ((gains > 0).sum(), len(gains))


def _in_sets(parts: list[tuple[np.ndarray, np.ndarray]]) -> tuple[float, float]:
    """The wider of a percentile bootstrap and Student's t, over whole groups in each set."""
    rng = np.random.default_rng(7)
    sums, clips = np.zeros(4000), np.zeros(4000)
    variance, freedom = 0.0, 0
    for gain, group in parts:
        of_group, in_group = np.bincount(group, gain), np.bincount(group)
        drawn = rng.integers(0, len(in_group), (4000, len(in_group)))
        sums += of_group[drawn].sum(axis=1)
        clips += in_group[drawn].sum(axis=1)
        rest = of_group - gain.mean() * in_group
        variance += len(rest) / (len(rest) - 1) * (rest**2).sum()
        freedom += len(rest) - 1
    every = np.concatenate([gain for gain, _ in parts])
    half = stats.t.ppf(0.975, freedom) * np.sqrt(variance) / len(every)
    low, high = np.percentile(sums / clips, [2.5, 97.5])
    return min(float(low), every.mean() - half), max(float(high), every.mean() + half)


def test_the_table_of_real_clips() -> None:
    found = _read("real")
    rows = _table("docs/results.md", "set")
    parts, right, frequent = [], [], []
    for name, files in found["files"].items():
        (entry,) = files
        study = json.loads((REPORTS / "real" / entry["study"]["file"]).read_text("utf-8"))
        labels = study["data"]["labels"]
        of_role = {
            run["role"]: np.asarray(run["cells"]["dynamic:fp32"]["predictions"]) == labels
            for run in study["runs"]
        }
        base, student = (of_role[role].astype(float) for role in ("baseline", "student"))
        group = np.unique(study["data"]["groups"], return_inverse=True)[1]
        parts.append((student - base, group))
        right.append((base, student))
        frequent.append(np.bincount(labels).max())
        _check_real(rows.pop(name), right[-1:], frequent[-1:], parts[-1:])
    _check_real(rows.pop("all"), right, frequent, parts)
    assert not rows


def _check_real(
    figures: list[float],
    right: list[tuple[np.ndarray, np.ndarray]],
    frequent: list[int],
    parts: list[tuple[np.ndarray, np.ndarray]],
) -> None:
    base, student = (np.concatenate([one[role] for one in right]) for role in (0, 1))
    clips, most, alone, with_dml, gain, low, high = figures
    assert clips == len(base)
    assert most == pytest.approx(100 * sum(frequent) / len(base), abs=0.06)
    means = 100 * base.mean(), 100 * student.mean(), 100 * (student - base).mean()
    assert (alone, with_dml, gain) == pytest.approx(means, abs=0.006)
    assert (low, high) == pytest.approx([100 * end for end in _in_sets(parts)], abs=0.5)
