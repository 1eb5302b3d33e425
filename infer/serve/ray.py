"""The service with replicas, on Ray Serve: `serve run clipduet.serve.ray:app bundle=B replicas=2`.

Each replica is a service of its own, with its processes that read and its network. Ray's proxy
stands before them: it takes connections, and gives each request to a replica.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Mapping
from typing import Any

from ..system.errors import ClipDuetError

RAYS_OWN = ("host", "port", "grace")
"""Options that are for the process of `clipduet serve`; Ray has its own."""
_BESIDE = 8
"""Requests that a replica takes beside those that it works on or lets wait: health, refusals."""
_opened = contextlib.ExitStack()
"""What a replica has opened; it lives as long as its process."""


def app(arguments: Mapping[str, str]) -> Any:
    """The application of Ray Serve.

    Args:
        arguments: options of `clipduet serve` without the hyphens before them, such as `bundle` and
            `max-queue`; `calibrated` takes `true`. Beside them `replicas` and `gpus`, of each
            replica. `threads` is 1 if it is not given, and Ray reserves as many CPUs.

    Raises:
        ClipDuetError: an option that has no place here.
        SystemExit: a wrong option, as of `clipduet serve`.
    """
    from ray import serve

    from .opening import service_limits

    args = replica_options(arguments)
    limits = service_limits(args)

    def build() -> Any:
        return replica(args)

    deployment = serve.deployment(
        serve.ingress(build)(),
        name="clipduet",
        num_replicas=args.replicas,
        ray_actor_options={"num_cpus": args.threads, "num_gpus": args.gpus},
        # A replica refuses what is too much itself, and says when to come again.
        max_ongoing_requests=limits.workers + limits.queue + _BESIDE,
    )
    return deployment.bind()


def replica(args: argparse.Namespace) -> Any:
    """The ASGI application of one replica, in its process."""
    from .app import application
    from .opening import opened_service
    from .tokens import read_tokens

    tokens = read_tokens(args.tokens) if args.tokens else None
    return application(_opened.enter_context(opened_service(args)), tokens)


def replica_options(arguments: Mapping[str, str]) -> argparse.Namespace:
    """Options of `service_parser`, and `replicas` and `gpus`; see `app`."""
    from ..command.option_values import above_zero, from_one
    from .options import service_parser

    parser = service_parser("serve run clipduet.serve.ray:app")
    parser.add_argument("--replicas", type=from_one, default=1)
    parser.add_argument("--gpus", type=above_zero, default=0.0)
    parser.set_defaults(threads=1)
    given = []
    for name, value in arguments.items():
        option = name.replace("_", "-")
        if option in RAYS_OWN:
            raise ClipDuetError(f"{name} is for Ray to set: `serve start --help`")
        given.append(f"--{option}" if value == "true" else f"--{option}={value}")
    return parser.parse_args(given)
