"""Settings on top of inherited ones: networks by name, entries of lists left out."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.train.config.config_cases import PAIR, mistakes, write
from train.config.load import ConfigError, load_config


def written() -> tuple[dict, dict]:
    """Teacher and student as the base has them."""
    teacher, student = yaml.safe_load(PAIR)["MODEL"]["models"]
    return teacher["Teacher"], student["Student"]


def derived(folder: Path, text: str, *overrides: str) -> dict:
    write(folder, child=f"_BASE_: pair.yaml\n{text}")
    cfg = load_config(folder / "child.yaml", overrides)
    cfg_dict: dict = cfg.to_dict()
    return cfg_dict


def found(folder: Path, text: str) -> dict[str, str]:
    write(folder, child=f"_BASE_: pair.yaml\n{text}")
    return mistakes(folder / "child.yaml")


def steps(settings: dict) -> list[str]:
    return [next(iter(step)) for step in settings["PIPELINE"]["train"]["transform"]]


def networks(settings: dict) -> dict:
    return {name: net for entry in settings["MODEL"]["models"] for name, net in entry.items()}


@pytest.mark.parametrize(
    "text",
    [
        "MODEL: {models: [{Student: {backbone: {scale: 0.5}}}]}\n",
        "MODEL: {models: {Student: {backbone: {scale: 0.5}}}}\n",
    ],
)
def test_a_network_is_changed_by_its_name_alone(tmp_path: Path, pair: Path, text: str) -> None:
    before, after = load_config(pair).to_dict(), derived(tmp_path, text)
    changed = networks(after)
    assert list(changed) == ["Teacher", "Student"]
    assert changed["Student"]["backbone"].pop("scale") == 0.5
    expected = networks(before)
    expected["Student"]["backbone"].pop("scale")
    assert changed == expected
    by_override = load_config(pair, ["MODEL.models.Student.backbone.scale=0.5"])
    assert networks(by_override.to_dict())["Student"]["backbone"]["scale"] == 0.5


def test_a_list_that_stands_by_itself_replaces_and_a_new_name_is_a_network_more(
    tmp_path: Path, pair: Path
) -> None:
    teacher, student = written()
    student["backbone"].pop("scale")
    whole = {"models": [{"Student": student}, {"Teacher": teacher}]}
    after = networks(derived(tmp_path, yaml.safe_dump({"MODEL": whole})))
    assert list(after) == ["Student", "Teacher"] and after["Student"]["backbone"]["scale"] == 1.0
    more = {"models": [{"Third": teacher}], "freeze_params_list": [False, False, True]}
    after = networks(derived(tmp_path, yaml.safe_dump({"MODEL": more})))
    assert list(after) == ["Teacher", "Student", "Third"]
    assert after["Third"] == after["Teacher"] and after["Student"]["backbone"]["scale"] == 0.25


def test_a_network_is_replaced_as_a_whole_on_demand(tmp_path: Path, pair: Path) -> None:
    _, student = written()
    student["backbone"].pop("scale")
    student["_replace_"] = True
    model = {"models": [{"Student": student}]}
    after = networks(derived(tmp_path, yaml.safe_dump({"MODEL": model})))
    assert list(after) == ["Teacher", "Student"]
    assert after["Student"]["backbone"]["scale"] == 1.0


def test_entries_of_an_inherited_list_are_left_out(tmp_path: Path, pair: Path) -> None:
    everything = steps(load_config(pair).to_dict())
    assert "RandomFlip" in everything
    rest = [name for name in everything if name != "RandomFlip"]
    for text in (
        "PIPELINE: {train: {transform: {_remove_: [RandomFlip]}}}\n",
        "PIPELINE: {train: {transform: {_remove_: RandomFlip}}}\n",
        "PIPELINE: {train: {transform: {RandomFlip: null}}}\n",
    ):
        assert steps(derived(tmp_path, text)) == rest
    index = everything.index("RandomFlip")
    for name in ("RandomFlip", index):
        cfg = load_config(pair, [f"PIPELINE.train.transform.{name}=null"])
        assert steps(cfg.to_dict()) == rest


def test_an_entry_is_changed_while_another_is_left_out(tmp_path: Path, pair: Path) -> None:
    text = "PIPELINE: {train: {transform: {_remove_: [MultiScaleCrop], RandomFlip: {p: 0.25}}}}\n"
    after = derived(tmp_path, text, "PIPELINE.train.transform.RandomCrop.target_size=48")
    assert "MultiScaleCrop" not in steps(after)
    assert {"RandomFlip": {"p": 0.25}} in after["PIPELINE"]["train"]["transform"]


def test_keys_of_a_mapping_are_left_out(tmp_path: Path, pair: Path) -> None:
    after = derived(tmp_path, "DATASET: {_remove_: [batch_size]}\n")
    assert load_config(pair).DATASET.batch_size == 4 and after["DATASET"]["batch_size"] == 8


@pytest.mark.parametrize(
    "text",
    [
        "OPTIMIZER: {_replace_: true, name: AdamW, learning_rate: 0.5}\n"
        "DATASET: {_remove_: [batch_size]}\n",
        "_BASE_: adam.yaml\nDATASET: {_remove_: [batch_size]}\n",
    ],
)
def test_a_base_replaces_and_leaves_out_what_lies_below_it(
    tmp_path: Path, pair: Path, text: str
) -> None:
    """As the file that says `_BASE_` would itself: on top of another base, or of a first file."""
    adam = "OPTIMIZER: {_replace_: true, name: AdamW, learning_rate: 0.5}\n"
    write(tmp_path, adam=adam, changes=text, over="_BASE_: changes.yaml\n")
    write(tmp_path, child="_BASE_: [pair.yaml, changes.yaml]\n")
    direct = load_config(pair, over=tmp_path / "changes.yaml")
    below = load_config(pair, over=tmp_path / "over.yaml")
    beside = load_config(tmp_path / "child.yaml")
    for cfg in (direct, below, beside):
        assert cfg.optimizer["learning_rate"] == {"name": "Constant", "learning_rate": 0.5}
        assert cfg.DATASET.batch_size == 8
    assert below.optimizer == direct.optimizer == beside.optimizer


@pytest.mark.parametrize(
    ("text", "where", "told"),
    [
        ("PIPELINE: {train: {transform: {_remove_: [RandomFlop]}}}\n",
         "PIPELINE.train.transform", "did you mean RandomFlip?"),
        ("PIPELINE: {train: {transform: {RandomFlop: {p: 1.0}}}}\n",
         "PIPELINE.train.transform", "did you mean RandomFlip?"),
        ("PIPELINE: {train: {transform: {_remove_: {RandomFlip: 1}}}}\n",
         "PIPELINE.train.transform", "list of names"),
        ("PIPELINE: {_remove_: [tset]}\n", "PIPELINE", "unknown key"),
        ("MODEL: {models: {_remove_: [Pupil]}}\n", "MODEL.models", "Pupil"),
        ("EMA: {_remove_: [decay]}\n", "EMA", "nothing is inherited"),
    ],
)  # fmt: skip
def test_what_is_not_there_cannot_be_left_out(
    tmp_path: Path, pair: Path, text: str, where: str, told: str
) -> None:
    assert told in found(tmp_path, text)[where]


def test_an_entry_that_is_not_there_cannot_be_left_out_by_an_override(pair: Path) -> None:
    told = mistakes(pair, "PIPELINE.train.transform.RandomFlop=null")
    assert "did you mean RandomFlip?" in told["PIPELINE.train.transform"]


def test_mistakes_in_merged_lists_are_told_with_their_own_lines(tmp_path: Path, pair: Path) -> None:
    lines = ["_BASE_: pair.yaml", "MODEL:", "  models:", "    - Student:", "        backbone:",
             "          scale: 99.0", "PIPELINE:", "  train:", "    transform:",
             "      _remove_: [Scale]", "      RandomFlip:", "        p: 7.0"]  # fmt: skip
    write(tmp_path, child="\n".join(lines) + "\n")
    with pytest.raises(ConfigError) as error:
        load_config(tmp_path / "child.yaml")
    places = {".".join(map(str, m.where)): m.origin for m in error.value.mistakes}
    assert places["MODEL.models.1.Student.backbone.scale"].endswith("child.yaml:6")
    # Scale stood before it.
    assert places["PIPELINE.train.transform.2.RandomFlip.p"].endswith("child.yaml:12")
    again = load_config(pair, []).to_dict()
    assert steps(again)[3] == "RandomFlip"
    with pytest.raises(ConfigError) as error:
        load_config(
            tmp_path / "pair.yaml",
            [
                "PIPELINE.train.transform.MultiScaleCrop=",
                "PIPELINE.train.transform.1.RandomCrop.p=1",
            ],
        )
    (only,) = error.value.mistakes
    assert only.where[-3:] == (1, "RandomCrop", "p") and only.origin.startswith("-o")
