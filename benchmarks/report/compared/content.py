"""Two results of the gate on a page: what changes from one to the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.gate.results.summary import chosen_row, latencies
from benchmarks.gate.sentences import explanations
from benchmarks.pages import numbers
from benchmarks.pages.charts import ChartRow, Rows
from benchmarks.pages.parts import Badge, Figure, Overview, Plot, Section, Table, bounds, mark
from benchmarks.report.compared.conditions import conditions_section
from benchmarks.report.compared.gates import Change, Comparison
from benchmarks.stats.resample import Interval

PICTURE = "difference.svg"
TITLE = "What changes from result A to result B?"
WORSE, NO_WORSE, OPEN = "worse", "no worse", "inconclusive"
STYLES = {WORSE: "fail", NO_WORSE: "pass", OPEN: "unclear"}


def comparison_overview(found: Comparison) -> Overview:
    """The outcome, one plot and three numbers."""
    outcome = _outcome(found)
    chosen = _chosen(found)
    # Where the student got worse, the numbers say how much.
    least = min(found.changes, key=lambda change: change.top1.point)
    shown = least if outcome == WORSE else chosen
    return Overview(
        about=" ".join(_about(found, place) for place in (0, 1)),
        verdict=Badge(outcome, STYLES[outcome]),
        answer=_answer(found),
        rule=(
            f"Worse: a whole 95 % interval of delta top-1 is below zero. No worse: all of them are "
            f"above −{explanations.margin_words(found.results[1])} points. {_pairing(found)}"
        ),
        figures=[
            _delta("delta top-1 of the student", shown.top1, shown.cell),
            _delta("delta gain", shown.gain, shown.cell),
            _latency(found, chosen.cell),
        ],
        plot=_plot(found),
        picture=PICTURE,
    )


def comparison_sections(found: Comparison) -> list[Section]:
    """All tables; what differs between the measurements last."""
    return [_deployments(found), _costs(found), conditions_section(found.results)]


def _about(found: Comparison, place: int) -> str:
    results = found.results[place]
    student, data = results["pairs"][0]["student"], results["data"]
    pairs = len(results["pairs"])
    many = f" and {pairs - 1} more" if pairs > 1 else ""
    return (
        f"{'AB'[place]}: {found.files[place]}, {student['name']}{many}, {data['listed']:,} clips "
        f"of {data['list']}."
    )


def _word(change: Change, margin: float) -> str:
    if change.top1.high < 0:
        return WORSE
    return NO_WORSE if change.top1.low > -margin else OPEN


def _words(found: Comparison) -> list[str]:
    margin = found.results[1]["rule"]["margin"]
    return [_word(change, margin) for change in found.changes]


def _outcome(found: Comparison) -> str:
    words = _words(found)
    return WORSE if WORSE in words else OPEN if OPEN in words else NO_WORSE


def _answer(found: Comparison) -> str:
    words = _words(found)
    counts = [(word, words.count(word)) for word in (WORSE, NO_WORSE, OPEN) if word in words]
    if len(words) == 1:
        return f"The student of B is {counts[0][0]} in the one deployment that both have."
    if len(counts) == 1:
        return f"The student of B is {counts[0][0]} in all {len(words)} deployments."
    said = numbers.joined([f"{word} in {count}" for word, count in counts])
    return f"The student of B is {said} of {len(words)} deployments."


def _pairing(found: Comparison) -> str:
    """How the differences were reckoned."""
    if not found.same_clips:
        return "The clips are not the same: the differences are unpaired."
    text = "Both answered the same clips: the differences are paired."
    if not found.matched:
        text += " No training of A belongs to one of B: each side's are resampled on their own."
    return text


def _chosen(found: Comparison) -> Change:
    """Of the deployment that one would choose in B, else in A, else the first of both."""
    changes = {change.cell: change for change in found.changes}
    for results in reversed(found.results):
        row = chosen_row(results)
        if row is not None and row["cell"] in changes:
            return changes[row["cell"]]
    return found.changes[0]


def _delta(name: str, value: Interval, cell: str) -> Figure:
    span = numbers.span(value.to_dict())
    note = f"B minus A, 95 % interval {span}; {numbers.cell_name(cell)}."
    return Figure(name, f"{numbers.points(value.point)} points", note)


def _latency(found: Comparison, cell: str) -> Figure:
    name = "end-to-end latency"
    p50 = [latencies(one).get(cell) for one in found.results]
    if p50[0] is None or p50[1] is None:
        return Figure(name, numbers.NONE, "Not timed in both.")
    a, b = (one["p50"] for one in p50 if one is not None)
    note = (
        f"of A's: {numbers.milliseconds(b)} against {numbers.milliseconds(a)} ms (medians); "
        f"{numbers.cell_name(cell)}. {_machines(found)}"
    )
    return Figure(name, numbers.percent(b / a, 0), note)


def _machines(found: Comparison) -> str:
    a, b = (one["conditions"] for one in found.results)
    hosts = [one["machine"] for one in (a, b)]
    if any(hosts[0][key] != hosts[1][key] for key in ("cpu", "cores")):
        return "The machines differ."
    if a["threads"] != b["threads"]:
        return f"{a['threads']} and {b['threads']} threads."
    return "Two runs on machines alike: the load may have differed."


def _plot(found: Comparison) -> Plot:
    rows = []
    for change, word in zip(found.changes, _words(found), strict=True):
        shown = mark(change.top1.to_dict(), STYLES[word])
        rows.append(ChartRow(numbers.short_name(change.cell), _interval(change.top1), [shown]))
    used = {*_words(found)}
    return Plot(
        "Delta top-1 of the student, B minus A, with 95 % intervals.",
        Rows("Delta top-1 by deployment", rows, axis="delta top-1, percentage points", zero=True),
        [(style, word) for word, style in STYLES.items() if word in used],
    )


def _deployments(found: Comparison) -> Section:
    rows = [{row["cell"]: row for row in one["cells"]} for one in found.results]
    students: list[list[str | Badge]] = []
    gains: list[list[str | Badge]] = []
    for change, word in zip(found.changes, _words(found), strict=True):
        both = [of[change.cell] for of in rows]
        name = numbers.cell_name(change.cell)
        students.append(
            [
                name,
                *(numbers.percent(row["student"]["top1"]["point"], 2) for row in both),
                _interval(change.top1),
                Badge(word, STYLES[word]),
            ]
        )
        verdicts = [
            Badge(explanations.verdict_name(row["verdict"]), row["verdict"]["verdict"])
            for row in both
        ]
        gains.append(
            [
                name,
                *(numbers.interval(row["gain"]) for row in both),
                _interval(change.gain),
                *(_share(row) for row in both),
                *verdicts,
            ]
        )
    heads = ["deployment", "A", "B", "delta top-1, points", "B is"]
    tables = [
        Table("Top-1 of the student", heads, students),
        Table(
            "Gain on the baseline in points, gain retained, and the gate's verdicts",
            ["deployment", "A: gain", "B: gain", "delta gain", "A: retained", "B: retained",
             "A: verdict", "B: verdict"],
            gains,
        ),
        *_flips(found),
    ]  # fmt: skip
    return Section("Every deployment that both have", _alone(found, rows), (), tables)


def _share(row: Mapping[str, Any]) -> str:
    left = row["gain_left"]
    if not left["meaningful"] or left["share"] is None:
        return numbers.NOT_MEANINGFUL
    return numbers.percent(left["share"]["point"], 0)


def _alone(found: Comparison, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Deployments that one result has alone."""
    said = []
    if found.same_networks:
        said.append("Both results are of the same trained networks, by their checksums.")
    for place, name in enumerate("AB"):
        more = [numbers.cell_name(cell) for cell in rows[place] if cell not in rows[1 - place]]
        if more:
            said.append(f"Only in {name}: {numbers.joined(more)}.")
    return said


def _flips(found: Comparison) -> list[Table]:
    rows = []
    for change in found.changes:
        if change.flips is None or change.agreement is None:
            continue
        lost = change.flips["negative_flips"]
        rows.append(
            [
                numbers.cell_name(change.cell),
                numbers.percent(change.agreement, 2),
                bounds(change.flips["right_to_wrong"]),
                bounds(change.flips["wrong_to_right"]),
                numbers.NONE if lost is None else bounds(lost),
            ]
        )
    heads = ["deployment", "same answer", "right to wrong", "wrong to right",
             "negative flips, of A's right answers"]  # fmt: skip
    caption = "Answers of the student that change from A to B, in percent of the clips"
    return [Table(caption, heads, rows, folded=True)] if rows else []


def _costs(found: Comparison) -> Section:
    timed = [latencies(one) for one in found.results]
    files = [
        {row["cell"]: row["student"]["bytes"] for row in one["cells"]} for one in found.results
    ]
    rows = []
    for change in found.changes:
        cell = change.cell
        line = [numbers.cell_name(cell)]
        line += [
            numbers.milliseconds(of[cell]["p50"]) if cell in of else numbers.NONE for of in timed
        ]
        both = all(cell in of for of in timed)
        line.append(
            f"{timed[1][cell]['p50'] / timed[0][cell]['p50']:.2f}" if both else numbers.NONE
        )
        rows.append([*line, *(numbers.size(of[cell]) for of in files)])
    heads = ["deployment", "A: latency, ms", "B: latency, ms", "B of A", "A: file", "B: file"]
    sentence = (
        f"End-to-end latency, p50. {_machines(found)} Two runs have no common interval: a small "
        "difference says nothing."
    )
    table = Table("End-to-end latency and size of the file", heads, rows)
    return Section("What it costs", [sentence], (), [table])


def _interval(value: Interval) -> str:
    return numbers.interval(value.to_dict())
