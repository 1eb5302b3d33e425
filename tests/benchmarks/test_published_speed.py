"""Published figures of speed, load and memory, computed again from the result files."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

ROOT = Path(__file__).resolve().parents[2]
REPORTS = ROOT / "reports"


def _load_of_service() -> list[str]:
    load, cost = (
        json.loads((REPORTS / "service" / f"{name}.json").read_text("utf-8"))
        for name in ("results", "isolation")
    )
    latency, memory = load["latency_seconds"], load["resident_bytes"]
    turns = [
        one / other
        for one, other in zip(cost["seconds"]["processes"], cost["seconds"]["threads"], strict=True)
    ]
    return [
        f"{load['requests']:,} requests with",
        f"{load['right']:,} right answers, {load['requests_per_second']:.0f} a second",
        f"{load['killed_workers']} worker processes",
        f"{latency['p50']:.2f} s in the median and {latency['p99']:.1f} s",
        f"held {memory['first_fifth'] / 1e6:.0f} MB",
        f"and {memory['last_fifth'] / 1e6:.0f} MB in the last",
        f"took {np.median(turns):.2f} of its time",
        f"({min(turns):.2f} to {max(turns):.2f} in ten turns over {cost['videos']:,} clips",
    ]


def _load_of_triton() -> list[str]:
    load = json.loads((REPORTS / "service" / "triton.json").read_text("utf-8"))
    latency, batches = load["latency_seconds"], load["batches"]
    assert load["right"] == load["requests"]
    return [
        f"all {load['requests']:,} requests",
        f"{load['requests_per_second']:.0f} a second, in {latency['p50']:.2f} s in the median and "
        f"{latency['p99']:.2f} s",
        f"{load['killed_workers']} processes",
        f"{batches['8']} of {load['executions']} batches",
    ]


def _speed_of_corpus() -> list[str]:
    told = []
    for name, digits in (("real_clips", 1), ("results", 0)):
        found = json.loads((REPORTS / "corpus" / f"{name}.json").read_text("utf-8"))
        one, both = (found["speed"][f"workers_{count}"] for count in (1, 2))
        rates = (part["corpus_clips_per_second"] for part in (one, both))
        shares = (part["corpus_share_of_predict"] for part in (one, both))
        told.append("clips a second | " + " | ".join(f"{rate:.{digits}f}" for rate in rates))
        told.append("as many cores | " + " | ".join(f"{share:.2f}" for share in shares))
        if name == "real_clips":
            speed, scaling = one["corpus_clips_per_second"], found["speed"]["scaling_1_to_2"]
            of_predict = both["predict_clips_per_second"] / one["predict_clips_per_second"]
            told += [f"answer {scaling:.2f} times", f"two cores {of_predict:.2f} times"]
            told.append(f"1,000 cores take {1e9 / (speed * scaling / 2 * 1000) / 3600:.0f} hours")
        else:
            run = found["disturbed"]
            assert not any(run[wrong] for wrong in ("missing", "more_than_once", "unlike_predict"))
            told.append(f"over {run['inputs']:,} inputs, {run['errors']} of them broken")
    return told


def _load_of_streams() -> list[str]:
    found = json.loads((REPORTS / "streams" / "results.json").read_text("utf-8"))
    file, live = found["file"], found["live"]
    lags = live["lag"]
    return [
        f"took {file['wall_seconds']:.0f} s, {file['real_time_factor']:.0f} times",
        f"{file['memory']['most'] / 1e6:.0f} MB from",
        f"camera's {live['windows'] + live['left_out']:,} windows {live['windows']:,} were",
        f"{lags['p50']:.2f} s after",
        f"{lags['most']:.2f} s at most",
    ]


def _speed_of_peers() -> list[str]:
    found = json.loads((REPORTS / "peers.json").read_text("utf-8"))

    def ratio(value: dict[str, Any]) -> str:
        low, high = value["ratio_spread"]
        return f"{value['ratio']:.2f} ({low:.2f} to {high:.2f})"

    told = []
    for name, one in found["latency"].items():
        of_many = found["throughput"][name]
        stages = [one["stages"][stage]["p50"] for stage in ("prepare", "network", "total")]
        cells = [f"{1e3 * seconds:.0f}" for seconds in stages]
        cells.append(ratio(one["times_as_fast"]) if "times_as_fast" in one else "")
        cells.append(f"{of_many['clips_per_second']:.2f}")
        told.append(re.sub(" +", " ", " | ".join(cells)))
    limit = found["latency"]["openvino:int8"]["limit"]
    return [*told, f"Reading is {limit['share_of_reading']['ratio']:.0%}".replace("%", " %")]


def _reading() -> list[str]:
    return [*_speed_of_reading(), *_growth_of_reading()]


def _growth_of_reading() -> list[str]:
    found = json.loads((REPORTS / "reading_growth.json").read_text("utf-8"))["points"]

    def at(part: str, size: float) -> tuple[float, float]:
        one = next(one for one in found[part] if one["size"] == size)
        return np.median(one["cpu"]), one["memory"]

    (short, small), (whole, most) = at("length", 10), at("length", 7200)
    large, memory = at("resolution", 2160)
    files, of_files = at("files", 1000)
    return [
        f"{short:.2f} s of CPU time out of 10 s of video and {whole:.0f} s out of 2 hours",
        f"memory is {small:.0f} MiB at most in the first and {most:.0f} MiB in the second",
        f"2160 they take {large:.1f} s, and memory {memory:.0f} MiB",
        f"A thousand files take {files:.0f} s and {of_files:.0f} MiB",
    ]


def _speed_of_reading() -> list[str]:
    found = json.loads((REPORTS / "reading.json").read_text("utf-8"))
    ratios: dict[bool, list[tuple[str, float]]] = {True: [], False: []}
    for one in found["clips"]:
        took = one["milliseconds"]
        same = [took[name] for name, by in one["difference"].items() if by == 0]
        if same:
            short = one["decoded"]["ours"] < one["frames"]
            ratios[short].append((one["codec"], min(same) / took["ours"]))

    def row(values: list[float], how: str) -> str:
        mean = stats.gmean(values)
        return f"| {len(values)} | {how} | {mean:.2f} ({min(values):.2f} to {max(values):.2f}) |"

    return [
        f"{len(found['clips'])} real",
        row([ratio for _, ratio in ratios[True]], "frames are left out"),
        row([ratio for codec, ratio in ratios[True] if codec == "h264"], "of these, H.264"),
        row([ratio for _, ratio in ratios[False]], "every frame is decoded"),
        f"takes {found['times_as_fast_where_short']:.2f} times as long",
    ]


@pytest.mark.parametrize(
    ("page", "told"),
    [
        ("performance", _reading),
        ("paddlevideo", _speed_of_peers),
        ("service", _load_of_service),
        ("streams", _load_of_streams),
        ("triton", _load_of_triton),
        ("corpus", _speed_of_corpus),
    ],
)
def test_what_pages_say_of_load(page: str, told: Callable[[], list[str]]) -> None:
    text = (ROOT / "docs" / f"{page}.md").read_text("utf-8")
    assert [figure for figure in told() if figure not in text] == []
