"""`python -m benchmarks.precisions.report`: the report of a result file, written once more.

A result file holds the answers. What is said of them is worked out anew, so that a file of an
older version says what one of today does, of the methods that it has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import EXTRA
from benchmarks.common.command import add_out
from benchmarks.common.result_file import complete, read
from benchmarks.pages.markdown import markdown
from benchmarks.pages.parts import measured
from benchmarks.precisions.pooled import pool_methods
from benchmarks.precisions.sections import sections
from benchmarks.stats.resample import Bootstrap, settings_of
from export import option_limits as limits
from infer.command.parser import Parser
from infer.command.runner import command, run_and_exit
from infer.system.files import write_text

FORMAT, FORMAT_VERSION = "clipduet-precisions", 3
READABLE = (2, FORMAT_VERSION)
"""Version 2 knew no fine-tune with a partner."""
REPORT = "report.md"


@command(stopped="nothing was written", extra=EXTRA)
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 done, 2 wrong use."""
    parser = Parser(
        prog="python -m benchmarks.precisions.report",
        description="Write the report of a result file of benchmarks.precisions again.",
    )
    parser.add_argument("results", type=Path, help="results.json")
    add_out(parser, "reports/precisions")
    options = parser.parse_args(arguments)
    limits.refuse(limits.folder_problems("out", options.out))
    for line in write_report(read_results(options.results), options.out):
        print(line)
    print(f"written: {options.out / REPORT}")
    return 0


def read_results(path: Path) -> dict[str, Any]:
    """A result file, with what follows from its answers worked out anew.

    Raises:
        BenchmarkError: it is none, or a damaged one.
    """
    made_by = "python -m benchmarks.precisions"
    result = read(path, format=FORMAT, versions=READABLE, made_by=made_by)
    with complete(path):
        bootstrap: Bootstrap = {**settings_of(result["conditions"])}
        pooled = pool_methods(result["runs"], seeds=result["seeds"], bootstrap=bootstrap)
        return {**result, "pooled": pooled}


def write_report(result: Mapping[str, Any], folder: Path) -> list[str]:
    """Write `report.md`; the sentences that answer what was asked."""
    found = sections(result)
    write_text(folder / REPORT, markdown("What INT8 costs", measured(result), found))
    return [line for section in found[:2] for line in section.sentences]


if __name__ == "__main__":
    run_and_exit(main)
