"""What follows from a config is worked out once."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, TypeAdapter

from train.config.blocks import Blocks
from train.config.load import load_config

SEEN: list[int] = []


def _seen(value: int) -> int:
    SEEN.append(value)
    return value


class Part(BaseModel):
    size: Annotated[int, AfterValidator(_seen)]


class Whole(BaseModel):
    parts: list[Part]


PART = TypeAdapter(Part)


def test_a_block_is_validated_once() -> None:
    SEEN.clear()
    raw = {"parts": [{"size": 3}, {"size": "many"}]}
    blocks = Blocks(raw, None)
    for _ in range(3):
        assert blocks.checked(PART, "parts", 0) == Part.model_construct(size=3)
        assert blocks.checked(PART, "parts", 1) is None
        assert blocks.checked(PART, "parts", 2) is None
    assert SEEN == [3]
    assert blocks.written("parts", 1, "size") == "many"


def test_a_config_without_mistakes_is_validated_as_a_whole_alone() -> None:
    SEEN.clear()
    raw = {"parts": [{"size": 3}]}
    whole = Whole.model_validate(raw)
    blocks = Blocks(raw, whole)
    assert blocks.checked(PART, "parts", 0) is whole.parts[0]
    assert blocks.checked(PART, "parts", 1) is None
    assert SEEN == [3]


def test_specs_lists_and_classes_are_worked_out_once(pair: Path, tmp_path: Path) -> None:
    file = tmp_path / "classes.txt"
    file.write_text("left\nright\nup\n")
    cfg = load_config(pair, [f"DATASET.classes={file}"])
    assert cfg.class_names == cfg.deployed_names == ("left", "right", "up")
    file.write_text("left\nright\ndown\n")
    assert cfg.class_names == ("left", "right", "up")
    assert cfg.specs["valid"] is cfg.specs["valid"]
    assert cfg.lists["train"] is cfg.lists["train"]
    assert set(cfg.specs) == set(cfg.lists) == {"train", "valid", "test"}
