"""What the report says, once, for Markdown and HTML alike: sentences, tables, plots."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from benchmarks.gate import explanations
from benchmarks.gate.verdict import reference_row
from benchmarks.pages import numbers
from benchmarks.pages.parts import Section, Table, bounds, machine_rows
from benchmarks.report.gate_sections import gate_section, retained_section
from benchmarks.report.measure_sections import measures_section
from benchmarks.report.speed_sections import speed_section
from benchmarks.study.sections import study_section
from benchmarks.study.sentences import seed_sentence, study_sentence

SHOWN_FAILURES = 20


def content(results: Mapping[str, Any], study: Mapping[str, Any] | None) -> list[Section]:
    """The sections of the report, plain sentences first, conditions last."""
    sections = [gate_section(results), retained_section(results)]
    if results["speed"] is not None:
        sections.append(speed_section(results))
    sections.append(_sure(results, study))
    if study is not None:
        sections.append(_repeated(results, study))
    sections += [_time(results), measures_section(results), _figures(results)]
    if results["data"]["failed"]:
        sections.append(_unreadable(results))
    sections.append(_conditions(results, study))
    return sections


def _repeated(results: Mapping[str, Any], study: Mapping[str, Any]) -> Section:
    """What the study found, and where: its conditions are not those of this page."""
    found = study_section(study)[0]
    host = study["conditions"]["machine"]
    where = f"The study was measured {study['created']} on {host['cpu']} by {study['command']}."
    return replace(found, sentences=[*found.sentences, where, *_same_seeds(results, study)])


def _same_seeds(results: Mapping[str, Any], study: Mapping[str, Any]) -> list[str]:
    """Why a seed that stands on this page twice need not have the same gain."""
    theirs = {
        (run["seed"], one["checkpoint_sha256"])
        for run in study["runs"]
        for one in run.get("folds", [run])
    }
    origins = [pair["student"]["origin"] for pair in results["pairs"]]
    own = {
        origin.get("seed")
        for origin in origins
        if (origin.get("seed"), origin.get("checkpoint", {}).get("sha256")) not in theirs
    }
    both = sorted(own & {seed for seed, _ in theirs})
    if not both:
        return []
    which = f"Seed {both[0]}" if len(both) == 1 else f"Seeds {numbers.joined(list(map(str, both)))}"
    return [
        f"{which} of the table below is another training than that of this page: the study's, on "
        f"{study['conditions']['machine']['cpu']}. Processors round sums differently, and the same "
        "seed then ends in another network with another gain."
    ]


def study_sentences(results: Mapping[str, Any], study: Mapping[str, Any]) -> list[str]:
    """What a study says of another training than that of one pair: its mean, and where it lies."""
    seed = results["pairs"][0]["student"]["origin"].get("seed")
    place = None if seed is None else seed_sentence(study, seed)
    return [study_sentence(study, study["cells"][0]), *([place] if place else [])]


def title(results: Mapping[str, Any]) -> str:
    """The page's heading."""
    return "Does the gain of deep mutual learning (DML) survive deployment?"


def _sure(results: Mapping[str, Any], study: Mapping[str, Any] | None) -> Section:
    sentences = explanations.sample_and_interval(results)
    if study is not None and len(results["pairs"]) == 1:
        sentences[-1] = (
            "The intervals above cover the choice of test clips, not the luck of training: they "
            "are about one training run of each model. The study repeats the training:"
        )
        sentences += study_sentences(results, study)
    return Section("How sure are we", sentences)


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
        "Do they see time",
        [
            "The same clips once more, with their time taken away: how far the accuracy falls is "
            f"how much the networks need the order of the frames. Guessing would give "
            f"{numbers.percent(chance)} if all classes were equally frequent.",
            *notes,
        ],
        (),
        [Table("Top-1 with and without time", ["model", "frames", "top-1"], rows)],
    )


def _figures(results: Mapping[str, Any]) -> Section:
    rows, gains = [], []
    for row in results["cells"]:
        for model in ("baseline", "student"):
            part = row[model]
            rows.append(
                [
                    f"{model}, {numbers.cell_name(row['cell'])}",
                    bounds(part["top1"]),
                    bounds(part["top5"]),
                    numbers.percent(part["macro_f1"], 2),
                    "—" if part["agreement"] is None else numbers.percent(part["agreement"], 2),
                    "—" if part["max_logit_difference"] is None
                    else f"{part['max_logit_difference']:.2g} of {part['max_logit']:.3g}",
                    numbers.size(part["bytes"]),
                    part["artifact"],
                ]
            )  # fmt: skip
        left = row["gain_left"]
        meaningful = left["meaningful"] and left["share"] is not None
        gains.append(
            [
                numbers.cell_name(row["cell"]),
                numbers.interval(row["gain"]),
                numbers.p_value(row["gain"]["p"]),
                f"{row['gain']['only_second']} : {row['gain']['only_first']}",
                numbers.interval(left["share"], share=True) if meaningful else "not meaningful",
                numbers.interval(row["gain_top5"]),
                numbers.interval(row["gain_macro_f1"]) if row["gain_macro_f1"] else "—",
            ]
        )
    reference = numbers.cell_name(results["reference"])
    return Section(
        "All figures",
        ["Square brackets hold 95 % intervals. Gains are in percentage points."],
        (),
        [
            Table(
                "Gain: student minus baseline",
                ["deployment", "gain in top-1", "McNemar's exact test",
                 "clips right only with : only without DML", f"retained gain, of {reference}'s",
                 "gain in top-5", "gain in macro-F1"],
                gains,
                folded=True,
            ),
            Table(
                "Each model alone",
                ["model", "top-1", "top-5", "macro-F1", f"same answer as {reference}",
                 "largest logit difference", "size", "file"],
                rows,
                folded=True,
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
    return Section("Conditions", (), (), [table])


def _unreadable(results: Mapping[str, Any]) -> Section:
    failed = results["data"]["failed"]
    lines = [f"{row['path']}: {row['error']}" for row in failed[:SHOWN_FAILURES]]
    if len(failed) > SHOWN_FAILURES:
        lines.append(f"... and {len(failed) - SHOWN_FAILURES} more, in results.json")
    return Section(
        "Clips that could not be read", ["They count as wrong, in every deployment."], (), (), lines
    )
