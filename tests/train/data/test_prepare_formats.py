"""The official annotation formats: small files as the makers write them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from train.data.prepare import formats
from train.data.prepare.annotation_files import AnnotationError
from train.data.prepare.formats import Entry, Plan


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


KINETICS = {
    # The Common Visual Data Foundation's files, with is_cc; names with a comma or a blank in them.
    "train.csv": "label,youtube_id,time_start,time_end,split,is_cc\n"
    'zumba,-3B32lodo2M,59,69,train,0\n"air drumming",_dbcJuKJQNs,40,50,train,0\n',
    # DeepMind's, without.
    "kinetics400/validate.csv": "label,youtube_id,time_start,time_end,split\n"
    "air drumming,--nQbRBEz2s,104,114,validate\n",
    "kinetics400/test.csv": "youtube_id,time_start,time_end,split\n--6bJUbfpnQ,17,27,test\n",
}


def test_kinetics(tmp_path: Path) -> None:
    plan = formats.kinetics(write(tmp_path, KINETICS))
    assert plan == Plan(
        ["air drumming", "zumba"],
        {
            "train": [
                Entry("-3B32lodo2M_000059_000069", 1),
                Entry("_dbcJuKJQNs_000040_000050", 0),
            ],
            "val": [Entry("--nQbRBEz2s_000104_000114", 0)],
            "test": [Entry("--6bJUbfpnQ_000017_000027", None)],
        },
    )
    (tmp_path / "kinetics400/test.csv").unlink()
    assert formats.kinetics(tmp_path).absent == ("test",)


def test_kinetics_mistakes_are_told_together(tmp_path: Path) -> None:
    bad = {**KINETICS}
    bad["train.csv"] += "zumba,abc,x,10,train,0\n,def,1,11,train,0\n"
    with pytest.raises(AnnotationError) as caught:
        formats.kinetics(write(tmp_path, bad))
    assert "train.csv:4: needs youtube_id" in str(caught.value)
    assert "train.csv:5: def_000001_000011 has no label" in str(caught.value)
    (tmp_path / "train.csv").unlink()
    with pytest.raises(AnnotationError, match=r"lacks train\.csv"):
        formats.kinetics(tmp_path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "val.csv lists no"),
        ("label,youtube_id,time_start,time_end,split\n", "val.csv lists no"),
        ("zumba,abc,1,11,val\n", "lacks youtube_id, time_start, time_end, l"),
        (
            "youtube_id,time_start,time_end,split\nabc,1,11,val\n",
            "header lacks label",
        ),
        ('"label\nzumba,abc,1,11\n', "val.csv:1: is not comma-separated"),
        ("time_start,time_end,label,youtube_id\n1,11,zumba\n", "val.csv:2: needs youtube_id"),
        ("label,youtube_id,time_start,time_end\nzumba,abc,1,inf\n", "val.csv:2: needs youtube_id"),
        ("label,youtube_id,time_start,time_end\nzumba,,1,11\n", "val.csv:2: needs youtube_id"),
    ],
)
def test_files_of_kinetics_that_are_empty_or_others(tmp_path: Path, text: str, words: str) -> None:
    write(tmp_path, {**KINETICS, "val.csv": text})
    with pytest.raises(AnnotationError) as caught:
        formats.kinetics(tmp_path)
    assert words in str(caught.value) and str(caught.value).count("val.csv") == 1


def test_wrong_lines_beyond_those_that_are_shown_are_counted(tmp_path: Path) -> None:
    text = "label,youtube_id,time_start,time_end\n" + "zumba,,1,11\n" * 25
    with pytest.raises(AnnotationError, match="25 problems") as caught:
        formats.kinetics(write(tmp_path, {**KINETICS, "val.csv": text}))
    assert "and 5 more" in str(caught.value) and len(str(caught.value).splitlines()) == 22


def test_a_stray_quote_spoils_one_line_of_kinetics(tmp_path: Path) -> None:
    head, row = "label,youtube_id,time_start,time_end,split\n", "zumba,abc,1,11,train\n"
    text = f'{head}{row}zumba,def,2,12,"train\n{row * 10_000}zumba,"ghi" ,3,13,train\n'
    with pytest.raises(AnnotationError) as caught:
        formats.kinetics(write(tmp_path, {**KINETICS, "train.csv": text}))
    assert "2 problems" in str(caught.value)
    for number in (3, 10_004):
        assert f"train.csv:{number}: is not comma-separated" in str(caught.value)


UCF = {
    "ucfTrainTestlist/classInd.txt": "1 ApplyEyeMakeup\n2 HandstandPushups\n",
    **{
        f"ucfTrainTestlist/trainlist{number}.txt": "ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi 1\n"
        f"HandstandPushups/v_HandStandPushups_g0{number[1]}_c01.avi 2\n"
        for number in ("01", "02", "03")
    },
    **{
        f"ucfTrainTestlist/testlist{number}.txt": "ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi\n"
        for number in ("01", "02", "03")
    },
}


def test_ucf101(tmp_path: Path) -> None:
    plan = formats.ucf101(write(tmp_path, UCF))
    assert plan.classes == ["ApplyEyeMakeup", "HandstandPushups"]
    assert list(plan.splits) == ["train1", "test1", "train2", "test2", "train3", "test3"]
    assert plan.splits["train2"] == [
        Entry("ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01", 0),
        # The makers spell folder and file differently.
        Entry("HandstandPushups/v_HandStandPushups_g02_c01", 1),
    ]
    assert plan.splits["test3"] == [Entry("ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01", 0)]
    write(tmp_path, {"ucfTrainTestlist/testlist02.txt": "Unknown/v_x.avi\nv_y.avi\n"})
    with pytest.raises(AnnotationError, match=r"testlist02\.txt:2: v_y\.avi"):
        formats.ucf101(tmp_path)
    write(tmp_path, {"ucfTrainTestlist/testlist02.txt": "Unknown/v_x.avi\n"})
    with pytest.raises(AnnotationError, match="'Unknown'"):
        formats.ucf101(tmp_path)
    write(tmp_path, {"ucfTrainTestlist/testlist02.txt": "\n"})
    with pytest.raises(AnnotationError, match=r"testlist02\.txt lists no"):
        formats.ucf101(tmp_path)


def test_hmdb51(tmp_path: Path) -> None:
    folder = "testTrainMulti_7030_splits"
    odd = "#122_Cleaning_Up_u_cm_np1_ba_med_5.avi"
    files = {
        f"{folder}/{name}_test_split{number}.txt": f"{odd} 1 \na b_{number}.avi 2 \nc.avi 0 \n"
        for name in ("wave", "brush_hair")
        for number in (1, 2, 3)
    }
    plan = formats.hmdb51(write(tmp_path, files))
    assert plan.classes == ["brush_hair", "wave"]
    assert plan.splits["train1"] == [
        Entry(f"{name}/{Path(odd).stem}", label) for label, name in enumerate(plan.classes)
    ]
    assert plan.splits["test2"] == [Entry("brush_hair/a b_2", 0), Entry("wave/a b_2", 1)]
    (tmp_path / folder / "wave_test_split3.txt").write_text("a.avi\nb.avi 7\n")
    (tmp_path / folder / "wave_test_split1.txt").unlink()
    with pytest.raises(AnnotationError) as caught:
        formats.hmdb51(tmp_path)
    for words in (
        "wave_test_split1.txt is missing",
        "split3.txt:1: is not",
        "split3.txt:2: is not",
    ):
        assert words in str(caught.value)
    (tmp_path / folder / "brush_hair_test_split2.txt").write_text("")
    with pytest.raises(AnnotationError, match=r"brush_hair_test_split2\.txt lists no"):
        formats.hmdb51(tmp_path)
    with pytest.raises(AnnotationError, match="holds none of"):
        formats.hmdb51(tmp_path / "nowhere")


@pytest.mark.parametrize("prefix", ["", "something-something-v2-"])
def test_something_something(tmp_path: Path, prefix: str) -> None:
    labels = {"Putting something similar": "1", "Holding something next to something": "0"}
    holding = {
        "id": "78687",
        "label": "holding potato next to vicks vaporub bottle",
        "template": "Holding [something] next to [something]",
        "placeholders": ["potato", "vicks vaporub bottle"],
    }
    putting = {"id": "42", "template": "Putting [something similar]"}
    files = {
        f"{prefix}labels.json": json.dumps(labels),
        f"{prefix}train.json": json.dumps([holding, putting]),
        f"{prefix}validation.json": json.dumps([putting]),
        f"{prefix}test.json": json.dumps([{"id": "7"}, {"id": "8"}]),
    }
    plan = formats.something_something(write(tmp_path, files))
    assert plan.classes == ["Holding something next to something", "Putting something similar"]
    assert plan.splits == {
        "train": [Entry("78687", 0), Entry("42", 1)],
        "val": [Entry("42", 1)],
        "test": [Entry("7", None), Entry("8", None)],
    }
    answers = "7;Putting something similar\n8;Holding something next to something\n"
    write(tmp_path, {f"{prefix}test-answers.csv": answers})
    answered = formats.something_something(tmp_path).splits["test"]
    assert answered == [Entry("7", 1), Entry("8", 0)]
    (tmp_path / f"{prefix}test.json").unlink()
    assert formats.something_something(tmp_path).absent == ("test",)
    (tmp_path / f"{prefix}train.json").write_text("{}")
    with pytest.raises(AnnotationError, match="holds no list"):
        formats.something_something(tmp_path)


def test_jester(tmp_path: Path) -> None:
    files = {
        "jester-v1-labels.csv": "Swiping Left\nSwiping Right\nDoing other things\n",
        "jester-v1-train.csv": "34870;Swiping Right\n56557;Doing other things\n",
        "jester-v1-validation.csv": "9223;Swiping Left\n",
        "jester-v1-test.csv": "1\n2\n",
    }
    plan = formats.jester(write(tmp_path, files))
    assert plan.classes == ["Swiping Left", "Swiping Right", "Doing other things"]
    assert plan.splits["train"] == [Entry("34870", 1), Entry("56557", 2)]
    assert plan.splits["test"] == [Entry("1", None), Entry("2", None)]
    write(tmp_path, {"jester-v1-validation.csv": "9223;Swipping Left\n"})
    with pytest.raises(AnnotationError, match="9223 is 'Swipping Left'"):
        formats.jester(tmp_path)


@pytest.mark.parametrize(
    ("read", "name", "text", "repeated"),
    [
        (
            formats.jester,
            "jester-v1-labels.csv",
            "Stop Sign\nWave\nNo gesture\nWave\nStop Sign\n",
            "Stop Sign, Wave",
        ),
        (formats.ucf101, "classInd.txt", "1 Wave\n2 Stop Sign\n3 Wave\n", "Wave"),
        (
            formats.something_something,
            "labels.json",
            '{"Wave": "0", "Stop Sign": "1", "Wave": "2"}',
            "Wave",
        ),
    ],
)
def test_a_class_that_comes_twice_is_named(
    tmp_path: Path, read: Callable[[Path], Plan], name: str, text: str, repeated: str
) -> None:
    lists = {f"{part}list0{number}.txt": "" for part in ("train", "test") for number in (1, 2, 3)}
    jester = {f"jester-v1-{part}.csv": "1;Wave\n" for part in ("train", "validation")}
    something = {
        f"{part}.json": '[{"id": 1, "template": "Wave"}]' for part in ("train", "validation")
    }
    write(tmp_path, {**lists, **jester, **something, name: text})
    with pytest.raises(AnnotationError, match=f"{name} .*{repeated}$"):
        read(tmp_path)


@pytest.mark.parametrize("text", ["1 Wave\n1 Stop Sign\n2 Jump\n", "1 Wave\n2\n", "Wave 1\n"])
def test_classes_of_ucf101_that_are_not_numbered(tmp_path: Path, text: str) -> None:
    write(tmp_path, {**UCF, "ucfTrainTestlist/classInd.txt": text})
    with pytest.raises(AnnotationError, match="number the classes"):
        formats.ucf101(tmp_path)
