"""Options about scores, which `predict`, `stream` and `serve` share."""

from __future__ import annotations

import argparse

from ..bundle.bundle import Bundle
from .option_values import share


def add_score_options(parser: argparse.ArgumentParser, *, goal: str) -> None:
    """Add `--calibrated` and `--precision-goal`, whose help says `goal`."""
    add_calibrated(parser)
    parser.add_argument(
        "--precision-goal",
        type=share,
        metavar="P",
        help=f"{goal} from which so large a share of the validation list's answers is right, such "
        "as 0.9; with --calibrated scores",
    )


def add_calibrated(parser: argparse.ArgumentParser) -> None:
    """Add `--calibrated` alone."""
    parser.add_argument(
        "--calibrated",
        action="store_true",
        help="scores by the temperature that export chose on the validation list: of answers with "
        "a score of 0.8 about 80 %% are right (default: the network's own)",
    )


def is_calibrated(args: argparse.Namespace) -> bool:
    """Whether scores are calibrated: a precision goal is about such scores."""
    return bool(args.calibrated or getattr(args, "precision_goal", None))


def temperature_for(args: argparse.Namespace, bundle: Bundle) -> float | None:
    """What logits are divided by; None: they are not.

    Raises:
        BundleError: the bundle does not say it.
    """
    return bundle.needed_confidence().temperature if is_calibrated(args) else None


def goal_threshold(args: argparse.Namespace, bundle: Bundle) -> float | None:
    """The score from which an answer is taken; None: every one is.

    Raises:
        BundleError: the bundle has none for the goal.
    """
    if args.precision_goal is None:
        return None
    return bundle.needed_confidence().threshold(args.precision_goal)
