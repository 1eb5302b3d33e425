"""The figures of the committed studies and gates once more, from their answers alone.

Nothing of `benchmarks/` is used: NumPy, SciPy and the definitions. Whatever is committed later is
found and checked as well.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

REPORTS = Path(__file__).resolve().parents[3] / "reports"
ROLES = ("baseline", "student")
RESULTS = [(file, json.loads(file.read_text())) for file in sorted(REPORTS.rglob("*.json"))]
STUDIES = [
    (file, value)
    for file, value in RESULTS
    if isinstance(value, dict) and value.get("format") == "clipduet-study"
]
GATES = [
    (file, value)
    for file, value in RESULTS
    if isinstance(value, dict) and value.get("format") == "clipduet-benchmark"
]

Figures = dict[str, Any]


def named(found: list[tuple[Path, Figures]]) -> Callable[..., pytest.MarkDecorator]:
    names = [str(file.relative_to(REPORTS)) for file, _ in found]
    return pytest.mark.parametrize(("file", "result"), found, ids=names)  # type: ignore[return-value]


def right(result: Figures, answers: Figures) -> np.ndarray:
    """Whether each clip's answer is its label, bool [clips]."""
    return np.asarray(answers["predictions"]) == np.asarray(result["data"]["labels"])


def close(stated: float, computed: float, what: str) -> None:
    assert stated == pytest.approx(computed, abs=1e-9), what


def student_t(values: np.ndarray) -> tuple[float, float]:
    error = stats.sem(values)
    low, high = stats.t.interval(0.95, len(values) - 1, loc=values.mean(), scale=error)
    return float(low), float(high)


def wilson(right: np.ndarray) -> tuple[float, float]:
    n, share, z = len(right), right.mean(), stats.norm.ppf(0.975)
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return float(middle - half), float(middle + half)


def tables(study: Figures) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Of each cell what baseline and student have right, bool [seeds, clips]."""
    runs = {(run["role"], run["seed"]): run for run in study["runs"]}
    for cell in study["cells"]:
        one, other = (
            np.stack([right(study, runs[role, seed]["cells"][cell]) for seed in study["seeds"]])
            for role in ROLES
        )
        yield cell, one, other


def test_there_are_studies_and_gates() -> None:
    assert STUDIES and GATES


@named(STUDIES)
def test_every_seed_of_a_study(file: Path, result: Figures) -> None:
    written = {
        (row["cell"], int(row["seed"])): row
        for row in csv.DictReader((file.parent / "results.csv").open())
    }
    assert len(written) == len(result["cells"]) * len(result["seeds"])
    for cell, *both in tables(result):
        for place, (seed, row) in enumerate(
            zip(result["seeds"], result["per_seed"][cell], strict=True)
        ):
            what = f"{file}: {cell}, seed {seed}"
            line = written[cell, seed]
            assert row["seed"] == seed
            for role, table in zip(ROLES, both, strict=True):
                close(row[role]["point"], table[place].mean(), f"{what}: {role}")
                for end, bound in zip(("low", "high"), wilson(table[place]), strict=True):
                    close(row[role][end], bound, f"{what}: {role}, {end}")
                assert float(line[f"{role}_top1"]) == pytest.approx(table[place].mean(), abs=1e-6)
            gains = both[1][place].astype(int) - both[0][place]
            more, fewer = int((gains > 0).sum()), int((gains < 0).sum())
            p = stats.binomtest(more, more + fewer).pvalue if more + fewer else 1.0
            close(row["gain"]["point"], gains.mean(), f"{what}: gain")
            assert (row["gain"]["only_second"], row["gain"]["only_first"]) == (more, fewer)
            assert row["gain"]["p"] == pytest.approx(p, rel=1e-6), what
            assert float(line["gain"]) == pytest.approx(gains.mean(), abs=1e-6)
            assert float(line["mcnemar_p"]) == pytest.approx(p, rel=1e-5)


@named(STUDIES)
def test_the_mean_over_seeds_of_a_study(file: Path, result: Figures) -> None:
    for cell, baseline, student in tables(result):
        pooled, what = result["pooled"][cell], f"{file}: {cell}"
        gains = student.mean(axis=1) - baseline.mean(axis=1)
        for role, table in zip(ROLES, (baseline, student), strict=True):
            close(pooled[role], table.mean(), f"{what}: {role}")
        for interval in ("crossed", "seeds"):
            close(pooled[interval]["point"], gains.mean(), f"{what}: {interval}")
        if len(gains) > 1:
            low, high = student_t(gains)
            close(pooled["seeds"]["low"], low, f"{what}: Student's t")
            close(pooled["seeds"]["high"], high, f"{what}: Student's t")
            assert pooled["distinguishable_by_seeds"] == (low > 0 or high < 0)
        counted = [int((gains > 0).sum()), int((gains < 0).sum())]
        assert [pooled["seeds_gaining"], pooled["seeds_losing"]] == counted


@named(STUDIES)
def test_the_interval_over_seeds_and_clips_of_a_study(file: Path, result: Figures) -> None:
    """Another generator, so another draw: ends agree to a tenth of the interval's width."""
    rng = np.random.default_rng(20_301)
    for cell, baseline, student in tables(result):
        gains = student.astype(float) - baseline
        seeds, clips = gains.shape
        groups = np.asarray(result["data"].get("groups", range(clips)))
        _, group = np.unique(groups, return_inverse=True)
        sums = np.stack([np.bincount(group, weights=row) for row in gains])
        sizes = np.bincount(group)
        drawn = rng.multinomial(len(sizes), np.full(len(sizes), 1 / len(sizes)), size=2000)
        chosen = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=2000) / seeds
        means = ((drawn @ sums.T) * chosen).sum(axis=1) / (drawn @ sizes)
        low, high = np.quantile(means, [0.025, 0.975])
        if "groups" in result["data"]:  # and no narrower than Student's t over them
            rest = sums.mean(axis=0) - gains.mean() * sizes
            error = np.sqrt(len(rest) / (len(rest) - 1) * (rest**2).sum()) / clips
            ends = stats.t.interval(0.95, len(rest) - 1, loc=gains.mean(), scale=error)
            low, high = min(low, ends[0]), max(high, ends[1])
        stated = result["pooled"][cell]["crossed"]
        slack = 0.1 * (high - low) + 1e-9
        assert stated["low"] == pytest.approx(low, abs=slack), f"{file}: {cell}"
        assert stated["high"] == pytest.approx(high, abs=slack), f"{file}: {cell}"


@named(STUDIES)
def test_every_class_of_a_study(file: Path, result: Figures) -> None:
    labels = np.asarray(result["data"]["labels"])
    _, baseline, student = next(tables(result))
    present = sorted(set(labels.tolist()))
    assert len(present) == len(result["by_class"])
    for label, row in zip(present, result["by_class"], strict=True):
        of_it = labels == label
        assert row["clips"] == of_it.sum()
        close(row["baseline"], baseline[:, of_it].mean(), f"{file}: {row['class']}")
        close(row["student"], student[:, of_it].mean(), f"{file}: {row['class']}")
        gain = student[:, of_it].mean() - baseline[:, of_it].mean()
        close(row["gain"]["point"], gain, f"{file}: {row['class']}")


@named(GATES)
def test_every_deployment_of_a_gate(file: Path, result: Figures) -> None:
    cells: dict[str, list[np.ndarray]] = {
        row["cell"]: [
            np.stack([right(result, pair[model]) for pair in row["pairs"]]) for model in ROLES
        ]
        for row in result["cells"]
    }
    whole = cells[result["reference"]]
    for row in result["cells"]:
        both, what = cells[row["cell"]], f"{file}: {row['cell']}"
        gains = both[1].mean(axis=1) - both[0].mean(axis=1)
        close(row["gain"]["point"], gains.mean(), f"{what}: gain")
        for model, table, base in zip(ROLES, both, whole, strict=True):
            close(row[model]["top1"]["point"], table.mean(), f"{what}: {model}")
            changed = table.mean() - base.mean()
            close(row[model]["change"]["point"], changed, f"{what}: change of the {model}")
        before = (whole[1].mean(axis=1) - whole[0].mean(axis=1)).mean()
        if row["gain_left"]["share"] is not None:
            close(row["gain_left"]["share"]["point"], gains.mean() / before, f"{what}: retained")
        if row["cell"] != result["reference"]:
            kept = gains.mean() - result["rule"]["keep"] * before
            close(row["verdict"]["kept"]["point"], kept, f"{what}: retained")
        if len(gains) > 1:
            low, high = student_t(gains)
            close(row["gain"]["by_pairs"]["low"], low, f"{what}: Student's t")
            close(row["gain"]["by_pairs"]["high"], high, f"{what}: Student's t")
        else:
            more, fewer = int((both[1] & ~both[0]).sum()), int((both[0] & ~both[1]).sum())
            p = stats.binomtest(more, more + fewer).pvalue if more + fewer else 1.0
            assert row["gain"]["p"] == pytest.approx(p, rel=1e-6), what


@named(STUDIES + GATES)
def test_logits_give_the_answers(file: Path, result: Figures) -> None:
    """Of results that were written with logits; older ones have none and are checked above."""
    record = result.get("logits", {"keys": []})
    answers = {
        f"{run['role']}/{run['seed']}/{cell}": given["predictions"]
        for run in result.get("runs", ())
        for cell, given in run["cells"].items()
    } | {
        f"{model}/{place}/{row['cell']}": pair[model]["predictions"]
        for row in result["cells"]
        if isinstance(row, dict)
        for place, pair in enumerate(row["pairs"])
        for model in ROLES
    }
    assert answers and set(record["keys"]) <= set(answers)
    if not record["keys"]:
        return
    stored = file.parent / record["file"]
    assert hashlib.sha256(stored.read_bytes()).hexdigest() == record["sha256"]
    assert set(record["keys"]) == set(answers)
    with np.load(stored, allow_pickle=False) as logits:
        for key, predictions in answers.items():
            table, said = logits[key], np.asarray(predictions)
            assert table.dtype == np.float32 and len(table) == len(result["data"]["paths"])
            read = ~np.isnan(table).any(axis=1)
            assert (said[~read] == -1).all() and (table[read].argmax(axis=1) == said[read]).all()
