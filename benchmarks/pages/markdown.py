"""The report as Markdown: the sentences and tables of the page, and of its plots the first."""

from __future__ import annotations

import re
from collections.abc import Sequence

from benchmarks.pages.parts import Badge, Overview, Section, Table


def markdown(
    heading: str, when: str, sections: Sequence[Section], overview: Overview | None = None
) -> str:
    """A whole document; strings of the data are shown as they are, never as markup."""
    lines = [f"# {_plain(heading)}", ""]
    if overview is not None:
        lines += _overview(overview)
    lines += [_plain(when), ""]
    for section in sections:
        lines += [f"## {_plain(section.title)}", ""]
        for sentence in section.sentences:
            lines += [_plain(sentence), ""]
        for table in section.tables:
            lines += [*_table(table), ""]
        for gallery in section.galleries:
            lines += [f"**{_plain(gallery.caption)}**", ""]
            lines += [*(f"- {_plain('; '.join(one.lines))}" for one in gallery.sheets), ""]
        if section.bullets:
            lines += [*(f"- {_plain(bullet)}" for bullet in section.bullets), ""]
    return "\n".join(lines)


def _overview(overview: Overview) -> list[str]:
    lines = []
    if overview.badge is not None:
        file, words = overview.badge
        lines += [f"![{_plain(words)}]({file})", ""]
    lines += [_plain(overview.about), ""]
    lines += [f"**Verdict: {_plain(overview.verdict.text)}.** {_plain(overview.answer)}", ""]
    rows = [[one.name, one.value, one.note] for one in overview.figures]
    lines += ["| | | |", "| --- | ---: | --- |"]
    lines += [f"| {_plain(a)} | **{_plain(b)}** | {_plain(c)} |" for a, b, c in rows]
    lines += ["", f"![{_plain(overview.plot.chart.title)}]({overview.picture})", ""]
    lines += [f"*{_plain(overview.plot.caption)}*", "", _plain(overview.rule), ""]
    return lines


def _table(table: Table) -> list[str]:
    def row(values: Sequence[str | Badge]) -> str:
        texts = [
            f"**{_plain(value.text)}**" if isinstance(value, Badge) else _plain(value)
            for value in values
        ]
        return "| " + " | ".join(texts) + " |"

    rule = "|" + "|".join([" --- ", *(" ---: " for _ in table.heads[1:])]) + "|"
    return [f"**{_plain(table.caption)}**", "", row(table.heads), rule, *map(row, table.rows)]


def _plain(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    return re.sub(r"([\\`*_<>|#]|\](?=\())", r"\\\1", " ".join(text.split()))
