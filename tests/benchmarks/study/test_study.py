"""The study: what is pooled, and its report."""

from __future__ import annotations

import csv
import io
import json
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.common.result_file import dump
from benchmarks.pages import numbers
from benchmarks.report.__main__ import main as report
from benchmarks.study import pooled as study_results
from benchmarks.study.__main__ import write_study
from benchmarks.study.record import setting_differences
from benchmarks.study.result_file import load_study
from benchmarks.study.sentences import study_sentence
from benchmarks.training.runs import Job, eta, train_all

MakeResults = Callable[..., dict[str, Any]]


def test_gains_are_pooled_over_seeds(make_study: MakeResults) -> None:
    study = make_study()
    for cell in study["cells"]:
        points = [row["gain"]["point"] for row in study["per_seed"][cell]]
        pooled = study["pooled"][cell]
        assert pooled["crossed"]["point"] == pytest.approx(np.mean(points))
        assert pooled["seeds"]["point"] == pytest.approx(np.mean(points))
        assert pooled["crossed"]["low"] < np.mean(points) < pooled["crossed"]["high"]
        assert pooled["distinguishable"] and pooled["seeds_gaining"] == 5
        assert pooled["student"] - pooled["baseline"] == pytest.approx(np.mean(points))


def test_identical_runs_have_no_gain(make_study: MakeResults) -> None:
    study = make_study(gains=(0.0, 0.0, 0.0))
    pooled = study["pooled"]["dynamic:fp32"]
    assert pooled["crossed"]["point"] == pooled["crossed"]["low"] == 0
    assert not pooled["distinguishable"] and not pooled["distinguishable_by_seeds"]
    assert numbers.NOT_DISTINGUISHABLE in study_sentence(study, "dynamic:fp32")


def test_the_words_follow_the_evidence(make_study: MakeResults) -> None:
    strong = study_sentence(make_study(), "dynamic:fp32")
    assert "more right answers in 5 of 5 seeds" in strong and "confirm" in strong
    assert numbers.NOT_DISTINGUISHABLE not in strong
    one = study_sentence(make_study(gains=(0.05,)), "dynamic:fp32")
    assert "one seed" in one
    lost = study_sentence(make_study(gains=(-0.03, -0.04, -0.035)), "dynamic:fp32")
    assert "loss" in lost and "fewer right answers in 3 of 3 seeds" in lost
    mixed = study_sentence(make_study(gains=(0.05, -0.05, 0.03)), "dynamic:fp32")
    assert numbers.NOT_DISTINGUISHABLE in mixed
    few = study_sentence(make_study(gains=(0.02, 0.10)), "dynamic:fp32")
    assert "across seeds it is not significant" in few and "confirm" not in few


def test_files_agree_with_each_other(make_study: MakeResults, tmp_path: Path) -> None:
    study = make_study()
    write_study(study, tmp_path)
    assert load_study(tmp_path / "results.json") == json.loads(dump(study))
    rows = list(csv.DictReader(io.StringIO((tmp_path / "results.csv").read_text())))
    assert len(rows) == 10 and {row["cell"] for row in rows} == set(study["cells"])
    for row in rows:
        gain = float(row["student_top1"]) - float(row["baseline_top1"])
        assert float(row["gain"]) == pytest.approx(gain, abs=2e-6)
    text = (tmp_path / "report.md").read_text()
    assert "mean, across seeds" in text and "Example(R) CPU" in text
    assert re.search(r"motions\\_teacher\.yaml .*7 s", text)
    assert "trainings at a time | 2, 1 thread(s) each |" in text


def test_what_each_class_gained_is_told(make_study: MakeResults, tmp_path: Path) -> None:
    study = make_study()
    labels = np.asarray(study["data"]["labels"])
    assert sum(one["clips"] for one in study["by_class"]) == len(labels)
    for label, one in enumerate(study["by_class"]):
        for role in ("baseline", "student"):
            answers = [
                np.asarray(run["cells"]["dynamic:fp32"]["predictions"])[labels == label]
                for run in study["runs"]
                if run["role"] == role
            ]
            assert one[role] == pytest.approx(np.mean(np.stack(answers) == label))
        gain = one["gain"]
        assert gain["point"] == pytest.approx(one["student"] - one["baseline"])
        assert gain["low"] <= gain["point"] <= gain["high"]
    write_study(study, tmp_path)
    assert "| moves\\_right | 167 |" in (tmp_path / "report.md").read_text()
    many = [
        {
            **study["by_class"][0],
            "class": f"of {n}",
            "clips": 1,
            "gain": {"point": n / 100, "low": n / 100, "high": n / 100, "level": 0.95},
        }
        for n in range(-15, 15)
    ]
    write_study({**study, "by_class": many}, tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert "10 that gained most and least of 30" in text
    assert "of 14 |" in text and "of -15 |" in text and "of 0 |" not in text


def test_the_report_takes_the_study_in(
    make_results: MakeResults,
    make_study: MakeResults,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.json").write_text(dump(make_results(clips=1000)))
    (tmp_path / "other.json").write_text(dump(make_results(clips=900)))
    anew = make_results(clips=1000)
    anew["data"]["clips_sha256"] = "cc" * 32  # the same labels, and other clips
    (tmp_path / "anew.json").write_text(dump(anew))
    assert report(["in.json", "--out", "without"]) == 0
    write_study(make_study(), tmp_path / "reports" / "study")
    assert report(["in.json", "--out", "with"]) == 0  # found at its default place
    assert report(["other.json", "--out", "other"]) == 0  # of other clips
    assert report(["anew.json", "--out", "anew"]) == 0
    for name in ("index.html", "report.md"):
        for folder in ("without", "other", "anew"):
            assert "5 seeds" not in (tmp_path / folder / name).read_text()
        text = (tmp_path / "with" / name).read_text()
        assert "5 seeds and 1000 clips" in text
        assert "2030-02-03T04:05:06+00:00 on Example(R) CPU" in text


def test_a_report_does_not_need_the_study_at_its_default_place(
    make_results: MakeResults,
    make_study: MakeResults,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.json").write_text(dump(make_results(clips=1000)))
    study = make_study()
    place = tmp_path / "reports" / "study" / "results.json"
    place.parent.mkdir(parents=True)
    for damaged in ("{", dump({**study, "format_version": 2}), dump({**study, "runs": []})):
        place.write_text(damaged)
        assert report(["in.json", "--out", "out"]) == 0
        assert "left out: reports/study/results.json" in capsys.readouterr().err
        assert report(["in.json", "--out", "out", "--study", str(place)]) == 2
        assert "Traceback" not in capsys.readouterr().err


def test_a_study_that_was_changed_by_hand_is_refused(
    make_results: MakeResults,
    make_study: MakeResults,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    study = make_study()
    study["per_seed"]["dynamic:fp32"][2]["gain"]["point"] += 0.01
    (tmp_path / "in.json").write_text(dump(make_results()))
    (tmp_path / "study.json").write_text(dump(study))
    arguments = ["--out", str(tmp_path / "out"), "--study", str(tmp_path / "study.json")]
    assert report([str(tmp_path / "in.json"), *arguments]) == 2
    assert "seed 13: the gain" in capsys.readouterr().err
    study = make_study()
    study["by_class"][1]["student"] += 0.01
    (tmp_path / "study.json").write_text(dump(study))
    assert report([str(tmp_path / "in.json"), *arguments]) == 2
    assert "student by class" in capsys.readouterr().err


def test_stored_answers_are_what_is_scored() -> None:
    stored = {"predictions": [0, 1, -1], "ranks": [0, 2, -1]}
    assert study_results.correct_of_answers(stored).tolist() == [True, False, False]


def test_time_left_comes_from_finished_trainings_of_the_same_config() -> None:
    jobs = [Job(name, Path("c"), seed, Path("r")) for seed in (1, 2) for name in ("a", "b")]
    assert eta([], jobs, [], 2) is None
    assert eta([(jobs[0], 100.0)], jobs[2:3], [], 2) == 50
    assert eta([(jobs[0], 100.0)], jobs[3:], [], 2) is None
    assert eta([(jobs[0], 0.0)], jobs[2:3], [], 2) is None  # was complete before
    finished = [(jobs[0], 3.0), (jobs[2], 100.0), (jobs[1], 200.0)]
    assert eta(finished, [jobs[0]], [(jobs[3], 150.0)], 2) == 75


def test_a_terminal_that_closes_does_not_end_what_nohup_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Job, "command", property(lambda job: [sys.executable, "-c", "pass"]))
    heard = []
    caplog.set_level("INFO", "clipduet")
    caplog.handler.addFilter(lambda record: not heard.append(signal.getsignal(signal.SIGHUP)))
    kept = signal.getsignal(signal.SIGHUP)
    for before in (signal.SIG_IGN, signal.SIG_DFL):
        signal.signal(signal.SIGHUP, before)
        try:
            train_all([Job("a", Path("c"), 1, tmp_path)], parallel=1, threads=1)
            assert signal.getsignal(signal.SIGHUP) == before
        finally:
            signal.signal(signal.SIGHUP, kept)
    assert heard[0] == signal.SIG_IGN and heard[-1] not in (signal.SIG_IGN, signal.SIG_DFL)


def test_configs_that_differ_in_more_than_the_model_are_named() -> None:
    one = {"MODEL": 1, "epochs": 3, "OPTIMIZER": {"name": "AdamW", "x": 1}, "seed": 1}
    other = {"MODEL": 2, "epochs": 4, "OPTIMIZER": {"name": "AdamW", "x": 2}, "seed": 9}
    assert setting_differences(one, other) == ["OPTIMIZER.x: 1 and 2", "epochs: 3 and 4"]
    assert setting_differences(one, {**one, "MODEL": 5}) == []
