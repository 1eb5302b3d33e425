"""Windows of one class become events."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from infer.stream.events import Event, EventRules, Events


def events(rules: EventRules, scores: list[list[float]], stride: float = 1.0) -> list[Event]:
    seen = Events(rules)
    found = []
    for number, row in enumerate(scores):
        found += seen.add(number * stride, number * stride + 1.0, row)
    return found + seen.finish()


def spans(found: list[Event]) -> list[tuple[float, float, int]]:
    return [(one.start, one.end, one.index) for one in found]


def test_windows_in_a_row_are_one_event():
    scores = [[0.9, 0.1], [0.7, 0.3], [0.2, 0.8], [0.9, 0.1]]
    found = events(EventRules(), scores)
    assert spans(found) == [(0, 2, 0), (2, 3, 1), (3, 4, 0)]
    assert (found[0].windows, round(found[0].score, 6)) == (2, 0.8)


def test_an_event_goes_on_above_the_lower_threshold():
    scores = [[0.5], [0.8], [0.5], [0.3], [0.5], [0.8]]
    assert spans(events(EventRules(0.7, 0.4), scores)) == [(1, 3, 0), (5, 6, 0)]
    assert spans(events(EventRules(0.7, 0.7), scores)) == [(1, 2, 0), (5, 6, 0)]


def test_short_gaps_are_bridged_and_short_events_dropped():
    scores = [[0.9], [0.0], [0.9], [0.0], [0.0], [0.9]]
    assert spans(events(EventRules(gap=1), scores)) == [(0, 3, 0), (5, 6, 0)]
    assert spans(events(EventRules(gap=1, least=2), scores)) == [(0, 3, 0)]
    assert spans(events(EventRules(gap=9), scores)) == [(0, 6, 0)]


def test_events_come_when_it_is_certain_that_they_have_ended():
    seen = Events(EventRules(gap=1))
    assert seen.add(0, 1, [0.9]) == seen.add(1, 2, [0.0]) == []
    assert spans(seen.add(3, 4, [0.0])) == [(0, 1, 0)]
    assert seen.finish() == []


@given(
    scores=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=40),
    begin=st.floats(0.1, 1),
    share=st.floats(0, 1),
    gap=st.integers(0, 3),
    stride=st.sampled_from([0.25, 1.0, 2.0]),
)
def test_every_window_above_the_threshold_is_in_one_event_of_its_class(
    scores, begin, share, gap, stride
):
    rules = EventRules(begin, begin * share, gap)
    found = events(rules, [list(row) for row in scores], stride)
    for index in (0, 1):
        mine = [one for one in found if one.index == index]
        for one, following in pairwise(mine):
            assert following.start - one.end > gap
        for number, row in enumerate(scores):
            inside = [
                one for one in mine
                if one.start <= number * stride and number * stride + 1 <= one.end
            ]  # fmt: skip
            assert len(inside) == 1 or row[index] < begin
        assert all(max(row[index] for row in scores) >= begin for _ in mine)
