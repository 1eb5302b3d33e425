"""The turns, the percentiles and the ratios, on a clock that the test moves itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import cycle

import pytest

from benchmarks.timing import latency


class FakeClock:
    """A clock that only moves when a call says how long it took."""

    def __init__(self) -> None:
        self.time = 0.0
        self.order: list[str] = []

    def __call__(self) -> float:
        return self.time

    def call(self, name: str, durations: Iterator[float]) -> Callable[[], None]:
        def run() -> None:
            self.order.append(name)
            self.time += next(durations)

        return run


def test_every_call_gets_the_same_number_of_samples_and_the_true_time() -> None:
    clock = FakeClock()
    calls = {
        "fast": clock.call("fast", cycle([0.010])),
        "slow": clock.call("slow", cycle([0.030])),
    }
    timings = latency.time_in_turns(calls, budget=10, repetitions=5, clock=clock)
    fast, slow = (latency.summarise(timings[n], batch=2, reference=timings["fast"]) for n in calls)
    assert fast["calls"] == slow["calls"] >= 100
    assert fast["p50"] == pytest.approx(0.010) and slow["p99"] == pytest.approx(0.030)
    assert slow["ratio"] == pytest.approx(3.0)
    assert slow["ratio_spread"] == pytest.approx([3.0, 3.0])
    assert fast["clips_per_second"] == pytest.approx(200)
    assert clock.time < 13


def test_cells_take_turns() -> None:
    clock = FakeClock()
    calls = {name: clock.call(name, cycle([0.001])) for name in "abc"}
    latency.time_in_turns(calls, budget=1, repetitions=4, clock=clock)
    tenth = len(clock.order) // 10
    for part in range(10):
        stretch = clock.order[part * tenth : (part + 1) * tenth]
        assert {stretch.count(name) > 0.2 * tenth for name in "abc"} == {True}


def test_the_ratio_of_a_step_to_the_sum_of_others_is_taken_repetition_by_repetition() -> None:
    teacher, student = (latency.Timings(((step, step),) * 2) for step in (2.0, 1.0))
    pair = latency.Timings(((3.0, 3.0), (3.3, 3.3)))
    result = latency.ratio(pair, teacher, student)
    assert result["ratio"] == pytest.approx(1.05)
    assert result["ratio_spread"] == pytest.approx([1.0, 1.1])


def test_drift_of_the_machine_leaves_the_ratio_alone() -> None:
    clock = FakeClock()

    def drifting(factor: float) -> Iterator[float]:
        while True:
            yield factor * (0.001 + 0.0005 * clock.time)

    calls = {"one": clock.call("one", drifting(1)), "two": clock.call("two", drifting(2))}
    timings = latency.time_in_turns(calls, budget=5, repetitions=5, clock=clock)
    summary = latency.summarise(timings["two"], batch=1, reference=timings["one"])
    assert summary["ratio"] == pytest.approx(2.0, rel=0.03)
    assert summary["p50_spread"][1] > 1.5 * summary["p50_spread"][0]


def test_a_slow_call_in_twenty_moves_p99_and_not_p50() -> None:
    clock = FakeClock()
    calls = {
        "even": clock.call("even", cycle([0.01])),
        "jump": clock.call("jump", cycle([0.01] * 19 + [0.5])),
    }
    timings = latency.time_in_turns(calls, budget=30, clock=clock)
    even, jump = (latency.summarise(timings[name], batch=1) for name in calls)
    assert jump["p50"] == pytest.approx(even["p50"])
    assert jump["p99"] == pytest.approx(0.5) and even["p99"] == pytest.approx(0.01)


def test_a_call_slower_than_the_budget_is_still_timed_in_every_repetition() -> None:
    clock = FakeClock()
    timings = latency.time_in_turns(
        {"x": clock.call("x", cycle([60.0]))}, budget=1, repetitions=3, clock=clock
    )
    assert [len(values) for values in timings["x"].seconds] == [1, 1, 1]


def test_stages_take_turns_on_the_same_items() -> None:
    clock = FakeClock()
    items: dict[str, list[int]] = {"one": [], "two": []}

    def call(name: str, factor: float) -> Callable[[int], dict[str, float]]:
        def run(item: int) -> dict[str, float]:
            items[name].append(item)
            seconds = factor * (0.02 if item == 3 else 0.01)  # one clip is longer than the others
            clock.time += seconds
            return {"read": 0.25 * seconds, "network": 0.75 * seconds}

        return run

    calls = {"one": call("one", 1), "two": call("two", 2)}
    found = latency.stages_in_turns(calls, 5, budget=8, repetitions=4, clock=clock)
    assert items["one"] == items["two"] and set(items["one"]) == set(range(5))
    one, two = (found[name]["network"] for name in ("one", "two"))
    assert len(one.seconds) == 4 and len(one.all) == len(two.all) >= 100
    # Every turn has one more item that is not counted, and two come before the first turn.
    assert len(items["one"]) == 2 + len(one.all) * 4 / 3
    summary = latency.summarise(two, batch=1, reference=one)
    assert summary["ratio"] == pytest.approx(2) and summary["ratio_spread"] == [2, 2]
    assert clock.time < 12


def test_stages_slower_than_the_budget_are_timed_in_every_repetition() -> None:
    clock = FakeClock()

    def run(item: int) -> dict[str, float]:
        clock.time += 60
        return {"all": 60.0}

    found = latency.stages_in_turns({"x": run}, 1, budget=1, repetitions=3, clock=clock)
    assert [len(row) for row in found["x"]["all"].seconds] == [3, 3, 3]


@pytest.mark.parametrize("wrong", [{"items": 0}, {"repetitions": 0}])
def test_stages_of_nothing_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least one"):
        latency.stages_in_turns({"x": lambda item: {}}, **{"items": 1, "budget": 1, **wrong})


@pytest.mark.parametrize("wrong", [{"repetitions": 0}, {"warmup": 0}])
def test_settings_that_measure_nothing_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least one"):
        latency.time_in_turns({"x": lambda: None}, budget=1, **wrong)
