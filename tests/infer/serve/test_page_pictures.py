"""The pictures of the page in the documentation."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest

from tests.browser import CHROMIUM, NO_CHROMIUM
from tests.infer.serve.page_pictures import OUT, PICTURES, take

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.peer
@pytest.mark.skipif(CHROMIUM is None, reason=NO_CHROMIUM)
def test_an_answer_is_in_each_picture(colours, videos, tmp_path):
    files = take(colours, videos / "red.mp4", tmp_path)
    assert [file.name for file in files] == list(PICTURES)
    for file, (width, dark) in zip(files, PICTURES.values(), strict=True):
        pixels = cv2.imread(str(file))
        assert pixels is not None and pixels.shape[1] == width and pixels.shape[0] > 600
        assert (pixels[0].mean() < 128) == dark
        blue, green, red = (pixels[:, :, channel].astype(int) for channel in range(3))
        assert ((red > 180) & (green < 90) & (blue < 90)).sum() > 4 * 50**2, "the red frames"


def test_the_pictures_of_the_documentation_are_small_and_shown():
    page = (ROOT / "docs" / "service.md").read_text(encoding="utf-8")
    for name in PICTURES:
        assert (ROOT / OUT / name).stat().st_size < 100_000
        assert f"](pictures/{name})" in page
