"""`python -m train.evaluate`: a checkpoint or a bundle on any list."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infer.clips.preprocess import load_clips
from infer.clips.spec import ClipSpec
from infer.pipeline.rank import softmax
from tests.tiny_bundle import SPEC, write_bundle
from tests.train.tiny import ALONE, PAIR, run
from train.evaluate import main
from train.evaluation.evaluate import Evaluation
from train.evaluation.per_class import confusion, macro_f1, macro_f1_interval, per_class
from train.evaluation.report import figures, lines
from train.evaluation.shares import wilson


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as opened:
        return list(csv.DictReader(opened))


def results(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "results.json").read_text())
    return found


@pytest.mark.parametrize("model", [ALONE, PAIR], ids=["alone", "pair"])
def test_a_run_is_evaluated_as_it_was_validated(
    experiment: Callable[..., Path],
    clips: Path,
    tmp_path: Path,
    model: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    progress = run(experiment(model, epochs=2))
    out = tmp_path / "out"
    data = ["--data", str(clips / "val.list"), "--root", str(clips)]
    assert main(["--checkpoint", str(tmp_path / "run"), *data, "--out", str(out)]) == 0
    found = results(out)
    assert found["top1"] == progress.best["top1"]
    assert found["list"] == str(clips / "val.list") and len(found["sha256"]) == 64
    low, high = found["top1_interval"]
    assert low <= found["top1"] <= high
    answers, own = rows(out / "predictions.csv"), rows(tmp_path / "run/val_predictions.csv")
    for key in ("path", "label", "prediction", "right", "label_rank"):
        assert [row[key] for row in answers] == [row[key] for row in own], key
    table = np.array([[int(v) for k, v in row.items() if k != "label"]
                      for row in rows(out / "confusion.csv")])  # fmt: skip
    assert np.trace(table[:, :3]) == sum(int(row["right"]) for row in answers)
    assert table.sum() == 6
    assert (out / "wrong.html").is_file() and len(rows(out / "per_class.csv")) == 3
    assert "top-1" in capsys.readouterr().out


def test_the_list_and_pipeline_are_those_of_the_config_unless_named(
    experiment: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(experiment(ALONE, epochs=1))
    out, best = tmp_path / "out", str(tmp_path / "run/best.pdparams")
    assert main(["--checkpoint", best, "--out", str(out)]) == 2
    assert "--data" in capsys.readouterr().err
    assert main(["--checkpoint", best, "--out", str(out), "--split", "valid"]) == 0
    assert results(out)["listed"] == 6
    test = "DATASET.test={format: VideoDataset, file_path: train.list}"
    assert main(["--checkpoint", best, "--out", str(out), "-o", test]) == 0
    assert results(out)["listed"] == 12


def expected(paths: list[Path], spec: ClipSpec) -> np.ndarray:
    """What the tiny bundle says: the brightest colour, scores averaged over views and crops."""
    scores = []
    for path in paths:
        clips, _ = load_clips(path, spec)
        means = clips.astype(np.float64).mean(axis=(1, 2, 3))
        scores.append(softmax(means * 0.05).mean(axis=0))
    return np.array(scores)


@pytest.mark.parametrize(
    ("options", "views", "crops"),
    [([], 1, 1), (["--views", "3"], 3, 1), (["--views", "2", "--crops", "3"], 2, 3)],
)
def test_a_bundle_is_evaluated_with_views_and_crops(
    clips: Path, tmp_path: Path, options: list[str], views: int, crops: int
) -> None:
    bundle, out = write_bundle(tmp_path / "bundle"), tmp_path / "out"
    data = ["--data", str(clips / "val.list"), "--root", str(clips)]
    assert main(["--checkpoint", str(bundle), *data, "--out", str(out), *options]) == 0
    changed = SPEC.to_dict()
    changed["sampling"]["views"], changed["preprocess"]["crops"] = views, crops
    spec = ClipSpec.from_dict(changed)
    assert results(out)["spec"] == changed
    answers = rows(out / "predictions.csv")
    scores = expected([Path(row["path"]) for row in answers], spec)
    assert [int(row["prediction"]) for row in answers] == scores.argmax(axis=1).tolist()
    found = [float(row["confidence"]) for row in answers]
    assert found == pytest.approx(scores.max(axis=1), abs=1e-5)
    assert [row["prediction_name"] for row in answers] == [
        ("red", "green", "blue")[int(row["prediction"])] for row in answers
    ]


def test_clips_that_cannot_be_read_count_as_wrong_and_missing_ones_are_left_out(
    clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle, out = write_bundle(tmp_path / "bundle"), tmp_path / "out"
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    listed = tmp_path / "own.list"
    lines = [f"{clips}/{index}.mp4 {index % 3}" for index in range(3)]
    listed.write_text("\n".join([*lines, f"{tmp_path}/broken.mp4 0", f"{tmp_path}/gone.mp4 1"]))
    command = ["--checkpoint", str(bundle), "--data", str(listed), "--out", str(out)]
    assert main(command) == 2
    assert "gone.mp4" in capsys.readouterr().err
    assert main([*command, "--skip-missing"]) == 1
    assert "broken.mp4" in capsys.readouterr().err
    found = results(out)
    assert (found["listed"], found["decoded"], found["missing"]) == (4, 3, 1)
    assert len(found["failed"]) == 1
    assert rows(out / "per_class.csv")[0]["clips"] == "2"
    assert rows(out / "confusion.csv")[0]["failed"] == "1"


@pytest.mark.parametrize(
    "wrong",
    [
        ["-c", "x.yaml", "--data", "x.list"],
        ["-o", "epochs=2", "--data", "x.list"],
        [],
        ["--data", "none.list"],
        ["--data", "x.list", "--views", "0"],
    ],
)
def test_wrong_options_of_a_bundle_are_refused(
    tmp_path: Path, wrong: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["--checkpoint", str(write_bundle(tmp_path / "bundle")), *wrong]
    try:
        status: Any = main([*command, "--out", str(tmp_path / "out")])
    except SystemExit as stopped:  # argparse
        status = stopped.code
    assert status == 2
    assert "error" in capsys.readouterr().err
    assert not (tmp_path / "out/results.json").exists()


def test_a_checkpoint_that_is_not_there_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--checkpoint", str(tmp_path / "none"), "--out", str(tmp_path / "out")]) == 2
    assert "none" in capsys.readouterr().err


@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilsons_interval_is_scipys(case: tuple[int, int]) -> None:
    stats = pytest.importorskip("scipy.stats")
    right, of = case
    wanted = stats.binomtest(right, of).proportion_ci(0.95, method="wilson")
    assert wilson(right, of) == pytest.approx((wanted.low, wanted.high), abs=1e-9)


LISTS = st.lists(st.tuples(st.integers(0, 3), st.integers(-1, 3)), min_size=1, max_size=40)


@given(LISTS)
def test_tables_agree_with_the_evaluation(pairs: list[tuple[int, int]]) -> None:
    labels, guesses = (np.array(values, np.int64) for values in zip(*pairs, strict=True))
    logits = np.full((len(pairs), 4), np.nan, np.float32)
    for row, guess in zip(logits, guesses.tolist(), strict=True):
        if guess >= 0:
            row[:] = 0
            row[guess] = 1
    paths = tuple(str(index) for index in range(len(pairs)))
    failed = tuple((path, "") for path, guess in zip(paths, guesses, strict=True) if guess < 0)
    result = Evaluation(logits, labels, paths, failed)
    table = confusion(labels, guesses, classes=4)
    assert table.sum() == len(pairs)
    assert macro_f1(table) == pytest.approx(result.macro_f1)
    for row, recall in zip(per_class(table, list("abcd")), result.recall, strict=True):
        assert (row.recall is None) == np.isnan(recall)
        assert row.recall is None or row.recall == pytest.approx(recall)


@pytest.mark.parametrize(("classes", "told"), [(3, False), (5, False), (6, True)])
def test_top_5_is_told_only_where_it_says_something(classes: int, told: bool) -> None:
    labels = np.arange(classes)
    logits = np.eye(classes, dtype=np.float32)
    result = Evaluation(logits, labels, tuple(map(str, labels)), ())
    table = per_class(confusion(labels, labels, classes=classes), [f"c{one}" for one in labels])
    text = "\n".join(lines(figures(result), table))
    assert "top-1" in text and "macro F1" in text and ("top-5" in text) is told


def test_the_interval_of_macro_f1_narrows_with_more_clips() -> None:
    labels, guesses = np.array([0, 1, 2, 0, 1, 2]), np.array([0, 1, 2, 1, 2, 2])
    widths = []
    for times in (5, 50):
        many = np.tile(labels, times), np.tile(guesses, times)
        low, high = macro_f1_interval(*many, classes=3)
        assert low <= macro_f1(confusion(*many, classes=3)) <= high
        widths.append(high - low)
    assert widths[1] < widths[0] / 2
