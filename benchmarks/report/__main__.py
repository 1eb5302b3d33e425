"""`python -m benchmarks.report RESULTS.json --out DIR`: the result file as pages to read.

Writes DIR/results.json (a copy, and copies of the logits and of the pictures of clips beside it),
DIR/summary.json, DIR/report.md, DIR/results.csv, DIR/index.html, DIR/gain.svg, the gain in each
deployment as a picture, and DIR/badge.svg. JSON is the source; nothing is measured here, and no
clip is read.

`python -m benchmarks.report A.json B.json --out DIR` compares two results: DIR/comparison.html,
DIR/comparison.md and DIR/difference.svg.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.common.errors import BenchmarkError
from benchmarks.common.result_file import dump
from benchmarks.gate.flipped_clips import Sheets
from benchmarks.gate.results.result_file import load_results
from benchmarks.gate.results.sheets_file import read_sheets
from benchmarks.gate.results.summary import write_summary
from benchmarks.pages import html_page
from benchmarks.pages.markdown import markdown
from benchmarks.pages.parts import measured
from benchmarks.pages.picture import picture
from benchmarks.report.badge import badge
from benchmarks.report.compared.content import TITLE as COMPARED
from benchmarks.report.compared.content import comparison_overview, comparison_sections
from benchmarks.report.compared.gates import compare_gates
from benchmarks.report.content import TITLE, content
from benchmarks.report.overview import BADGE, PICTURE, overview
from benchmarks.report.table import as_csv
from benchmarks.study.result_file import load_study
from infer.command.parser import Parser
from infer.command.runner import command, run_and_exit
from infer.system.files import replacing, write_text
from infer.system.log import logger

log = logger("benchmarks.report")

STUDY = Path("reports/study/results.json")


@command(extra="report")
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 done, 2 wrong use or a file that is no result."""
    parser = Parser(
        prog="python -m benchmarks.report", description="Write a benchmark's result as a report."
    )
    parser.add_argument(
        "results",
        type=Path,
        nargs="+",
        metavar="RESULTS.json",
        help="result file of `python -m benchmarks.gain`; two are compared",
    )
    parser.add_argument("--out", "--output", type=Path, required=True, help="folder of the report")
    parser.add_argument(
        "--study",
        type=Path,
        help=f"result file of the study (default: {STUDY}, if it is of the same task)",
    )
    options = parser.parse_args(arguments)
    _check(options)
    if len(options.results) == 2:
        first, second = options.results
        print(f"written: {write_comparison(first, second, options.out)}")
        return 0
    write_report(options.results[0], options.out, study=options.study)
    others = ("report.md", "results.csv", "summary.json", PICTURE, BADGE)
    print(f"written: {', '.join([str(options.out / 'index.html'), *others])}")
    return 0


def _check(options: argparse.Namespace) -> None:
    given = len(options.results)
    if given > 2:
        raise BenchmarkError(
            f"{given} result files were given; allowed: one for its report, two to compare them"
        )
    if given == 2 and options.study is not None:
        raise BenchmarkError(
            "--study has no effect where two results are compared: leave it out, or give one result"
        )


def write_comparison(first: Path, second: Path, folder: Path) -> str:
    """Write a page that compares two results; the names of its files.

    Raises:
        BenchmarkError: see `benchmarks.report.compared.gates.compare_gates`.
    """
    found = compare_gates(first, second)
    opening, sections = comparison_overview(found), comparison_sections(found)
    when = "; ".join(
        f"{name}: {measured(one)}" for name, one in zip("AB", found.results, strict=True)
    )
    page = html_page.render(COMPARED, when, sections, opening)
    drawn = picture(opening.plot.chart)
    write_text(folder / "comparison.md", markdown(COMPARED, when, sections, opening))
    write_text(folder / "comparison.html", page)
    write_text(folder / opening.picture, drawn)
    return f"{folder / 'comparison.html'}, comparison.md, {opening.picture}"


def write_report(results_file: Path, folder: Path, *, study: Path | None = None) -> None:
    """Write the files of a report.

    Args:
        results_file: of `benchmarks.gain`.
        folder: where to write.
        study: the study's result file; None takes the default one if it exists and is about the
            same clips.

    Raises:
        BenchmarkError: a file is missing, damaged or of another format.
    """
    results = load_results(results_file)
    repeated = load_study(study) if study is not None else study_of_the_same(results)
    sections = content(results, repeated, _sheets(results_file, results))
    first, when = overview(results), measured(results)
    page = html_page.render(TITLE, when, sections, first)
    drawn = picture(first.plot.chart)
    write_text(folder / "report.md", markdown(TITLE, when, sections, first))
    write_text(folder / "index.html", page)
    write_text(folder / PICTURE, drawn)
    write_text(folder / BADGE, badge(results))
    write_text(folder / "results.csv", as_csv(results))
    write_summary(folder / "summary.json", results)
    copy = folder / "results.json"
    given = results_file.read_text(encoding="utf-8")
    if json.loads(given)["format_version"] != results["format_version"]:
        write_text(copy, dump(results))  # Verdicts of today, as in the pages beside it.
    elif not (copy.exists() and copy.samefile(results_file)):
        _copy_beside(results_file, results.get("logits"), folder, what="the logits")
        _copy_beside(results_file, results.get("sheets"), folder, what="the pictures")
        write_text(copy, given)


def _sheets(results_file: Path, results: Mapping[str, Any]) -> Sheets | str:
    """Pictures of flipped clips, or why there are none; the report is worth making without."""
    try:
        return read_sheets(results_file, results)
    except BenchmarkError as error:
        if results.get("sheets") is not None:
            log.warning(f"no pictures of clips: {error}")
        return str(error)


def _copy_beside(
    results_file: Path, record: Mapping[str, Any] | None, folder: Path, *, what: str
) -> None:
    """A file that lies beside a result to where its copy will be, under the name it has there."""
    if record is None:
        return
    file = results_file.with_name(Path(record["file"]).name)
    if not file.is_file():
        log.warning(f"{file}, {what} of {results_file}, is missing and was not copied")
        return
    with replacing(folder / file.name) as partial:
        shutil.copyfile(file, partial)


def study_of_the_same(results: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The study at its default place, if it can be read and is about the same clips."""
    if not STUDY.is_file():
        return None
    try:
        study = load_study(STUDY)
    except BenchmarkError as error:
        # Nobody asked for it, and what was measured is worth its report without it.
        log.warning(f"left out: {error}")
        return None
    own, its = results["data"], study["data"]
    # The same list and labels may be those of clips that were made anew.
    same = own.get("clips_sha256", its["clips_sha256"]) == its["clips_sha256"]
    return study if same and own["labels"] == its["labels"] else None


if __name__ == "__main__":
    run_and_exit(main)
