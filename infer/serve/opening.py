"""A service from the options of its command line: its processes, its network, its folder."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator

from ..api import load
from ..command.named_bundle import about_decoder, load_bundle
from ..command.reading_options import limits_of
from ..command.score_options import goal_threshold, is_calibrated
from ..isolation.reading import IsolatedReading
from ..system.hardware import MOST_DECODERS, cores
from .folder import upload_folder
from .limits import BodyLimits, ServiceLimits
from .service import Service


def service_limits(args: argparse.Namespace) -> ServiceLimits:
    """What the service takes in."""
    workers = args.workers or min(args.threads or cores(), MOST_DECODERS)
    body = BodyLimits(args.max_bytes, args.max_files, args.upload_timeout, args.idle_timeout)
    return ServiceLimits(workers, args.max_queue, args.queue_timeout, body)


@contextlib.contextmanager
def opened_service(args: argparse.Namespace) -> Iterator[Service]:
    """A service that is ready.

    Args:
        args: parsed by `service_parser`.

    Raises:
        ClipDuetError: no bundle, or one that cannot run here.
    """
    limits, bundle = service_limits(args), load_bundle(args.bundle)
    about_decoder(bundle)
    least = goal_threshold(args, bundle) or 0.0
    with contextlib.ExitStack() as opened:
        reading = opened.enter_context(
            IsolatedReading(
                limits.workers,
                limits=limits_of(args),
                seconds=args.read_timeout,
                memory=args.read_memory << 20,
            )
        )
        model = opened.enter_context(
            load(
                bundle.root,
                backend=args.backend,
                precision=args.precision,
                threads=args.threads,
                max_batch=args.max_batch,
                device=args.device,
                calibrated=is_calibrated(args),
            )
        )
        folder = opened.enter_context(upload_folder())
        service = Service(model, reading, limits, folder, threshold=least)
        opened.callback(service.close)
        service.warm_up()
        yield service
