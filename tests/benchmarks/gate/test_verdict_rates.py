"""How often the verdict is wrong in invented worlds, and that these are judged as the gate judges.

Rates have binomial limits: a test with fixed seeds fails where a rate is far beyond what is
promised, not where it is a little.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from benchmarks.gate.simulation import (
    VERDICTS,
    WAYS,
    Change,
    samples,
    true_chances,
    true_verdict,
    verdicts,
)
from benchmarks.gate.verdict import FAIL, GAIN, PASS, Rule, verdict
from benchmarks.stats.paired import mcnemar_exact
from benchmarks.stats.resample import resample
from benchmarks.verdict_rates import cases, main

RULE = Rule()
EXPERIMENTS = 200


def limit(promised: float) -> float:
    """Three standard errors above a rate."""
    return promised + 3 * (promised * (1 - promised) / EXPERIMENTS) ** 0.5


LIMIT_PASS, LIMIT_FAIL = limit(0.05), limit(0.025)


def one_by_one(counts: np.ndarray, seed: int) -> str:
    """The verdict of a sample, by the functions that the gate uses."""
    table = np.repeat(WAYS, counts, axis=0).T[:, None]
    drawn = resample(table, resamples=300, seed=seed)
    only = [int((table[a, 0] & ~table[b, 0]).sum()) for a, b in ((0, 1), (1, 0))]
    low = drawn.contrast(GAIN).low
    real = low > 0 and mcnemar_exact(*only) < 0.05 and only[1] > only[0]
    return str(verdict(drawn, RULE, gain_is_real=real)["verdict"])


@pytest.mark.parametrize("clips", [150, 1500])
def test_many_at_once_are_judged_as_one_by_one(clips: int) -> None:
    rng = np.random.default_rng(clips)
    loses = Change(0.006, 0.02)
    counts = np.concatenate([
        samples(true_chances(gain, baseline=loses, student=student), clips, 20, rng)
        for gain in (0.0, 0.02, 0.06)
        for student in (loses, Change(0.006, 0.006), Change(0.0, 0.05))
    ])  # fmt: skip
    found = [VERDICTS[k] for k in verdicts(counts, RULE, rng, resamples=300)]
    expected = [one_by_one(sample, trial) for trial, sample in enumerate(counts)]
    # Resamples differ: a few lie so near a limit that these decide.
    assert np.mean([a == b for a, b in zip(found, expected, strict=True)]) > 0.94
    if clips == 1500:
        assert {PASS, FAIL} <= set(expected)


@pytest.mark.parametrize("gain", [0.01, 0.02])
@pytest.mark.parametrize("clips", [300, 2000])
def test_a_gain_that_is_kept_is_not_called_lost_where_it_is_not_significant(
    gain: float, clips: int
) -> None:
    """Both models lose 1.5 points, so the gain is whole; whether it shows is the sample's luck."""
    both = Change(0.006, 0.021)
    chances = true_chances(gain, baseline=both, student=both)
    assert true_verdict(chances, RULE) == PASS
    rng = np.random.default_rng(clips)
    found = verdicts(samples(chances, clips, EXPERIMENTS, rng), RULE, rng, resamples=200)
    assert np.mean(found == VERDICTS.index(FAIL)) <= LIMIT_FAIL


@pytest.mark.parametrize("clips", [75, 1000, pytest.param(5000, marks=pytest.mark.torture)])
def test_no_world_is_judged_wrong_more_often_than_promised(clips: int) -> None:
    for number, case in enumerate(cases()):
        rng = np.random.default_rng([clips, number])
        counts = samples(case.chances, clips, EXPERIMENTS, rng)
        found = Counter(verdicts(counts, RULE, rng, resamples=200).tolist())
        rates = {name: found[VERDICTS.index(name)] / EXPERIMENTS for name in VERDICTS}
        wrong = {name: rate for name, rate in rates.items() if name != case.deserved}
        assert wrong.get(PASS, 0.0) <= LIMIT_PASS, (case.name, case.gain, rates)
        assert wrong.get(FAIL, 0.0) <= LIMIT_FAIL, (case.name, case.gain, rates)


def test_the_command_writes_rates_and_a_table(tmp_path: Path) -> None:
    out = tmp_path / "rates.json"
    few = ["--experiments", "5", "--ranges", "3", "--resamples", "100"]
    assert main([*few, "--out", str(out)]) == 0
    result = json.loads(out.read_text())
    for row in result["rows"]:
        assert sum(row[name] for name in VERDICTS) == pytest.approx(1)
    table = out.with_suffix(".md").read_text()
    assert table.count("\n| both models lose 1.5 points |") == 25
    assert main(["--experiments", "0", "--out", str(out)]) == 2
