"""Say what happens in videos: `python infer/predict.py --video clip.mp4`.

Exit status: 0 done; 1 some inputs failed; 2 wrong use; 130 interrupted, 143 ended by SIGTERM, 129
by SIGHUP, 141 the reader of a pipe went away (as shells count them).
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parent.parent
if __package__ in (None, ""):  # run as a file: Python put infer/ first, the package is above it
    sys.path[0] = str(ROOT)
    import infer

    __package__ = infer.__name__

from .command.output import FORMATS, form_of  # noqa: E402
from .command.runner import command, run_and_exit  # noqa: E402
from .system.log import logger  # noqa: E402
from .system.terminal import has_stdout  # noqa: E402

if TYPE_CHECKING:
    from .bundle.bundle import Bundle
    from .command.inputs import Inputs
    from .command.labels import Labels

log = logger(f"{__package__}.predict")

PROG = f"python -m {__package__}.predict"
DEFAULT_BUNDLE = Path("bundles", "dml")
"""Of the current folder, else of the checkout; an installed package has none beside it."""


# What is kept of an interrupted run is said where it is kept.
@command(stopped=None)
def main(argv: Sequence[str] | None = None, *, prog: str = PROG) -> int:
    """The command line, which calls itself `prog`; returns the exit status."""
    args = _parser(prog).parse_args(argv)
    from .command.inputs import find_videos
    from .command.reading_options import check_reading_options
    from .system.errors import ClipDuetError
    from .system.files import real_path

    check_reading_options(args)
    inputs = find_videos(args.video)
    screen = args.output in (None, "-") or _is_standard_output(args.output)
    for name, why in () if screen else inputs.missing:  # the screen has a row for each
        log.error(f"{name}: {why}")
    for note in inputs.notes:
        log.info(f"note: {note}")
    if screen and not has_stdout():
        raise ClipDuetError("standard output is closed: name a file with --output")
    if screen:
        args.format, args.output = form_of(args.format, args.output), None
    output = Path() if screen else real_path(args.output)
    if output.is_file() and _names_open_file(args.output):
        raise ClipDuetError(
            f"--output {args.output} leads to {output}, which is open elsewhere; name the file, or "
            "- for standard output"
        )
    if str(output) in map(os.path.realpath, inputs.videos):
        raise ClipDuetError(f"--output {args.output} is one of the videos; name another file")
    bundle = _load_bundle(args.bundle)
    _about_decoder(bundle)
    if Path(os.path.realpath(bundle.root)) in output.parents:
        raise ClipDuetError(f"--output {args.output} lies in the bundle; name another file")
    labels = _labels(args, bundle, inputs)
    from .command.delivery import to_file, to_stream

    target = None if screen else Path(args.output)
    if target is None or (target.exists() and not target.is_file() and not target.is_dir()):
        failed = to_stream(args, bundle, inputs, labels)  # stdout, a pipe or a device
    elif target.is_dir() or not target.absolute().parent.is_dir():
        what = "is a folder" if target.is_dir() else f"the folder {target.parent} is not there"
        raise ClipDuetError(f"--output {target}: {what}; name a file in a folder that exists")
    else:
        failed = to_file(args, bundle, inputs, labels)
    if labels is not None:
        log.info(labels.summary())
    if failed:
        log.info(f"{failed} of {len(inputs.rows)} inputs failed")
    return 1 if failed else 0


def _is_standard_output(output: str) -> bool:
    """Whether a path such as /dev/stdout leads to the file that standard output is open on.

    If that file were exchanged, what others have written there and go on writing would be lost.
    """
    try:
        return os.path.samestat(os.stat(output), os.fstat(1))
    except (OSError, ValueError):
        return False


def _names_open_file(output: str) -> bool:
    """Whether a path leads to its file through a descriptor of a process, as /dev/fd/3 does.

    Links of that kind lie in /proc; a folder there that is one, such as /proc/self/cwd, is not.
    """
    path = output
    for _ in range(40):  # as many links as the system follows
        folder, name = os.path.split(os.path.abspath(path))
        folder = os.path.realpath(folder)
        if folder.startswith("/proc/"):
            return True
        try:
            path = os.path.join(folder, os.readlink(os.path.join(folder, name)))
        except OSError:
            return False
    return False


def _parser(prog: str) -> argparse.ArgumentParser:
    from .command.option_values import from_one, from_zero
    from .command.reading_options import add_reading_options
    from .runtimes.registry import BACKENDS
    from .system.hardware import MOST_DECODERS

    parser = argparse.ArgumentParser(
        prog=prog,
        description="Say what happens in videos. One answer for every name that is given or found "
        "in a folder, in the order given; a name that comes again is answered once.",
        epilog="Exit status: 0 done, 1 some inputs failed, 2 wrong use; 128 more than the number "
        "of a signal that ended it.",
    )
    add = parser.add_argument
    add(
        "--video",
        nargs="+",
        action="extend",
        required=True,
        metavar="PATH",
        help="video files, folders (searched to the bottom, through links too, for the suffixes of "
        "videos; hidden names are left out) and quoted patterns like 'a/**/*.mp4'",
    )
    add("--bundle", metavar="DIR", help="the exported bundle (default: bundles/dml)")
    add("--precision", default="fp32", help="fp32, int8, ... as the bundle has (default: fp32)")
    add(
        "--backend",
        default="onnxruntime",
        metavar="NAME",
        help=f"{', '.join(BACKENDS)}; or auto: the best of those that run here "
        "(default: onnxruntime, on the CPU, which starts soonest)",
    )
    add(
        "--device",
        type=from_zero,
        default=0,
        metavar="N",
        help="which GPU, for backends that run on one (default: 0)",
    )
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
    add(
        "--num-clips",
        type=from_one,
        metavar="N",
        help="moments of a video to take clips at, scores averaged (default: as the bundle says)",
    )
    add(
        "--threads",
        type=from_one,
        metavar="N",
        help=f"threads of the network, and as many that decode, up to {MOST_DECODERS} (default: "
        "all cores)",
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
        help="list of `path label` lines, as training reads: show the true label, and mark right "
        "and wrong",
    )
    add("--root", metavar="DIR", help="folder that the paths of LIST start from (default: its own)")
    add(
        "--output",
        "--out",
        metavar="FILE",
        help="write there when all is done, instead of to the screen; until then answers are kept "
        "in FILE.partial, which the same command takes up when this one is stopped",
    )
    add(
        "--resume",
        action=argparse.BooleanOptionalAction,
        help="insist on FILE.partial, if there is one (--no-resume: drop it; default: take it if "
        "bundle and settings are the same)",
    )
    add_reading_options(parser)
    return parser


def _load_bundle(named: str | None) -> Bundle:
    from .bundle.bundle import Bundle
    from .bundle.moved_aside import moved_note
    from .command.missing import in_checkout
    from .system.errors import BundleError

    folder = Path(named) if named else DEFAULT_BUNDLE
    if not named and not folder.exists() and (ROOT / folder).exists():
        folder = ROOT / folder
    try:
        os.lstat(folder / "bundle.json")
        there = True  # and if it is no file, what it is instead is the message
    except (FileNotFoundError, NotADirectoryError):
        there = False
    if not there and not moved_note(folder):
        what = "--bundle names the folder of one, with bundle.json in it"
        if in_checkout():
            what = (
                "`make export` makes one from a trained checkpoint (`make demo` does everything "
                "from the start), --bundle names another"
            )
        raise BundleError(f"no bundle in {folder}: {what}")
    return Bundle.load(folder)


def _about_decoder(bundle: Bundle) -> None:
    """Refuse a decoder that reads wrong, before any video; tell of one that may differ."""
    from .containers.decoder import check_decoder, decoder_warning, installed

    here = installed()
    check_decoder(here["av"])
    warning = decoder_warning(bundle.decoder, here)
    if warning:
        log.warning(warning)


def _labels(args: argparse.Namespace, bundle: Bundle, inputs: Inputs) -> Labels | None:
    if not args.labels:
        return None
    from .command.labels import read_labels

    root = Path(args.root) if args.root else None
    return read_labels(Path(args.labels), bundle.classes, inputs.videos, root=root)


if __name__ == "__main__":
    run_and_exit(main)
