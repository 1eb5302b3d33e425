"""Options of `clipduet serve`."""

from __future__ import annotations

from ..command.option_values import above_zero, from_one, from_zero, whole
from ..command.parser import Parser
from ..command.reading_options import add_limit_options
from ..command.runtime_options import add_runtime_options
from ..command.score_options import add_score_options
from ..containers.limits import Limits
from ..system.hardware import LARGEST_LIMIT
from .limits import ServiceLimits


def service_parser(prog: str) -> Parser:
    """The parser of the command line, which calls itself `prog`."""
    usual = ServiceLimits()
    parser = Parser(
        prog=prog,
        description="Classify video files that are sent over HTTP: POST /predict, a page at /, the "
        "Open Inference Protocol below /v2.",
        epilog="SIGTERM and Ctrl-C finish what was accepted. Exit status: 143 after SIGTERM, 130 "
        "after Ctrl-C, 2 wrong use.",
    )
    add = parser.add_argument
    add_runtime_options(parser, needs_bundle=True)
    add("--max-batch", type=from_one, metavar="N", help="clips through the network at once, at "
        "most (default: as the bundle says)")  # fmt: skip
    add_score_options(parser, goal="default of the option threshold of /predict: the score")
    add("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1, which only "
        "this machine reaches)")  # fmt: skip
    add("--port", type=whole(0, 65535), default=8000, help="0: any (default: 8000)")
    add("--tokens", metavar="FILE", help="bearer tokens of at least 16 characters, one a "
        "line: clients need one of them")  # fmt: skip
    add("--workers", type=whole(1, 256), metavar="N", help="processes that read videos (default: "
        "as many as --threads, up to 8)")  # fmt: skip
    add("--max-queue", type=from_zero, default=usual.queue, metavar="N", help="requests that "
        f"wait beside those that are worked on; more get 429 (default: {usual.queue})")  # fmt: skip
    add("--max-files", type=from_one, default=usual.body.files, metavar="N", help="files of a "
        f"request (default: {usual.body.files})")  # fmt: skip
    for name, seconds, what in (
        ("upload", usual.body.seconds, "in which the body of a request must arrive"),
        ("idle", usual.body.idle, "that a client may pause while it sends"),
        ("queue", usual.wait, "that a video may wait before it is read"),
        ("read", 30.0, "that the reading of a video may take"),
    ):
        add(f"--{name}-timeout", type=above_zero, default=seconds, metavar="SECONDS",
            help=f"seconds {what} (default: {seconds:g})")  # fmt: skip
    add("--read-memory", type=whole(1, int(LARGEST_LIMIT)), default=1024, metavar="MIB",
        help="MiB of memory that the reading of a video may take (default: 1024)")  # fmt: skip
    add("--grace", type=above_zero, default=30.0, metavar="SECONDS", help="seconds for what was "
        "accepted, after SIGTERM or Ctrl-C (default: 30)")  # fmt: skip
    # Lower than those of predict: these videos are untrusted.
    limits = Limits(pixels=4096 * 2304, frames=100_000, seconds=600.0, bytes=usual.body.bytes)
    add_limit_options(parser, limits)
    return parser
