"""Several sets of clips in one analysis, each a stratum."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from benchmarks.common.errors import BenchmarkError
from benchmarks.gate.verdict import Rule
from benchmarks.real.pooled import pool_sets
from benchmarks.real.sections import real_sentences

SETTINGS: Any = {"resamples": 1000, "seed": 0, "level": 0.95}
MakeResults = Callable[..., dict[str, Any]]


def invented(make_results: MakeResults, sizes: dict[str, int]) -> dict[str, Any]:
    """Gates over sets of these sizes, three seeds each, in groups of four clips."""
    found = {}
    for place, (name, clips) in enumerate(sizes.items()):
        gate = make_results(
            clips=clips, pairs=3, seed=place, gain=0.02 * (1 + place), speed=False, int8_loss=0.0
        )
        gate["data"]["groups"] = [f"g{clip // 4}" for clip in range(clips)]
        found[name] = gate
    return found


def test_sets_are_pooled_by_their_clips(make_results: MakeResults) -> None:
    sets = invented(make_results, {"one": 300, "two": 900})
    found = pool_sets(sets, Rule(), SETTINGS)
    whole = found["pooled"]["by_cell"][found["reference"]]
    assert found["pooled"]["clips"] == 1200 and whole["gain"]["pairs"] == 3
    for model in ("baseline", "student"):
        parts = [one["by_cell"][found["reference"]][model]["point"] for one in found["sets"]]
        assert whole[model]["point"] == pytest.approx((300 * parts[0] + 900 * parts[1]) / 1200)
    gains = [one["by_cell"][found["reference"]]["gain"]["point"] for one in found["sets"]]
    assert whole["gain"]["point"] == pytest.approx((300 * gains[0] + 900 * gains[1]) / 1200)
    for one, gate in zip(found["sets"], sets.values(), strict=True):
        row = gate["cells"][0]
        assert one["by_cell"][row["cell"]]["gain"]["point"] == pytest.approx(row["gain"]["point"])
        assert one["chance"] == pytest.approx(1 / 6, abs=0.01)
        assert one["groups"] == one["clips"] / 4
    # Twelve hundred clips tell more than three hundred.
    small = found["sets"][0]["by_cell"][found["reference"]]["gain"]
    assert whole["gain"]["high"] - whole["gain"]["low"] < small["high"] - small["low"]
    assert found["pooled"]["by_cell"]["onnxruntime:int8"]["verdict"]["verdict"] == "pass"
    said = real_sentences(found)
    assert any("All sets together: 1200 clips" in sentence for sentence in said)


@pytest.mark.parametrize("what", ["collapsed", "collapsed_classes"])
def test_what_collapsed_in_the_gate_of_one_set_fails_here_too(
    make_results: MakeResults, what: str
) -> None:
    sets = invented(make_results, {"one": 60, "two": 900})
    lost = {"model": "student", "pair": 0, "class": 2, "clips": 10, "before": 9, "after": 0}
    sets["one"]["cells"][2]["verdict"] |= {what: [lost], "verdict": "fail"}
    found = pool_sets(sets, Rule(), SETTINGS)
    of_one, of_two, pooled = (
        one["by_cell"]["onnxruntime:int8"] for one in (*found["sets"], found["pooled"])
    )
    assert of_one["verdict"]["verdict"] == pooled["verdict"]["verdict"] == "fail"
    assert of_two["verdict"]["verdict"] == "pass"
    assert pooled["collapsed"] == ["one"] and of_two["collapsed"] == []
    assert any("collapsed in one" in sentence for sentence in real_sentences(found))


def test_nothing_passes_where_a_model_of_the_reference_collapsed(
    make_results: MakeResults,
) -> None:
    sets = invented(make_results, {"one": 60, "two": 900})
    same = {"model": "baseline", "pair": 0, "class": 2, "answers": 60, "clips": 60}
    sets["one"]["cells"][0]["verdict"]["collapsed"] = [same]
    found = pool_sets(sets, Rule(), SETTINGS)
    of_one, of_two, pooled = (
        one["by_cell"]["onnxruntime:fp32"] for one in (*found["sets"], found["pooled"])
    )
    assert of_one["verdict"]["verdict"] == pooled["verdict"]["verdict"] == "unclear"
    assert of_two["verdict"]["verdict"] == "pass"


def test_sets_of_other_seeds_are_not_pooled(make_results: MakeResults) -> None:
    sets = invented(make_results, {"one": 60, "two": 60})
    sets["two"]["pairs"].pop()
    with pytest.raises(BenchmarkError, match="other seeds"):
        pool_sets(sets, Rule(), SETTINGS)


def test_where_nothing_is_learnt_the_sentence_says_so(make_results: MakeResults) -> None:
    sets = invented(make_results, {"one": 60})
    gate = sets["one"]
    for row in gate["cells"]:
        for pair in row["pairs"]:
            for model in ("baseline", "student"):
                pair[model]["predictions"] = np.zeros(60, int).tolist()
    found = pool_sets(sets, Rule(), SETTINGS)
    assert "not significantly more" in real_sentences(found)[0]


def test_a_deployment_that_one_set_lacks_is_left_out_and_told(make_results: MakeResults) -> None:
    sets = invented(make_results, {"one": 60, "two": 60})
    lost = sets["two"]["cells"].pop()["cell"]
    found = pool_sets(sets, Rule(), SETTINGS)
    assert lost not in found["cells"] and found["left_out"] == {lost: ["two"]}
    # As `earlier.merge_gates` says it of seeds that lack it.
    sets["one"]["cells"].pop()
    sets["one"]["lacking"] = [lost]
    assert pool_sets(sets, Rule(), SETTINGS)["left_out"] == {lost: ["one", "two"]}
