import copy
import json
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from train.config import (
    Config,
    ConfigError,
    class_names,
    clip_spec,
    load_config,
    parse_model,
    pipeline_of,
    split_files,
    transform_blocks,
)
from train.config_yaml import parse_document

# The layout and the quirks of PaddleVideo's files, smaller: bare transforms, 1e-4, quoted names,
# keys of its own logger, metrics and decoders.
PAIR = """
MODEL:
    framework: "RecognizerDistillation"
    freeze_params_list:
    - False
    - False
    models:
    - Teacher:
        backbone:
            name: "ResNetTweaksTSM"
            depth: 18
            width: 0.25
            num_seg: 4
        head:
            name: "ppTSMHead"
            num_classes: 3
            in_channels: 128
            num_seg: 4
    - Student:
        backbone:
            name: "PPTSM_v2"
            scale: 0.25
            depths: [1, 1, 2, 1]
            num_seg: 4
            class_num: 3
        head:
            name: "MoViNetHead"
    loss:
        Train:
            - name: "DistillationCELoss"
              model_name_pairs: ["Student", "GroundTruth"]
            - name: "DistillationCELoss"
              model_name_pairs: ["Teacher", "GroundTruth"]
            - name: "DistillationDMLLoss"
              loss_weight: 2
              ramp: [0.25, 0.5]
              model_name_pairs: ["Student", "Teacher"]
        Val:
            - name: "DistillationCELoss"
              model_name_pairs: ["Student", "GroundTruth"]
DATASET:
    batch_size: 4
    num_workers: 0
    train:
        format: "VideoDataset"
        data_prefix: "videos"
        file_path: "train.list"
    valid:
        format: "VideoDataset"
        data_prefix: "videos"
        file_path: "val.list"
PIPELINE:
    train:
        decode:
            name: "VideoDecoder"
            backend: "decord"
        sample:
            name: "Sampler"
            num_seg: 4
            seg_len: 1
            valid_mode: False
        transform:
            - Scale:
                short_size: 64
            - MultiScaleCrop:
                target_size: 64
            - RandomCrop:
                target_size: 48
            - RandomFlip:
            - Image2Array:
            - Normalization:
                mean: [0.485, 0.456, 0.406]
                std: [0.229, 0.224, 0.225]
    valid:
        decode:
            name: "VideoDecoder"
            backend: "decord"
        sample:
            name: "Sampler"
            num_seg: 4
            seg_len: 1
            valid_mode: True
        transform:
            - Scale:
                short_size: 64
            - CenterCrop:
                target_size: 48
            - Image2Array:
            - Normalization:
                mean: [0.485, 0.456, 0.406]
                std: [0.229, 0.224, 0.225]
OPTIMIZER:
  name: 'Momentum'
  momentum: 0.9
  learning_rate:
    iter_step: True
    name: 'CustomWarmupCosineDecay'
    max_epoch: 12
    warmup_epochs: 2
    warmup_start_lr: 5e-3
    cosine_base_lr: 0.01
  weight_decay:
    name: 'L2'
    value: 1e-4
  use_nesterov: True
MIX:
    name: "Mixup"
    alpha: 0.2
METRIC:
    name: 'CenterCropMetric'
INFERENCE:
    name: 'ppTSM_Inference_helper'
    num_seg: 4
    target_size: 48
model_name: "pair"
epochs: 12
log_level: "INFO"
"""

CONFIGS = Path(__file__).parents[2] / "configs"
OURS = sorted(file.name for file in CONFIGS.glob("*.yaml") if "MODEL:" in file.read_text())


@pytest.fixture
def pair(tmp_path):
    file = tmp_path / "pair.yaml"
    file.write_text(PAIR)
    return file


def write(folder, **files):
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder


def mistakes(file, *overrides):
    with pytest.raises(ConfigError) as caught:
        load_config(file, overrides)
    return {".".join(map(str, m.where)): m.text for m in caught.value.mistakes}


# --- what loads -----------------------------------------------------------------------------


def test_paddlevideos_layout_loads_with_our_defaults(pair):
    cfg = load_config(pair)
    assert cfg.optimizer["weight_decay"] == {"name": "L2", "value": 1e-4}
    assert cfg.optimizer["learning_rate"]["warmup_start_lr"] == 0.005
    assert (cfg.class_num, cfg.epochs, cfg.seed, cfg.output_dir) == (3, 12, 0, "runs/pair")
    assert cfg.mix == {"name": "Mixup", "alpha": 0.2}
    assert [list(entry) for entry in cfg.model["models"]] == [["Teacher"], ["Student"]]
    assert cfg.model["loss"]["Train"][2]["temperature"] == 1.0
    assert not cfg.amp.enabled and cfg.grad_clip is None and cfg.PRECISEBN is None


def test_keys_without_meaning_are_named_and_nothing_else_is(pair):
    assert sorted(load_config(pair).ignored) == [
        "INFERENCE",
        "METRIC",
        "PIPELINE.train.decode.backend",
        "PIPELINE.valid.decode.backend",
        "log_level",
    ]


def test_checked_blocks_are_what_the_builders_take(pair):
    from train.data.augment import build_transforms
    from train.data.mix import build_mix
    from train.optim import build_optimizer
    from train.recognizers import build_recognizer

    cfg = load_config(pair, ["MODEL.freeze_params_list=[true, false]", "grad_clip=5"])
    recognizer = build_recognizer(cfg.model, seed=cfg.seed)
    assert recognizer.roles == ["Teacher", "Student"] and recognizer.frozen == {"Teacher"}
    names = [type(transform).__name__ for transform in build_transforms(transform_blocks(cfg))]
    assert names == ["MultiScaleCrop", "RandomCrop", "RandomFlip"]
    assert build_mix(cfg.mix) is not None
    _, scheduler = build_optimizer(recognizer, cfg.optimizer, steps_per_epoch=2, epochs=cfg.epochs)
    assert scheduler() == pytest.approx(0.005)
    assert cfg.optimizer["grad_clip"]["value"] == 5.0


@pytest.mark.parametrize("name", OURS)
def test_configs_of_the_repository_load(name, monkeypatch):
    for variable in ("RAILWAY_ROOT", "KINETICS400_ROOT"):
        monkeypatch.delenv(variable, raising=False)
    cfg = load_config(CONFIGS / name)
    assert not cfg.ignored
    assert clip_spec(cfg, "valid").clip_shape == clip_spec(cfg, "train").clip_shape
    assert split_files(cfg, "train").list_file.name == "train.list"
    assert cfg.class_num == {"pp": 400, "ra": 4}.get(name[:2], cfg.class_num)


@pytest.mark.parametrize("kind", ["railway", "motions", "pptsm_v2_8f"])
def test_a_pair_differs_from_its_baseline_in_the_model_alone(kind):
    single = CONFIGS / ("pptsm_v2_8f.yaml" if kind.endswith("8f") else f"{kind}_baseline.yaml")
    both = CONFIGS / f"{kind}_dml.yaml"
    a, b = (load_config(file).to_dict() for file in (single, both))
    (student,) = [m["Student"] for m in b["MODEL"]["models"] if "Student" in m]
    assert student["backbone"] == a["MODEL"]["backbone"]
    # The recipe halves its batch, and with it its rate, for the second network.
    keys = {"PIPELINE", "MIX", "epochs", "seed", "amp"} | (
        {"DATASET", "OPTIMIZER", "grad_clip"} if not kind.endswith("8f") else set()
    )
    assert {key: a[key] for key in keys} == {key: b[key] for key in keys}


PLAIN = {
    "framework": "Recognizer2D",
    "backbone": {"name": "PPTSM_v2", "pretrained": "data/x.pdparams", "num_seg": 16},
    "head": {"name": "MoViNetHead"},
}
TEACHER = {
    "backbone": {"name": "ResNetTweaksTSM", "depth": 50, "num_seg": 16},
    "head": {"name": "ppTSMHead", "num_classes": 400, "in_channels": 2048, "num_seg": 16},
}
ITSELF = {"backbone": PLAIN["backbone"], "head": PLAIN["head"]}


def distillation(teacher):
    truth = [{"name": "DistillationCELoss", "model_name_pairs": ["Student", "GroundTruth"]}]
    return {
        "framework": "RecognizerDistillation",
        "freeze_params_list": [False, False],
        "models": [{"Teacher": teacher}, {"Student": ITSELF}],
        "loss": {
            "Train": [
                *truth,
                {"name": "DistillationCELoss", "model_name_pairs": ["Teacher", "GroundTruth"]},
                {"name": "DistillationDMLLoss", "model_name_pairs": ["Student", "Teacher"]},
            ],
            "Val": truth,
        },
    }


@pytest.mark.parametrize("block", [PLAIN, distillation(TEACHER), distillation(ITSELF)])
def test_model_block_alone(block):
    model = parse_model(block)
    assert model == parse_model({"MODEL": block})
    student = model if "backbone" in model else model["models"][1]["Student"]
    assert student["backbone"]["class_num"] == 400  # the recipe's default
    assert student["backbone"]["num_seg"] == 16


def test_model_block_alone_is_checked():
    block = distillation({**TEACHER, "head": {**TEACHER["head"], "in_channels": 512}})
    with pytest.raises(ConfigError, match=r"in_channels: is 512, must be 2048"):
        parse_model(block)


# --- PaddleVideo's own files --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "frames"),
    [
        ("v2/pptsm_lcnet_k400_8frames_uniform", 8),
        ("v2/pptsm_lcnet_k400_16frames_uniform", 16),
        ("v2/pptsm_lcnet_k400_8frames_uniform_dml_distillation", 8),
        ("v2/pptsm_lcnet_k400_16frames_uniform_dml_distillation", 16),
        ("pptsm_k400_frames_uniform", 8),
        ("pptsm_k400_videos_uniform", 8),
        ("pptsm_k400_frames_dense", 8),
        ("pptsm_k400_frames_dense_r101", 8),
    ],
)
def test_paddlevideos_files_load_unchanged(paddlevideo, name, frames):
    cfg = load_config(paddlevideo / "configs/recognition/pptsm" / f"{name}.yaml")
    assert clip_spec(cfg).clip_shape == (frames, 224, 224, 3)
    dense = "dense" in name
    assert clip_spec(cfg, "train").sampling.kind == ("dense" if dense else "uniform")
    assert {"METRIC", "log_level"} <= set(cfg.ignored)
    if dense:
        with pytest.raises(ConfigError, match="GroupFullResSample"):
            clip_spec(cfg, "test")


@pytest.mark.parametrize("pair", ["", "_dml"])
@pytest.mark.parametrize("frames", [8, 16])
def test_our_recipe_is_paddlevideos(paddlevideo, frames, pair):
    name = f"pptsm_lcnet_k400_{frames}frames_uniform" + ("_dml_distillation" if pair else "")
    theirs = load_config(paddlevideo / "configs/recognition/pptsm/v2" / f"{name}.yaml")
    ours = load_config(CONFIGS / f"pptsm_v2_{frames}f{pair}.yaml")
    for split in ("train", "valid", "test"):
        assert pipeline_of(ours, split).blocks() == pipeline_of(theirs, split).blocks()
        assert pipeline_of(ours, split).sample == pipeline_of(theirs, split).sample
    rate = {**ours.optimizer["learning_rate"], "max_epoch": ours.epochs}
    assert {**ours.optimizer, "learning_rate": rate} == theirs.optimizer
    assert json.dumps(ours.model).replace("data/pretrained/", "data/") == json.dumps(theirs.model)
    assert (ours.epochs, ours.mix) == (theirs.epochs, theirs.mix)
    assert ours.dataset.batch_size == theirs.dataset.batch_size


def test_guides_model_blocks_parse(paddlevideo):
    guide = (paddlevideo / "docs/zh-CN/distillation.md").read_text(encoding="utf-8")
    blocks = [text.split("```")[0] for text in guide.split("```yaml")[1:]]
    parsed = [parse_model(parse_document(text, "guide").data) for text in blocks]
    assert [model["framework"] for model in parsed] == [
        "Recognizer2D",
        "RecognizerDistillation",
        "RecognizerDistillation",
    ]


# --- what is wrong, and how it is said ------------------------------------------------------------


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
    for line in (
        f"{pair}: 12 mistakes in the config",
        f"epochs: stands twice in one mapping, first on line {last - 2} (line {last})",
        "MODEL.models.0.Teacher.backbone.depth: is missing",
        'MODEL.models.0.Teacher.backbone.dept: unknown key "dept"; did you mean depth? (line 11)',
        "MODEL.loss.Train: is missing",
        'MODEL.loss.Trian: unknown key "Trian"; did you mean Train?',
        'DATASET.batch_size: must be a whole number, not "many"',
        'PIPELINE.valid.transform.1.CentreCrop: unknown key "CentreCrop"; did you mean CenterCrop?',
        "OPTIMIZER.momentum: must be below 1, not 1.5",
        'MIX.name: "MixUp" is not allowed; did you mean Mixup? Allowed: Mixup, Cutmix, VideoMix',
        "PIPELINE.train.sample.num_seg: is 4, but MODEL.models.1.Student.backbone.num_seg is 8",
        "PIPELINE.valid.sample.num_seg: is 4, but",
    ):
        assert line in message


def test_a_pattern_of_frame_names_is_not_appended_to_videos(pair):
    found = mistakes(pair, "DATASET.train.suffix='img_{:05}.jpg'")
    assert "pattern of frame names" in found["DATASET.train"]
    cfg = load_config(pair, ["DATASET.train.suffix=", "DATASET.train.data_prefix="])
    assert (cfg.dataset.train.suffix, cfg.dataset.train.data_prefix) == ("", "")


def test_a_mistyped_name_does_not_hide_what_else_is_wrong_in_its_block(pair):
    found = mistakes(pair, "OPTIMIZER.name=momentum", "OPTIMIZER.weight_decay=-1")
    assert "did you mean Momentum" in found["OPTIMIZER.name"]
    assert found["OPTIMIZER.weight_decay"] == "must be at least 0, not -1"


@pytest.mark.parametrize(
    ("override", "where", "text"),
    [
        ("MODEL.framework=Recogniser2D", "MODEL.framework", "did you mean Recognizer2D?"),
        ("epoch=3", "epoch", "did you mean epochs?"),
        ("OPTIMZER.momentum=0.8", "OPTIMZER", "did you mean OPTIMIZER?"),
        ("dataset={}", "dataset", "did you mean DATASET?"),
        ("DATASET.workers=3", "DATASET.workers", "did you mean num_workers?"),
        (
            "PIPELINE.train.transform.RandomFlip.prob=0.5",
            "PIPELINE.train.transform.3.RandomFlip.prob",
            "allowed: p",
        ),
        ("zzz=1", "zzz", "allowed: BEFORE, DATASET, EMA,"),
        (
            "MODEL.models.Student.backbone.name=PPTSM_v3",
            "MODEL.models.1.Student.backbone.name",
            "did you mean PPTSM_v2?",
        ),
        (
            "MODEL.loss.Train.2.name=DMLLoss",
            "MODEL.loss.Train.2.name",
            "did you mean DistillationDMLLoss?",
        ),
        ("MODEL.models.Studnt.head.name=x", "MODEL.models", "did you mean Student?"),
        ("MODEL.models.2.Student.head=x", "MODEL.models", "has no entry 2; allowed: 0 to 1"),
        ("epochs.a=1", "epochs", "is 12, not a mapping"),
        (
            "MODEL.loss.Train.2.model_name_pairs=[Student, Techer]",
            "MODEL.loss.Train.2.model_name_pairs",
            "did you mean Teacher?",
        ),
    ],
)
def test_unknown_names_come_with_the_nearest(pair, override, where, text):
    assert text in mistakes(pair, override)[where]


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
        (["MODEL.freeze_params_list=[0, 0]"], "MODEL.freeze_params_list.0", "true or false, not 0"),
        (["MODEL.loss.Train.1.model_name_pairs=[Student, GroundTruth]",
          "MODEL.loss.Train.2.model_name_pairs=[Student, Student]"],
         "MODEL.loss.Train", "no term holds Teacher"),
        (["MODEL.loss.Train.2.model_name_pairs=[Student, GroundTruth]"],
         "MODEL.loss.Train.2.model_name_pairs", "compares two networks"),
        (["MODEL.loss.Train.0.model_name_pairs=[Student, Teacher]"],
         "MODEL.loss.Train.0.model_name_pairs", "needs one network and GroundTruth"),
        (["MODEL.loss.Train.2.ramp=[0.5, 0.25]"], "MODEL.loss.Train.2.ramp", "must rise"),
        (["PIPELINE.train.sample.valid_mode=true"], "PIPELINE.train.sample.valid_mode",
         "must be false"),
        (["PIPELINE.valid.sample.seg_len=2"], "PIPELINE.valid.sample.seg_len", "at most 1"),
        (["PIPELINE.valid.decode.name=FrameDecoder"], "PIPELINE.valid.decode.name",
         "use VideoDecoder"),
        (["PIPELINE.train.transform.RandomCrop.target_size=96"],
         "PIPELINE.train.transform.2.RandomCrop.target_size", "larger than the 64 pixels"),
        (["PIPELINE.valid.transform.Normalization.mean=[0.5, 0.5, 0.5]"],
         "PIPELINE.valid.transform", "part of the network"),
        (["PIPELINE.valid.transform.1={RandomFlip: {}}"], "PIPELINE.valid.transform",
         "not RandomFlip"),
        (["PIPELINE.train.transform.1={ColorJitter: {}}",
          "PIPELINE.train.transform.2={ColorJitter: {}}"], "PIPELINE.train.transform", "one size"),
        (["PIPELINE.train.transform.1={RandomCrop: {target_size: 48}, RandomFlip: {}}"],
         "PIPELINE.train.transform.1", "must hold one transform"),
        (["PIPELINE.valid.transform.CenterCrop.do_round=false"],
         "PIPELINE.valid.transform.1.CenterCrop.do_round", "allowed: True"),
        (["INFERENCE.target_size=224"], "INFERENCE.target_size", "the valid pipeline's is 48"),
        (["DATASET.label_flip=forbidden"], "PIPELINE.train.transform.3.RandomFlip", "forbids"),
        (["DATASET.label_flip={a: b, c: b}"], "DATASET.label_flip", "swaps b with both a and c"),
        (["DATASET.classes=[a, b]"], "DATASET.classes", "holds 2 names"),
        (["DATASET.classes=[a, b, b]"], "DATASET.classes", "twice: b"),
        (["DATASET.classes=[left, right, up]", "DATASET.label_flip={left: rihgt}"],
         "DATASET.label_flip", "did you mean right?"),
        (["OPTIMIZER.learning_rate.max_epoch=6"], "OPTIMIZER.learning_rate.max_epoch",
         "below the 12 epochs"),
        (["OPTIMIZER.learning_rate.warmup_epochs=12"], "OPTIMIZER.learning_rate.warmup_epochs",
         "not below the 12"),
        (["OPTIMIZER.grad_clip=1.0", "grad_clip=2.0"], "grad_clip", "keep one"),
        (["OPTIMIZER.use_nesterov=yes"], "OPTIMIZER.use_nesterov", 'true or false, not "yes"'),
        (["OPTIMIZER.momentum=.nan"], "OPTIMIZER.momentum", "finite"),
        (["MODEL="], "MODEL", "must be a mapping, not null"),
        (["GRADIENT_ACCUMULATION={batch_size: 64}"], "GRADIENT_ACCUMULATION.batch_size", "unknown"),
        (["GRADIENT_ACCUMULATION={global_batch_size: 64}", "MODEL.update=alternating"],
         "GRADIENT_ACCUMULATION", "a step after every batch"),
        (["EMA={decay: 1.0}"], "EMA.decay", "below 1"),
        (["EMA={}", "PRECISEBN={}"], "EMA", "or PRECISEBN, out"),
    ],
)  # fmt: skip
def test_impossible_values_and_what_does_not_fit_together(pair, overrides, where, text):
    assert text in mistakes(pair, *overrides)[where]


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
        said = clip_spec(load_config(file)).clip_shape
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
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load_config(tmp_path / "nowhere.yaml")
    assert mistakes(tmp_path / "empty.yaml")["MODEL"] == "is missing"


# --- inheritance, overrides, environment ---------------------------------------------------------


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
    assert [next(iter(b)) for b in child.pipeline.valid.blocks()] == [
        "Scale",
        "CenterCrop",
        "Normalization",
    ]
    grandchild = load_config(tmp_path / "grandchild.yaml")
    assert grandchild.optimizer["name"] == "AdamW"
    assert grandchild.optimizer["learning_rate"] == {"name": "Constant", "learning_rate": 1e-3}
    assert grandchild.output_dir == "runs/grandchild"


def test_mistakes_name_the_file_they_come_from(tmp_path, pair):
    write(tmp_path, child="_BASE_: pair.yaml\nepochs: none\n")
    pair.write_text(PAIR.replace("momentum: 0.9", "momentum: 9"))
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path / "child.yaml", ["seed=-1"])
    message = str(caught.value)
    assert f"OPTIMIZER.momentum: must be below 1, not 9 ({pair}:94)" in message
    assert 'epochs: must be a whole number, not "none" (line 2)' in message
    assert "seed: must be at least 0, not -1 (-o seed)" in message


def test_circles_and_missing_bases_are_named(tmp_path):
    write(tmp_path, a="_BASE_: b.yaml\n", b="_BASE_: c.yaml\n", c="_BASE_: b.yaml\n")
    write(tmp_path, d="_BASE_: nowhere.yaml\n", e="_BASE_: 3\n")
    with pytest.raises(ConfigError, match=r"circle: .*b\.yaml -> .*c\.yaml -> .*b\.yaml"):
        load_config(tmp_path / "a.yaml")
    with pytest.raises(ConfigError, match=r"nowhere\.yaml cannot be read"):
        load_config(tmp_path / "d.yaml")
    assert "a list of files" in mistakes(tmp_path / "e.yaml")["_BASE_"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(
    momentum=st.floats(0, 1, exclude_max=True),
    workers=st.integers(0, 10**6),
    cache=st.booleans(),
    name=st.text(st.characters(max_codepoint=0xD7FF, exclude_characters="$")),
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
    assert cfg.OPTIMIZER.momentum == momentum and cfg.dataset.num_workers == workers
    assert cfg.dataset.cache is cache and cfg.model_name == name
    assert cfg.model["loss"]["Train"][2]["ramp"] == ramp
    again = load_config(pair, reversed(texts))
    assert again.sha256() == cfg.sha256()


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
    assert cfg.pipeline.train.blocks()[3] == {"RandomFlip": {"p": 0.25}}
    assert cfg.epochs == 5 and cfg.amp.enabled


def test_ambiguous_and_malformed_overrides(pair):
    double = "PIPELINE.train.transform.1={RandomCrop: {target_size: 48}}"
    found = mistakes(pair, double, "PIPELINE.train.transform.RandomCrop.target_size=48")
    assert "say 1 or 2" in found["PIPELINE.train.transform"]
    assert "not of the form a.b.c=value" in mistakes(pair, "epochs")[""]
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
    assert cfg.dataset.root == "/data/my clips/k400"
    assert cfg.output_dir == "runs/${x}"
    assert cfg.dataset.train.file_path == "a-/data/my clips.list"
    files = split_files(cfg, "train")
    assert files.list_file == Path("/data/my clips/k400/a-/data/my clips.list")
    assert files.root == Path("/data/my clips/k400/videos")


def test_missing_variables_are_mistakes_unless_overridden(pair, monkeypatch):
    monkeypatch.delenv("NOWHERE", raising=False)
    pair.write_text(PAIR.replace("batch_size: 4", "batch_size: 4\n    root: ${NOWHERE}/x"))
    found = mistakes(pair, "epochs=-1")
    assert "environment variable NOWHERE" in found["DATASET.root"] and "epochs" in found
    assert load_config(pair, ["DATASET.root=/x"]).dataset.root == "/x"
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


# --- what follows from a config ------------------------------------------------------------------


def test_clip_spec_follows_the_pipeline(pair):
    cfg = load_config(
        pair,
        [
            "PIPELINE.valid.sample.select_left=true",
            "PIPELINE.valid.transform.Scale={short_size: 56, fixed_ratio: false, backend: cv2}",
        ],
    )
    spec = clip_spec(cfg)
    assert spec.clip_shape == (4, 48, 48, 3)
    assert spec.sampling.select_left and spec.sampling.views == 1
    assert (spec.preprocess.short_size, spec.preprocess.fixed_ratio) == (56, False)
    assert spec.preprocess.resize == "bilinear"
    assert spec.preprocess.mean == (0.485, 0.456, 0.406)
    assert clip_spec(cfg, "test") == spec
    train = clip_spec(cfg, "train")
    assert (train.preprocess.short_size, train.preprocess.resize) == (64, "area")
    assert train.preprocess.crop == 48 and not train.sampling.select_left


def test_dense_evaluation_takes_ten_views_unless_told(pair):
    dense = "PIPELINE.valid.sample.dense_sample=true"
    assert clip_spec(load_config(pair, [dense])).sampling.views == 10
    cfg = load_config(pair, [dense, "PIPELINE.valid.sample.views=3"])
    assert (clip_spec(cfg).sampling.kind, clip_spec(cfg).sampling.views) == ("dense", 3)


def test_a_test_pipeline_of_another_shape_cannot_be_deployed(pair):
    block = yaml.safe_load(PAIR)["PIPELINE"]["valid"]
    block["transform"][1]["CenterCrop"]["target_size"] = 64
    cfg = load_config(pair, [f"PIPELINE.test={json.dumps(block)}"])
    with pytest.raises(ConfigError, match=r"differ: valid \(4, 48, 48, 3\) and test \(4, 64"):
        clip_spec(cfg)


def test_class_names_and_flips_that_swap_them(pair, tmp_path):
    cfg = load_config(pair)
    assert class_names(cfg) == ["0", "1", "2"]
    (tmp_path / "classes.txt").write_text("left\nright\nup\n")
    named = [f"DATASET.root={tmp_path}", "DATASET.classes=classes.txt"]
    cfg = load_config(pair, [*named, "DATASET.label_flip={left: right}"])
    assert class_names(cfg) == ["left", "right", "up"]
    # PaddleVideo's label lists hold the label too.
    (tmp_path / "numbered.txt").write_text("0 air drumming\n1 bowling\n2 0\n")
    numbered = load_config(pair, [*named, "DATASET.classes=numbered.txt"])
    assert class_names(numbered) == ["air drumming", "bowling", "0"]
    assert transform_blocks(cfg)[3]["RandomFlip"] == {"p": 0.5, "labels": {0: 1, 1: 0}}
    by_number = load_config(pair, [*named, "DATASET.label_flip={0: 1}"])
    assert transform_blocks(by_number) == transform_blocks(cfg)
    wrong = load_config(pair, [*named, "DATASET.label_flip={left: rihgt}"])
    with pytest.raises(ConfigError, match="did you mean right"):
        transform_blocks(wrong)
    (tmp_path / "classes.txt").write_text("left\nright\n")
    with pytest.raises(ConfigError, match="names 2 classes, the networks tell 3 apart"):
        class_names(cfg)
    with pytest.raises(ConfigError, match="cannot be read"):
        class_names(load_config(pair, ["DATASET.classes=nowhere.txt"]))


@pytest.mark.parametrize("name", OURS)
def test_provenance_is_complete(name):
    cfg = load_config(CONFIGS / name)
    data = json.loads(json.dumps(cfg.to_dict()))
    assert Config(**data) == cfg or Config(**data).to_dict() == cfg.to_dict()
    assert Config(**data).sha256() == cfg.sha256()


def test_checksum_follows_meaning_not_spelling(pair):
    first = load_config(pair).sha256()
    data = yaml.safe_load(PAIR.replace("1e-4", "0.0001").replace("5e-3", "0.005"))
    pair.write_text("# a remark\n" + yaml.safe_dump(data, sort_keys=True))
    assert load_config(pair).sha256() == first
    assert load_config(pair, ["seed=0", "log_level=DEBUG"]).sha256() == first
    assert load_config(pair, ["seed=1"]).sha256() != first


def test_configs_do_not_change_after_loading(pair):
    cfg = load_config(pair)
    with pytest.raises(ValueError, match="frozen"):
        cfg.epochs = 3
    cfg.model["loss"]["Train"].clear()
    assert len(cfg.model["loss"]["Train"]) == 3


def test_a_second_file_goes_on_top_and_may_replace_a_block(pair, tmp_path):
    over = tmp_path / "over.yaml"
    over.write_text(
        "epochs: 7\nOPTIMIZER: {_replace_: true, name: AdamW, learning_rate: 0.5}\n"
        "QAT: {temperature: 2.0}\n"
    )
    cfg = load_config(pair, over=over)
    assert cfg.epochs == 7
    assert cfg.optimizer["learning_rate"] == {"name": "Constant", "learning_rate": 0.5}
    assert cfg.QAT is not None and cfg.QAT.temperature == 2.0
    assert cfg.model == load_config(pair).model
    assert load_config(pair, ["epochs=9"], over=over).epochs == 9


def test_mistakes_of_a_second_file_are_told_with_its_lines(pair, tmp_path):
    over = tmp_path / "over.yaml"
    over.write_text("epochs: 7\nQAT: {temperature: 0}\n")
    with pytest.raises(ConfigError, match=r"QAT\.temperature.*over\.yaml:2"):
        load_config(pair, over=over)


def test_the_checksum_is_of_what_differs_from_the_defaults(pair, tmp_path):
    checksum = load_config(pair).sha256()
    for same in ("EMA=null", "sync_bn=true", "log_interval=10", "output_dir=elsewhere"):
        assert load_config(pair, [same]).sha256() == checksum, same
    for other in ("EMA={}", "sync_bn=false", "seed=1", "OPTIMIZER.weight_decay=0.125"):
        assert load_config(pair, [other]).sha256() != checksum, other
    over = tmp_path / "over.yaml"
    over.write_text("QAT: {temperature: 2.0}\n")
    assert load_config(pair, over=over).sha256() != load_config(pair).sha256()
