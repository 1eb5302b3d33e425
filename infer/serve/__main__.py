"""Answer requests with videos over HTTP: `clipduet serve --bundle B`.

Exit status: 143 ended by SIGTERM, 130 interrupted, 129 by SIGHUP, after what was accepted is
finished; 2 wrong use.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Sequence

from ..command.parser import Parser
from ..command.runner import command, run_and_exit
from ..system.log import logger

log = logger("infer.serve")

PROG = f"python -m {__package__}"


@command(stopped=None, extra="serve")
def main(argv: Sequence[str] | None = None, *, prog: str = PROG) -> int:
    """The command line, which calls itself `prog`; ends by a signal."""
    args = _parser(prog).parse_args(argv)
    import fastapi  # noqa: F401  (missing packages are told before anything is loaded)
    import prometheus_client  # noqa: F401
    import python_multipart  # noqa: F401
    import uvicorn  # noqa: F401

    from ..api import load
    from ..command.reading_options import limits_of
    from ..command.score_options import goal_threshold, is_calibrated
    from ..containers.decoder import decoder_warning, installed
    from ..isolation.reading import IsolatedReading
    from ..system.hardware import MOST_DECODERS, cores
    from .app import application
    from .folder import upload_folder
    from .limits import BodyLimits, ServiceLimits
    from .server import address_of, is_local, listening, run
    from .service import Service
    from .tokens import read_tokens

    tokens = read_tokens(args.tokens) if args.tokens else None
    workers = args.workers or min(args.threads or cores(), MOST_DECODERS)
    body = BodyLimits(args.max_bytes, args.max_files, args.upload_timeout, args.idle_timeout)
    limits = ServiceLimits(workers, args.max_queue, args.queue_timeout, body)
    with contextlib.ExitStack() as opened:
        # First of all, as it fails soonest. Clients that come before the end wait.
        made = opened.enter_context(listening(args.host, args.port))
        reading = opened.enter_context(
            IsolatedReading(
                workers,
                limits=limits_of(args),
                seconds=args.read_timeout,
                memory=args.read_memory << 20,
            )
        )
        model = opened.enter_context(
            load(
                args.bundle,
                backend=args.backend,
                precision=args.precision,
                threads=args.threads,
                max_batch=args.max_batch,
                device=args.device,
                calibrated=is_calibrated(args),
            )
        )
        warning = decoder_warning(model.bundle.decoder, installed())
        if warning:
            log.warning(warning)
        folder = opened.enter_context(upload_folder())
        least = goal_threshold(args, model.bundle) or 0.0
        service = Service(model, reading, limits, folder, threshold=least)
        opened.callback(service.close)
        service.warm_up()
        where = address_of(made)
        log.info(f"{model!r} answers on {where}")
        if tokens is None and not is_local(made):
            log.warning(f"warning: whoever reaches {where} may use it; --tokens FILE asks for one")
        run(application(service, tokens), service, made, grace=args.grace)
    return 0


def _parser(prog: str) -> argparse.ArgumentParser:
    from ..command.option_values import above_zero, from_one, from_zero, whole
    from ..command.reading_options import add_limit_options
    from ..command.runtime_options import add_runtime_options
    from ..command.score_options import add_score_options
    from ..containers.limits import Limits
    from ..system.hardware import LARGEST_LIMIT
    from .limits import ServiceLimits

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
    add("--tokens", metavar="FILE", help="bearer tokens, one a line: clients need one of them")
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
    # Lower than those of predict: these videos are of strangers.
    limits = Limits(pixels=4096 * 2304, frames=100_000, seconds=600.0, bytes=usual.body.bytes)
    add_limit_options(parser, limits)
    return parser


if __name__ == "__main__":
    run_and_exit(main)
