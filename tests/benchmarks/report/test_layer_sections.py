"""The layers with the largest error, on the page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.report.sections.layers import layers_section

Make = Callable[..., dict[str, Any]]


def layer(number: int) -> dict[str, Any]:
    return {
        "layer": f"conv{number}",
        "kind": "convolution 3x3",
        "error": 10.0 ** -(1 + number),
        "rounding": None if number % 2 else 0.01,
    }


def test_the_ten_worst_layers_of_each_file_are_shown(make_results: Make) -> None:
    results = make_results(clips=300, pairs=2)
    infinite = {"layer": "dead", "kind": "sum", "error": None, "rounding": 0.0}
    results["layers"] = {
        "clips": 16,
        "artifacts": {
            "onnx.int8.x86": {
                "cells": ["onnxruntime:int8", "openvino:int8"],
                "layers": [infinite, *map(layer, range(11))],
            },
            "onnx.int8": {"cells": ["tensorrt:int8"], "reason": "it cannot be read."},
        },
    }
    section = layers_section(results)
    (table,) = section.tables
    assert table.folded and "10 of 12 layers" in table.caption
    assert "ONNX Runtime int8 and OpenVINO int8" in table.caption
    assert [row[0] for row in table.rows] == ["dead", *(f"conv{n}" for n in range(9))]
    assert table.rows[0][2:] == ["\u2014", "\u2014", "no error"]
    assert table.rows[1][1:] == ["convolution 3x3", "20.0", "10.0 %", "40.0"]
    assert table.rows[2][4] == "\u2014"
    assert any("first pair" in sentence for sentence in section.sentences)
    assert len(section.bullets) == 1 and "it cannot be read" in section.bullets[0]


def test_a_result_without_layers_says_so(make_results: Make) -> None:
    section = layers_section(make_results(clips=300))
    assert not section.tables and "Not measured" in section.sentences[0]
