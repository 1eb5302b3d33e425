"""`python -m benchmarks.run_pictures RUN`: pictures of a finished run.

Its curves and its confusion matrix as they are, and the first of its wrong clips as an SVG file
that needs nothing beside it. With `--out docs/pictures` it writes those of the documentation.
"""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Sequence
from pathlib import Path

from benchmarks.common.command import measuring
from benchmarks.common.errors import BenchmarkError
from infer.command.parser import Parser
from infer.command.runner import run_and_exit
from infer.system.files import write_text

OUT = "pictures"
"""Below the run's folder, where `--out` names no other."""
COPIED = {"curves.svg": "curves.svg", "val_confusion.svg": "confusion.svg"}
PAGE, WRONG = "val_wrong.html", "wrong.svg"
SHOWN = 4
"""Wrong clips in the picture."""
HEIGHT, LINE, GAP = 96, 20, 12
"""Pixels of a contact sheet, of the text below it, and between two."""
_FIGURE = re.compile(
    r'<figure><img alt="[^"]*" src="(data:image/jpeg;base64,[^"]+)"><figcaption>'
    r"<b>(.*?)</b> (\d+%), labelled <b>(.*?)</b>"
)


@measuring
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 done, 2 wrong use."""
    parser = Parser(
        prog="python -m benchmarks.run_pictures",
        description="Write the pictures of a finished run: curves, confusion matrix, wrong clips.",
    )
    parser.add_argument("run", type=Path, help="folder of a finished training")
    parser.add_argument("--out", "--output", type=Path, help=f"folder (default: RUN/{OUT})")
    options = parser.parse_args(arguments)
    out = options.out or options.run / OUT
    texts = {}
    for name in (*COPIED, PAGE):
        file = options.run / name
        if not file.is_file():
            raise BenchmarkError(f"{file} is not there: a finished run has it; train first")
        texts[COPIED.get(name, name)] = file.read_text(encoding="utf-8")
    texts[WRONG] = wrong_clips(texts.pop(PAGE))
    for name, text in texts.items():
        write_text(out / name, text)
    print(f"written: {', '.join(str(out / name) for name in texts)}")
    return 0


def wrong_clips(page: str) -> str:
    """The first wrong clips of a run's page, as SVG.

    Raises:
        BenchmarkError: the page shows none.
    """
    found = _FIGURE.findall(page)[:SHOWN]
    if not found:
        raise BenchmarkError("the run has no wrong clip to show")
    parts, top = [], 0
    widths = [_width(picture) for picture, *_ in found]
    for (picture, guess, share, label), width in zip(found, widths, strict=True):
        text = f"{guess} {share}, labelled {label}"  # still escaped, as in the page
        parts.append(f'<image y="{top}" width="{width}" height="{HEIGHT}" href="{picture}"/>')
        parts.append(f'<text y="{top + HEIGHT + 15}">{text}</text>')
        top += HEIGHT + LINE + GAP
    title = html.escape(f"the {len(found)} most confident mistakes")
    size = f'width="{max(widths)}" height="{top - GAP}" viewBox="0 0 {max(widths)} {top - GAP}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size}><title>{title}</title>'
        '<rect width="100%" height="100%" fill="white"/>'
        f'<g font-family="sans-serif" font-size="14" fill="#222">{"".join(parts)}</g></svg>\n'
    )


def _width(picture: str) -> int:
    """Of a picture of `HEIGHT` pixels, as it is shown."""
    import cv2
    import numpy as np

    data = np.frombuffer(base64.b64decode(picture.split(",", 1)[1]), np.uint8)
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    if decoded is None:
        raise BenchmarkError("a picture of the page is damaged; train the run's last epoch again")
    height, width = decoded.shape[:2]
    return round(width * HEIGHT / height)


if __name__ == "__main__":
    run_and_exit(main)
