"""Classify video files: `python infer/predict.py --video clip.mp4`.

Exit status: 0 done; 1 some inputs failed; 2 wrong use; 130 interrupted, 143 ended by SIGTERM, 129
by SIGHUP, 141 the reader of a pipe went away (as shells count them).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

if __package__ in (None, ""):  # run as a file: Python put infer/ first, the package is above it
    sys.path[0] = str(Path(__file__).resolve().parent.parent)
    import infer

    __package__ = infer.__name__

from .command.output import FORMATS
from .command.parser import Parser
from .command.runner import command, run_and_exit
from .system.log import logger
from .system.terminal import has_stdout

log = logger(f"{__package__}.predict")

PROG = f"python -m {__package__}.predict"


# What is kept of an interrupted run is said where it is kept.
@command(stopped=None)
def main(argv: Sequence[str] | None = None, *, prog: str = PROG) -> int:
    """The command line, which calls itself `prog`; returns the exit status."""
    args = _parser(prog).parse_args(argv)
    from .command.inputs import find_videos
    from .command.named_bundle import about_decoder, load_bundle
    from .command.reading_options import check_reading_options
    from .command.target import checked_path, target_of
    from .system.errors import ClipDuetError

    check_reading_options(args)
    if not args.video and not args.list:
        raise ClipDuetError("nothing to classify: --video names videos, --list a file that does")
    root = Path(args.root) if args.root else None
    inputs = find_videos(args.video, lists=args.list, root=root)
    target = target_of(args.output, args.format, overwrite=args.overwrite)
    screen = target.named is None
    for name, why in () if screen else inputs.missing:  # the screen has a row for each
        log.error(f"{name}: {why}")
    for note in inputs.notes:
        log.info(f"note: {note}")
    if screen and not has_stdout():
        raise ClipDuetError("standard output is closed: name a file with --output")
    bundle = load_bundle(args.bundle)
    if not screen:
        checked_path(target, videos=inputs.videos, bundle=bundle.root)
    about_decoder(bundle)
    labels = None
    if args.labels:
        from .command.labels import read_labels

        labels = read_labels(Path(args.labels), bundle.classes, inputs.videos, root=root)
    from .command.delivery import to_file, to_stream

    deliver = to_file if target.is_file else to_stream
    failed = deliver(args, target, bundle, inputs, labels)
    if labels is not None:
        log.info(labels.summary())
    if failed:
        log.info(f"{failed} of {len(inputs.rows)} inputs failed")
    return 1 if failed else 0


def _parser(prog: str) -> argparse.ArgumentParser:
    from .command.option_values import from_one
    from .command.reading_options import add_reading_options
    from .command.runtime_options import add_runtime_options
    from .command.score_options import add_score_options
    from .system.hardware import MOST_DECODERS

    parser = Parser(
        prog=prog,
        description="Classify video files. One answer for every name that is given or found in a "
        "folder, in the order given; a name that comes again is answered once.",
        epilog="Exit status: 0 done, 1 some inputs failed, 2 wrong use; 128 more than the number "
        "of a signal that ended it.",
    )
    add = parser.add_argument
    add(
        "--video",
        nargs="+",
        action="extend",
        default=[],
        metavar="PATH",
        help="video files, .npy and .npz files of uint8 frames [T, H, W, 3], folders of numbered "
        "pictures (one video each), other folders (searched to the bottom, through links too, for "
        "those and the suffixes of videos; hidden names are left out), quoted patterns like "
        "'a/**/*.mp4', @FILE for what a list names, - for names on standard input",
    )
    add(
        "--list",
        action="append",
        default=[],
        metavar="FILE",
        help="a list of videos as training reads it, `path label` or `path frames label` a line; "
        "the labels are not looked at (--labels FILE compares them)",
    )
    add_runtime_options(parser, threads=f", and as many that decode, up to {MOST_DECODERS}")
    add(
        "--batch-size",
        type=from_one,
        default=1,
        metavar="N",
        help="videos through the network at once (default: 1)",
    )
    add(
        "--max-batch",
        type=from_one,
        metavar="N",
        help="clips through the network at once, at most (default: as the bundle says)",
    )
    add(
        "--warm-up",
        action="store_true",
        help="run a black batch first, so that the first video's seconds are like the others'",
    )
    add("--top-k", type=from_one, default=5, metavar="K", help="answers a video (default: 5)")
    add_score_options(parser, goal="mark answers below the score")
    add(
        "--num-clips",
        type=from_one,
        metavar="N",
        help="moments of a video to take clips at, scores averaged (default: as the bundle says)",
    )
    add(
        "--format",
        choices=FORMATS,
        help="json: one JSON object a line, but one array in an --output named .json; jsonl: a "
        "line each anywhere (default: by the suffix .json, .jsonl, .ndjson or .csv of --output, "
        "else table)",
    )
    add(
        "--labels",
        metavar="LIST",
        help="list as training reads it: show the true label, and mark right and wrong",
    )
    add(
        "--root",
        metavar="DIR",
        help="folder that the paths in lists start from (default: the list's)",
    )
    add(
        "--output",
        "--out",
        metavar="FILE",
        help="write there when all is done, instead of to the screen; until then answers are kept "
        "in FILE.partial, which the same command takes up when this one is stopped",
    )
    add(
        "--save-video",
        metavar="DIR",
        help="write each video there too, without sound, with its label, score and bars of the "
        "best classes below it",
    )
    add(
        "--save-contact-sheet",
        metavar="DIR",
        help="write the frames there that the network saw of each video, as one picture",
    )
    add(
        "--overwrite",
        action="store_true",
        help="replace FILE whatever it holds (default: only where it is empty or holds results), "
        "and files in DIR",
    )
    add(
        "--resume",
        action=argparse.BooleanOptionalAction,
        help="insist on FILE.partial, if there is one (--no-resume: drop it; default: take it if "
        "bundle and settings are the same)",
    )
    add_reading_options(parser)
    return parser


if __name__ == "__main__":
    run_and_exit(main)
