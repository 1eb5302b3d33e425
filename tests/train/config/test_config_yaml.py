"""Inheritance, overrides and environment of configs."""

import json
import os
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.train.config.config_cases import PAIR, mistakes, write
from train.__main__ import main
from train.config.load import (
    ConfigError,
    load_config,
)
from train.config.options import text_override
from train.config.yaml_file import parse_document


def test_bases_merge_mappings_and_replace_lists(tmp_path, pair):
    write(
        tmp_path,
        fast="epochs: 3\nOPTIMIZER:\n  learning_rate:\n    max_epoch: 3\n",
        child="_BASE_: [pair.yaml, fast.yaml]\nOPTIMIZER:\n  momentum: 0.8\nMIX: null\n"
        "PIPELINE:\n  valid:\n    transform:\n      - Scale: {short_size: 48}\n"
        "      - CenterCrop: {target_size: 48}\n"
        "      - Normalization: {mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]}\n",
        grandchild="_BASE_: child.yaml\nOPTIMIZER:\n  _replace_: true\n  name: AdamW\n"
        "  learning_rate: 1e-3\n",
    )
    child = load_config(tmp_path / "child.yaml")
    assert child.epochs == 3 and child.mix is None
    assert child.optimizer["momentum"] == 0.8 and child.optimizer["use_nesterov"] is True
    assert [next(iter(b)) for b in child.PIPELINE.valid.blocks()] == [
        "Scale",
        "CenterCrop",
        "Normalization",
    ]
    grandchild = load_config(tmp_path / "grandchild.yaml")
    assert grandchild.optimizer["name"] == "AdamW"
    assert grandchild.optimizer["learning_rate"] == {"name": "Constant", "learning_rate": 1e-3}
    assert grandchild.output_dir == "runs/grandchild"


def test_what_comes_before_is_looked_for_beside_the_file_that_says_it(tmp_path, pair):
    before = "BEFORE: {TEACHER: {train: teacher.yaml, ready: ready/teacher.pdparams}}\n"
    write(tmp_path, **{"with": f"_BASE_: pair.yaml\n{before}"})
    (tmp_path / "deep").mkdir()
    write(
        tmp_path / "deep",
        heir="_BASE_: ../with.yaml\n",
        other="_BASE_: heir.yaml\nBEFORE: {TEACHER: {train: mine.yaml}}\n",
    )
    (tmp_path / "ready").mkdir()
    (tmp_path / "ready" / "teacher.pdparams").touch()
    for name in ("with.yaml", "deep/heir.yaml"):
        cfg = load_config(tmp_path / name)
        ready = cfg.ready("TEACHER")
        assert ready is not None and ready.samefile(tmp_path / "ready" / "teacher.pdparams")
        trained = cfg.beside("") / cfg.BEFORE["TEACHER"].train
        assert os.path.normpath(trained) == str(tmp_path / "teacher.yaml")
    # What is ready is the teacher of one training, and not that of another.
    other = load_config(tmp_path / "deep" / "other.yaml")
    assert other.BEFORE["TEACHER"].train == "mine.yaml" and other.ready("TEACHER") is None
    # A file on top of another one says its own neighbours too.
    for over in ("with.yaml", "deep/heir.yaml"):
        cfg = load_config(tmp_path / "deep" / "other.yaml", over=tmp_path / over)
        ready = cfg.ready("TEACHER")
        assert ready is not None and ready.samefile(tmp_path / "ready" / "teacher.pdparams")


def test_mistakes_name_the_file_they_come_from(tmp_path, pair):
    write(tmp_path, child="_BASE_: pair.yaml\nepochs: none\n")
    pair.write_text(PAIR.replace("momentum: 0.9", "momentum: 9"))
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path / "child.yaml", ["seed=-1"])
    message = str(caught.value)
    assert all(key in message for key in ("OPTIMIZER.momentum: ", "epochs: ", "seed: "))
    assert f"not 9 ({pair}:94)" in message
    assert 'not "none" (line 2)' in message
    assert "not -1 (-o seed)" in message


def test_circles_and_missing_bases_are_named(tmp_path):
    write(tmp_path, a="_BASE_: b.yaml\n", b="_BASE_: c.yaml\n", c="_BASE_: b.yaml\n")
    write(tmp_path, d="_BASE_: nowhere.yaml\n", e="_BASE_: 3\n")
    with pytest.raises(ConfigError, match=r"circle: .*b\.yaml -> .*c\.yaml -> .*b\.yaml"):
        load_config(tmp_path / "a.yaml")
    with pytest.raises(ConfigError, match=r"nowhere\.yaml"):
        load_config(tmp_path / "d.yaml")
    assert "a list of files" in mistakes(tmp_path / "e.yaml")["_BASE_"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(
    momentum=st.floats(0, 1, exclude_max=True),
    workers=st.integers(0, 10**6),
    cache=st.booleans(),
    name=st.text(st.characters(max_codepoint=0xD7FF, exclude_characters="$\0")),
    ramp=st.lists(st.floats(0, 1), min_size=2, max_size=2).map(sorted),
)
def test_overrides_arrive_as_written(pair, momentum, workers, cache, name, ramp):
    values = {
        "OPTIMIZER.momentum": momentum,
        "DATASET.num_workers": workers,
        "DATASET.cache": cache,
        "model_name": name,
        "MODEL.loss.Train.2.ramp": ramp,
    }
    texts = [f"{path}={json.dumps(value)}" for path, value in values.items()]
    cfg = load_config(pair, texts)
    assert cfg.OPTIMIZER.momentum == momentum and cfg.DATASET.num_workers == workers
    assert cfg.DATASET.cache is cache and cfg.model_name == name
    assert cfg.model["loss"]["Train"][2]["ramp"] == ramp
    again = load_config(pair, reversed(texts))
    assert again.sha256() == cfg.sha256()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(
    folder=st.text(st.characters(exclude_characters="$\0", exclude_categories=["Cs"]))
    | st.binary().map(lambda name: os.fsdecode(name.translate(None, b"$\0")))
)
@example(folder="run \N{GRINNING FACE}")
@example(folder="[own]: a #1")
def test_a_path_arrives_as_given_whatever_its_characters(pair, folder):
    assert load_config(pair, [text_override("weights", folder)]).weights == folder


def test_overrides_reach_into_lists_and_the_last_one_wins(pair):
    cfg = load_config(
        pair,
        [
            "MODEL.models.0.Teacher.backbone.width=0.5",
            "MODEL.models.Teacher.head.in_channels=256",
            "PIPELINE.train.transform.RandomFlip.p=0.25",
            "epochs=7",
            "epochs=5",
            "amp.enabled=true",
        ],
    )
    assert cfg.model["models"][0]["Teacher"]["backbone"]["width"] == 0.5
    assert cfg.PIPELINE.train.blocks()[3] == {"RandomFlip": {"p": 0.25}}
    assert cfg.epochs == 5 and cfg.amp.enabled


def test_ambiguous_and_malformed_overrides(pair):
    double = "PIPELINE.train.transform.1={RandomCrop: {target_size: 48}}"
    found = mistakes(pair, double, "PIPELINE.train.transform.RandomCrop.target_size=48")
    assert "say 1 or 2" in found["PIPELINE.train.transform"]
    assert "a.b.c=value" in mistakes(pair, "epochs")[""]
    assert "not valid YAML" in mistakes(pair, "epochs=[1")[""]


def test_environment_is_expanded_in_texts(pair, monkeypatch):
    monkeypatch.setenv("CLIPS", "/data/my clips")
    monkeypatch.delenv("NOWHERE", raising=False)
    cfg = load_config(
        pair,
        [
            "DATASET.root=${CLIPS}/k400",
            "output_dir='${NOWHERE:-runs}/$${x}'",
            "DATASET.train.file_path=${NOWHERE:-a}-${CLIPS:-b}.list",
        ],
    )
    assert cfg.DATASET.root == "/data/my clips/k400"
    assert cfg.output_dir == "runs/${x}"
    assert cfg.DATASET.train.file_path == "a-/data/my clips.list"
    files = cfg.lists["train"]
    assert files.list_file == Path("/data/my clips/k400/a-/data/my clips.list")
    assert files.root == Path("/data/my clips/k400/videos")


def test_missing_variables_are_mistakes_unless_overridden(pair, monkeypatch):
    monkeypatch.delenv("NOWHERE", raising=False)
    pair.write_text(PAIR.replace("batch_size: 4", "batch_size: 4\n    root: ${NOWHERE}/x"))
    found = mistakes(pair, "epochs=-1")
    assert "environment variable NOWHERE" in found["DATASET.root"] and "epochs" in found
    assert load_config(pair, ["DATASET.root=/x"]).DATASET.root == "/x"
    assert "no valid ${NAME}" in mistakes(pair, "DATASET.root=${1}")["DATASET.root"]
    assert "no valid ${NAME}" in mistakes(pair, "DATASET.root=${A:-${B}}")["DATASET.root"]


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-4", 1e-4), ("5", 5), ("-1.5E+3", -1500.0), ("no", "no"), ("1:30", "1:30"), ("~", None),
     ("2024-01-02", "2024-01-02"), ("False", False), ("'1e-4'", "1e-4"), ("[1, .5]", [1, 0.5])],
)  # fmt: skip
def test_scalars_are_those_of_yaml_1_2(text, value):
    got = parse_document(text, "x").data
    assert got == value and type(got) is type(value)


def test_anchors_and_merge_keys_work_and_circles_are_said():
    text = "a: &a {x: 1, y: 2}\nb: &b {<<: *a, y: 3}\nc: [*a, *b, *b]\n"
    assert parse_document(text, "x").data == yaml.safe_load(text)
    assert not parse_document(text, "x").mistakes
    circular = parse_document("a: &a [*a]\n", "x")
    assert circular.broken and "alias" in circular.mistakes[0].text


INFERENCE = """
INFERENCE:
    name: 'ppTSM_Inference_helper'
    num_seg: 4
    target_size: 48
"""


def test_a_block_that_stands_twice_alike_is_noted(tmp_path, pair, capsys):
    """As PaddleVideo's pptsm_mv2_k400_videos_uniform.yaml has it."""
    assert not load_config(pair).repeated
    text = pair.read_text()
    first = text.splitlines().index("INFERENCE:") + 1
    second = text.count("\n") + 2
    pair.write_text(text + INFERENCE)
    (told,) = load_config(pair).repeated
    assert told == f"INFERENCE ({pair}:{second}, first on line {first})"
    (tmp_path / "top.yaml").write_text("_BASE_: pair.yaml\nepochs: 3\nepochs: 3\n")
    cfg = load_config(tmp_path / "top.yaml", ["MIX={name: Mixup, alpha: 1, alpha: 1}"])
    assert [told.split()[0] for told in cfg.repeated] == [
        "INFERENCE",
        "epochs",
        "MIX.alpha",
    ]
    assert cfg.repeated[-1].endswith("(-o MIX)")
    assert (cfg.epochs, cfg.mix) == (3, {"name": "Mixup", "alpha": 1.0})
    # There are no lists, so that nothing is trained; the note comes before that is found out.
    assert main(["-c", str(pair)]) == 2
    said = capsys.readouterr().err
    assert "said twice" in said and "INFERENCE" in said


@pytest.mark.parametrize("other", ["2", "1.0", "true", "'1'"])
def test_a_key_that_stands_twice_with_another_value_is_a_mistake(other):
    document = parse_document(f"a: {{b: 1}}\na: {{b: {other}}}\n", "x")
    (mistake,) = document.mistakes
    assert (mistake.where, mistake.origin) == (("a",), "x:2")
    assert "first on line 1" in mistake.text and not document.repeated
