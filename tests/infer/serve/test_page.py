"""The service's page, used in a browser."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from infer.serve.tokens import Tokens
from tests.browser import CHROMIUM, NO_CHROMIUM, Browser

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(CHROMIUM is None, reason=NO_CHROMIUM),
]
CARD = "document.querySelector('#results article')"
HEADING = f"{CARD}?.querySelector('h2').textContent"
WIDEST = """[...document.querySelectorAll('body *')]
    .filter(one => one.getBoundingClientRect().right > innerWidth + 0.5)
    .map(one => one.tagName)"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    camera = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
    one = Browser(tmp_path_factory.mktemp("profile"), *camera)
    yield one
    one.close()


def test_a_chosen_clip_gets_a_label_scores_and_frames(running, browser, videos):
    page = browser.page(running.url)
    page.choose("#file", videos / "red.mp4")
    assert page.until(HEADING).startswith("red (")
    (result,) = running.client.post("/predict", content=(videos / "red.mp4").read_bytes()).json()[
        "results"
    ]
    scores = [f"{100 * one['score']:.1f} %" for one in result["topk"]]
    rows = f"[...{CARD}.querySelectorAll('tr')].map(row => row.innerText.split('\\t'))"
    assert [(row[0], row[-1]) for row in page.value(rows)] == [
        (one["label"], score) for one, score in zip(result["topk"], scores, strict=True)
    ]
    frames = f"[...{CARD}.querySelectorAll('img')]"
    page.until(f"{frames}.every(one => one.complete)")
    assert page.value(f"{frames}.map(one => one.naturalWidth)") == [32] * 4
    assert page.value(f"{frames}.map(one => one.alt)") == [
        f"Frame {n}, {n / 10:.2f} s" for n in range(4)
    ]
    assert "red.mp4" in page.value(f"{CARD}.querySelector('.about').textContent")
    assert page.value("state.textContent") == page.value(HEADING), "told to screen readers"
    assert page.problems() == []
    loaded = "performance.getEntriesByType('resource').map(one => one.name)"
    assert all(name.startswith((running.url, "data:")) for name in page.value(loaded))
    page.close()


def test_a_broken_file_is_told_and_the_next_one_is_answered(running, browser, videos):
    page = browser.page(running.url)
    page.choose("#file", videos / "broken.mp4", videos / "cut.mkv")
    page.until("document.querySelectorAll('#results article').length === 2")
    headings = "[...document.querySelectorAll('h2')].map(one => one.textContent)"
    newest, first = page.value(headings)
    assert first.startswith("No answer: ") and newest.startswith("green (")
    assert page.value("document.querySelectorAll('article.failed').length") == 1
    assert "cut off" in page.value(f"{CARD}.querySelector('.warning').textContent")
    page.close()


def test_a_dropped_clip_is_answered(running, browser, videos):
    page = browser.page(running.url)
    page.drop(600, 700, videos / "blue.mkv")  # anywhere
    assert page.until(HEADING).startswith("blue (")
    page.close()


def test_the_keyboard_alone_is_enough_and_the_camera_works(running, browser):
    page = browser.page(running.url)
    focus = "document.activeElement.id"
    page.key("Tab")
    assert page.value(focus) == "file"
    page.key("Tab")
    assert page.value(focus) == "camera"
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert page.value(outline) == "solid"
    page.key("Enter")
    assert "No answer" not in page.until(HEADING)
    assert page.value(f"{CARD}.querySelector('.about').textContent").startswith("camera, ")
    assert page.value("find('live').hidden && !find('camera').disabled")
    assert page.problems() == []
    page.close()


def test_a_token_is_asked_for_once(serve, browser, videos):
    token = "a-token-for-the-page"
    running = serve(tokens=Tokens([token]))
    page = browser.page(running.url)
    page.choose("#file", videos / "red.mp4")
    page.until("document.activeElement.id === 'token'")
    page.write("not-the-right-token")
    page.key("Enter")
    page.until("state.textContent.includes('not one of')")
    page.value("find('token').value = ''")
    page.write(token)
    page.key("Enter")
    assert page.until(HEADING).startswith("red (")
    assert page.value("find('access').hidden")
    page.choose("#file", videos / "green.mp4")
    page.until(f"{HEADING}.startsWith('green (')")
    page.close()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [320, 390, 1200])
def test_nothing_sticks_out_in_any_width(running, browser, videos, tmp_path, width, dark):
    long = tmp_path / ("a_very_long_name" * 12 + ".mp4")
    shutil.copy(videos / "green.mp4", long)
    page = browser.page(running.url, width=width, height=800, dark=dark)
    page.choose("#file", videos / "broken.mp4", long)
    page.until("document.querySelectorAll('#results article').length === 2")
    assert page.value("document.documentElement.scrollWidth") <= width
    assert page.value(WIDEST) == []
    background = page.value("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, background[4:-1].split(","))) < 200) == dark
    if folder := os.environ.get("CLIPDUET_SCREENSHOTS"):
        page.screenshot(Path(folder) / f"page-{width}-{'dark' if dark else 'light'}.png")
    page.close()


def test_the_description_of_the_routes_fits_a_phone(running, browser):
    page = browser.page(running.url, width=320)
    page.value("document.querySelector('footer a').click()")
    page.until("location.pathname === '/docs'")
    page.until("document.readyState === 'complete'")
    assert page.value("document.querySelectorAll('article').length") > 5
    assert page.value("document.documentElement.scrollWidth") <= 320
    assert page.value(WIDEST) == [] and page.problems() == []
    page.close()
