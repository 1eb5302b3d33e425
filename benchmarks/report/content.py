"""What the report says, once, for Markdown and HTML alike: sentences, tables, plots."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.gate.flipped_clips import Sheets
from benchmarks.gate.sentences import explanations
from benchmarks.gate.sentences.gains import gain_sentence
from benchmarks.gate.verdict import reference_row
from benchmarks.pages import numbers
from benchmarks.pages.parts import Section, Table, bounds, machine_rows
from benchmarks.report.sections.figures import figures_section
from benchmarks.report.sections.flips import flips_section
from benchmarks.report.sections.gate import gate_section
from benchmarks.report.sections.layers import layers_section
from benchmarks.report.sections.measures import measures_section
from benchmarks.report.sections.repeated import repeated_section
from benchmarks.report.sections.speed import speed_section

TITLE = "Does the gain of deep mutual learning (DML) survive deployment?"
SHOWN_FAILURES = 20


def content(
    results: Mapping[str, Any], study: Mapping[str, Any] | None, sheets: Sheets | str
) -> list[Section]:
    """The sections below the overview, verdicts first, conditions last.

    Args:
        results: the gate's.
        study: of the same clips.
        sheets: pictures of flipped clips, or why there are none.
    """
    sections = [gate_section(results), figures_section(results)]
    if results["speed"] is not None:
        sections.append(speed_section(results))
    sections += [measures_section(results), flips_section(results, sheets)]
    sections += [layers_section(results), _time(results), _sure(results, study)]
    if study is not None:
        sections.append(repeated_section(results, study))
    if results["data"]["failed"]:
        sections.append(_unreadable(results))
    sections.append(_conditions(results, study))
    return sections


def _sure(results: Mapping[str, Any], study: Mapping[str, Any] | None) -> Section:
    gain = reference_row(results)["gain"]
    sentences = [gain_sentence(results["reference"], gain)]
    sentences += explanations.sample_and_interval(results)
    if study is not None and len(results["pairs"]) == 1:
        sentences[-1] = (
            "The intervals above cover the choice of test clips, not the luck of training: they "
            "are about one training run of each model. The study below repeats the training."
        )
    return Section("How sure are we", sentences, folded=True)


def _time(results: Mapping[str, Any]) -> Section:
    """Accuracy on clips whose time was taken away."""
    reference, chance = reference_row(results), 1 / len(results["data"]["classes"])
    rows = [
        [model, "as filmed", bounds(reference[model]["top1"])] for model in ("baseline", "student")
    ]
    rows += [[row["model"], row["control"], bounds(row["top1"])] for row in results["controls"]]
    notes = []
    if len(results["pairs"]) > 1:
        notes.append("Without time the first pair alone was asked; as filmed is the mean of all.")
    return Section(
        "Do the networks use the order of frames",
        [
            "The same clips once more, with their time taken away: how far the accuracy falls is "
            f"how much the networks need the order of the frames. Guessing would give "
            f"{numbers.percent(chance)} if all classes were equally frequent.",
            *notes,
        ],
        (),
        [Table("Top-1 with and without time", ["model", "frames", "top-1"], rows)],
    )


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
    several = len(results["pairs"]) > 1
    for number, pair in enumerate(results["pairs"], start=1):
        for model, bundle in pair.items():
            origin = bundle["origin"]
            rows.append(
                [
                    f"bundle of the {model}" + (f", pair {number}" if several else ""),
                    f"{bundle['path']} ({bundle['name']}), from "
                    f"{origin.get('config', 'unknown')}, seed {origin.get('seed', 'unknown')}, "
                    f"made {origin.get('created', 'unknown')}",
                ]
            )
    rows += [
        ["date", results["created"]],
        ["duration", f"{results['seconds']:.0f} s"],
        ["command", results["command"]],
    ]
    if study is not None:
        rows += [["study", f"{study['command']} ({study['created']})"]]
    table = Table("How this was measured", ["what", "value"], rows)
    return Section("Conditions", (), (), [*_left_out(results), table], folded=True)


def _left_out(results: Mapping[str, Any]) -> list[Table]:
    rows = [
        [numbers.cell_name(one["what"]), f"{one['reason'].rstrip('.')}."]
        for one in results["left_out"]
    ]
    caption = "Deployments that were left out"
    return [Table(caption, ["deployment", "reason"], rows)] if rows else []


def _unreadable(results: Mapping[str, Any]) -> Section:
    failed = results["data"]["failed"]
    lines = [f"{row['path']}: {row['error']}" for row in failed[:SHOWN_FAILURES]]
    if len(failed) > SHOWN_FAILURES:
        lines.append(f"... and {len(failed) - SHOWN_FAILURES} more, in results.json")
    return Section(
        "Clips that could not be read", ["They count as wrong, in every deployment."], (), (), lines
    )
