"""The report on ways of making INT8, as sections."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.pages import numbers
from benchmarks.pages.parts import Section, Table, machine_rows
from benchmarks.precisions.pooled import KEEP, MARGIN, METHODS, REFERENCE

NAMES = {
    REFERENCE: "fp32",
    "ptq.int8": "calibrated, int8",
    "ptq.uint8": "calibrated, uint8",
    "goal.int8": "layers in float, int8",
    "goal.uint8": "layers in float, uint8",
    "qat.int8": "fine-tuned, int8",
    "qat.uint8": "fine-tuned, uint8",
}


def sections(result: Mapping[str, Any]) -> list[Section]:
    """Answers first, then tables, then conditions."""
    pooled = result["pooled"]
    return [
        Section("What INT8 costs", _sentences(result), (), [_pooled_table(pooled)]),
        Section("Network by network", (), (), [_runs_table(result, s) for s in ("test", "valid")]),
        Section(
            "What validation foretold",
            [
                "Expected: what the turned answers lose by the fp32 network's probabilities, made "
                "honest by a temperature. Counted: right answers lost, less those won. Means over "
                "all networks, in points. The checkpoints are the best of their runs on this "
                "validation list, so fp32 has luck there that rounding does not share."
            ],
            (),
            [_foretold_table(pooled)],
        ),
        Section("Layers kept in float for the goal", (), (), [_spared_table(result)]),
        Section("Conditions", (), (), [_conditions(result)]),
    ]  # fmt: skip


def _sentences(result: Mapping[str, Any]) -> list[str]:
    count, clips = len(result["runs"]), len(result["runs"][0]["labels"]["test"])
    lines = [
        f"Over {count} networks ({len(result['seeds'])} pairs) and {clips} test clips, against the "
        f"fp32 graph in the same runtime; the goals are a loss of at most {100 * MARGIN:g} points "
        f"and at least {KEEP:.0%} of the DML gain left."
    ]
    for method in METHODS[1:]:
        if method not in result["pooled"]:
            missed = [run["name"] for run in result["runs"] if method not in run["methods"]]
            lines.append(f"{NAMES[method]}: missed its goal for {', '.join(missed)}.")
            continue
        row = result["pooled"][method]
        student, both = row["student_change"], row["change"]
        lines.append(
            f"{NAMES[method]}: the student changes by {with_interval(student)} points of top-1 (at "
            f"most {100 * MARGIN:g} lost: {student['verdict']}), baseline and student by "
            f"{with_interval(both)} on average ({both['verdict']}); retained gain: "
            f"{_share(row)} (at least {KEEP:.0%}: {row['kept']['verdict']})."
        )
    return lines


def _pooled_table(pooled: Mapping[str, Any]) -> Table:
    heads = ["INT8", "baseline", "DML student", "gain in points", "change in points",
             "change of the student", "share of the gain", "same answers"]  # fmt: skip
    rows = []
    for method, row in pooled.items():
        own = method == REFERENCE
        rows.append(
            [
                NAMES[method],
                numbers.percent(row["baseline"], 2),
                numbers.percent(row["student"], 2),
                with_interval(row["gain"]),
                "" if own else with_interval(row["change"]),
                "" if own else with_interval(row["student_change"]),
                "" if own else _share(row),
                numbers.percent(row["agreement"], 1),
            ]
        )
    caption = "Top-1 on the test list, means over the seeds; 95 % intervals over seeds and clips"
    return Table(caption, heads, rows)


def _runs_table(result: Mapping[str, Any], split: str) -> Table:
    rows = []
    for run in result["runs"]:
        row = [run["name"]]
        for method in METHODS:
            found = run["methods"].get(method)
            if found is None:
                row.append("missed")
                continue
            loss = found[split]["score"]["loss"]
            change = "" if method == REFERENCE else f" ({0.0 - loss:+.2f})"
            row.append(f"{numbers.percent(found[split]['top1'], 2)}{change}")
        rows.append(row)
    name = {"test": "test", "valid": "validation"}[split]
    clips = len(result["runs"][0]["labels"][split])
    caption = f"Top-1 on the {name} list, {clips} clips (change in points)"
    return Table(caption, ["network", *NAMES.values()], rows, folded=split != "test")


def _foretold_table(pooled: Mapping[str, Any]) -> Table:
    rows = [
        [
            NAMES[method],
            f"{row['expected']['valid']:.2f}",
            f"{row['counted']['valid']:+.2f}",
            f"{row['expected']['test']:.2f}",
            f"{row['counted']['test']:+.2f}",
        ]
        for method, row in pooled.items()
        if method != REFERENCE
    ]
    heads = ["INT8", "expected, validation", "counted, validation", "expected, test",
             "counted, test"]  # fmt: skip
    return Table("Loss of top-1 in points", heads, rows)


def _spared_table(result: Mapping[str, Any]) -> Table:
    rows = []
    for run in result["runs"]:
        for method, found in run["searches"].items():
            if "spared" not in found:
                rows.append([f"{run['name']}, {NAMES[method]}", found["missed"] or "", "", ""])
                continue
            rows.append(
                [
                    f"{run['name']}, {NAMES[method]}",
                    ", ".join(found["spared"]) or "none",
                    f"{found['work_in_float']:.1%}",
                    f"{found['before']['expected']:.2f} to {found['after']['expected']:.2f}",
                ]
            )
    goal = result["conditions"]["goal"]
    heads = ["network", "layers", "of the multiply-adds", "expected loss in points"]
    return Table(f"Goal: {goal:g} points", heads, rows)


def _conditions(result: Mapping[str, Any]) -> Table:
    given = result["conditions"]
    seconds = [one["seconds"] for run in result["runs"] for one in run["tuning"].values()]
    epochs = sorted({one["epochs"] for run in result["runs"] for one in run["tuning"].values()})
    rows = [
        *machine_rows(given["machine"]),
        ["threads", str(given["threads"])],
        ["calibration", f"{given['calibration_clips']} training clips, percentile"],
        ["configs", ", ".join(given["configs"])],
        ["fine-tune", f"{given['qat']['file']} (SHA-256 {given['qat']['sha256'][:16]}), "
         f"{'/'.join(map(str, epochs))} epochs, {min(seconds):.0f} to {max(seconds):.0f} s a kind, "
         "beside other work"],
        ["validation clips", f"fingerprint {result['runs'][0]['clips']['valid'][:16]}"],
        ["test clips", f"fingerprint {result['runs'][0]['clips']['test'][:16]}"],
        ["resampling", f"{given['resamples']:,} resamples, seed {given['seed']}"],
        ["date", result["created"]],
        ["command", result["command"]],
    ]  # fmt: skip
    return Table("How this was measured", ["what", "value"], rows)


def with_interval(value: Mapping[str, Any]) -> str:
    """A difference of shares in points, with its interval."""
    low, high = (
        "unbounded" if value[end] is None else f"{100 * value[end]:+.2f}" for end in ("low", "high")
    )
    return f"{100 * value['point']:+.2f} [{low}, {high}]"


def _share(row: Mapping[str, Any]) -> str:
    share = row["share"]
    if share is None:
        return "there is none"
    low, high = (
        "unbounded" if share[end] is None else f"{share[end]:.0%}" for end in ("low", "high")
    )
    return f"{share['point']:.0%} [{low}, {high}]"
