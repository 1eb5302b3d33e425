"""Classify video files.

    python examples/01_classify_files.py bundles/dml clip.mp4 more/*.avi

The first argument is a bundle, as `make export` writes it; the others are video files, or folders
of numbered frames. Needs only what `pip install .` installs.
"""

from __future__ import annotations

import argparse

import clipduet


def main() -> int:
    """Print a line for each video, in the order in which they were given.

    Returns:
        0 if all videos were classified, 1 if some could not be read.
    """
    parser = argparse.ArgumentParser(description="Classify video files.")
    parser.add_argument("bundle", help="folder of a bundle")
    parser.add_argument("videos", nargs="+", help="video files, or folders of frames")
    parser.add_argument("--precision", default="fp32", help="fp32, fp16, bf16 or int8")
    options = parser.parse_args()

    failed = 0
    with clipduet.load(options.bundle, backend="auto", precision=options.precision) as model:
        print(f"{model.name}: {len(model.classes)} classes, {model.backend} {model.precision}")
        # Videos are decoded in threads while the network runs on four of them at a time.
        for prediction in model.predict(options.videos, top_k=3, batch_size=4):
            print(prediction)
            failed += prediction.error is not None
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except clipduet.ClipDuetError as error:  # a wrong bundle, or a backend that cannot run here
        raise SystemExit(f"error: {error}") from None
