"""`python -m benchmarks.report RESULTS.json --out DIR`: the result file as pages to read.

Writes DIR/results.json (a copy), DIR/report.md and DIR/index.html. JSON is the source; nothing
is measured here.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import report_html
from benchmarks.report_content import Section, Table, content, title
from benchmarks.results import STUDY_FORMAT, load, write_text
from infer.errors import ClipDuetError

STUDY = Path("reports/study/results.json")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 done, 2 wrong use or a file that is no result."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.report", description="Write a benchmark's result as a report."
    )
    parser.add_argument("results", type=Path, help="result file of `python -m benchmarks`")
    parser.add_argument("--out", type=Path, required=True, help="folder of the report")
    parser.add_argument(
        "--study", type=Path, help=f"result file of the study (default: {STUDY} if it exists)"
    )
    options = parser.parse_args(arguments)
    try:
        write_report(options.results, options.out, study=options.study)
    except (ClipDuetError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"written: {options.out / 'index.html'}, {options.out / 'report.md'}")
    return 0


def write_report(results_file: Path, folder: Path, *, study: Path | None = None) -> None:
    """Write the three files of a report.

    study: the study's result file; None takes the default one if it exists.

    Raises:
        BenchmarkError: a file is missing, damaged or of another format.
    """
    results = load(results_file)
    if study is None and STUDY.is_file():
        study = STUDY
    repeated = load(study, format=STUDY_FORMAT) if study is not None else None
    sections = content(results, repeated)
    when = f"Measured {results['created']} on {results['conditions']['machine']['cpu']}"
    write_text(folder / "report.md", markdown(title(results), when, sections))
    write_text(folder / "index.html", report_html.render(title(results), when, sections))
    copy = folder / "results.json"
    if not (copy.exists() and copy.samefile(results_file)):
        write_text(copy, results_file.read_text(encoding="utf-8"))


def markdown(heading: str, when: str, sections: Sequence[Section]) -> str:
    """The report as Markdown: the sentences and tables of the page, without its plots."""
    lines = [f"# {_plain(heading)}", "", _plain(when), ""]
    for section in sections:
        lines += [f"## {_plain(section.title)}", ""]
        for sentence in section.sentences:
            lines += [_plain(sentence), ""]
        if section.bullets:
            lines += [*(f"- {_plain(bullet)}" for bullet in section.bullets), ""]
        for table in section.tables:
            lines += [*_table(table), ""]
    return "\n".join(lines)


def _table(table: Table) -> list[str]:
    def row(values: Sequence[str]) -> str:
        return "| " + " | ".join(_plain(value) for value in values) + " |"

    rule = "|" + "|".join([" --- ", *(" ---: " for _ in table.heads[1:])]) + "|"
    return [f"**{_plain(table.caption)}**", "", row(table.heads), rule, *map(row, table.rows)]


def _plain(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    return re.sub(r"([\\`*_<>|#]|\](?=\())", r"\\\1", " ".join(text.split()))


if __name__ == "__main__":
    sys.exit(main())
