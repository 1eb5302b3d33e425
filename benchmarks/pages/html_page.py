"""The report as one page that needs nothing else: styles, drawings and text in one file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape

from benchmarks.pages.parts import Badge, Plot, Section, Table

STYLE = """
:root { color-scheme: light dark; --page: #ffffff; --text: #1b1f24; --soft: #59636e;
  --line: #d1d9e0; --card: #f6f8fa; --student: #0b62c4; --baseline: #b3530b; --pooled: #1a7f37;
  --pass: #1a7f37; --fail: #cf222e; --unclear: #8a5a00; --reference: #57606a;
  --read: #0b62c4; --preprocess: #7fb2ee; --network: #d9822b; --rank: #8250df; }
@media (prefers-color-scheme: dark) {
  :root { --page: #0f1318; --text: #e6ebf0; --soft: #9da8b3; --line: #333d47; --card: #171d24;
    --student: #6cb0ff; --baseline: #f0a35e; --pooled: #57c878;
    --pass: #57c878; --fail: #ff7b72; --unclear: #e3b341; --reference: #9da8b3;
    --read: #4a93e6; --preprocess: #9fc8fa; --network: #f0a35e; --rank: #b392f0; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 1rem 1rem 4rem; background: var(--page);
  color: var(--text); font: 1rem/1.55 system-ui, sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 1rem 0 .3rem; }
h2 { font-size: 1.25rem; margin: 2.4rem 0 .5rem; padding-top: .8rem;
  border-top: 1px solid var(--line); }
p { margin: .5rem 0; max-width: 46rem; }
ul { padding-left: 1.2rem; max-width: 46rem; color: var(--soft); font-size: .93rem; }
.when { color: var(--soft); }
section:first-of-type p:first-of-type { font-size: 1.12rem; font-weight: 600; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr));
  gap: 1rem; margin: 1rem 0; align-items: start; }
figure { margin: 0; padding: .8rem; background: var(--card); border: 1px solid var(--line);
  border-radius: 8px; max-width: 34rem; }
figcaption { color: var(--soft); font-size: .88rem; margin-bottom: .5rem; }
svg { display: block; width: 100%; height: auto; }
svg text { fill: var(--text); font: 12px system-ui, sans-serif; }
svg .label, svg .value, svg .point, svg .level { paint-order: stroke; stroke: var(--card);
  stroke-width: 4px; stroke-linejoin: round; }
svg .label, svg .point { font-weight: 600; }
svg .value { text-anchor: end; font-variant-numeric: tabular-nums; }
svg .level { fill: var(--soft); font-size: 11px; }
svg .tick, svg .axis { text-anchor: middle; fill: var(--soft); font-size: 11px; }
svg .tick.left, svg .end { text-anchor: end; } svg .start, svg .tick.start { text-anchor: start; }
svg .middle { text-anchor: middle; }
svg .grid { stroke: var(--line); stroke-width: 1; }
svg .zero { stroke: var(--text); stroke-width: 1.5; stroke-dasharray: 4 3; }
svg .level-line { stroke: var(--soft); stroke-width: 1.2; }
svg .leader { stroke: var(--soft); stroke-width: 1; }
svg .tail { stroke: var(--soft); stroke-width: 1.5; }
svg .whisker { stroke: var(--mark); stroke-width: 2.2; }
svg .dot, svg .bar { fill: var(--mark); }
svg .dot.baseline { fill: var(--page); stroke: var(--mark); stroke-width: 2.5; }
.student { --mark: var(--student); } .baseline { --mark: var(--baseline); }
.pooled { --mark: var(--pooled); } .pass { --mark: var(--pass); } .fail { --mark: var(--fail); }
.unclear { --mark: var(--unclear); } .reference { --mark: var(--reference); }
.read { --mark: var(--read); } .preprocess { --mark: var(--preprocess); }
.network { --mark: var(--network); } .rank { --mark: var(--rank); } .tail { --mark: var(--soft); }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1rem; font-size: .85rem;
  color: var(--soft); margin-top: .3rem; }
.key { display: inline-block; width: .8em; height: .8em; margin-right: .35em; border-radius: 50%;
  background: var(--mark); }
.key.read, .key.preprocess, .key.network, .key.rank { border-radius: 2px; }
.key.baseline { background: none; border: 2px solid var(--mark); }
.key.tail { height: 2px; border-radius: 0; vertical-align: middle; }
.badge { display: inline-block; padding: .05rem .5rem; border: 1.5px solid var(--mark);
  border-radius: 1rem; color: var(--mark); font-weight: 600; white-space: nowrap;
  background: color-mix(in srgb, var(--mark) 12%, var(--page)); }
table { border-collapse: collapse; width: 100%; margin: 1.2rem 0; font-size: .9rem;
  font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding-bottom: .4rem; }
details { margin: 1.2rem 0; } details table { margin: .6rem 0; }
summary { cursor: pointer; font-weight: 600; font-size: .9rem; padding: .4rem 0; }
th, td { text-align: right; padding: .35rem .5rem; border-bottom: 1px solid var(--line);
  vertical-align: top; }
thead th { color: var(--soft); font-weight: 500; vertical-align: bottom; }
th:first-child, td:last-child:nth-child(2), th:last-child:nth-child(2) { text-align: left; }
td:last-child:nth-child(2) { overflow-wrap: anywhere; }
tbody th { font-weight: 600; }
@media (max-width: 46rem) {
  svg text { font-size: 15px; } svg .tick, svg .axis, svg .level { font-size: 14px; }
  table, tbody, tr, caption, td, tbody th { display: block; width: 100%; }
  thead { display: none; }
  tr { border: 1px solid var(--line); border-radius: 8px; background: var(--card);
    padding: .4rem .6rem; margin-bottom: .6rem; }
  td { display: flex; justify-content: space-between; gap: 1rem; border: 0; padding: .15rem 0; }
  tbody th { border: 0; padding: .15rem 0; }
  td::before { content: attr(data-label); color: var(--soft); text-align: left; flex: 0 1 38%; }
  td:empty { display: none; }
  td:last-child:nth-child(2)::before { content: none; } }
@media print { body { max-width: none; } figure { break-inside: avoid; } }
"""


def render(title: str, when: str, sections: Sequence[Section]) -> str:
    """A complete HTML page; every string is escaped, nothing is loaded from anywhere."""
    body = "\n".join(_section(section) for section in sections)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{escape(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<h1>{escape(title)}</h1>
<p class="when">{escape(when)}</p>
{body}
</body>
</html>
"""


def _section(section: Section) -> str:
    parts = [f"<h2>{escape(section.title)}</h2>"]
    parts += [f"<p>{escape(sentence)}</p>" for sentence in section.sentences]
    if section.plots:
        parts.append(f'<div class="plots">{"".join(_plot(plot) for plot in section.plots)}</div>')
    parts += [_table(table) for table in section.tables]
    if section.bullets:
        items = "".join(f"<li>{escape(bullet)}</li>" for bullet in section.bullets)
        parts.append(f"<ul>{items}</ul>")
    return "<section>\n" + "\n".join(parts) + "\n</section>"


def _plot(plot: Plot) -> str:
    legend = "".join(
        f'<span><span class="key {escape(style)}"></span>{escape(text)}</span>'
        for style, text in plot.legend
    )
    key = f'<div class="legend">{legend}</div>' if legend else ""
    return f"<figure><figcaption>{escape(plot.caption)}</figcaption>{plot.svg}{key}</figure>"


def _table(table: Table) -> str:
    heads = "".join(f'<th scope="col">{escape(head)}</th>' for head in table.heads)
    rows = "".join(
        f'<tr><th scope="row">{_cell(row[0])}</th>'
        + "".join(
            f'<td data-label="{escape(head)}">{_cell(value)}</td>'
            for head, value in zip(table.heads[1:], row[1:], strict=True)
        )
        + "</tr>"
        for row in table.rows
    )
    body = f"<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
    if table.folded:
        return f"<details><summary>{escape(table.caption)}</summary><table>{body}</details>"
    return f"<table><caption>{escape(table.caption)}</caption>{body}"


def _cell(value: str | Badge) -> str:
    if isinstance(value, Badge):
        return f'<span class="badge {escape(value.style)}">{escape(value.text)}</span>'
    # A number stays with its unit, an interval in one piece.
    text = re.sub(r"(?<=\d) (?=(%|bytes|kB|MB|GB)( |$))", "\u00a0", value)
    text = re.sub(r"\[[^\]]{1,40}\]", lambda found: found[0].replace(" ", "\u00a0"), text)
    return escape(text)
