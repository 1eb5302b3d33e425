"""What is wrong with a config, and how it is said."""

import copy

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.train.config.config_cases import PAIR, mistakes, write
from train.config.load import (
    ConfigError,
    load_config,
)


def test_all_mistakes_stand_in_one_message(pair):
    pair.write_text(
        PAIR.replace("depth: 18", "dept: 18")
        .replace("momentum: 0.9", "momentum: 1.5")
        .replace("batch_size: 4", "batch_size: many")
        .replace("CenterCrop:", "CentreCrop:")
        .replace('name: "Mixup"', 'name: "MixUp"')
        .replace("    loss:\n        Train:", "    loss:\n        Trian:")
        + "epochs: 13\n"
    )
    with pytest.raises(ConfigError) as caught:
        load_config(pair, ["MODEL.models.Student.backbone.num_seg=8"])
    message, last = str(caught.value), PAIR.count("\n") + 1
    lines = message.splitlines()
    for place, word in (
        (f"{pair}: ", "12"),
        ("epochs: ", f"line {last - 2} with another value (line {last})"),
        ("MODEL.models.0.Teacher.backbone.depth: ", "missing"),
        ("MODEL.models.0.Teacher.backbone.dept: ", "depth? (line 11)"),
        ("MODEL.loss.Train: ", "missing"),
        ("MODEL.loss.Trian: ", "Train?"),
        ("DATASET.batch_size: ", '"many"'),
        ("PIPELINE.valid.transform.1.CentreCrop: ", "CenterCrop?"),
        ("OPTIMIZER.momentum: ", "1.5"),
        ("MIX.name: ", "Allowed: Mixup, Cutmix, VideoMix"),
        ("PIPELINE.train.sample.num_seg: ", "MODEL.models.1.Student.backbone.num_seg is 8"),
        ("PIPELINE.valid.sample.num_seg: ", "4"),
    ):
        assert any(place in line and word in line for line in lines), (place, word)


def test_a_pattern_of_frame_names_is_not_appended_to_videos(pair):
    found = mistakes(pair, "DATASET.train.suffix='img_{:05}.jpg'")
    assert "pattern" in found["DATASET.train"]
    cfg = load_config(pair, ["DATASET.train.suffix=", "DATASET.train.data_prefix="])
    assert (cfg.DATASET.train.suffix, cfg.DATASET.train.data_prefix) == ("", "")


def test_a_mistyped_name_does_not_hide_what_else_is_wrong_in_its_block(pair):
    found = mistakes(pair, "OPTIMIZER.name=momentum", "OPTIMIZER.weight_decay=-1")
    assert "Momentum" in found["OPTIMIZER.name"]
    assert "not -1" in found["OPTIMIZER.weight_decay"]


@pytest.mark.parametrize(
    ("override", "where", "text"),
    [
        ("MODEL.framework=Recogniser2D", "MODEL.framework", "Recognizer2D?"),
        ("epoch=3", "epoch", "epochs?"),
        ("OPTIMZER.momentum=0.8", "OPTIMZER", "OPTIMIZER?"),
        ("dataset={}", "dataset", "DATASET?"),
        ("DATASET.workers=3", "DATASET.workers", "num_workers?"),
        (
            "PIPELINE.train.transform.RandomFlip.prob=0.5",
            "PIPELINE.train.transform.3.RandomFlip.prob",
            "allowed: p",
        ),
        ("zzz=1", "zzz", "allowed: BEFORE,"),
        (
            "MODEL.models.Student.backbone.name=PPTSM_v3",
            "MODEL.models.1.Student.backbone.name",
            "PPTSM_v2?",
        ),
        (
            "MODEL.loss.Train.2.name=DMLLoss",
            "MODEL.loss.Train.2.name",
            "DistillationDMLLoss?",
        ),
        ("MODEL.models.Studnt.head.name=x", "MODEL.models", "Student?"),
        ("MODEL.models.2.Student.head=x", "MODEL.models", "has no entry 2; allowed: 0 to 1"),
        ("epochs.a=1", "epochs", "is 12, not a mapping"),
        (
            "MODEL.loss.Train.2.model_name_pairs=[Student, Techer]",
            "MODEL.loss.Train.2.model_name_pairs",
            "Teacher?",
        ),
    ],
)
def test_unknown_names_come_with_the_nearest(pair, override, where, text):
    assert text in mistakes(pair, override)[where]


@pytest.mark.parametrize(
    ("block", "wrong"),
    [
        ("{train: 3}", {"train": "must be text"}),
        ("{train: a.yaml, redy: b}", {"redy": "ready?"}),
        ("{train: a.yaml, label: b.yaml}", {"label": "unknown key"}),
        ("{label: a.yaml, weights: 3}", {"weights": "must be text", "clips": "is missing"}),
        ("{foo: a.yaml}", {"": "`train`"}),
        ("3", {"": "a mapping"}),
    ],
)
def test_what_comes_before_is_a_training_or_labels(pair, block, wrong):
    found = mistakes(pair, f"BEFORE.T={block}")
    assert found.keys() == {f"BEFORE.T.{key}".rstrip(".") for key in wrong}
    assert all(text in found[f"BEFORE.T.{key}".rstrip(".")] for key, text in wrong.items())


@pytest.mark.parametrize(
    ("overrides", "where", "text"),
    [
        (["MODEL.models.Teacher.head.num_seg=8"], "MODEL.models.0.Teacher.head.num_seg", "is 8"),
        (["MODEL.models.Teacher.head.in_channels=512"], "MODEL.models.0.Teacher.head.in_channels",
         "is 512, must be 128"),
        (["MODEL.models.Student.backbone.class_num=4"], "MODEL.models.1.Student.backbone.class_num",
         "is 4, but MODEL.models.0.Teacher.head.num_classes is 3"),
        (["MODEL.models.Teacher.head={name: MoViNetHead}"], "MODEL.models.0.Teacher.head.name",
         "use ppTSMHead"),
        (["MODEL.models.Teacher.head.ls_eps=0.1"], "MODEL.models.0.Teacher.head.ls_eps",
         "Recognizer2D only"),
        (["MODEL.freeze_params_list=[false]"], "MODEL.freeze_params_list",
         "has 1 entries for 2 models (Teacher, Student)"),
        (["MODEL.freeze_params_list=[false, true]"], "MODEL.freeze_params_list.1",
         "freezes Student"),
        (["MODEL.freeze_params_list=[0, 0]"], "MODEL.freeze_params_list.0", "not 0"),
        (["MODEL.loss.Train.1.model_name_pairs=[Student, GroundTruth]",
          "MODEL.loss.Train.2.model_name_pairs=[Student, Student]"],
         "MODEL.loss.Train", "Teacher"),
        (["MODEL.loss.Train.2.model_name_pairs=[Student, GroundTruth]"],
         "MODEL.loss.Train.2.model_name_pairs", "compares two networks"),
        (["MODEL.loss.Train.0.model_name_pairs=[Student, Teacher]"],
         "MODEL.loss.Train.0.model_name_pairs", "GroundTruth"),
        (["MODEL.loss.Train.2.ramp=[0.5, 0.25]"], "MODEL.loss.Train.2.ramp", "must rise"),
        (["MODEL.loss.Train.2.decay=[0.5, 0.25]"], "MODEL.loss.Train.2.decay", "must rise"),
        (["MODEL.loss.Train.2.ramp=[0.25, 0.5]", "MODEL.loss.Train.2.decay=[0.4, 0.6]"],
         "MODEL.loss.Train.2.decay", "before the ramp ends at 0.5"),
        (["MODEL.loss.Train.2.floor=0.1"], "MODEL.loss.Train.2.floor", "add decay"),
        (["MODEL.loss.Train.2.floor=1.5"], "MODEL.loss.Train.2.floor", "1"),
        (["MODEL.loss.Train.2.standardize=1"], "MODEL.loss.Train.2.standardize", "true"),
        (["MODEL.loss.Train.1.decay=[0, 0.5]"], "MODEL.loss.Train", "a decay to 0"),
        (["PIPELINE.train.sample.valid_mode=true"], "PIPELINE.train.sample.valid_mode",
         "must be false"),
        (["PIPELINE.valid.sample.seg_len=2"], "PIPELINE.valid.sample.seg_len", "at most 1"),
        (["PIPELINE.valid.decode.name=FrameDecoder"], "PIPELINE.valid.decode.name",
         "use VideoDecoder"),
        (["PIPELINE.train.transform.RandomCrop.target_size=96"],
         "PIPELINE.train.transform.2.RandomCrop.target_size", "larger than the 64 pixels"),
        (["PIPELINE.valid.transform.Normalization.mean=[0.5, 0.5, 0.5]"],
         "PIPELINE.valid.transform", "part"),
        (["PIPELINE.valid.transform.1={RandomFlip: {}}"], "PIPELINE.valid.transform",
         "not RandomFlip"),
        (["PIPELINE.train.transform.1={ColorJitter: {}}",
          "PIPELINE.train.transform.2={ColorJitter: {}}"], "PIPELINE.train.transform", "one size"),
        (["PIPELINE.train.transform.1={RandomCrop: {target_size: 48}, RandomFlip: {}}"],
         "PIPELINE.train.transform.1", "one transform"),
        (["PIPELINE.valid.transform.CenterCrop.do_round=false"],
         "PIPELINE.valid.transform.1.CenterCrop.do_round", "allowed: True"),
        *(
            ([f"PIPELINE.train.transform.3={{{name}: {{{key}: {value}}}}}"],
             f"PIPELINE.train.transform.3.{name}.{key}", told)
            for name, key, value, told in (
                ("RandomCrop", "target_size", 0, "at least 1, not 0"),
                ("RandomCrop", "size", 8, "unknown key"),
                ("RandomFlip", "p", 1.5, "at most 1, not 1.5"),
                ("ColorJitter", "contrast", -1, "at least 0, not -1"),
                ("MultiScaleCrop", "scales", [], "at least 1 entries"),
                ("MultiScaleCrop", "max_distort", -1, "at least 0, not -1"),
                ("RandomShift", "pixels", '"8"', "whole number"),
                ("RandAugment", "magnitude", 11, "at most 10, not 11"),
                ("RandAugment", "num_layers", 0, "at least 1, not 0"),
                ("RandAugment", "prob", 1.5, "at most 1, not 1.5"),
                ("AutoAugment", "prob", -0.1, "at least 0, not -0.1"),
            )
        ),
        (["PIPELINE.train.transform.3={RandomShift: {}}"],
         "PIPELINE.train.transform.3.RandomShift.pixels", "is missing"),
        (["PIPELINE.train.transform.MultiScaleCrop.scales=[1.2]"],
         "PIPELINE.train.transform.1.MultiScaleCrop.scales.0", "at most 1, not 1.2"),
        (["MIX.alpha=0"], "MIX.alpha", "above 0, not 0"),
        (["MIX={name: VideoMix, cutmix_prob: 1.5}"], "MIX.cutmix_prob", "at most 1, not 1.5"),
        (["MIX={name: VideoMix, mixup_alpha: x}"], "MIX.mixup_alpha", "must be a number"),
        (["INFERENCE.target_size=224"], "INFERENCE.target_size", "48"),
        (["DATASET.label_flip=forbidden"], "PIPELINE.train.transform.3.RandomFlip", "forbids"),
        (["DATASET.label_flip={a: b, c: b}"], "DATASET.label_flip", "swaps b with both a and c"),
        (["DATASET.classes=[a, b]"], "MODEL.models.1.Student.backbone.class_num",
         "is 3, but DATASET.classes names 2 classes"),
        (["DATASET.classes=[a, b, b]"], "DATASET.classes", "twice: b"),
        (["DATASET.classes=[left, right, up]", "DATASET.label_flip={left: rihgt}"],
         "DATASET.label_flip", "right?"),
        (["OPTIMIZER.learning_rate.max_epoch=6"], "OPTIMIZER.learning_rate.max_epoch",
         "below the 12 epochs"),
        (["OPTIMIZER.learning_rate.warmup_epochs=12"], "OPTIMIZER.learning_rate.warmup_epochs",
         "not below the 12"),
        (["OPTIMIZER.grad_clip=1.0", "grad_clip=2.0"], "grad_clip", "keep one"),
        (["OPTIMIZER.use_nesterov=yes"], "OPTIMIZER.use_nesterov", 'not "yes"'),
        (["OPTIMIZER.momentum=.nan"], "OPTIMIZER.momentum", "finite"),
        (["MODEL="], "MODEL", "must be a mapping, not null"),
        (["GRADIENT_ACCUMULATION={batch_size: 64}"], "GRADIENT_ACCUMULATION.batch_size", "unknown"),
        (["GRADIENT_ACCUMULATION={global_batch_size: 64}", "MODEL.update=alternating"],
         "GRADIENT_ACCUMULATION", "every batch"),
        (["EMA={decay: 1.0}"], "EMA.decay", "below 1"),
        (["EMA={}", "PRECISEBN={}"], "EMA", "or PRECISEBN, out"),
    ],
)  # fmt: skip
def test_impossible_values_and_what_does_not_fit_together(pair, overrides, where, text):
    assert text in mistakes(pair, *overrides)[where]


def test_a_mistake_is_told_once_and_not_what_follows_from_it(pair):
    assert list(mistakes(pair, "epochs=-3")) == ["epochs"]


def places(value, where=()):
    """Paths of all values of nested data."""
    yield where
    if isinstance(value, (dict, list)):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*where, key))


RAW = yaml.safe_load(PAIR)
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text("ab1${}. ", max_size=4),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["name", "Student", "x", "${"]), inner, max_size=2)
    ),
    max_leaves=4,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(where=st.sampled_from([place for place in places(RAW) if place]), junk=JUNK)
@example(where=("MODEL", "models"), junk=None)
@example(where=("MODEL", "models"), junk=3)
@example(where=("MODEL", "models"), junk={"Student": 1})
def test_whatever_stands_in_a_config_is_loaded_or_explained(tmp_path, where, junk):
    data = copy.deepcopy(RAW)
    here = data
    for part in where[:-1]:
        here = here[part]
    here[where[-1]] = junk
    file = tmp_path / "junk.yaml"
    file.write_text(yaml.safe_dump(data, allow_unicode=True))
    try:
        said = load_config(file).specs["valid"].clip_shape
    except ConfigError as error:
        said = error.mistakes
    assert said


def test_student_is_needed(pair):
    pair.write_text(PAIR.replace("- Student:", "- Pupil:").replace('"Student"', '"Pupil"'))
    assert "has no Student" in mistakes(pair)["MODEL.models"]


def test_file_that_is_not_yaml_or_not_there(tmp_path):
    write(tmp_path, broken="a: [1, 2\nb: 3\n", scalar="just text", empty="", nul="a: 1\nb: \0")
    with pytest.raises(ConfigError, match=r"not valid YAML.*line 2"):
        load_config(tmp_path / "broken.yaml")
    with pytest.raises(ConfigError, match=r"character '.x00' is not allowed .line 2"):
        load_config(tmp_path / "nul.yaml")
    with pytest.raises(ConfigError, match="must hold a mapping"):
        load_config(tmp_path / "scalar.yaml")
    with pytest.raises(ConfigError, match="No such file"):
        load_config(tmp_path / "nowhere.yaml")
    assert mistakes(tmp_path / "empty.yaml")["MODEL"] == "is missing"
