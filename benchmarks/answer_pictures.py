"""`python -m benchmarks.answer_pictures --bundle B`: pictures of answers.

Of the first clip of a list that a bundle answers rightly: the clip as `--save-video` draws it, as a
moving picture (`answer.webp`), and its contact sheet (`sheet_right.png`). Of the first one that it
answers wrongly: the contact sheet (`sheet_wrong.png`). With `--out docs/pictures` it writes
those of the documentation.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from benchmarks.common.command import add_bundle, add_out, measuring
from benchmarks.common.errors import BenchmarkError
from infer.command.labels import read_labels
from infer.command.name_lists import read_names
from infer.command.parser import Parser
from infer.command.runner import run_and_exit
from infer.system.files import replacing

OUT = Path("reports/pictures")
CLIP, RIGHT, WRONG = "answer.webp", "sheet_right.png", "sheet_wrong.png"
TRIED = 500
"""Clips of the list that are looked at."""
QUALITY = 60
"""Of the moving picture, of 100."""


@measuring
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 done, 2 wrong use."""
    parser = Parser(
        prog="python -m benchmarks.answer_pictures",
        description="Write pictures of answers: a labelled clip, and contact sheets.",
    )
    add_bundle(parser)
    add = parser.add_argument
    add("--data", type=Path, default=Path("data/motions/test.list"), help="default: %(default)s")
    add("--root", type=Path, help="folder that the list's paths start from (default: its own)")
    add_out(parser, str(OUT))
    options = parser.parse_args(arguments)
    write_pictures(options.bundle, options.data, options.root, options.out)
    print(f"written: {', '.join(str(options.out / name) for name in (CLIP, RIGHT, WRONG))}")
    return 0


def write_pictures(bundle: Path, file: Path, root: Path | None, out: Path) -> None:
    """Classify clips of a list until one is right and one is wrong, and draw these.

    Raises:
        BenchmarkError: all of them are right, or all are wrong.
    """
    from infer.api import load
    from infer.clips.preprocess import load_clips
    from infer.containers.limits import LIMITS
    from infer.pipeline.annotated import save_sheet, save_video

    videos = [Path(name) for name, _ in islice(read_names(file, root=root), TRIED)]
    with load(bundle, backend="onnxruntime") as model:
        labels = read_labels(file, model.classes, videos, root=root)
        found = {}
        for prediction in model.predict(videos):
            right = bool(labels.record(prediction)["correct"])
            if prediction.error is None and right not in found:
                found[right] = prediction
            if len(found) == 2:
                break
        if len(found) < 2:
            raise BenchmarkError(
                f"of {len(videos)} clips of {file} none is answered "
                f"{'wrongly' if True in found else 'rightly'}: give another list"
            )
        for name, right in ((RIGHT, True), (WRONG, False)):
            video = found[right].video
            assert video is not None
            clips, _ = load_clips(video, model.bundle.spec)
            save_sheet(out / name, clips, found[right], labels.name_of(video))
        video = found[True].video
        assert video is not None
        with tempfile.TemporaryDirectory() as folder:
            drawn = Path(folder) / "drawn.mp4"
            save_video(drawn, video, found[True], LIMITS)
            write_moving(drawn, out / CLIP)


def write_moving(video: Path, target: Path) -> None:
    """Write a video as a moving picture (WebP), which begins again at its end.

    Raises:
        WriteError: the file cannot be written.
    """
    import av

    with replacing(target) as path, av.open(str(video)) as source:
        stream = source.streams.video[0]
        rate = stream.average_rate
        assert rate is not None  # of a file that was written here
        with av.open(str(path), "w", format="webp", options={"loop": "0"}) as container:
            options = {"quality": str(QUALITY), "compression_level": "6"}
            out = container.add_stream("libwebp_anim", rate=rate, options=options)
            out.width, out.height, out.pix_fmt = stream.width, stream.height, "yuv420p"
            for number, frame in enumerate(source.decode(stream)):
                frame.pts, frame.time_base = number, 1 / rate
                container.mux(out.encode(frame.reformat(format="yuv420p")))
            container.mux(out.encode())


if __name__ == "__main__":
    run_and_exit(main)
