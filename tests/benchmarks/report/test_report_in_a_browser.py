"""The report's page in a browser: on a phone and on a desk."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.browser import CHROMIUM, NO_CHROMIUM, browse

MANY = (
    "paddle:fp32", "onnxruntime:fp32", "onnxruntime:int8", "onnxruntime:fp16", "openvino:fp32",
    "openvino:bf16", "openvino:int8",
)  # fmt: skip
MakeResults = Callable[..., dict[str, Any]]
# Reports how wide the page is inside a frame of a phone's width, in the title of the one outside.
FRAME = """<!DOCTYPE html><title>waiting</title>
<iframe id="phone" style="border:0;width:360px;height:800px" srcdoc="{page}"></iframe>
<script>
phone.onload = () => {{
  const page = phone.contentDocument, widest = [];
  for (const one of page.querySelectorAll("body *")) {{
    if (one.getBoundingClientRect().right > 360.5) widest.push(one.tagName);
  }}
  document.title = JSON.stringify([
    phone.contentWindow.innerWidth, page.documentElement.scrollWidth, widest]);
}};
</script>"""


@pytest.mark.peer
@pytest.mark.skipif(CHROMIUM is None, reason=NO_CHROMIUM)
@pytest.mark.parametrize("theme", ["folded", "unfolded"])
def test_nothing_sticks_out_on_a_phone(
    make_results: MakeResults, report: Callable[..., Path], tmp_path: Path, theme: str
) -> None:
    results = make_results(cells=MANY, pairs=2)
    results["data"]["failed"] = [{"path": "a_very_long_path" * 9 + ".mp4", "error": "x" * 99}]
    text = (report(results) / "index.html").read_text(encoding="utf-8")
    text = re.sub(r"<meta http-equiv[^>]*>", "", text)  # the frame's script reads the page
    if theme == "unfolded":
        text = text.replace("<details>", "<details open>")
    frame = tmp_path / "frame.html"
    frame.write_text(FRAME.format(page=html.escape(text)), encoding="utf-8")
    width, scrolled, widest = json.loads(browse(frame, tmp_path / "profile"))
    assert width == 360
    assert scrolled <= 360 and widest == []


# Reports the first table's look inside frames of a phone's and of a desk's width.
CARDS = """<!DOCTYPE html><title>waiting</title>
<iframe style="border:0;width:360px;height:800px" srcdoc="{page}"></iframe>
<iframe style="border:0;width:1000px;height:800px" srcdoc="{page}"></iframe>
<script>
onload = () => {{
  document.title = JSON.stringify([...document.querySelectorAll("iframe")].map(frame => {{
    const view = frame.contentWindow, table = view.document.querySelector("table");
    const card = [...table.querySelectorAll("tbody tr")].map(row => [...row.children].map(cell => {{
      const box = cell.getBoundingClientRect();
      const label = view.getComputedStyle(cell, "::before").content;
      return [Math.round(box.left), Math.round(box.top), label, cell.innerText.trim()];
    }}));
    return {{head: table.tHead.getBoundingClientRect().height, card}};
  }}));
}};
</script>"""


@pytest.mark.peer
@pytest.mark.skipif(CHROMIUM is None, reason=NO_CHROMIUM)
def test_rows_of_the_gate_are_cards_on_a_phone_and_rows_elsewhere(
    make_results: MakeResults, report: Callable[..., Path], tmp_path: Path
) -> None:
    text = (report(make_results(cells=MANY)) / "index.html").read_text(encoding="utf-8")
    frame = tmp_path / "frame.html"
    page = re.sub(r"<meta http-equiv[^>]*>", "", text)
    frame.write_text(CARDS.format(page=html.escape(page)), encoding="utf-8")
    phone, desk = json.loads(browse(frame, tmp_path / "profile"))
    heads = ["verdict", "baseline", "student", "gain", "gain retained", "delta top-1"]
    heads.append("end-to-end latency, ms")
    assert len(phone["card"]) == len(desk["card"]) == len(MANY)
    assert phone["head"] == 0 < desk["head"]
    for card, row in zip(phone["card"], desk["card"], strict=True):
        assert len({left for left, *_ in card}) == 1, "one below the other"
        tops = [top for _, top, *_ in card]
        assert tops == sorted(set(tops))
        assert [label for *_, label, _ in card[1:]] == [f'"{head}"' for head in heads]
        assert len({top for _, top, *_ in row}) == 1, "side by side"
        assert {label for *_, label, _ in row} == {"none"}
        assert [value for *_, value in card] == [value for *_, value in row]


# Reports where the parts of the overview end, in frames of a desk's and of a phone's size.
FIRST = """<!DOCTYPE html><title>waiting</title>
<iframe style="border:0;width:1200px;height:800px" srcdoc="{page}"></iframe>
<iframe style="border:0;width:390px;height:844px" srcdoc="{page}"></iframe>
<script>
onload = () => {{
  document.title = JSON.stringify([...document.querySelectorAll("iframe")].map(frame => {{
    const page = frame.contentDocument;
    const ends = one => Math.round(page.querySelector(one).getBoundingClientRect().bottom);
    const sides = [...page.querySelectorAll("figure")].slice(0, 1).concat(
      page.querySelector("dl")).map(one => Math.round(one.getBoundingClientRect().left));
    return {{verdict: ends(".answer"), numbers: ends("dl"), plot: ends("figure"), sides,
             wide: page.documentElement.scrollWidth}};
  }}));
}};
</script>"""


@pytest.mark.peer
@pytest.mark.skipif(CHROMIUM is None, reason=NO_CHROMIUM)
@pytest.mark.parametrize("given", [{"gain": 0.04}, {"gain": 0.0}], ids=["a gain", "no gain"])
def test_the_first_screen_answers(
    make_results: MakeResults,
    report: Callable[..., Path],
    tmp_path: Path,
    given: dict[str, float],
) -> None:
    eight = [*MANY, "openvino:fp16"]
    text = (report(make_results(cells=eight, pairs=3, **given)) / "index.html").read_text("utf-8")
    frame = tmp_path / "frame.html"
    page = re.sub(r"<meta http-equiv[^>]*>", "", text)
    frame.write_text(FIRST.format(page=html.escape(page)), encoding="utf-8")
    desk, phone = json.loads(browse(frame, tmp_path / "profile"))
    assert desk["wide"] <= 1200 and phone["wide"] <= 390
    assert max(desk["verdict"], desk["numbers"], desk["plot"]) <= 800
    figure, figures = desk["sides"]
    assert figure > figures + 300, "the plot is beside the numbers"
    assert len({*phone["sides"]}) == 1, "the plot is below the numbers"
    assert phone["verdict"] < phone["numbers"] <= 844 < phone["plot"]
