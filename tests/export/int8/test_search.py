"""The search for layers to keep in float, on networks whose layers do a known harm."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import pytest

from export.int8.defaults import Goal
from export.int8.goal import Score
from export.int8.search import rank, ranking_table, search


class Harms:
    """Rounding a layer costs so much; `together` is what two of them cost only as a pair."""

    def __init__(
        self, harms: Mapping[str, float], together: Mapping[frozenset[str], float] | None = None
    ) -> None:
        self.harms, self.together = harms, together or {}
        self.asked: list[frozenset[str]] = []

    def __call__(self, spared: frozenset[str]) -> Score:
        self.asked.append(spared)
        rounded = set(self.harms) - spared
        harm = sum(self.harms[layer] for layer in rounded)
        harm += sum(cost for pair, cost in self.together.items() if pair <= rounded)
        return Score(1000, 0.5, 0, 0, 1.0, divergence=harm / 100, expected=harm, sqnr=-harm)


EQUAL = dict.fromkeys("abcdef", 0.1)


def test_nothing_is_spared_where_the_goal_holds() -> None:
    attempt = Harms({"a": 0.1, "b": 0.1})
    found = search(["a", "b"], EQUAL, attempt, Goal(0.5), most=1.0)
    assert found.layers == ()
    assert found.found
    assert len(attempt.asked) == 1


def test_the_most_harmful_layers_are_spared_and_no_more() -> None:
    attempt = Harms({"a": 0.1, "b": 1.0, "c": 0.3, "d": 2.0})
    found = search(list("abcd"), EQUAL, attempt, Goal(0.5), most=1.0)
    assert found.layers == ("d", "b")
    assert found.after.expected == pytest.approx(0.4)
    assert found.before.expected == pytest.approx(3.4)
    assert found.work == pytest.approx(0.2)
    assert [layer for layer, _ in found.steps] == ["d", "b"]


def test_a_layer_that_is_not_needed_any_more_is_rounded_again() -> None:
    # b alone brings most at first, but a and c together bring all that is needed.
    attempt = Harms({"a": 0.0, "b": 0.5, "c": 0.4}, {frozenset("ab"): 1.0, frozenset("bc"): 0.9})
    attempt.harms = {"a": 0.9, "b": 0.5, "c": 0.9}
    attempt.together = {frozenset("ab"): 0.3, frozenset("bc"): 0.3}
    found = search(list("abc"), EQUAL, attempt, Goal(0.6), most=1.0)
    assert found.found
    assert set(found.layers) == {"a", "c"}


def test_layers_that_do_not_fit_into_what_may_stay_in_float_are_left_out() -> None:
    work = {"a": 0.5, "b": 0.1, "c": 0.1}
    attempt = Harms({"a": 2.0, "b": 0.4, "c": 0.3})
    found = search(list("abc"), work, attempt, Goal(0.5), most=0.25)
    assert not found.found
    assert found.layers == ("b", "c")
    assert found.work <= 0.25
    assert not any("a" in spared for spared in attempt.asked)


def test_a_search_ends_where_no_layer_helps() -> None:
    attempt = Harms({"a": 0.0, "b": 0.0, "c": 1.0})
    found = search(["a", "b"], EQUAL, attempt, Goal(0.5), most=1.0)
    assert not found.found
    assert found.layers == ()


def test_layers_are_not_all_tried_again_in_every_round() -> None:
    harms = {f"layer{i}": 1.0 / (i + 1) for i in range(20)}
    attempt = Harms(harms)
    found = search(list(harms), {}, attempt, Goal(sum(harms.values()) - 2.0), most=1.0)
    assert found.layers == ("layer0", "layer1", "layer2", "layer3")[: len(found.layers)]
    # One round of all, then the next best alone.
    assert len(attempt.asked) < 20 + 4 * 3


def test_a_ranking_shows_each_layer_alone_and_spared(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "clipduet")
    attempt = Harms({"a": 0.1, "b": 1.0})
    effects = rank(["a", "b"], {"b": 0.75}, attempt)
    assert [effect.layer for effect in effects] == ["b", "a"]
    assert effects[0].alone.expected == pytest.approx(1.0)
    assert effects[0].spared.expected == pytest.approx(0.1)
    assert len(caplog.messages) == 2
    lines = ranking_table(effects, attempt(frozenset()))
    assert len(lines) == 3
    assert lines[1].startswith("b") and "75.0%" in lines[1] and "90.9%" in lines[1]


def test_a_search_as_plain_data() -> None:
    found = search(["a"], EQUAL, Harms({"a": 1.0}), Goal(0.5, 40.0), most=1.0)
    record = found.to_dict()
    assert record["spared"] == ["a"]
    assert record["goal"] == {"loss": 0.5, "least": 40.0}
    assert record["steps"][0]["layer"] == "a"
    assert record["before"]["expected"] == 1.0
    assert dataclasses.asdict(found.after)["expected"] == 0.0
