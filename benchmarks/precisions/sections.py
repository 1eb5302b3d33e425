"""The report on ways of making INT8, as sections."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.pages import numbers
from benchmarks.pages.parts import Section, Table, machine_rows
from benchmarks.precisions.pooled import KEEP, MARGIN, METHODS, MUTUAL, NO_PARTNER, REFERENCE

NAMES = {
    REFERENCE: "fp32",
    "ptq.int8": "calibrated, int8",
    "ptq.uint8": "calibrated, uint8",
    "goal.int8": "layers in float, int8",
    "goal.uint8": "layers in float, uint8",
    "qat.int8": "fine-tuned, int8",
    "qat.uint8": "fine-tuned, uint8",
    "mutual.int8": "fine-tuned with the partner, int8",
    "mutual.uint8": "fine-tuned with the partner, uint8",
}
HARDER = {"shown": "the DML student loses more", "refuted": "the baseline loses more"}


def sections(result: Mapping[str, Any]) -> list[Section]:
    """Answers first, then tables, then conditions."""
    pooled = result["pooled"]
    return [
        Section("What INT8 costs", _sentences(result), (), [_pooled_table(pooled)]),
        Section(
            "Is a network harder to quantise after distillation?",
            _harder_sentences(pooled),
            (),
            [_harder_table(pooled)],
        ),
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
    for method in _asked(result)[1:]:
        if method not in result["pooled"]:
            if all(method in run.get("skipped", {}) for run in result["runs"]):
                lines.append(f"{NAMES[method]}: skipped, no network has a partner.")
                continue
            missed = [run["name"] for run in result["runs"] if method not in run["methods"]]
            lines.append(f"{NAMES[method]}: missed its goal for {', '.join(missed)}.")
            continue
        row = result["pooled"][method]
        student, both = row["student_change"], row["change"]
        line = (
            f"{NAMES[method]}: the student changes by {with_interval(student)} points of top-1 (at "
            f"most {100 * MARGIN:g} lost: {student['verdict']})"
        )
        if both is None:
            line += "; the baseline has no partner and is skipped"
        else:
            line += (
                f", baseline and student by {with_interval(both)} on average ({both['verdict']}); "
                f"retained gain: {_share(row)} (at least {KEEP:.0%}: {row['kept']['verdict']})"
            )
        if "over_self" in row:
            line += (
                f"; against the fine-tune on its own answers the student has "
                f"{with_interval(row['over_self'])} points"
            )
        lines.append(f"{line}.")
    return lines


def _asked(result: Mapping[str, Any]) -> list[str]:
    """The methods that a result is about; one of before there was a partner lacks that."""
    runs = result["runs"]
    return [
        method
        for method in METHODS
        if method not in MUTUAL
        or any(method in {*run["methods"], *run.get("skipped", {})} for run in runs)
    ]


def _harder_sentences(pooled: Mapping[str, Any]) -> list[str]:
    lines = [
        "Loss: top-1 of the fp32 graph less that of INT8, in points, with the widest of three 95 % "
        "intervals (bootstrap over seeds and clips, score, Student's t over seeds), not corrected "
        "for several comparisons. The difference is the DML student's loss minus the baseline's, "
        "over the same seeds and clips: above 0, distillation makes a network harder to quantise."
    ]
    for method, row in pooled.items():
        found = row["loss_difference"]
        if method == REFERENCE or found is None:
            continue
        word = HARDER.get(found["verdict"], "no difference is shown")
        lines.append(f"{NAMES[method]}: {with_interval(found)} points, {word}.")
    if any(method in pooled and pooled[method]["loss_difference"] is None for method in MUTUAL):
        lines.append(
            "The fine-tune with the partner goes on learning from the labels: a loss below 0 may "
            "be what any longer training brings."
        )
    return lines


def _harder_table(pooled: Mapping[str, Any]) -> Table:
    rows = [
        [
            NAMES[method],
            _or(row["baseline_loss"], NO_PARTNER),
            with_interval(row["student_loss"]),
            _or(row["loss_difference"], ""),
        ]
        for method, row in pooled.items()
        if method != REFERENCE
    ]
    heads = ["INT8", "baseline's loss", "DML student's loss", "student's minus baseline's"]
    return Table("Loss of top-1 on the test list in points", heads, rows)


def _or(value: Mapping[str, Any] | None, otherwise: str) -> str:
    return otherwise if value is None else with_interval(value)


def _pooled_table(pooled: Mapping[str, Any]) -> Table:
    heads = ["INT8", "baseline", "DML student", "gain in points", "change in points",
             "change of the student", "share of the gain", "same answers"]  # fmt: skip
    rows = []
    for method, row in pooled.items():
        own = method == REFERENCE
        rows.append(
            [
                NAMES[method],
                NO_PARTNER if row["baseline"] is None else numbers.percent(row["baseline"], 2),
                numbers.percent(row["student"], 2),
                _or(row["gain"], ""),
                "" if own else _or(row["change"], ""),
                "" if own else with_interval(row["student_change"]),
                "" if own or row["baseline"] is None else _share(row),
                numbers.percent(row["agreement"], 1),
            ]
        )
    caption = "Top-1 on the test list, means over the seeds; 95 % intervals over seeds and clips"
    return Table(caption, heads, rows)


def _runs_table(result: Mapping[str, Any], split: str) -> Table:
    rows, asked = [], _asked(result)
    for run in result["runs"]:
        row = [run["name"]]
        for method in asked:
            found = run["methods"].get(method)
            if found is None:
                row.append(run.get("skipped", {}).get(method, "missed"))
                continue
            loss = found[split]["score"]["loss"]
            change = "" if method == REFERENCE else f" ({0.0 - loss:+.2f})"
            row.append(f"{numbers.percent(found[split]['top1'], 2)}{change}")
        rows.append(row)
    name = {"test": "test", "valid": "validation"}[split]
    clips = len(result["runs"][0]["labels"][split])
    caption = f"Top-1 on the {name} list, {clips} clips (change in points)"
    return Table(
        caption, ["network", *(NAMES[method] for method in asked)], rows, folded=split != "test"
    )


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
    rows = [
        *machine_rows(given["machine"]),
        ["threads", str(given["threads"])],
        ["calibration", f"{given['calibration_clips']} training clips, percentile"],
        ["configs", ", ".join(given["configs"])],
        *_tunings(result),
        ["validation clips", f"fingerprint {result['runs'][0]['clips']['valid'][:16]}"],
        ["test clips", f"fingerprint {result['runs'][0]['clips']['test'][:16]}"],
        ["resampling", f"{given['resamples']:,} resamples, seed {given['seed']}"],
        ["date", result["created"]],
        ["command", result["command"]],
    ]  # fmt: skip
    return Table("How this was measured", ["what", "value"], rows)


def _tunings(result: Mapping[str, Any]) -> list[list[str]]:
    """Settings and length of each fine-tune that was made."""
    rows = []
    for key, where, title in (
        ("qat", "tuning", "fine-tune"),
        ("mutual", "mutual_tuning", "fine-tune with the partner"),
    ):
        made = [one for run in result["runs"] for one in run.get(where, {}).values()]
        if not made:
            continue
        file = result["conditions"][key]
        epochs = "/".join(map(str, sorted({one["epochs"] for one in made})))
        seconds = [one["seconds"] for one in made]
        rows.append(
            [title, f"{file['file']} (SHA-256 {file['sha256'][:16]}), {epochs} epochs, "
             f"{min(seconds):.0f} to {max(seconds):.0f} s a kind, beside other work"]
        )  # fmt: skip
    return rows


def with_interval(value: Mapping[str, Any]) -> str:
    """A difference of shares in points, with its interval."""
    low, high = (
        "unbounded" if value[end] is None else f"{100 * value[end]:+.2f}" for end in ("low", "high")
    )
    return f"{100 * value['point']:+.2f} [{low}, {high}]"


def _share(row: Mapping[str, Any]) -> str:
    share = row["share"]
    if share is None:
        return numbers.NOT_MEANINGFUL
    low, high = (
        "unbounded" if share[end] is None else f"{share[end]:.0%}" for end in ("low", "high")
    )
    return f"{share['point']:.0%} [{low}, {high}]"
