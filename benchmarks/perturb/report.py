"""`python -m benchmarks.perturb.report`: the report of a result file, written once more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import EXTRA
from benchmarks.common.command import add_out
from benchmarks.pages import html_page
from benchmarks.pages.markdown import markdown
from benchmarks.pages.parts import measured
from benchmarks.pages.picture import picture
from benchmarks.perturb.overview import overview
from benchmarks.perturb.result_file import read_results
from benchmarks.perturb.sections import TITLE, sections
from benchmarks.report.overview import PICTURE
from export import option_limits as limits
from infer.command.parser import Parser
from infer.command.runner import command, run_and_exit
from infer.system.files import write_text

PAGES = ("index.html", "report.md", PICTURE)


@command(stopped="nothing was written", extra=EXTRA)
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 done, 2 wrong use."""
    parser = Parser(
        prog="python -m benchmarks.perturb.report",
        description="Write the report of a result file of benchmarks.perturb again.",
    )
    parser.add_argument("results", type=Path, help="results.json")
    add_out(parser, "reports/perturb")
    options = parser.parse_args(arguments)
    limits.refuse(limits.folder_problems("out", options.out))
    write_report(read_results(options.results), options.out)
    print(f"written: {options.out / PAGES[0]}, {', '.join(PAGES[1:])}")
    return 0


def write_report(results: Mapping[str, Any], folder: Path) -> None:
    """Write the page, its text and its plot into a folder."""
    first, parts, when = overview(results), sections(results), measured(results)
    written = (
        html_page.render(TITLE, when, parts, first),
        markdown(TITLE, when, parts, first),
        picture(first.plot.chart),
    )
    for name, text in zip(PAGES, written, strict=True):
        write_text(folder / name, text)


if __name__ == "__main__":
    run_and_exit(main)
