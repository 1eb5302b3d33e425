"""Pictures of clips that flipped: which, what of them, and where a report gets them from."""

from __future__ import annotations

import base64
import json
import re
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from scipy.special import softmax

from benchmarks.common.errors import BenchmarkError
from benchmarks.deployments.logits import read_logits
from benchmarks.gate import flipped_clips
from benchmarks.gate.results.result_file import load_results
from benchmarks.gate.results.sheets_file import read_sheets
from benchmarks.report.__main__ import main as report
from infer.clips.contact_sheet import GAP
from infer.clips.preprocess import load_clips
from infer.runtimes.status import Status
from infer.system.files import sha256_of
from tests.benchmarks.gate.networks import SPEC, run

pytestmark = pytest.mark.usefixtures("tried")
FP32, INT8 = "onnxruntime:fp32", "onnxruntime:int8"


@pytest.fixture(scope="module")
def measured(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A result of two pairs, and its report in `report`: the student gains blue, int8 loses it."""
    folder = tmp_path_factory.mktemp("measured")
    more = ("--no-latency", "--tell-only", "--report", str(folder / "report"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("benchmarks.deployments.deployment.statuses", _only_onnxruntime)
        assert run(world, "blind noisy", "lossy good", folder / "results.json", *more) == 0
    return folder


def _only_onnxruntime(names: list[str]) -> list[Any]:
    return [Status(name, name == "onnxruntime", "not tried") for name in names]


def copied(measured: Path, folder: Path) -> Path:
    """The result file in another folder, with what lies beside it."""
    for name in ("results.json", "logits.npz", "sheets.json"):
        shutil.copy(measured / name, folder / name)
    return folder / "results.json"


def rewrite(file: Path, sheets: dict[str, Any]) -> None:
    """Write other pictures beside a result, and their checksum into it."""
    beside = file.with_name("sheets.json")
    beside.write_text(json.dumps(sheets), encoding="utf-8")
    results = json.loads(file.read_text(encoding="utf-8"))
    results["sheets"]["sha256"] = sha256_of(beside)
    file.write_text(json.dumps(results), encoding="utf-8")


def test_the_most_confident_flips_are_chosen_with_both_probabilities(measured: Path) -> None:
    results = load_results(measured / "results.json")
    found = read_sheets(measured / "results.json", results)
    chances = {
        key: softmax(table.astype(np.float64), axis=1)
        for key, table in read_logits(measured / "results.json", results["logits"]).items()
    }
    labels = np.asarray(results["data"]["labels"])
    expected = []
    for first, second in (
        (("baseline", FP32), ("student", FP32)), (("student", FP32), ("student", INT8)),
    ):  # fmt: skip
        for lost in (True, False):
            best: dict[int, tuple[float, int, float]] = {}
            for pair in range(2):
                before, after = (chances[f"{m}/{pair}/{cell}"] for m, cell in (first, second))
                for clip in range(29):  # the last one is no video
                    rights = [p[clip].argmax() == labels[clip] for p in (before, after)]
                    if rights == [lost, not lost]:
                        new = (after[clip].max(), -pair, before[clip].max())
                        best[clip] = max(best.get(clip, new), new)
            order = sorted(best, key=lambda clip: (-best[clip][0], clip))
            if order:
                way = "right_to_wrong" if lost else "wrong_to_right"
                shown = [(clip, -best[clip][1]) for clip in order[:6]]
                expected.append((first, second, way, len(order), shown))
                kind = found.kinds[len(expected) - 1]
                for one in kind.shown:
                    assert one.after == pytest.approx(best[one.clip][0])
                    assert one.before == pytest.approx(best[one.clip][2])
    assert [
        (
            (kind.before.model, kind.before.cell), (kind.after.model, kind.after.cell), kind.way,
            kind.clips, [(one.clip, one.pair) for one in kind.shown],
        )
        for kind in found.kinds
    ] == expected  # fmt: skip
    assert [way for _, _, way, _, _ in expected].count("right_to_wrong") == 1
    assert max(clips for _, _, _, clips, _ in expected) > 6


def test_the_page_shows_the_frames_that_the_network_saw(measured: Path, world: Path) -> None:
    page = (measured / "report/index.html").read_text(encoding="utf-8")
    results = load_results(measured / "results.json")
    sheets = read_sheets(measured / "results.json", results)
    assert "img-src data:" in page
    sources = re.findall(r'<img alt="[^"]+" src="data:image/jpeg;base64,([^"]+)">', page)
    assert page.count("<img") == len(sources) == sum(len(kind.shown) for kind in sheets.kinds)
    assert sum(map(len, sources)) < 300_000
    clips = [one.clip for kind in sheets.kinds for one in kind.shown]
    for clip, source in zip(clips, sources, strict=True):
        coded = np.frombuffer(base64.b64decode(source), np.uint8)
        picture = cv2.cvtColor(cv2.imdecode(coded, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        seen = load_clips(world / "clips" / results["data"]["paths"][clip], SPEC)[0][0]
        assert picture.shape == (64, (64 + GAP) * len(seen) - GAP, 3)
        for place, frame in enumerate(seen):
            drawn = picture[:, (64 + GAP) * place :][:, 8:56]
            assert np.abs(drawn.mean((0, 1)) - frame.mean((0, 1))).max() < 4


def test_page_and_markdown_say_label_and_both_answers(measured: Path) -> None:
    results = load_results(measured / "results.json")
    kind = next(k for k in read_sheets(measured / "results.json", results).kinds
                if k.after.cell == INT8)  # fmt: skip
    one = kind.shown[0]
    answer = results["cells"][1]["pairs"][one.pair]["student"]["predictions"][one.clip]
    classes = results["data"]["classes"]
    said = (
        f"label: blue; ORT fp32: blue {100 * one.before:.0f} % \u2192 "
        f"ORT int8: {classes[answer]} {100 * one.after:.0f} %"
    )
    assert kind.way == "right_to_wrong" and answer != 2
    page = (measured / "report/index.html").read_text(encoding="utf-8").replace("\u00a0", " ")
    markdown = (measured / "report/report.md").read_text(encoding="utf-8")
    path = f"{results['data']['paths'][one.clip]}, pair {one.pair + 1}"
    for text in (page, markdown):
        assert said in text and path in text
        assert f"right to wrong: {kind.clips} clips, 6 shown" in text
    caption = page.index("DML student in ONNX Runtime int8 instead of")
    assert page.rindex("<details>", 0, caption) > page.rindex("</details>", 0, caption)


def test_a_report_made_elsewhere_has_the_pictures_that_lie_beside_the_result(
    measured: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = copied(measured, tmp_path)
    results = json.loads(file.read_text(encoding="utf-8"))
    results["data"]["root"] = "/no/such/folder"
    file.write_text(json.dumps(results), encoding="utf-8")
    assert report([str(file), "--out", str(tmp_path / "out")]) == 0
    page = (tmp_path / "out/index.html").read_text(encoding="utf-8")
    assert page.count("<img") == (measured / "report/index.html").read_text("utf-8").count("<img")
    for folder in (tmp_path / "out", measured / "report"):
        assert (folder / "sheets.json").read_bytes() == (measured / "sheets.json").read_bytes()
    again = tmp_path / "again"
    assert report([str(tmp_path / "out/results.json"), "--out", str(again)]) == 0
    assert (again / "index.html").read_text(encoding="utf-8") == page
    capsys.readouterr()
    for content, reason in ((None, "is missing"), (b"other", "SHA-256")):
        (tmp_path / "sheets.json").unlink(missing_ok=True)
        if content is not None:
            (tmp_path / "sheets.json").write_bytes(content)
        assert report([str(file), "--out", str(tmp_path / "without")]) == 0
        text = (tmp_path / "without/report.md").read_text(encoding="utf-8")
        assert "No pictures: sheets.json" in text and reason in text
        assert reason in capsys.readouterr().err


def test_without_pictures_the_report_says_why(
    world: Path, tmp_path: Path, measured: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "results.json"
    more = ("--no-latency", "--sheets", "0", "--report", str(tmp_path / "report"))
    assert run(world, "blind", "good", out, *more) == 0
    assert load_results(out)["sheets"] is None and not (tmp_path / "sheets.json").exists()
    assert "--sheets 0" in (tmp_path / "report/report.md").read_text(encoding="utf-8")
    results = json.loads(out.read_text(encoding="utf-8"))
    del results["sheets"]
    out.write_text(json.dumps(results), encoding="utf-8")
    capsys.readouterr()
    assert report([str(out), "--out", str(tmp_path / "older")]) == 0
    assert "took no pictures" in (tmp_path / "older/report.md").read_text(encoding="utf-8")
    assert "pictures" not in capsys.readouterr().err
    assert run(world, "blind", "good", out, "--no-latency", "--sheets", "101") == 2
    assert "--sheets" in capsys.readouterr().err


def test_where_no_answer_flips_that_is_said(world: Path, tmp_path: Path) -> None:
    more = ("--no-latency", "--tell-only", "--report", str(tmp_path / "report"))
    assert run(world, "good", "good", tmp_path / "results.json", *more) == 0
    assert "No answer flipped" in (tmp_path / "report/report.md").read_text(encoding="utf-8")


def test_pictures_stay_within_their_bytes_and_every_kind_keeps_its_first(
    measured: Path, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = read_sheets(measured / "results.json", load_results(measured / "results.json"))
    lengths = [
        [len(base64.b64encode(whole.pictures[one.clip])) + 23 for one in kind.shown]
        for kind in whole.kinds
    ]
    room = sum(own[0] for own in lengths) + lengths[0][1]
    monkeypatch.setattr(flipped_clips, "MOST_BYTES", room)
    out = tmp_path / "results.json"
    assert run(world, "blind noisy", "lossy good", out, "--no-latency", "--tell-only") == 0
    cut = read_sheets(out, load_results(out))
    assert [len(kind.shown) for kind in cut.kinds] == [2, *(1 for _ in lengths[1:])]
    for few, all_of_them in zip(cut.kinds, whole.kinds, strict=True):
        assert few.shown == all_of_them.shown[: len(few.shown)]
        assert few.clips == all_of_them.clips
    assert set(cut.pictures) == {one.clip for kind in cut.kinds for one in kind.shown}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda kind: kind.update(way="sideways"), "sideways"),
        (lambda kind: kind["shown"][0].update(clip=10**6), "not in the result"),
        (lambda kind: kind["shown"][0].update(clip=-1), "not in the result"),
        (lambda kind: kind["shown"][0].update(after=1.5), "probability"),
        (lambda kind: kind["shown"][0].update(clip=0), "did not flip"),
        (lambda kind: kind["after"].update(cell="openvino:int8"), "network"),
        (lambda kind: kind.pop("shown"), "lacks a part"),
    ],
    ids=["way", "clip", "negative", "probability", "contradiction", "deployment", "part"],
)
def test_pictures_that_contradict_the_result_are_refused(
    measured: Path, tmp_path: Path, change: Any, reason: str
) -> None:
    file = copied(measured, tmp_path)
    sheets = json.loads((tmp_path / "sheets.json").read_text(encoding="utf-8"))
    change(sheets["kinds"][-1])
    rewrite(file, sheets)
    with pytest.raises(BenchmarkError, match=reason):
        read_sheets(file, load_results(file))


def test_what_is_no_picture_is_refused_and_text_is_escaped(measured: Path, tmp_path: Path) -> None:
    file = copied(measured, tmp_path)
    given = json.loads((tmp_path / "sheets.json").read_text(encoding="utf-8"))
    first = next(iter(given["pictures"]))
    for wrong in ('"><script>', base64.b64encode(b"<svg/>").decode()):
        rewrite(file, {**given, "pictures": {**given["pictures"], first: wrong}})
        with pytest.raises(BenchmarkError, match="damaged"):
            read_sheets(file, load_results(file))
    rewrite(file, given)
    results = json.loads(file.read_text(encoding="utf-8"))
    results["data"]["classes"] = ["<script>x</script>", '"><img src=x>', "c"]
    file.write_text(json.dumps(results), encoding="utf-8")
    assert report([str(file), "--out", str(tmp_path / "out")]) == 0
    page = (tmp_path / "out/index.html").read_text(encoding="utf-8")
    assert "<script" not in page and "&lt;script&gt;" in page
    assert page.count("<img") == page.count('<img alt="frames of the clip" src="data:image/jpeg')
