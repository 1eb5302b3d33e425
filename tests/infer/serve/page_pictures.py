"""Pictures of the service's page for the documentation, taken in Chromium.

python -m tests.infer.serve.page_pictures --bundle bundles/dml --video data/motions/test/00000.mp4
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import cv2

from tests.browser import Browser
from tests.infer.serve.conftest import serving

OUT = Path("docs/pictures")
PICTURES = {"page-desktop.webp": (1000, False), "page-phone.webp": (390, True)}
"""Their widths in pixels, and whether they are dark."""
_QUALITY = 82


def take(bundle: Path, video: Path, out: Path) -> list[Path]:
    """Send a video by the page, in each of the widths, and save what the page shows then.

    Args:
        bundle: that answers.
        video: that is chosen.
        out: folder of the pictures.
    """
    files = []
    # The browser may still write to its profile.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        browser = Browser(folder / "profile")
        try:
            with serving(bundle, folder / "uploads") as running:
                for picture, (width, dark) in PICTURES.items():
                    page = browser.page(running.url, width=width, height=600, dark=dark)
                    page.choose("#file", video)
                    page.until("document.querySelector('#results article') !== null")
                    page.until("[...document.images].every(one => one.complete)")
                    height = page.value("document.documentElement.scrollHeight")
                    page.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                              deviceScaleFactor=1, mobile=width < 600)  # fmt: skip
                    page.screenshot(folder / "page.png")
                    page.close()
                    pixels = cv2.imread(str(folder / "page.png"))
                    assert pixels is not None
                    data = cv2.imencode(".webp", pixels, [cv2.IMWRITE_WEBP_QUALITY, _QUALITY])[1]
                    files.append(out / picture)
                    files[-1].write_bytes(data.tobytes())
        finally:
            browser.close()
    return files


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description="Take pictures of the service's page.")
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--video", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args(arguments)
    for file in take(options.bundle, options.video.resolve(), options.out):
        print(f"written: {file} ({file.stat().st_size:,} bytes)")


if __name__ == "__main__":
    main()
