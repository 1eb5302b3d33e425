"""How often the gate's verdict is wrong, on invented models whose truth is known.

`python -m benchmarks.verdict_rates`: writes reports/verdict_rates.json and a table of it,
reports/verdict_rates.md, which docs/gate.md shows in short. Seeds are fixed; it measures no time.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.common import machine
from benchmarks.common.command import RESAMPLES, add_out, carry_out, measuring
from benchmarks.common.result_file import header
from benchmarks.gate.simulation import (
    VERDICTS,
    WAYS,
    Change,
    Floats,
    samples,
    true_chances,
    true_verdict,
    verdicts,
)
from benchmarks.gate.verdict import CHANGE, FAIL, PASS, UNCLEAR, Rule
from benchmarks.stats.evidence import evidence
from benchmarks.stats.resample import resample
from benchmarks.stats.score import clips_if
from export.option_limits import SEED, Allowed
from infer.command.parser import Parser
from infer.command.runner import run_and_exit
from infer.system.files import write_text
from infer.system.log import logger

log = logger("benchmarks.verdict_rates")

NUMBERS = {"experiments": Allowed(1, 1_000_000), "ranges": Allowed(1, 1_000_000),
           "resamples": RESAMPLES, "seed": SEED}  # fmt: skip

GAINS = (0.0, 0.01, 0.02, 0.03, 0.06)
CLIPS = (75, 300, 1000, 2000, 5000)
NOISE = 0.006
"""Share of clips that deployment turns right, and wrong, where nothing else is said."""
CAUGHT_UP = "the student loses nothing, the baseline catches up"
RULE = Rule()


@dataclass(frozen=True)
class Case:
    """A world and what the gate should say of it.

    Attributes:
        name: what deployment does to the models.
        gain: true gain of the reference.
        chances: of the 16 ways, see `benchmarks.gate.simulation`.
        deserved: the verdict that it deserves; unclear at a limit, where either is an error.
    """

    name: str
    gain: float
    chances: Floats
    deserved: str


def cases() -> Iterator[Case]:
    """Every world that is looked at."""
    for gain in GAINS:
        # The baseline's net change at which exactly the share of the gain is left.
        keeps = (1 - RULE.keep) * gain - RULE.margin
        for name, student, baseline in (
            ("nothing is lost", 0.0, 0.0),
            ("both models lose 0.5 points", -0.005, -0.005),
            ("both models lose 1.5 points", -0.015, -0.015),
            ("the student alone loses 1.5 points", -0.015, 0.0),
            ("the student alone loses 3 points", -0.03, 0.0),
            ("both limits at once", -RULE.margin, keeps),
            ("the limit of the loss, the gain lost", -RULE.margin, 0.9 * gain),
            (CAUGHT_UP, 0.0, gain),
            ("the limit of the gain, 1.5 points lost", -0.015, keeps - 0.015 + RULE.margin),
        ):
            chances = true_chances(gain, baseline=_change(baseline), student=_change(student))
            deserved = UNCLEAR if "limit" in name else true_verdict(chances, RULE)
            if name == CAUGHT_UP:
                # Where it passes, the page says of the student's accuracy alone that it is kept.
                deserved = PASS
            yield Case(name, gain, chances, deserved)


def _change(net: float) -> Change:
    return Change(NOISE + max(net, 0.0), NOISE + max(-net, 0.0))


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Everything the command does but the writing."""
    rows = []
    for number, case in enumerate(cases()):
        for clips in CLIPS:
            rng = np.random.default_rng([options.seed, number, clips])
            found = verdicts(
                samples(case.chances, clips, options.experiments, rng),
                RULE,
                rng,
                resamples=options.resamples,
            )
            shares = np.bincount(found, minlength=len(VERDICTS)) / options.experiments
            rows.append({
                "case": case.name, "gain": case.gain, "clips": clips, "deserved": case.deserved,
                **dict(zip(VERDICTS, shares.tolist(), strict=True)),
            })  # fmt: skip
        log.info(f"{case.name}, gain of {100 * case.gain:g} points")
    return {
        **header("clipduet-verdict-rates", 1),
        "machine": machine.machine(),
        "rule": {"keep": RULE.keep, "margin": RULE.margin, "level": RULE.level},
        "experiments": options.experiments,
        "resamples": options.resamples,
        "seed": options.seed,
        "rows": rows,
        "ranges": [_range_row(clips, options) for clips in CLIPS],
    }


def _range_row(clips: int, options: argparse.Namespace) -> dict[str, Any]:
    """How often the range of clips said to be needed holds the number that is truly needed.

    Of a student that deployment changes by nothing on average: how many clips show a loss of less
    than the margin.
    """
    chances = true_chances(0.03, baseline=_change(0.0), student=_change(0.0))
    values = WAYS @ np.asarray(CHANGE)
    # A sample as large as the world's own proportions can be written with.
    population = np.repeat(values, np.rint(chances * 1_000_000).astype(int))
    needed = clips_if(population, 0.0, -RULE.margin, -1.0, 1.0)
    rng = np.random.default_rng([options.seed, clips])
    told = holds = ends = 0
    lows, highs = [], []
    for trial, counts in enumerate(samples(chances, clips, options.ranges, rng)):
        table = np.repeat(WAYS, counts, axis=0).T[:, None]
        drawn = resample(table, resamples=options.resamples, seed=trial)
        need = evidence(drawn, CHANGE, -RULE.margin).need
        if need is None:
            told += 1
            continue
        holds += need.low <= needed and (need.high is None or needed <= need.high)
        ends += need.high is not None
        lows.append(need.low)
        highs.append(np.inf if need.high is None else need.high)
    asked = options.ranges - told
    return {
        "clips": clips,
        "needed": round(needed),
        "experiments": options.ranges,
        "told_already": told,
        "holds": holds / asked if asked else None,
        "with_upper_end": ends / asked if asked else None,
        "median_low": float(np.median(lows)) if asked else None,
        "median_high": float(np.median(highs)) if asked and np.isfinite(np.median(highs)) else None,
    }


def largest(result: dict[str, Any], wrong: str) -> dict[str, Any]:
    """The row in which a verdict is given most often where it is not deserved."""
    rows = [row for row in result["rows"] if row["deserved"] != wrong]
    return max(rows, key=lambda row: row[wrong])


def rates_page(result: dict[str, Any]) -> str:
    """All rates as a page."""
    lines = [
        "# How often the gate's verdict is wrong",
        "",
        f"Invented models whose truth is known, {result['experiments']:,} experiments a row, "
        f"{result['resamples']} resamples each, seed {result['seed']}; by `{result['command']}`. "
        f"A deployment has to keep {result['rule']['keep']:.0%} of the gain, or to lose less than "
        f"{100 * result['rule']['margin']:g} points. Shares of experiments in percent.",
        "",
        *_summary(result),
        "",
        "| deployment | gain in points | deserves | clips | passes | inconclusive | fails |",
        "| --- | ---: | --- | ---: | ---: | ---: | ---: |",
    ]
    for row in result["rows"]:
        deserved = "a limit: neither" if "limit" in row["case"] else row["deserved"]
        rates = " | ".join(f"{100 * row[name]:.1f}" for name in VERDICTS)
        lines.append(
            f"| {row['case']} | {100 * row['gain']:g} | {deserved} | {row['clips']:,} | {rates} |"
        )
    lines += [
        "",
        "## How many clips would be needed",
        "",
        "A student that deployment changes by nothing on average; needed to show a loss below "
        f"{100 * result['rule']['margin']:g} points in four of five experiments: "
        f"{result['ranges'][0]['needed']:,} clips.",
        "",
        "| clips given | shown already | range holds the number | range has an upper end "
        "| median of lower ends | median of upper ends |",
        "| ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in result["ranges"]:
        cells = [
            f"{row['clips']:,}",
            f"{row['told_already']} of {row['experiments']}",
            *(_share(row[name]) for name in ("holds", "with_upper_end")),
            *(_number(row[name]) for name in ("median_low", "median_high")),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _summary(result: dict[str, Any]) -> list[str]:
    said = []
    for wrong, words in ((PASS, "Wrong passes"), (FAIL, "Wrong failures")):
        row = largest(result, wrong)
        said.append(
            f"- {words}: at most {100 * row[wrong]:.1f} % ({row['case']}, gain of "
            f"{100 * row['gain']:g} points, {row['clips']:,} clips)."
        )
    return said


def _share(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.0f} %"


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:,.0f}"


@measuring
def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = Parser(prog="python -m benchmarks.verdict_rates", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add("--experiments", type=int, default=2000, help="samples of each world (default: 2000)")
    add("--ranges", type=int, default=400, help="samples for the range of clips (default: 400)")
    add("--resamples", type=int, default=500, help="of each bootstrap (default: 500)")
    add("--seed", type=int, default=0, help="of everything (default: 0)")
    add_out(parser, "reports/verdict_rates.json")
    options = parser.parse_args(arguments)
    result = carry_out(run, options, allowed=NUMBERS)
    write_text(options.out.with_suffix(".md"), rates_page(result))
    print("\n".join(_summary(result)))
    return 0


if __name__ == "__main__":
    run_and_exit(main)
