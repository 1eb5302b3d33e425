"""What the report says, once, for Markdown and HTML alike: sentences, tables, plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks import words
from benchmarks.plots import Bar, Row, bar_plot, interval_plot
from benchmarks.report_parts import Plot, Section, Table, bounds, machine_rows, mark
from benchmarks.report_study import study_section

SHOWN_FAILURES = 20
BUSY = 0.1  # share of the cores that others may use before times are doubtful


def content(results: Mapping[str, Any], study: Mapping[str, Any] | None) -> list[Section]:
    """The sections of the report, plain sentences first, conditions last."""
    sections = [_brought(results), _left(results), _sure(results, study)]
    if study is not None:
        sections.append(study_section(study)[0])
    sections.append(_time(results))
    if results["latency"] is not None:
        sections.append(_speed(results))
    sections.append(_figures(results))
    sections.append(_conditions(results, study))
    return sections


def title(results: Mapping[str, Any]) -> str:
    """The page's heading."""
    return "What DML brought, and what deployment left of it"


def _reference(results: Mapping[str, Any]) -> Mapping[str, Any]:
    row: Mapping[str, Any] = next(
        row for row in results["cells"] if row["cell"] == results["reference"]
    )
    return row


def _brought(results: Mapping[str, Any]) -> Section:
    row = _reference(results)
    rows = [
        Row(
            words.cell_name(cell["cell"]),
            [mark(cell["baseline"]["top1"], "baseline"), mark(cell["student"]["top1"])],
            f"{words.percent(cell['baseline']['top1']['point'])} → "
            f"{words.percent(cell['student']['top1']['point'])}",
        )
        for cell in results["cells"]
    ]
    return Section(
        "What DML brought",
        [
            words.gain_sentence(row["cell"], row["gain"]),
            f"The baseline answers {words.percent(row['baseline']['top1']['point'])} of the clips "
            f"correctly, the student that learned together with a peer "
            f"{words.percent(row['student']['top1']['point'])}.",
        ],
        [
            Plot(
                "Top-1 accuracy, with 95 % intervals of each model alone. The difference is "
                "known better than these intervals suggest, because both models see the same "
                "clips.",
                interval_plot("Top-1 accuracy by deployment", rows, axis="top-1, %"),
                [("baseline", "baseline"), ("student", "DML student")],
            )
        ],
    )


def _left(results: Mapping[str, Any]) -> Section:
    reference = results["reference"]
    others = [row for row in results["cells"] if row["cell"] != reference]
    rows = [
        Row(words.cell_name(row["cell"]), [mark(row["gain"])], words.interval(row["gain"]))
        for row in results["cells"]
    ]
    sentences = []
    for row in others:
        if not words.unchanged(row):
            sentences.append(words.gain_sentence(row["cell"], row["gain"]))
        sentences.append(words.left_sentence(row, reference))
    if not others:
        sentences = ["Only one deployment was measured, so there is nothing to compare it with."]
    sentences += [
        f"Beware: {words.cell_name(row['cell'])}, {model}, answers the same class for every clip. "
        "It is broken, and its figures mean nothing."
        for row in results["cells"]
        for model in ("baseline", "student")
        if row[model]["classes_answered"] == 1 and len(results["data"]["classes"]) > 1
    ]
    bullets = [
        words.change_sentence(model, row["cell"], reference, row[model])
        for row in others
        for model in ("baseline", "student")
    ]
    plot = Plot(
        "The gain before and after deployment, with paired 95 % intervals. An interval that "
        "crosses the line leaves open whether there is a gain.",
        interval_plot(
            "Gain by deployment", rows, axis="gain in top-1, percentage points", zero=True
        ),
    )
    return Section("What was left after deployment", sentences, [plot], (), bullets)


def _sure(results: Mapping[str, Any], study: Mapping[str, Any] | None) -> Section:
    sentences = words.sureness(results)
    if study is not None:
        sentences[-1] = (
            "The intervals above cover the choice of test clips, not the luck of training: they "
            "are about one training run of each model. The study repeats the training:"
        )
        sentences.append(words.study_sentence(study, study["cells"][0]))
    return Section("How sure are we", sentences)


def _time(results: Mapping[str, Any]) -> Section:
    """Accuracy on clips whose time was taken away."""
    reference, chance = _reference(results), 1 / len(results["data"]["classes"])
    rows = [
        [model, "as filmed", bounds(reference[model]["top1"])] for model in ("baseline", "student")
    ]
    rows += [[row["model"], row["control"], bounds(row["top1"])] for row in results["controls"]]
    return Section(
        "Do they see time",
        [
            "The same clips once more, with their time taken away: how far the accuracy falls is "
            f"how much the networks need the order of the frames. Guessing would give "
            f"{words.percent(chance)} if all classes were equally frequent."
        ],
        (),
        [Table("Top-1 with and without time", ["model", "frames", "top-1"], rows)],
    )


def _speed(results: Mapping[str, Any]) -> Section:
    latency = results["latency"]
    batches = sorted({row["batch"] for row in latency["network"]})
    plots = []
    for batch in batches:
        bars = [
            Bar(
                words.cell_name(row["cell"]), 1000 * row["p50"], 1000 * row["p90"],
                1000 * row["p99"],
                f"{words.milliseconds(row['p50'])} … {words.milliseconds(row['p99'])} ms",
            )
            for row in latency["network"]
            if row["batch"] == batch and row["model"] == "student"
        ]  # fmt: skip
        plots.append(
            Plot(
                f"Student network, batch {batch}: milliseconds a call.",
                bar_plot(f"Latency at batch {batch}", bars, axis="ms a call"),
                [("p50", "to p50"), ("p90", "to p90"), ("p99", "to p99")],
            )
        )
    ratio_to = latency["ratio_to"]
    rows = []
    for row in latency["network"]:
        line = [
            f"{row['model']}, {words.cell_name(row['cell'])}",
            str(row["batch"]),
            *(words.milliseconds(row[key]) for key in ("p50", "p90", "p99")),
            " to ".join(words.milliseconds(value) for value in row["p50_spread"]),
            f"{row['clips_per_second']:.1f}",
        ]
        if ratio_to:
            low, high = row["ratio_spread"]
            line.append(f"{row['ratio']:.2f} ({low:.2f} to {high:.2f})")
        rows.append([*line, str(row["calls"])])
    heads = ["network", "batch", "p50, ms", "p90, ms", "p99, ms", "p50 by repetition", "clips/s"]
    heads += [f"time against {words.cell_name(ratio_to)}"] if ratio_to else []
    tables = [Table("Latency and throughput of the networks", [*heads, "calls"], rows)]
    sentences = [
        "All deployments were timed in one run, taking turns in random order, after their answers "
        f"had been compared, with {results['conditions']['threads']} "
        f"{'thread' if results['conditions']['threads'] == 1 else 'threads'} each. The spread is "
        f"that of {results['conditions']['repetitions']} repetitions.",
    ]
    others, cores = latency["cores_of_others"], results["conditions"]["machine"]["cores"]
    if others is not None and others > BUSY * cores:
        sentences.append(
            f"Beware: meanwhile other programs kept {others:.1f} of {cores} cores busy. The ratios "
            "bear that better than the milliseconds, but measure again on a quiet machine."
        )
    few = min(row["calls"] for row in latency["network"])
    if few < 100:
        sentences.append(
            f"The slowest case was called {few} times only: its p99 is little more than the "
            "slowest call."
        )
    if ratio_to:
        sentences += _fastest(latency["network"], ratio_to, batches[0])
    stages = latency["stages"]
    if stages:
        tables.append(
            Table(
                "Before the network, one thread, a video at a time (the same for every deployment)",
                ["stage", "p50, ms", "p90, ms", "p99, ms", "videos"],
                [
                    [name, *(words.milliseconds(row[key]) for key in ("p50", "p90", "p99")),
                     str(row["calls"])]
                    for name, row in stages.items()
                ],
            )
        )  # fmt: skip
    return Section("How fast it is", sentences, plots, tables)


def _fastest(rows: Sequence[Mapping[str, Any]], ratio_to: str, batch: int) -> list[str]:
    mine = [row for row in rows if row["model"] == "student" and row["batch"] == batch]
    best = min(mine, key=lambda row: row["p50"])
    text = (
        f"The fastest at batch {batch} is {words.cell_name(best['cell'])}: "
        f"{words.milliseconds(best['p50'])} ms (p50)"
    )
    if best["cell"] == ratio_to:
        return [text + "."]
    low, high = best["ratio_spread"]
    if low < 1 <= high:
        return [text + f", not clearly faster than {words.cell_name(ratio_to)}."]
    return [text + f", {best['ratio']:.2f} of the time of {words.cell_name(ratio_to)}."]


def _figures(results: Mapping[str, Any]) -> Section:
    rows, gains = [], []
    for row in results["cells"]:
        for model in ("baseline", "student"):
            part = row[model]
            rows.append(
                [
                    f"{model}, {words.cell_name(row['cell'])}",
                    bounds(part["top1"]),
                    bounds(part["top5"]),
                    words.percent(part["macro_f1"], 2),
                    words.percent(part["agreement"], 2),
                    "—" if part["max_logit_difference"] is None
                    else f"{part['max_logit_difference']:.2g} of {part['max_logit']:.3g}",
                    words.size(part["bytes"]),
                ]
            )  # fmt: skip
        left = row["gain_left"]
        meaningful = left["meaningful"] and left["share"] is not None
        gains.append(
            [
                words.cell_name(row["cell"]),
                words.interval(row["gain"]),
                words.p_value(row["gain"]["p"]),
                f"{row['gain']['only_second']} : {row['gain']['only_first']}",
                words.interval(left["share"], share=True) if meaningful else "not meaningful",
                words.interval(row["gain_top5"]),
                words.interval(row["gain_macro_f1"]),
            ]
        )
    reference = words.cell_name(results["reference"])
    return Section(
        "All figures",
        ["Square brackets hold 95 % intervals. Gains are in percentage points."],
        (),
        [
            Table(
                "Gain: student minus baseline",
                ["deployment", "gain in top-1", "McNemar's exact test",
                 "clips right only with : only without DML", f"left of the gain in {reference}",
                 "gain in top-5", "gain in macro-F1"],
                gains,
            ),
            Table(
                "Each model alone",
                ["model", "top-1", "top-5", "macro-F1", f"same answer as {reference}",
                 "largest logit difference", "size"],
                rows,
            ),
        ],
    )  # fmt: skip


def _conditions(results: Mapping[str, Any], study: Mapping[str, Any] | None) -> Section:
    given, data = results["conditions"], results["data"]
    host = given["machine"]
    rows = [
        *machine_rows(host),
        ["threads of each runtime", str(given["threads"])],
        ["load before and after", f"{given['load_before']}, {given['load_after']}"],
        ["test list", f"{data['list']}, {data['listed']} clips, {len(data['classes'])} classes"],
        ["its SHA-256", data["sha256"]],
        ["clip", " × ".join(str(n) for n in data["clip_shape"]) + " (frames, height, width, RGB)"],
        ["resampling", f"{given['resamples']:,} resamples, seed {given['seed']}"],
    ]  # fmt: skip
    for name, bundle in results["bundles"].items():
        origin = bundle["origin"]
        rows.append(
            [
                f"bundle of the {name}",
                f"{bundle['path']} ({bundle['name']}), from {origin.get('config', 'unknown')}, "
                f"seed {origin.get('seed', 'unknown')}, made {origin.get('created', 'unknown')}",
            ]
        )
    rows += [
        ["date", results["created"]],
        ["duration", f"{results['seconds']:.0f} s"],
        ["command", results["command"]],
    ]
    if study is not None:
        rows += [["study", f"{study['command']} ({study['created']})"]]
    failed = [f"{row['path']}: {row['error']}" for row in data["failed"][:SHOWN_FAILURES]]
    if len(data["failed"]) > SHOWN_FAILURES:
        failed.append(f"... and {len(data['failed']) - SHOWN_FAILURES} more, in results.json")
    sentences = ["These clips could not be read and count as wrong:"] if failed else []
    return Section(
        "Conditions", sentences, (), [Table("How this was measured", ["what", "value"], rows)],
        failed,
    )  # fmt: skip
