"""Two sets whose studies and gates are invented."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import benchmarks.gain as gain
import benchmarks.real.__main__ as real
import benchmarks.study.__main__ as study
from benchmarks.common.result_file import dump
from infer.system.files import write_text
from tests.benchmarks.real.invented_sets import Steps

MakeResults = Callable[..., dict[str, Any]]


@pytest.fixture
def steps(
    make_study: MakeResults,
    make_results: MakeResults,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Steps:
    """Two sets below tmp_path; studies and gates over them are invented, and noted here."""
    for name, classes in (("one", "a\nb\n"), ("two", "a\nb\nc\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "labels.txt").write_text(classes)
        (tmp_path / name / "all.list").write_text("")
    steps: Steps = []
    seeds: list[int] = []

    def step(module: str, *words: str, environment: dict[str, str]) -> None:
        parsed = {"benchmarks.study": study, "benchmarks.gain": gain}[module]._parser()
        options = parsed.parse_args(words)  # what the commands take
        steps.append((options, environment))
        if module == "benchmarks.study":
            seeds[:] = options.seeds
            made = make_study(clips=60, seeds=seeds)
            for config, named in zip(made["configs"].values(), options.configs, strict=True):
                config |= {"path": named.partition("=")[2], "overrides": options.override}
            made["data"] |= {
                "paths": [f"{clip}.mp4" for clip in range(60)],
                "groups": [str(clip) for clip in range(60)],
                "fold": [1 + clip % options.folds for clip in range(60)],
                "clips_sha256": "ab" * 32,
            }
            made["conditions"]["reduce_range"] = options.reduce_range
            made["folds"] = {"number": options.folds}
            write_text(options.out / "results.json", dump(made))
        else:
            result = make_results(clips=60, pairs=len(seeds), seed=seeds[0], speed=False)
            result["data"]["groups"] = [str(clip) for clip in range(60)]
            options.out.parent.mkdir(parents=True, exist_ok=True)
            options.out.write_text(dump(result))

    monkeypatch.setattr(real, "_step", step)
    return steps
