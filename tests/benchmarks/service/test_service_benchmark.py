"""The service under load: what is asked, and what counts as right."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.service.__main__ import main
from benchmarks.service.bodies import (
    BROKEN,
    GOOD,
    HOSTILE,
    SLOW,
    Body,
    broken_files,
    drawn,
    file_body,
    hostile_bodies,
)
from benchmarks.service.clients import verdict
from tests.tiny_bundle import colour_frames, write_bundle

ANSWER = {"video": "0", "label": "red", "index": 0, "score": 0.5, "topk": [], "seconds": 0.1}
RIGHT = {"results": [{**ANSWER, "video": "body", "seconds": 9.0}]}
CRASH = {"error": "x", "results": [{"error": "crashed the process (SIGKILL)", "kind": "crash"}]}


def test_a_small_run_is_right_and_is_written(
    tmp_path: Path, write_clip: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("fastapi", reason="the extra serve is not installed")
    bundle = write_bundle(tmp_path / "bundle")
    for colour in ("red", "green"):
        write_clip(tmp_path / "videos" / f"{colour}.mp4", colour_frames(colour, 20, 64))
    out = tmp_path / "results.json"
    status = main(
        ["--bundle", str(bundle), "--video", str(tmp_path / "videos"), "--requests", "40",
         "--clients", "4", "--broken", "0.2", "--hostile", "0.3", "--kill-every", "0",
         "--threads", "1", "--workers", "1", "--out", str(out)]
    )  # fmt: skip
    told = capsys.readouterr()
    assert status == 0, told.out + told.err
    found = json.loads(out.read_text())
    assert found["format"] == "clipduet.service" and found["met"] is True
    assert found["requests"] == found["right"] == 40 and found["wrong"] == []
    assert found["answers_by_its_own_count"] == 40 and found["files_left_open"] <= 2
    assert sum(found["statuses"].values()) == 40 and set(found["statuses"]) >= {"200", "422", "408"}
    assert 0 < found["latency_seconds"]["p50"] <= found["latency_seconds"]["p99"]
    assert found["resident_bytes"]["most"] > 0


def test_shares_of_broken_and_hostile_requests_are_exact() -> None:
    bodies = [file_body("a", GOOD, b"a", ANSWER), file_body("b", BROKEN, b"b", {"error": "no"})]
    bodies += hostile_bodies()
    plan = drawn(bodies, 1000, broken=0.01, hostile=0.02, seed=1)
    groups = Counter(HOSTILE if body.group == SLOW else body.group for body in plan)
    assert groups == {GOOD: 970, BROKEN: 10, HOSTILE: 20}
    assert plan == drawn(bodies, 1000, broken=0.01, hostile=0.02, seed=1)
    assert plan != drawn(bodies, 1000, broken=0.01, hostile=0.02, seed=2)
    assert {body.name for body in plan} > {body.name for body in hostile_bodies()}


def test_broken_files_differ_from_the_good_one() -> None:
    good = bytes(range(256)) * 100
    assert good not in broken_files([good]).values()


@pytest.mark.parametrize(
    ("status", "content", "expected"),
    [
        (200, RIGHT, "right"),
        (200, {"results": [{**ANSWER, "label": "green"}]}, "another answer"),
        (200, {"results": [{**ANSWER, "score": 0.6}]}, "another answer"),
        (200, {"results": []}, "another answer"),
        (422, CRASH, "killed"),
        (500, {"error": "x"}, "status 500"),
        (429, {"error": "x"}, "status 429"),
        (0, {"error": "gone"}, "no answer"),
        (0, None, "no answer"),
    ],
)
def test_what_counts_as_right(status: int, content: object, expected: str) -> None:
    body = file_body("a.mp4", GOOD, b"a", ANSWER)
    assert verdict(body, status, content).startswith(expected)


def test_a_hostile_request_that_is_answered_is_wrong() -> None:
    body = Body("bomb", HOSTILE, b"", {}, (422,))
    assert verdict(body, 422, {"error": "x"}) == "right"
    assert verdict(body, 200, RIGHT).startswith("status 200")
