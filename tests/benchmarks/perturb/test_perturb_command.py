"""The command that perturbs clips: what it measures, keeps, writes and refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.deployments import answers
from benchmarks.deployments.answer_cache import AnswerCache
from benchmarks.deployments.logits import read_logits
from benchmarks.gain import main as gain
from benchmarks.gate.results.result_file import load_results
from benchmarks.gate.verdict import Rule
from benchmarks.perturb import cameras
from benchmarks.perturb.cameras import PERTURBATIONS, Perturbation
from benchmarks.perturb.figures import figures, word
from benchmarks.perturb.report import main as report
from benchmarks.perturb.result_file import read_results
from infer.system.errors import VideoError
from tests.benchmarks.perturb.conftest import BROKEN, CLIPS
from tests.trees import tree

Run = Callable[..., int]
MODELS = ("baseline", "student")
CELLS = ("onnxruntime:fp32", "onnxruntime:int8")
NAMES = ("crf44", "half_rate", "noise")


def result(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "results.json").read_text())
    return found


def evaluations(
    monkeypatch: pytest.MonkeyPatch, *, stopped_at: int | None = None
) -> list[tuple[Any, ...]]:
    """The arguments of every evaluation from now on; Ctrl-C in place of one of them."""
    calls: list[tuple[Any, ...]] = []
    original = answers.evaluate

    def counted(*positional: Any, **named: Any) -> Any:
        calls.append(positional)
        if len(calls) == stopped_at:
            raise KeyboardInterrupt
        return original(*positional, **named)

    monkeypatch.setattr(answers, "evaluate", counted)
    return calls


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Where the run of the first test lies, for those that only read it."""
    return {"out": tmp_path_factory.mktemp("measured") / "out"}


@pytest.fixture
def out(run: Run, measured: dict[str, Path]) -> Path:
    folder = measured["out"]
    if not folder.exists():
        assert run(folder, "--perturb", *NAMES, "--tell-only") == 0
    return folder


def test_figures_follow_from_the_logits(out: Path, world: Path) -> None:
    found = result(out)
    logits = read_logits(out / "results.json", found["logits"])
    labels = np.asarray(found["data"]["labels"])
    listed = [line.rpartition(" ") for line in (world / "test.list").read_text().splitlines()]
    assert found["data"]["paths"] == [path for path, _, _ in listed]
    assert labels.tolist() == [int(label) for _, _, label in listed]
    assert len(logits) == 4 * 2 * 2 * 2
    right = {}
    for key, table in logits.items():
        assert table.shape == (CLIPS, 3) and np.isnan(table[BROKEN]).all()
        assert np.isfinite(np.delete(table, BROKEN, axis=0)).all()
        right[key] = np.nan_to_num(table, nan=-1).argmax(axis=1) == labels
        right[key][BROKEN] = False

    def top1(name: str, model: str, cell: str) -> float:
        return float(np.mean([right[f"{name}/{model}/{pair}/{cell}"] for pair in (0, 1)]))

    rows = {(row["perturbation"], row["cell"]): row for row in found["rows"]}
    assert list(rows) == [(name, cell) for name in ("clean", *NAMES) for cell in CELLS]
    turned = 0
    for (name, cell), row in rows.items():
        own = [top1(name, model, cell) for model in MODELS]
        clean = [top1("clean", model, cell) for model in MODELS]
        expected = {"gain": (row["gain"], own[1] - own[0])}
        if name == "clean":
            assert row["gain_change"] is None and row["student"]["change"] is None
        else:
            change = own[1] - own[0] - (clean[1] - clean[0])
            expected["gain_change"] = (row["gain_change"], change)
            for place, model in enumerate(MODELS):
                expected[model] = (row[model]["change"], own[place] - clean[place])
        for place, model in enumerate(MODELS):
            assert row[model]["top1"] == pytest.approx(own[place])
            turned += own[place] != clean[place]
        if cell != CELLS[0]:
            before = top1(name, "student", CELLS[0]) - top1(name, "baseline", CELLS[0])
            if row["retained"] is not None:
                expected["retained"] = (row["retained"], (own[1] - own[0]) / before)
            assert row["verdict"]["verdict"] in ("pass", "fail", "unclear")
        for interval, point in expected.values():
            assert interval["point"] == pytest.approx(point)
            for end, sign in (("low", -1), ("high", 1)):
                assert interval[end] is None or sign * (interval[end] - point) >= -1e-9
    assert turned  # perturbations turn answers here, or nothing was tested


def test_the_verdict_on_a_gain_follows_from_its_interval(out: Path) -> None:
    for row in read_results(out / "results.json")["rows"]:
        low, high = row["gain"]["low"], row["gain"]["high"]
        expected = "pass" if low > 0 else "fail" if high < 0 else "unclear"
        assert row["gain"]["verdict"] == expected
        if row["cell"] == CELLS[0]:
            assert word(row) == expected and "verdict" not in row


def test_the_same_command_finds_the_same(run: Run, out: Path, tmp_path: Path) -> None:
    assert run(tmp_path / "again", "--perturb", ",".join(NAMES), "--tell-only") == 0
    first, second = result(out), result(tmp_path / "again")
    assert first["rows"] == second["rows"]
    assert first["perturbations"] == second["perturbations"]
    assert first["logits"]["sha256"] == second["logits"]["sha256"]


def test_all_models_and_deployments_see_the_same_pixels(
    run: Run, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Pixels are made anew for each, and answers.
    monkeypatch.setattr("benchmarks.deployments.answers.CACHE_BYTES", 0)
    monkeypatch.setattr(AnswerCache, "load", lambda cache, about: None)
    names = ["noise", "dropped_frames", "crf36"]
    assert run(tmp_path, "--perturb", *names, baseline="b1", student="b1") == 0
    found = result(tmp_path)
    logits = read_logits(tmp_path / "results.json", found["logits"])
    for name in names:
        for cell in CELLS:
            one, other = (logits[f"{name}/{model}/0/{cell}"] for model in MODELS)
            assert np.array_equal(one, other, equal_nan=True)
        assert not np.array_equal(
            logits[f"{name}/student/0/{CELLS[0]}"],
            logits[f"clean/student/0/{CELLS[0]}"],
            equal_nan=True,
        )
    assert all(row["gain"]["point"] == 0 for row in found["rows"])


def test_clean_answers_are_those_of_the_gate(
    out: Path, world: Path, tmp_path: Path, tried: None
) -> None:
    file = tmp_path / "results.json"
    assert gain([*asked(world), "--out", str(file), "--no-latency", "--tell-only"]) == 0
    gate = read_logits(file, load_results(file)["logits"])
    own = read_logits(out / "results.json", result(out)["logits"])
    for key, table in gate.items():
        assert np.array_equal(own[f"clean/{key}"], table, equal_nan=True)


def asked(world: Path) -> list[str]:
    return [
        "--baseline", str(world / "a1"), str(world / "a2"),
        "--student", str(world / "b1"), str(world / "b2"),
        "--data", str(world / "test.list"), "--root", str(world / "clips"),
        "--resamples", "300", "--threads", "1", "--backends", "onnxruntime",
    ]  # fmt: skip


def test_the_gate_takes_perturbations_too(
    out: Path, world: Path, tmp_path: Path, tried: None, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    calls = evaluations(monkeypatch)
    file = tmp_path / "mine.json"
    more = ["--out", str(file), "--no-latency", "--perturb", "half_rate", "--tell-only"]
    assert gain([*asked(world), *more]) == 0
    assert len(calls) == 2 * 4 * 2  # the clean clips are not answered twice
    assert sorted(one.name for one in tmp_path.iterdir()) == [
        "mine.json", "mine.logits.npz", "mine.perturbed", "mine.sheets.json", "mine.summary.json",
    ]  # fmt: skip
    rows = read_results(tmp_path / "mine.perturbed" / "results.json")["rows"]
    assert rows == [
        row for row in result(out)["rows"] if row["perturbation"] in ("clean", NAMES[1])
    ]
    said = capsys.readouterr().out
    assert "half the frame rate" in said and str(tmp_path / "mine.perturbed") in said


def test_what_was_stopped_goes_on_where_it_was(
    run: Run, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = evaluations(monkeypatch, stopped_at=14)
    command = (tmp_path / "out", "--perturb", *NAMES, "--tell-only")
    assert run(*command) == 130
    assert not (tmp_path / "out" / "results.json").exists()
    assert run(*command) == 0
    assert len(calls) == 4 * 4 * 2 + 1
    assert result(tmp_path / "out")["rows"] == result(out)["rows"]
    assert not (tmp_path / "out" / ".answers").exists()


def test_answers_of_another_seed_are_not_taken_over(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = evaluations(monkeypatch, stopped_at=4)

    def again(seed: str) -> int:
        more = ("--perturb", "noise", "--cells", CELLS[0], "--seed", seed, "--tell-only")
        return run(tmp_path, *more, baseline="b1", student="b2")

    assert again("1") == 130
    assert again("2") == 0
    assert len(calls) == 4 + 2  # the clean clips were answered; the noise of seed 1 is another one


def test_a_clip_that_cannot_be_perturbed_costs_only_itself(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def odd(frames: np.ndarray, fps: float, rng: np.random.Generator) -> np.ndarray:
        if rng.integers(3) == 0:
            raise VideoError("a.mp4", "is odd")
        return frames

    monkeypatch.setitem(PERTURBATIONS, "noise", Perturbation("odd", "", odd))
    assert run(tmp_path, "--perturb", "noise", "--tell-only") == 0
    found = result(tmp_path)
    failed = found["perturbations"]["noise"]["failed"]
    assert [one["path"] for one in found["data"]["failed"]] == [f"clip {BROKEN}.mp4"]
    assert 0 < len(failed) < CLIPS and {one["error"] for one in failed} == {"is odd"}
    odd_ones = {found["data"]["paths"].index(one["path"]) for one in failed} | {BROKEN}
    for cells in found["perturbations"]["noise"]["predictions"].values():
        for pairs in cells.values():
            for pair in pairs:
                assert {place for place, said in enumerate(pair) if said < 0} == odd_ones
    assert f"{len(failed)} clip" in (tmp_path / "report.md").read_text()


def test_a_perturbation_that_fails_leaves_the_others(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(frames: np.ndarray, fps: float, rng: np.random.Generator) -> np.ndarray:
        raise VideoError("a.mp4", "no encoder")

    monkeypatch.setitem(PERTURBATIONS, "crf28", Perturbation("broken encoder", "", fails))
    assert run(tmp_path, "--perturb", "crf28", "half_rate") == 1
    found = read_results(tmp_path / "results.json")
    assert "no encoder" in found["perturbations"]["crf28"]["problem"]
    assert {row["perturbation"] for row in found["rows"]} == {"clean", "half_rate"}
    assert "broken encoder was not measured" in (tmp_path / "report.md").read_text()
    assert run(tmp_path, "--perturb", "crf28", "--tell-only") == 0


def test_strict_fails_where_a_verdict_is_inconclusive(run: Run, out: Path, tmp_path: Path) -> None:
    assert "unclear" in [word(row) for row in result(out)["rows"]]
    assert run(tmp_path, "--perturb", *NAMES, "--strict") == 1


def test_some_clips_of_each_class(run: Run, tmp_path: Path) -> None:
    assert run(tmp_path, "--perturb", "darker", "--clips", "12", "--tell-only") == 0
    data = result(tmp_path)["data"]
    assert data["listed"] == len(data["paths"]) == 12 and data["clips_of_list"] == CLIPS
    assert len(set(data["labels"])) == 3
    assert "12 of 24" in (tmp_path / "report.md").read_text()


def test_one_pair_and_the_reference_alone(run: Run, tmp_path: Path) -> None:
    more = ("--perturb", "half_rate", "--cells", CELLS[0], "--tell-only")
    assert run(tmp_path, *more, baseline="a1", student="b1") == 0
    found = result(tmp_path)
    assert [row["cell"] for row in found["rows"]] == [CELLS[0]] * 2
    assert "one pair" in (tmp_path / "report.md").read_text()


def test_wrong_use_is_told_at_once(
    run: Run, world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tree(world)
    wrong = ["--perturb", "crf99", "--clips", "-1", "--keep", "0", "--threads", "0"]
    assert run(world / "b1", *wrong) == 2
    said = capsys.readouterr().err
    for name in ("crf99", "--clips", "--keep", "--threads", "--out"):
        assert name in said
    assert tree(world) == before and not list(tmp_path.iterdir())
    assert run(tmp_path / "out", student="b1 no") == 2
    assert run(tmp_path / "out", "--cells", "nowhere:fp32") == 2
    assert not (tmp_path / "out" / "results.json").exists()


def test_the_report_is_made_again_of_the_answers(out: Path, tmp_path: Path) -> None:
    assert report([str(out / "results.json"), "--out", str(tmp_path)]) == 0
    for name in ("index.html", "report.md", "gain.svg"):
        assert (tmp_path / name).read_bytes() == (out / name).read_bytes()
    text = (tmp_path / "report.md").read_text()
    for name in NAMES:
        assert PERTURBATIONS[name].title in text
    page = (tmp_path / "index.html").read_text()
    assert (
        page.count("<svg") == 1 and "ORT int8" in page and "http" not in page.split("</style>")[1]
    )


def test_figures_of_a_changed_file_follow_from_its_answers(out: Path, tmp_path: Path) -> None:
    changed = result(out)
    changed["rows"][0]["gain"]["point"] = 0.9
    file = tmp_path / "results.json"
    file.write_text(json.dumps(changed))
    assert read_results(file)["rows"] == result(out)["rows"]
    del changed["perturbations"]["noise"]["predictions"]
    file.write_text(json.dumps(changed))
    assert report([str(file), "--out", str(tmp_path / "pages")]) == 2
    file.write_text("{}")
    assert report([str(file), "--out", str(tmp_path / "pages")]) == 2
    assert not (tmp_path / "pages").exists()


def test_a_gain_that_a_camera_takes_fails() -> None:
    """Of 40 clips the student gains 20 as they are, and loses 20 where they are darker."""
    labels = [0] * 40
    better, worse = [0] * 30 + [1] * 10, [0] * 10 + [1] * 30
    clean = {"baseline": {"fp32": [worse] * 3}, "student": {"fp32": [better] * 3}}
    dark = {
        "baseline": {"fp32": [better] * 3, "int8": [better] * 3},
        "student": {"fp32": [worse] * 3, "int8": [[0] * 9 + [1] * 31] * 3},
    }
    rows = figures(
        {"clean": clean, "darker": dark}, labels, reference="fp32", rule=Rule(),
        bootstrap={"resamples": 400, "seed": 0, "level": 0.95}, same={},
    )  # fmt: skip
    found = {(row["perturbation"], row["cell"]): row for row in rows}
    assert found["clean", "fp32"]["gain"]["point"] == 0.5 and word(found["clean", "fp32"]) == "pass"
    dark_row = found["darker", "fp32"]
    assert word(dark_row) == "fail" and dark_row["gain"]["high"] < 0
    assert dark_row["gain_change"]["point"] == -1.0
    assert (dark_row["gain"]["pairs_gaining"], dark_row["gain"]["pairs_losing"]) == (0, 3)
    int8 = found["darker", "int8"]
    assert int8["retained"] is None  # of a loss nothing can be retained
    assert int8["gain_change"] is None  # it was not measured on the clean clips
    assert int8["verdict"]["change"]["point"] == pytest.approx(-1 / 40)


def test_every_perturbation_has_a_name_for_people() -> None:
    titles = [one.title for one in PERTURBATIONS.values()]
    assert len(set(titles)) == len(titles) and all(one.about for one in PERTURBATIONS.values())
    assert cameras.CLEAN not in PERTURBATIONS
