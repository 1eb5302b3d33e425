"""The text of result files: it holds the value, and arrays of numbers take little room."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.common.result_file import dump

NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text("ab\n \t[],1-\ud800"),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("a[ ,\n1]"), inner),
    max_leaves=20,
)


@given(VALUES)
def test_a_result_file_holds_the_value(value: object) -> None:
    assert json.loads(dump(value)) == value


@given(st.lists(NUMBERS, min_size=1))
def test_an_array_of_numbers_is_one_line_without_blanks(numbers: list[float]) -> None:
    text = dump({"pairs": [{"predictions": numbers}]})
    (line,) = [one for one in text.splitlines() if "predictions" in one]
    assert line.strip() == f'"predictions": {json.dumps(numbers, separators=(",", ":"))}'


def test_an_answer_takes_two_bytes() -> None:
    assert len(dump([[7, 0, 1] * 1000] * 3)) < 3 * 3000 * 2 + 100
