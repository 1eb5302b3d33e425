"""The methods of a study side by side: a table for people, one for programs, a sentence each."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import combinations
from typing import Any

from benchmarks.pages import numbers
from benchmarks.pages.markdown import markdown
from benchmarks.pages.parts import Section, Table, machine_rows, measured, side_by_side
from benchmarks.stats.resample import Interval
from benchmarks.stats.student_t import holm, t_interval, t_p_value
from benchmarks.study.measure import DYNAMIC
from benchmarks.study.sentences import undecided_by_seeds

MOST_PAIRED = 6
"""Methods of which every two are compared; of more there would be too many pairs to read."""


def sentence(row: Mapping[str, Any]) -> str:
    """What one method gained, and whether that is statistically significant."""
    if row["is_baseline"]:
        return f"{row['method']}: {numbers.percent(row['top1'], 2)} top-1"
    gain = row["gain"]
    text = (
        f"{row['method']}: {numbers.percent(row['top1'], 2)} top-1, "
        f"{numbers.points(gain['crossed']['point'])} points "
        f"({numbers.level(gain['crossed'])} interval {numbers.span(gain['crossed'])}), more right "
        f"answers in {gain['seeds_gaining']} of {len(row['runs'])} seeds"
    )
    if not gain["distinguishable"]:
        return f"{text}: {numbers.NOT_DISTINGUISHABLE}"
    if not gain["distinguishable_by_seeds"]:
        text += f"; {undecided_by_seeds(gain)}"
    return text


def as_csv(study: Mapping[str, Any]) -> str:
    """A line a method, each with the conditions that make it comparable with others."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(
        ["method", "student_top1", "gain", "low", "high", "low_by_seeds", "high_by_seeds",
         "seeds_gaining", "seconds_per_step", "peak_memory_mb", "steps", "seconds",
         "seconds_before", "seeds", "clips", "epochs", "overrides", "trainings_at_a_time",
         "threads", "checkpoint", "config", "config_sha256", "recipe_sha256", "clips_sha256",
         "cpu", "cores", "paddlepaddle", "date"]
    )  # fmt: skip
    given, host = study["conditions"], study["conditions"]["machine"]
    for row in study["methods"]:
        gain = row["gain"]
        writer.writerow(
            [row["method"], f"{row['top1']:.6f}",
             *(f"{gain['crossed'][key]:.6f}" for key in ("point", "low", "high")),
             *(f"{gain['seeds'][key]:.6f}" for key in ("low", "high")), gain["seeds_gaining"],
             f"{_mean(row, 'seconds_per_step'):.4f}", f"{_mean(row, 'peak_memory') / 1e6:.0f}",
             f"{_mean(row, 'steps'):.0f}", f"{_mean(row, 'seconds'):.1f}",
             f"{_mean(row, 'seconds_before'):.1f}", " ".join(map(str, study["seeds"])),
             study["data"]["listed"], row["epochs"], " ".join(given["overrides"]),
             _all(row, "parallel"), _all(row, "threads"), given["checkpoint"], row["config"],
             row["config_sha256"], row["recipe_sha256"], study["data"]["clips_sha256"],
             host["cpu"], host["cores"], host["packages"].get("paddlepaddle", ""), study["created"]]
        )  # fmt: skip
    return file.getvalue()


def as_markdown(study: Mapping[str, Any]) -> str:
    """The report: what was found, best first, and how."""
    baseline, *others = study["methods"]
    ranked = [baseline, *sorted(others, key=lambda row: -float(row["top1"]))]
    heads = ["method", "top-1", "gain in points", "across seeds: 95 % CI", "p (Holm)",
             "seeds ahead", "s a step", "peak memory", "steps", "s before"]  # fmt: skip
    corrected = _corrected(others)
    table = Table(
        "The student's top-1 on the test list",
        heads,
        [_cells(row, corrected.get(row["method"])) for row in ranked],
    )
    given, data = study["conditions"], study["data"]
    conditions = [
        *machine_rows(given["machine"]),
        *_side_by_side(ranked),
        ["test list", f"{data['list']}, {data['listed']} clips, SHA-256 {data['sha256'][:16]}"],
        ["fingerprint of its clips", data["clips_sha256"][:16]],
        ["checkpoint", f"{given['checkpoint']} (best: by the validation list)"],
        ["seeds", ", ".join(map(str, study["seeds"]))],
        ["overrides", " ".join(given["overrides"]) or "none"],
        ["resampling", f"{given['resamples']:,} resamples, seed {given['seed']}"],
        ["date", study["created"]],
        ["command", study["command"]],
    ]
    notes = [
        "The interval of a gain resamples seeds and clips together; the one across seeds is "
        "Student's t over the seeds' gains, and so is p, corrected for so many methods that are "
        "compared with one baseline (Holm, 1979). The best of many looks better than it is.",
        "Seconds a step are those of a run's quickest epoch, validation included. Steps are those "
        "of the last training of a method; the seconds of what it builds on, such as its teacher, "
        "are counted before. Peak memory is that of the training process, decoded clips included.",
    ]
    return markdown(
        "Distillation methods, over seeds",
        measured(study),
        [
            Section(
                "What the methods bring",
                notes,
                (),
                [table, *_against_each_other(ranked[1:])],
                list(map(sentence, ranked)),
            ),
            Section("Conditions", (), (), [Table("How it was measured", ["what", "value"],
                                                 conditions)]),
        ],
    )  # fmt: skip


def _against_each_other(rows: Sequence[Mapping[str, Any]]) -> list[Table]:
    """How far one method is ahead of another over the same seeds, for every two of a few."""
    if not 2 <= len(rows) <= MOST_PAIRED:
        return []
    pairs = list(combinations(rows, 2))
    intervals = [
        t_interval([a - b for a, b in zip(_top1(one), _top1(other), strict=True)])
        for one, other in pairs
    ]
    p_values = [
        t_p_value(interval, values=len(one["runs"]))
        for (one, _), interval in zip(pairs, intervals, strict=True)
    ]
    corrected = holm([1.0 if p is None else p for p in p_values])
    cells = [
        [one["method"], other["method"], numbers.interval(asdict(interval)), numbers.p_value(p)]
        for (one, other), interval, p in zip(pairs, intervals, corrected, strict=True)
    ]
    title = "One method against another, across seeds"
    return [Table(title, ["method", "compared with", "ahead by: 95 % CI", "p (Holm)"], cells)]


def _top1(row: Mapping[str, Any]) -> list[float]:
    """On the test list, by seed."""
    runs = sorted(row["runs"], key=lambda run: int(run["seed"]))
    return [float(run["cells"][DYNAMIC.key]["top1"]) for run in runs]


def _corrected(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """By method, the p-value of its gain across seeds, corrected for all that were compared."""
    found = {}
    for row in rows:
        across = row["gain"]["seeds"]
        if across["low"] is None or across["high"] is None:
            continue
        p = t_p_value(Interval(**across), values=len(row["runs"]))
        if p is not None:
            found[row["method"]] = p
    return dict(zip(found, holm(list(found.values())), strict=True))


def _cells(row: Mapping[str, Any], corrected: float | None) -> list[str]:
    gain = row["gain"]
    gains = ["", "", "", ""]
    if not row["is_baseline"]:
        ahead = f"{gain['seeds_gaining']} of {len(row['runs'])}"
        gains = [
            numbers.interval(gain["crossed"]),
            numbers.span(gain["seeds"]),
            numbers.p_value(corrected),
            ahead,
        ]
    return [
        row["method"],
        numbers.percent(row["top1"], 2),
        *gains,
        f"{_mean(row, 'seconds_per_step'):.3f}",
        numbers.size(_mean(row, "peak_memory")),
        f"{_mean(row, 'steps'):.0f}",
        f"{_mean(row, 'seconds_before'):.0f}",
    ]


def _side_by_side(rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """How many trainings shared the machine: one line, or one for each way there was."""
    ways: dict[str, list[str]] = {}
    for row in rows:
        ways.setdefault(side_by_side(row["runs"]), []).append(row["method"])
    if len(ways) == 1:
        return [["trainings at a time", way] for way in ways]
    return [[f"trainings at a time: {', '.join(names)}", way] for way, names in ways.items()]


def _all(row: Mapping[str, Any], key: str) -> str:
    """A condition of a method's runs: one value, or all there were."""
    values = {given[key] for run in row["runs"] for given in run["side_by_side"]}
    return " ".join(map(str, sorted(values)))


def _mean(row: Mapping[str, Any], key: str) -> float:
    values = [float(run[key]) for run in row["runs"]]
    return sum(values) / len(values)
