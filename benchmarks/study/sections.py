"""What the report says about a study: the gain by seed, its mean, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.pages import numbers
from benchmarks.pages.charts import ChartRow, Rows
from benchmarks.pages.parts import (
    Plot,
    Section,
    Table,
    bounds,
    machine_rows,
    mark,
    side_by_side,
)
from benchmarks.study.sentences import folds_sentence, study_sentence

MOST_CLASSES = 20
"""Of more classes the table shows those that changed most."""


def study_section(study: Mapping[str, Any]) -> list[Section]:
    """The study on its own: sentences, a plot a deployment, all seeds, conditions."""
    sentences = [study_sentence(study, cell) for cell in study["cells"]]
    drawn = "whole groups of clips" if "folds" in study else "clips"
    sentences.append(
        f"The interval of the mean resamples seeds and {drawn} together. The one across seeds is "
        "Student's t over their gains; with few seeds it is the one to trust about other seeds."
    )
    if "folds" in study:
        sentences.append(folds_sentence(study))
    sentences += [
        f"{numbers.cell_name(one['what'])} is left out: {one['reason'].rstrip('.')}."
        for one in study.get("left_out", [])
    ]
    if study["differences_besides_model"]:
        sentences.append(
            "Beware: besides MODEL the two configs differ in "
            + "; ".join(study["differences_besides_model"])
        )
    for role, config in study["configs"].items():
        if config["before"]:
            runs = [run for run in study["runs"] if run["role"] == role]
            seconds = sum(run["seconds_before"] for run in runs) / len(runs)
            sentences.append(
                f"Before a run of the {role} starts, {', '.join(config['before'].values())} is "
                f"trained with its seed ({seconds:.0f} s a run): the student takes as many steps "
                "as the baseline, but the pair has had more work."
            )
        for name, ready in config.get("ready", {}).items():
            sentences.append(
                f"Every run of the {role} starts from the same {name.lower()}, {ready['file']} "
                f"(SHA-256 {ready['sha256'][:16]}): the gain holds for students of this one, and "
                "the seeds do not vary it."
            )
    plots = [_seed_plot(study, cell) for cell in study["cells"]]
    heads = ["seed", "baseline", "DML student", "gain in points", "McNemar's exact test"]
    tables = []
    for cell in study["cells"]:
        body = [
            [
                str(row["seed"]),
                bounds(row["baseline"]),
                bounds(row["student"]),
                numbers.interval(row["gain"]),
                numbers.p_value(row["gain"]["p"]),
            ]
            for row in study["per_seed"][cell]
        ]
        pooled = study["pooled"][cell]
        shares = [numbers.percent(pooled[role], 2) for role in ("baseline", "student")]
        body.append(["mean", *shares, numbers.interval(pooled["crossed"]), ""])
        body.append(["mean, across seeds: 95 % CI", "", "", numbers.interval(pooled["seeds"]), ""])
        caption = f"Top-1 on the test list, {numbers.cell_name(cell)}"
        tables.append(Table(caption, heads, body, folded=True))
    if "folds" in study:
        tables.append(_fold_table(study, study["cells"][0]))
    tables.append(_class_table(study["by_class"], study["cells"][0]))
    return [
        Section("What other seeds bring", sentences, plots, tables),
        Section("Conditions of the study", (), (), [_study_conditions(study)]),
    ]


def _fold_table(study: Mapping[str, Any], cell: str) -> Table:
    """What every pair, that is seed and fold, has right of the clips that its fold tests."""
    body = [
        [
            f"{row['seed']}, {row['fold']}",
            str(row["clips"]),
            *(numbers.percent(row[role], 1) for role in ("baseline", "student")),
            numbers.points(row["gain"]),
        ]
        for row in study["per_fold"][cell]
    ]
    heads = ["seed, fold", "clips", "baseline", "DML student", "gain in points"]
    return Table(f"Top-1 by fold, {numbers.cell_name(cell)}", heads, body, folded=True)


def _class_table(classes: Sequence[Mapping[str, Any]], cell: str) -> Table:
    """All classes in their order; of many, those where the student gained and lost most."""
    caption = f"Top-1 by class, all seeds, {numbers.cell_name(cell)}"
    if len(classes) > MOST_CLASSES:
        ranked = sorted(classes, key=lambda one: -one["gain"]["point"])
        classes = [*ranked[: MOST_CLASSES // 2], *ranked[-(MOST_CLASSES // 2) :]]
        caption += f": the {MOST_CLASSES // 2} that gained most and least of {len(ranked)}"
    body = [
        [
            one["class"],
            str(one["clips"]),
            numbers.percent(one["baseline"], 1),
            numbers.percent(one["student"], 1),
            numbers.interval(one["gain"]),
            numbers.span(one["seeds"]),
        ]
        for one in classes
    ]
    heads = ["class", "clips", "baseline", "DML student", "gain in points", "across seeds: 95 % CI"]
    return Table(caption, heads, body, folded=True)


def _seed_plot(study: Mapping[str, Any], cell: str) -> Plot:
    pooled = study["pooled"][cell]["crossed"]
    rows = [
        ChartRow(f"seed {row['seed']}", numbers.interval(row["gain"]), [mark(row["gain"])])
        for row in study["per_seed"][cell]
    ]
    rows.append(ChartRow("mean", numbers.interval(pooled), [mark(pooled, "pooled")]))
    name = numbers.cell_name(cell)
    return Plot(
        f"Gain of the DML student by seed, {name}.",
        Rows(f"Gain by seed in {name}", rows, axis="gain in top-1, percentage points", zero=True),
    )


def _study_conditions(study: Mapping[str, Any]) -> Table:
    given, data = study["conditions"], study["data"]
    rows = [
        *machine_rows(given["machine"]),
        ["trainings at a time", side_by_side(study["runs"])],
        ["test list", f"{data['list']}, {data['listed']} clips, {len(data['failed'])} unreadable"],
        ["its SHA-256", data["sha256"]],
        ["checkpoint", f"{given['checkpoint']} (best: by the validation list)"],
        *([["weights of int8", "7 bits (--reduce-range)"]] if given.get("reduce_range") else []),
        ["seeds", ", ".join(str(seed) for seed in study["seeds"])],
        ["resampling", f"{given['resamples']:,} resamples, seed {given['seed']}"],
    ]
    for role, config in study["configs"].items():
        runs = [run for run in study["runs"] if run["role"] == role]
        seconds = sum(run["seconds"] for run in runs) / len(runs)
        step = sum(run["seconds_per_step"] for run in runs) / len(runs)
        rows.append(
            [
                f"config of the {role}",
                f"{config['path']} (SHA-256 {config['sha256'][:16]}), {config['epochs']} epochs, "
                f"{seconds:.0f} s a run, {step:.3f} s a step in its quickest epoch",
            ]
        )
    rows += [["date", study["created"]], ["command", study["command"]]]
    return Table("How this was measured", ["what", "value"], rows)
