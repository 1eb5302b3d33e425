"""What a report is made of: sections of sentences, tables and plots, whatever renders them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.pages import numbers
from benchmarks.pages.charts import Mark, Rows, Scatter


@dataclass(frozen=True)
class Badge:
    """A word that also has a colour: a CSS class of the page."""

    text: str
    style: str


@dataclass(frozen=True)
class Table:
    """Column heads and rows of text; the first column names the row.

    Attributes:
        caption: text above it.
        heads: names of the columns.
        rows: cells of each row.
        folded: on the page only the caption shows until it is opened.
    """

    caption: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str | Badge]]
    folded: bool = False


@dataclass(frozen=True)
class Plot:
    """A chart under its caption, and a legend of (CSS class, words)."""

    caption: str
    chart: Rows | Scatter
    legend: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class Sheet:
    """A picture of a clip, and lines of text under it.

    Attributes:
        source: address of the picture, which holds its data; None where there is no picture.
        lines: the first is the most important one.
    """

    source: str | None
    lines: Sequence[str]


@dataclass(frozen=True)
class Gallery:
    """Pictures under a caption; on the page only the caption shows until it is opened."""

    caption: str
    sheets: Sequence[Sheet]


@dataclass(frozen=True)
class Section:
    """A heading, the sentences under it, then plots, tables, pictures and bullets.

    Attributes:
        title: the heading.
        sentences: paragraphs.
        plots: charts, side by side where there is room.
        tables: one below the other.
        bullets: a list.
        galleries: pictures of clips.
        folded: on the page only the heading shows until it is opened.
    """

    title: str
    sentences: Sequence[str]
    plots: Sequence[Plot] = ()
    tables: Sequence[Table] = ()
    bullets: Sequence[str] = ()
    galleries: Sequence[Gallery] = ()
    folded: bool = False


@dataclass(frozen=True)
class Figure:
    """A number that answers a part of the question.

    Attributes:
        name: what it is.
        value: the number with its unit.
        note: its interval, and what it belongs to.
    """

    name: str
    value: str
    note: str


@dataclass(frozen=True)
class Overview:
    """What shows without scrolling, above all sections.

    Attributes:
        about: model and task in a line.
        verdict: the outcome in a word.
        answer: the outcome in a sentence.
        rule: what the verdict means.
        figures: a few numbers.
        plot: the one that shows the answer.
        picture: file name of the plot beside the Markdown document.
        badge: the same of the badge, with the words that it shows; None where there is none.
    """

    about: str
    verdict: Badge
    answer: str
    rule: str
    figures: Sequence[Figure]
    plot: Plot
    picture: str
    badge: tuple[str, str] | None = None


def machine_rows(host: Mapping[str, Any]) -> list[list[str]]:
    """Hardware, system and versions as rows of a table."""
    versions = [f"{name} {version}" for name, version in host["packages"].items()]
    memory = host["memory_bytes"]
    return [
        ["processor", f"{host['cpu']}, {host['cores']} cores"],
        ["its features", ", ".join(host["cpu_features"]) or numbers.NONE],
        ["memory", numbers.size(memory) if memory else "unknown"],
        ["system", f"{host['system']}, kernel {host['kernel']}"],
        ["versions", ", ".join([f"Python {host['python']}", *versions])],
    ]


def measured(result: Mapping[str, Any]) -> str:
    """When and where a result was measured."""
    return f"Measured {result['created']} on {result['conditions']['machine']['cpu']}"


def side_by_side(runs: Sequence[Mapping[str, Any]]) -> str:
    """How many trainings shared the machine while these were made, and threads of each."""
    ways = sorted(
        {(one["parallel"], one["threads"]) for run in runs for one in run["side_by_side"]}
    )
    said = [f"{parallel}, {threads} thread(s) each" for parallel, threads in ways]
    if not all(run["side_by_side"] for run in runs):
        said.append("not recorded" if not ways else "of some not recorded")
    return "; ".join(said)


def mark(value: Mapping[str, Any], style: str = "student") -> Mark:
    """A stored interval of shares as a mark in percent or points."""
    low, high = (None if value[end] is None else 100 * value[end] for end in ("low", "high"))
    return Mark(100 * value["point"], low, high, style)


def bounds(value: Mapping[str, Any]) -> str:
    """A share in percent with its interval."""
    return f"{100 * value['point']:.2f} % [{100 * value['low']:.1f}, {100 * value['high']:.1f}]"
