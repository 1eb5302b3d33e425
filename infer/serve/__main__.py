"""Answer requests with videos over HTTP: `clipduet serve --bundle B`.

Exit status: 143 ended by SIGTERM, 130 interrupted, 129 by SIGHUP, after what was accepted is
finished; 2 wrong use.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from ..command.runner import command, run_and_exit
from ..system.log import logger

log = logger("infer.serve")

PROG = f"python -m {__package__}"


@command(stopped=None, extra="serve")
def main(argv: Sequence[str] | None = None, *, prog: str = PROG) -> int:
    """The command line, which calls itself `prog`; ends by a signal."""
    from .options import service_parser

    args = service_parser(prog).parse_args(argv)
    import fastapi  # noqa: F401  (missing packages are told before anything is loaded)
    import prometheus_client  # noqa: F401
    import python_multipart  # noqa: F401
    import uvicorn  # noqa: F401

    from .app import application
    from .opening import opened_service
    from .server import address_of, is_local, listening, run
    from .tokens import read_tokens

    tokens = read_tokens(args.tokens) if args.tokens else None
    with contextlib.ExitStack() as opened:
        # First of all, as it fails soonest. Clients that come before the end wait.
        made = opened.enter_context(listening(args.host, args.port))
        service = opened.enter_context(opened_service(args))
        where = address_of(made)
        model = service.model
        log.info(f"{model.name} ({model.backend} {model.precision}) answers on {where}")
        if tokens is None and not is_local(made):
            log.warning(f"warning: whoever reaches {where} may use it; --tokens FILE asks for one")
        run(application(service, tokens), service, made, grace=args.grace)
    return 0


if __name__ == "__main__":
    run_and_exit(main)
