"""`python -m benchmarks.up_to_date BUNDLE=WEIGHTS ...`: whether bundles are those of some weights.

A bundle of other weights, older ones or those of another run of the same name, is out of date; one
whose weights are no longer there is not. With --results a result file is looked at instead, which
is out of date where one of the bundles is newer. make asks this before it makes anything again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks import EXTRA
from infer.bundle.bundle import BUNDLE_JSON
from infer.command.parser import Parser
from infer.command.runner import command, run_and_exit
from infer.system.files import sha256_of
from infer.system.log import logger

log = logger("benchmarks.up_to_date")


@command(extra=EXTRA)
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 all are up to date, 1 one is not, 2 wrong use."""
    parser = Parser(
        prog="python -m benchmarks.up_to_date",
        description="Say whether bundles, or results about them, have to be made again.",
    )
    add = parser.add_argument
    add("bundles", nargs="+", metavar="BUNDLE[=WEIGHTS]", help="and the checkpoint it is made of")
    add("--results", type=Path, metavar="FILE", help="result file about the bundles")
    options = parser.parse_args(arguments)
    pairs = [tuple(map(Path, text.split("=", 1))) for text in options.bundles]
    if options.results is None:
        found = list(_about_bundles(pairs))
    else:
        found = list(_about_results(options.results, [bundle for bundle, *_ in pairs]))
    for reason in found:
        log.info(reason)
    return 1 if found else 0


def _about_bundles(pairs: Sequence[tuple[Path, ...]]) -> Iterator[str]:
    for bundle, *weights in pairs:
        description = bundle / BUNDLE_JSON
        if not description.is_file():
            yield f"{bundle} is not there"
            continue
        text = description.read_text(encoding="utf-8", errors="replace")
        for file in weights:
            if file.is_file() and sha256_of(file) not in text:
                yield f"{bundle} was not made of {file}"


def _about_results(results: Path, bundles: Sequence[Path]) -> Iterator[str]:
    if not results.is_file():
        yield f"{results} is not there"
        return
    written = results.stat().st_mtime
    for bundle in bundles:
        description = bundle / BUNDLE_JSON
        if description.is_file() and description.stat().st_mtime > written:
            yield f"{bundle} is newer than {results}"


if __name__ == "__main__":
    run_and_exit(main)
