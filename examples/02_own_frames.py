"""Classify frames that your program has: here those of a file or a camera, a window at a time.

    python examples/02_own_frames.py bundles/dml match.mp4 --window 32
    python examples/02_own_frames.py bundles/dml 0              # the first camera

OpenCV reads the frames; any other source will do. Needs only what `pip install .` installs.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator

import cv2
import numpy as np

import clipduet


def frames_of(source: str) -> Iterator[np.ndarray]:
    """Frames uint8 [H, W, 3] RGB of a file or, if the source is a number, of a camera."""
    capture = cv2.VideoCapture(int(source) if source.isdigit() else source)
    if not capture.isOpened():
        raise SystemExit(f"error: {source} cannot be opened")
    while True:
        read, frame = capture.read()
        if not read:
            break
        yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
    capture.release()


def main() -> None:
    """Print the class of each window of frames."""
    parser = argparse.ArgumentParser(description="Classify frames, a window at a time.")
    parser.add_argument("bundle", help="folder of a bundle")
    parser.add_argument("source", help="a video file, or the number of a camera")
    parser.add_argument("--window", type=int, default=32, help="frames of a window (default: 32)")
    options = parser.parse_args()

    frames = frames_of(options.source)
    first = 0
    with clipduet.load(options.bundle) as model:
        # The last window may be shorter.
        while window := list(itertools.islice(frames, options.window)):
            # uint8 [T, H, W, 3]; the model samples, resizes and crops as it was trained.
            found = model.predict_frames(np.stack(window), top_k=1)
            print(f"frames {first} to {first + len(window) - 1}: {found.label} {found.score:.3f}")
            first += len(window)


if __name__ == "__main__":
    try:
        main()
    except clipduet.ClipDuetError as error:
        raise SystemExit(f"error: {error}") from None
