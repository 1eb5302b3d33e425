"""A class count is said once, by the file of class names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.train.config.config_cases import PAIR, mistakes
from train.config.identity import identity
from train.config.load import ConfigError, load_config

TEACHER = "MODEL.models.0.Teacher.head.num_classes"
STUDENT = "MODEL.models.1.Student.backbone.class_num"


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """The pair, without the two class counts, beside a file of three classes."""
    file = tmp_path / "bare.yaml"
    file.write_text(re.sub(r"\n *(num_classes|class_num): 3", "", PAIR))
    (tmp_path / "classes.txt").write_text("up\ndown\nstill\n")
    return file


def named(folder: Path) -> list[str]:
    return [f"DATASET.root={folder}", "DATASET.classes=classes.txt"]


def test_a_class_count_follows_from_the_names(bare: Path, pair: Path, tmp_path: Path) -> None:
    said, filled = (load_config(file, named(tmp_path)) for file in (pair, bare))
    assert filled.class_num == 3 and filled.model == said.model
    skipped = {"output_dir"}
    a, b = ({k: v for k, v in identity(cfg).items() if k not in skipped} for cfg in (said, filled))
    assert a == b and filled.sha256() == said.sha256()
    listed = load_config(bare, ["DATASET.classes=[up, down, still, left]"])
    assert listed.class_num == 4
    again = type(listed)(**listed.to_dict())
    assert again.class_num == 4


def test_no_number_at_all_is_as_if_it_were_left_out(pair: Path) -> None:
    classes = "DATASET.classes=[up, down, still, left]"
    cfg = load_config(pair, [f"{TEACHER}=", f"{STUDENT}=null", classes])
    assert cfg.class_num == 4


def test_another_number_is_told_with_both_places(pair: Path, tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("up\ndown\n")
    # When names are asked for: with what else a run needs.
    cfg = load_config(pair, named(tmp_path))
    with pytest.raises(ConfigError) as error:
        _ = cfg.class_names
    (one,) = error.value.mistakes
    assert one.where == ("DATASET", "classes") and str(tmp_path / "classes.txt") in one.text
    assert all(text in one.text for text in (TEACHER, STUDENT, "is 3", "set it to 2"))
    found = mistakes(pair, "DATASET.classes=[a, b]")
    assert set(found) == {TEACHER, STUDENT}
    assert all("set it to 2" in text and "DATASET.classes" in text for text in found.values())
    found = mistakes(pair, *named(tmp_path), f"{TEACHER}=2")
    assert set(found) == {STUDENT}


def test_a_file_that_is_not_there_is_told_where_it_is_needed(bare: Path, tmp_path: Path) -> None:
    (tmp_path / "classes.txt").unlink()
    found = mistakes(bare, *named(tmp_path))
    assert set(found) == {TEACHER, STUDENT}
    assert str(tmp_path / "classes.txt") in found[TEACHER] and "left out" in found[TEACHER]
    # A network that says its number can be looked at before there are clips.
    found = mistakes(bare, *named(tmp_path), f"{TEACHER}=3")
    assert list(found) == [STUDENT]
    assert load_config(bare, [*named(tmp_path), f"{TEACHER}=3", f"{STUDENT}=3"]).class_num == 3


def test_a_file_that_names_no_class_is_told(bare: Path, pair: Path, tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("\n")
    found = mistakes(bare, *named(tmp_path))
    assert set(found) == {TEACHER, STUDENT}
    assert all("classes.txt names no class" in text for text in found.values()), found
    with pytest.raises(ConfigError, match=r"DATASET.classes: .*names no class"):
        _ = load_config(pair, named(tmp_path)).class_names


def test_a_number_at_the_wrong_part_is_told_where_it_belongs(pair: Path) -> None:
    head, backbone = "MODEL.models.1.Student.head", "MODEL.models.0.Teacher.backbone"
    found = mistakes(pair, f"{head}.num_classes=3", f"{backbone}.class_num=3")
    assert set(found) == {f"{head}.num_classes", f"{backbone}.class_num"}
    assert "backbone.class_num" in found[f"{head}.num_classes"]
    assert "head.num_classes" in found[f"{backbone}.class_num"]
    assert all("DATASET.classes" in text for text in found.values())


def test_without_names_a_head_has_to_say_its_number(bare: Path) -> None:
    found = mistakes(bare)
    assert list(found) == [TEACHER] and "DATASET.classes" in found[TEACHER]
    # As in PaddleVideo's files, which name no classes.
    assert load_config(bare, [f"{TEACHER}=400"]).class_num == 400


def test_names_that_change_after_a_run_are_told(bare: Path, tmp_path: Path) -> None:
    cfg = load_config(bare, named(tmp_path))
    (tmp_path / "classes.txt").write_text("up\ndown\nstill\nleft\n")
    with pytest.raises(ConfigError, match="4 classes"):
        _ = cfg.class_names
