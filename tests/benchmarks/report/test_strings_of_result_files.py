"""Strings of a result file may be anything; pages and terminals get what can be shown."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unicodedata import category

import pytest

from benchmarks.common.errors import BenchmarkError
from benchmarks.common.result_file import dump, parse_printable
from benchmarks.methods.earlier import stored_study
from benchmarks.study.result_file import load_study
from infer.system.files import write_text

WILD = "a\ud800\x1b[2J\x07\x9b\u202eb"
SHOWN = "\\ud800\\x1b[2J\\x07\\x9b\\u202e"


def wild(value: Any, *, keep: tuple[str, ...]) -> Any:
    """A result with something odd in every text, but for those that are names of the format."""
    if isinstance(value, str):
        return value + WILD
    if isinstance(value, list):
        return [wild(one, keep=keep) for one in value]
    if isinstance(value, dict):
        return {k: v if k in keep else wild(v, keep=keep) for k, v in value.items()}
    return value


def odd(text: str) -> set[str]:
    """Control characters, half characters and overrides of the direction."""
    return {c for c in text if category(c) in ("Cc", "Cs", "Cf") and c not in "\n\t"}


def test_a_report_shows_escapes(
    make_results: Callable[..., dict[str, Any]],
    make_study: Callable[..., dict[str, Any]],
    report: Callable[..., Path],
) -> None:
    results, study = make_results(clips=300), make_study(clips=300)
    for one in (results, study):
        one["data"] = wild(one["data"], keep=("sha256", "clips_sha256"))
        one["conditions"] = wild(one["conditions"], keep=("features",))
        one["command"] += WILD
    for pair in results["pairs"]:
        for bundle in pair.values():
            bundle["path"] += WILD
            bundle["origin"] = wild(bundle["origin"], keep=())
    study["data"]["labels"] = results["data"]["labels"]
    folder = report(results, study)
    for name in ("report.md", "index.html", "results.csv"):
        text = (folder / name).read_text(encoding="utf-8")
        assert odd(text) == set(), name
    assert SHOWN in (folder / "index.html").read_text(encoding="utf-8")
    assert SHOWN in (folder / "report.md").read_text(encoding="utf-8").replace("\\\\", "\\")


def test_every_reader_of_result_files_shows_escapes(
    make_study: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    study = make_study(clips=100)
    study["data"] = wild(study["data"], keep=())
    file = tmp_path / "results.json"
    file.write_text(json.dumps(study))
    assert load_study(file)["data"]["list"].endswith(SHOWN + "b")
    file.write_text(json.dumps({**study, "format": WILD, "format_version": 1}))
    with pytest.raises(BenchmarkError, match="move it away") as caught:
        stored_study(file)
    assert not odd(str(caught.value))


def test_what_was_measured_of_a_file_with_any_name_is_written(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.list")
    write_text(tmp_path / "results.json", dump({"list": name, "numbers": [1, 2]}))
    text = (tmp_path / "results.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"list": name, "numbers": [1, 2]}
    assert parse_printable(text)["list"] == "caf\\udce9.list"
