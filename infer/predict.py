"""Say what happens in videos: `python infer/predict.py --video clip.mp4`.

Exit status: 0 done; 1 some inputs failed; 2 wrong use; 130 interrupted, 141 the reader of a pipe
went away (as shells count them).
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

ROOT = Path(__file__).resolve().parent.parent
if __package__ in (None, ""):  # run as a file: Python put infer/ first, the package is above it
    sys.path[0] = str(ROOT)

from infer.answers import FORMATS, output, printable, writer  # noqa: E402

if TYPE_CHECKING:
    from infer.bundle import Bundle
    from infer.inputs import Inputs
    from infer.labels import Labels

DEFAULT_BUNDLE = Path("bundles", "dml")
"""Of the current folder, else of the checkout; an installed package has none beside it."""
MOST_DECODERS = 8
"""Threads that read videos at once; more would hold memory that the network cannot keep up with."""


def main(argv: Sequence[str] | None = None, *, prog: str = "python -m infer.predict") -> int:
    """The command line, which calls itself ``prog``; returns the exit status."""
    args = _parser(prog).parse_args(argv)
    from infer.errors import ClipDuetError

    try:
        return _run(args)
    except ClipDuetError as error:
        _say(f"error: {error}")
        return 2
    except BrokenPipeError:
        with contextlib.suppress(OSError, io.UnsupportedOperation):
            # Python flushes stdout once more at exit: let that go nowhere.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        _say(f"error: {error.filename or 'output'}: {error.strerror or error}")
        return 2
    except ImportError as error:
        from infer.missing import why_not

        _say(f"error: {why_not(error)}")
        return 2


def _run(args: argparse.Namespace) -> int:
    from infer.errors import ClipDuetError
    from infer.inputs import find_videos

    inputs = find_videos(args.video)
    for name, why in inputs.missing:
        _say(f"error: {name}: {why}")
    if inputs.repeated:
        many = "1 video was" if inputs.repeated == 1 else f"{inputs.repeated} videos were"
        _say(f"note: {many} named more than once and run once")
    if args.output and os.path.realpath(args.output) in map(os.path.realpath, inputs.videos):
        raise ClipDuetError(f"--output {args.output} is one of the videos; name another file")
    bundle = _load_bundle(args.bundle)
    if args.output and bundle.root.resolve() in Path(args.output).resolve().parents:
        raise ClipDuetError(f"--output {args.output} lies in the bundle; name another file")
    labels = _labels(args, bundle, inputs)
    if not inputs.videos:
        return _status(inputs, failed=len(inputs.missing))
    with output(args.output) as out:
        return _predict(args, bundle, inputs, labels, out)


def _parser(prog: str) -> argparse.ArgumentParser:
    from infer.backends import BACKENDS

    parser = argparse.ArgumentParser(
        prog=prog,
        description="Say what happens in videos. One line for each, in the order given.",
        epilog="Exit status: 0 done, 1 some inputs failed, 2 wrong use.",
    )
    add = parser.add_argument
    add(
        "--video",
        nargs="+",
        action="extend",
        required=True,
        metavar="PATH",
        help="video files, folders (searched to the bottom) and quoted patterns like 'a/**/*.mp4'",
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
        type=_from_zero,
        default=0,
        metavar="N",
        help="which GPU, for backends that run on one (default: 0)",
    )
    add(
        "--batch-size",
        type=_from_one,
        default=1,
        metavar="N",
        help="videos through the network at once (default: 1)",
    )
    add(
        "--max-batch",
        type=_from_one,
        metavar="N",
        help="clips through the network at once, at most (default: as the bundle says)",
    )
    add(
        "--warm-up",
        action="store_true",
        help="run a black batch first, so that the first video's seconds are like the others'",
    )
    add("--top-k", type=_from_one, default=5, metavar="K", help="answers a video (default: 5)")
    add(
        "--num-clips",
        type=_from_one,
        metavar="N",
        help="moments of a video to take clips at, scores averaged (default: as the bundle says)",
    )
    add(
        "--threads",
        type=_from_one,
        metavar="N",
        help=f"threads of the network, and as many that decode, up to {MOST_DECODERS} (default: "
        "all cores)",
    )
    add(
        "--format",
        choices=("table", "json", "csv"),
        help="json: one JSON object a line (default: by the suffix of --output, else table)",
    )
    add(
        "--labels",
        metavar="LIST",
        help="list of `path label` lines, as training reads: show the true label, and mark right "
        "and wrong",
    )
    add("--root", metavar="DIR", help="folder that the paths of LIST start from (default: its own)")
    add("--output", metavar="FILE", help="write there when all is done, instead of to the screen")
    return parser


def _from_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def _from_zero(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0")
    return int(text)


def _load_bundle(named: str | None) -> Bundle:
    from infer.bundle import Bundle
    from infer.errors import BundleError
    from infer.moved_aside import whereabouts

    folder = Path(named) if named else DEFAULT_BUNDLE
    if not named and not folder.exists() and (ROOT / folder).exists():
        folder = ROOT / folder
    if not (folder / "bundle.json").is_file() and not whereabouts(folder):
        raise BundleError(
            f"no bundle in {folder}: `make export` makes one from a trained checkpoint "
            "(`make demo` does everything from the start), --bundle names another"
        )
    return Bundle.load(folder)


def _labels(args: argparse.Namespace, bundle: Bundle, inputs: Inputs) -> Labels | None:
    if not args.labels:
        return None
    from infer.labels import read_labels

    root = Path(args.root) if args.root else None
    return read_labels(Path(args.labels), bundle.classes, inputs.videos, root=root)


def _predict(
    args: argparse.Namespace, bundle: Bundle, inputs: Inputs, labels: Labels | None, out: TextIO
) -> int:
    # Heavy imports only here: --help and mistakes answer at once.
    import cv2

    from infer.hardware import cores
    from infer.pipeline import predict_videos
    from infer.runtimes import Clips, Logits, Runtime, open_runtime

    cv2.setNumThreads(1)  # videos are decoded side by side already
    spec = bundle.spec
    if args.num_clips:
        spec = replace(spec, sampling=replace(spec.sampling, views=args.num_clips))
    runtimes: list[Runtime] = []

    def run(clips: Clips) -> Logits:
        return runtimes[0].run(clips)

    stream = predict_videos(
        inputs.videos,
        run,
        spec,
        bundle.classes,
        batch_size=args.batch_size,
        workers=min(args.threads or cores(), MOST_DECODERS),
        k=args.top_k,
    )
    # The first videos are being decoded by now; the network loads meanwhile.
    together = min(args.batch_size, len(inputs.videos)) * spec.clips
    runtimes.append(
        open_runtime(
            bundle,
            backend=args.backend,
            precision=args.precision,
            threads=args.threads,
            max_batch=args.max_batch,
            device=args.device,
            # Decoding shares the cores.
            spinning=False,
            warm_up=(together,) if args.warm_up else (),
            expected_clips=len(inputs.videos) * spec.clips,
            say=_say,
        )
    )
    form = args.format or FORMATS.get(Path(args.output or "").suffix.lower(), "table")
    write = writer(form, out, inputs, labels)
    bar = _Bar(len(inputs.videos))
    failed = len(inputs.missing)
    with runtimes[0]:
        try:
            for done, prediction in enumerate(stream, 1):
                bar.clear()
                write(prediction)
                if labels is not None:
                    labels.count(prediction)
                out.flush()
                elsewhere = out is not sys.stdout
                if prediction.error is not None:
                    failed += 1
                    if elsewhere:
                        _say(f"error: {prediction.video}: {prediction.error}")
                elif prediction.warning and (elsewhere or form == "table"):
                    _say(f"warning: {prediction.video}: {prediction.warning}")
                bar.draw(done)
        finally:
            bar.clear()
    if labels is not None:
        _say(labels.summary())
    return _status(inputs, failed=failed)


def _status(inputs: Inputs, *, failed: int) -> int:
    if failed:
        _say(f"{failed} of {len(inputs.videos) + len(inputs.missing)} inputs failed")
    return 1 if failed else 0


def _say(text: str) -> None:
    print(printable(text, keep="\n"), file=sys.stderr, flush=True)


class _Bar:
    """A progress line on stderr where a person sees it, nothing in a pipe."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._shown = total > 1 and sys.stderr.isatty()

    def draw(self, done: int) -> None:
        if self._shown and done < self._total:
            full = 30 * done // self._total
            sys.stderr.write(f"[{'#' * full}{'.' * (30 - full)}] {done}/{self._total}")
            sys.stderr.flush()

    def clear(self) -> None:
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def run_and_exit(
    argv: Sequence[str] | None = None, *, prog: str = "python -m infer.predict"
) -> None:
    """Run the command and end the process with its status."""
    try:
        status = main(argv, prog=prog)
    except KeyboardInterrupt:
        status = 130
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    if status in (2, 130, 141):
        os._exit(status)  # not waiting for the videos that are still being decoded
    sys.exit(status)


if __name__ == "__main__":
    run_and_exit()
