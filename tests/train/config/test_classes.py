"""Names of classes as public datasets write them, and how many clips each class has."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.train.tiny import ALONE
from train.__main__ import main
from train.config.class_file import ClassFileError, class_lines, parse_class_names, read_class_names
from train.config.load import ConfigError, load_config
from train.data.class_table import class_table
from train.data.lists import ListError, Sample, read_list

NAMES = ["air drumming", "bowling", "Ollie 180"]
FORMS = {
    "names": "air drumming\nbowling\nOllie 180\n",
    "number name": "0 air drumming\n1 bowling\n2 Ollie 180\n",
    "from one": "1 air drumming\n2 bowling\n3 Ollie 180\n",
    "name number": "air drumming 0\nbowling 1\nOllie 180 2\n",
    "in any order": "2\tOllie 180\n0\tair drumming\n1\tbowling\n",
    "csv": 'id,name\n0,"air drumming"\n1,bowling\n2,Ollie 180\n',
    "csv, names first": "name,id\nair drumming,0\nbowling,1\nOllie 180,2\n",
    "mark and crlf": "\ufeff0 air drumming\r\n1 bowling\r\n\r\n2 Ollie 180\r\n",
    "quotes": '"air drumming"\n"bowling"\n"Ollie 180"\n',
    "quotes and numbers": '"air drumming" 0\n\'bowling\' 1\n"Ollie 180" 2\n',
    "colon": "0: air drumming\n1: bowling\n2: Ollie 180\n",
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_clean_names(tmp_path: Path, form: str) -> None:
    file = tmp_path / "classes.txt"
    file.write_bytes(FORMS[form].encode())
    assert read_class_names(file) == NAMES


@pytest.mark.parametrize(
    "value", [NAMES, {f'"{n}"' if " " in n else n: i for i, n in enumerate(NAMES)},
              {str(i): n for i, n in enumerate(NAMES)}]
)  # fmt: skip
def test_json_label_maps(tmp_path: Path, value: object) -> None:
    file = tmp_path / "kinetics_classnames.json"
    file.write_text(json.dumps(value))
    assert read_class_names(file) == NAMES


NAMES_ALONE = [
    ["front 1", "front 2", "front 3"],  # without their numbers they would be one class
    ["Ollie 180", "Ollie 360", "Kickflip 360"],
    ["3d printing", "skating", "running"],
    ["0", "1", "2"],
    ["Pushing something, slowly", "Moving, then stopping"],
]


@pytest.mark.parametrize("names", NAMES_ALONE)
def test_numbers_that_are_part_of_names_stay(names: list[str]) -> None:
    assert parse_class_names("\n".join(names)) == names


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0 a\n1 b\n3 c\n", "from 0 to 3"),
        ("0 a\n1 b\n1 c\n", "from 0 to 1"),
        ("100 metres\n200 metres\n", "quote"),
        ("a 0\nb 1\nc 1\n", "from 0 to 1"),
        ("0 a\n1 b\nc\n3 d\n", "'c'"),
        ("0 a 1\n1 b 0\n", "both ends"),
        ("a\nb\na\n", "twice: a"),
        ("0 a\n1 a\n", "twice: a"),
        ("", "names no class"),
        (" \n\n", "names no class"),
    ],
)
def test_what_cannot_be_told_is_an_error(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "classes.txt").write_text(text)
    with pytest.raises(ClassFileError) as caught:
        read_class_names(tmp_path / "classes.txt")
    assert words in str(caught.value) and "classes.txt" in str(caught.value)


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Zl", "Zp")), min_size=1)
NAME = st.one_of(TEXT, st.sampled_from(["0 a", "1 b", "a 0", "b 1", '"', '""', "'x'", "id,name"]))


@given(st.lists(NAME.filter(lambda name: name == name.strip()), unique=True, max_size=6))
def test_names_that_are_written_come_back(names: list[str]) -> None:
    names = [name for name in names if name]
    assert parse_class_names("\n".join(class_lines(names))) == names


def test_a_config_names_the_file_that_is_wrong(
    experiment: Callable[..., Path], clips: Path, tmp_path: Path
) -> None:
    file = tmp_path / "classes.txt"
    cfg = load_config(experiment(ALONE), [f"DATASET.classes={file}"])
    file.write_text("1 ApplyEyeMakeup\n2 Archery\n3 Band Marching\n")
    assert list(cfg.class_names) == ["ApplyEyeMakeup", "Archery", "Band Marching"]
    file.write_text("0 a\n1 b\n4 c\n")
    cfg = load_config(experiment(ALONE), [f"DATASET.classes={file}"])
    with pytest.raises(ConfigError, match=r"DATASET.classes: .*classes.txt has lines"):
        _ = cfg.class_names


# --- clips per class -----------------------------------------------------------------------------


def samples(*labels: int) -> list[Sample]:
    return [Sample(Path(f"{i}.mp4"), label, None, i + 1) for i, label in enumerate(labels)]


def test_few_classes_have_a_row_each() -> None:
    lines = class_table(["run", "walk"], {"training": samples(0, 1, 1), "validation": samples(1)})
    assert [line.split() for line in lines[1:3]] == [
        ["0", "run", "1", "0"],
        ["1", "walk", "2", "1"],
    ]
    (warning,) = lines[3:]
    assert warning.startswith("warning: ") and "validation" in warning and "0 run" in warning


def test_many_classes_are_summed_up_and_the_empty_ones_named() -> None:
    names = [f"class {label}" for label in range(400)]
    labels = [label for label in range(400) if label not in (7, 300) for _ in range(1 + label % 3)]
    lines = class_table(names, {"training": samples(*labels)})
    summary, warning = lines
    assert "0 to 3, median 2" in summary
    assert warning.startswith("warning: 2 of 400 ") and "7 class 7, 300 class 300" in warning
    assert len(class_table(names, {"training": samples(1)})[1]) < 400


def test_labels_that_begin_at_one_are_told(
    experiment: Callable[..., Path], clips: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In range, since not every class is used: 1 to 2 of 3."""
    (clips / "one.list").write_text("".join(f"{i}.mp4 {1 + i % 2}\n" for i in range(12)))
    arguments = ["-c", str(experiment(ALONE, epochs=1)), "-o", "DATASET.train.file_path=one.list"]
    assert main(arguments) == 0
    told = capsys.readouterr().err
    assert "warning: 1 of 3 classes " in told
    assert "from 1 to 2" in told
    assert "no validation clip" not in told
    rows = [line.split() for line in told.splitlines() if line[:1] in "012" and line.strip()]
    assert ["0", "0", "2"] in rows and ["1", "6", "2"] in rows


def test_a_list_of_labels_from_one_is_told_as_such(clips: Path) -> None:
    (clips / "beyond.list").write_text("0.mp4 1\n1.mp4 2\n2.mp4 3\n")
    with pytest.raises(ListError, match="label 3") as caught:
        read_list(clips / "beyond.list", root=clips, num_classes=3)
    assert "1 to 3" in str(caught.value)
    (clips / "beyond.list").write_text("0.mp4 0\n1.mp4 2\n2.mp4 3\n")
    with pytest.raises(ListError) as caught:
        read_list(clips / "beyond.list", root=clips, num_classes=3)
    assert "all labels" not in str(caught.value)
