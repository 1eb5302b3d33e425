"""How far a run is, in words."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest

from infer.corpus.progress import Progress, duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (29, "29 s"),
        (90, "2 min"),
        (3600, "1 h 0 min"),
        (3600 * 47.5, "47 h 30 min"),
        (86_400 * 11.57, "11.6 days"),
    ],
)
def test_a_time_is_told_in_few_words(seconds, text):
    assert duration(seconds) == text


def test_speed_is_counted_from_the_first_answers(monkeypatch, caplog):
    now = 0.0
    clock = SimpleNamespace(monotonic=lambda: now)
    monkeypatch.setattr("infer.corpus.progress.time", clock)
    monkeypatch.setattr("infer.corpus.progress.can_redraw", lambda stream: False)
    with caplog.at_level(logging.INFO, "clipduet.corpus"):
        progress = Progress(50, 4050)
        now = 100.0  # of the start
        progress.count(100)
        now = 170.0
        progress.count(700)
    assert progress.speed == 10
    assert caplog.messages[-1] == "850 of 4,050; 10.0 clips/s, 5 min left"
