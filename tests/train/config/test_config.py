"""What loads, and what a config then says."""

import json
from pathlib import Path

import pytest
import yaml

from tests.train.config.config_cases import PAIR
from train.config.identity import deployed
from train.config.load import (
    Config,
    ConfigError,
    load_config,
    parse_model,
)
from train.config.networks import blocks_of
from train.config.weights_by_name import Published, named_weights
from train.config.yaml_file import parse_document
from train.data.splits import training_transforms

CONFIGS = Path(__file__).parents[3] / "configs"
# A file with a QAT block is put on top of a run's config.
OURS = sorted(
    file.name
    for file in CONFIGS.glob("*.yaml")
    if "MODEL:" in file.read_text() and "QAT:" not in file.read_text()
)


@pytest.fixture(autouse=True)
def real_clips(tmp_path_factory, monkeypatch):
    """The class names that the configs for real clips count."""
    folder = tmp_path_factory.mktemp("names")
    for name in ("labels.txt", "classes.txt"):
        (folder / name).write_text("a\nb\nc\nd\n")
    for variable in ("RAILWAY_ROOT", "REAL_ROOT"):
        monkeypatch.setenv(variable, str(folder))


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
    from train.data.augment.transforms import build_transforms
    from train.data.mix import build_mix
    from train.distill.build_recognizer import build_recognizer
    from train.engine.optim import build_optimizer

    cfg = load_config(pair, ["MODEL.freeze_params_list=[true, false]", "grad_clip=5"])
    recognizer = build_recognizer(cfg.model, seed=cfg.seed)
    assert recognizer.roles == ["Teacher", "Student"] and recognizer.frozen == {"Teacher"}
    names = [type(transform).__name__ for transform in build_transforms(training_transforms(cfg))]
    assert names == ["MultiScaleCrop", "RandomCrop", "RandomFlip"]
    assert build_mix(cfg.mix) is not None
    _, scheduler = build_optimizer(recognizer, cfg.optimizer, steps_per_epoch=2, epochs=cfg.epochs)
    assert scheduler() == pytest.approx(0.005)
    assert cfg.optimizer["grad_clip"]["value"] == 5.0


@pytest.mark.parametrize("name", OURS)
def test_configs_of_the_repository_load(name, monkeypatch):
    monkeypatch.delenv("KINETICS400_ROOT", raising=False)
    cfg = load_config(CONFIGS / name)
    assert not cfg.ignored
    assert cfg.specs["valid"].clip_shape == cfg.specs["train"].clip_shape
    assert cfg.lists["train"].list_file.name == "train.list"
    assert cfg.class_num == {"pp": 400, "ra": 4, "re": 4}.get(name[:2], cfg.class_num)


@pytest.mark.parametrize("kind", ["railway", "motions", "pptsm_v2_8f", "pptsm_mv3_8f"])
def test_a_pair_differs_from_its_baseline_in_the_model_alone(kind):
    single = CONFIGS / (f"{kind}.yaml" if kind.endswith("8f") else f"{kind}_baseline.yaml")
    both = CONFIGS / f"{kind}_dml.yaml"
    a, b = (load_config(file).to_dict() for file in (single, both))
    (student,) = [m["Student"] for m in b["MODEL"]["models"] if "Student" in m]
    assert student["backbone"] == a["MODEL"]["backbone"]
    # The recipe halves its batch, and with it its rate, for the second network.
    keys = {"PIPELINE", "MIX", "PRECISEBN", "epochs", "seed", "amp"} | (
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
        ("pptsm_mv2_k400_videos_uniform", 8),
        ("pptsm_mv3_k400_frames_uniform", 8),
    ],
)
def test_paddlevideos_files_load_unchanged(paddlevideo, name, frames):
    cfg = load_config(paddlevideo / "configs/recognition/pptsm" / f"{name}.yaml")
    assert cfg.specs["valid"].clip_shape == (frames, 224, 224, 3)
    dense = "dense" in name
    assert cfg.specs["train"].sampling.kind == ("dense" if dense else "uniform")
    assert {"METRIC", "log_level"} <= set(cfg.ignored)
    assert cfg.specs["test"].clips == (30 if dense else 1)
    assert [told.split()[0] for told in cfg.repeated] == ["INFERENCE"] * ("mv2" in name)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("pptsm_v2_8f", "v2/pptsm_lcnet_k400_8frames_uniform"),
        ("pptsm_v2_8f_dml", "v2/pptsm_lcnet_k400_8frames_uniform_dml_distillation"),
        ("pptsm_v2_16f", "v2/pptsm_lcnet_k400_16frames_uniform"),
        ("pptsm_v2_16f_dml", "v2/pptsm_lcnet_k400_16frames_uniform_dml_distillation"),
        ("pptsm_mv2_8f", "pptsm_mv2_k400_videos_uniform"),
        ("pptsm_mv3_8f", "pptsm_mv3_k400_frames_uniform"),
    ],
)
def test_our_recipe_is_paddlevideos(paddlevideo, ours, theirs):
    theirs = load_config(paddlevideo / "configs/recognition/pptsm" / f"{theirs}.yaml")
    ours = load_config(CONFIGS / f"{ours}.yaml")
    for split in ("train", "valid", "test"):
        assert ours.PIPELINE.of(split).blocks() == theirs.PIPELINE.of(split).blocks()
        assert ours.PIPELINE.of(split).sample == theirs.PIPELINE.of(split).sample
    rate = {**ours.optimizer["learning_rate"], "max_epoch": ours.epochs}
    assert {**ours.optimizer, "learning_rate": rate} == theirs.optimizer
    # What they name as a file is what `imagenet` fetches.
    model = theirs.model
    for block in blocks_of(model).values():
        backbone = block["backbone"]
        weights = named_weights("imagenet", backbone)
        assert isinstance(weights, Published)
        assert Path(weights.url).name == Path(backbone["pretrained"]).name
        backbone["pretrained"] = "imagenet"
    assert json.dumps(ours.model) == json.dumps(model)
    assert (ours.epochs, ours.mix) == (theirs.epochs, theirs.mix)
    assert ours.DATASET.batch_size == theirs.DATASET.batch_size
    assert ours.DATASET.train.format == theirs.DATASET.train.format
    if "mv" in ours.source:
        assert ours.PRECISEBN == theirs.PRECISEBN


def test_guides_model_blocks_parse(paddlevideo):
    guide = (paddlevideo / "docs/zh-CN/distillation.md").read_text(encoding="utf-8")
    blocks = [text.split("```")[0] for text in guide.split("```yaml")[1:]]
    parsed = [parse_model(parse_document(text, "guide").data) for text in blocks]
    assert [model["framework"] for model in parsed] == [
        "Recognizer2D",
        "RecognizerDistillation",
        "RecognizerDistillation",
    ]


# --- what follows from a config ------------------------------------------------------------------


def test_clip_spec_follows_the_pipeline(pair):
    cfg = load_config(
        pair,
        [
            "PIPELINE.valid.sample.select_left=true",
            "PIPELINE.valid.transform.Scale={short_size: 56, fixed_ratio: false, backend: cv2}",
        ],
    )
    spec = cfg.specs["valid"]
    assert spec.clip_shape == (4, 48, 48, 3)
    assert spec.sampling.select_left and spec.sampling.views == 1
    assert (spec.preprocess.short_size, spec.preprocess.fixed_ratio) == (56, False)
    assert spec.preprocess.resize == "bilinear"
    assert spec.preprocess.mean == (0.485, 0.456, 0.406)
    assert cfg.specs["test"] == spec
    train = cfg.specs["train"]
    assert (train.preprocess.short_size, train.preprocess.resize) == (64, "area")
    assert train.preprocess.crop == 48 and not train.sampling.select_left


def test_settings_of_later_versions_are_recorded_where_they_are_set(pair):
    later = ["PIPELINE.valid.sample.by=time", "PIPELINE.valid.transform.Scale.square_pixels=true"]
    for overrides, by, square in (([], "frame", False), (later, "time", True)):
        cfg = load_config(pair, overrides)
        spec = cfg.specs["valid"]
        assert (spec.sampling.by, spec.preprocess.square_pixels) == (by, square)
        # Checkpoints of earlier versions do not say them, and are compared with this.
        valid = deployed(cfg)["PIPELINE"]["valid"]
        assert ("by" in valid["sample"]) == square
        assert ("square_pixels" in valid["transform"][0]["Scale"]) == square


def test_dense_evaluation_takes_ten_views_unless_told(pair):
    dense = "PIPELINE.valid.sample.dense_sample=true"
    assert load_config(pair, [dense]).specs["valid"].sampling.views == 10
    cfg = load_config(pair, [dense, "PIPELINE.valid.sample.views=3"])
    assert (cfg.specs["valid"].sampling.kind, cfg.specs["valid"].sampling.views) == ("dense", 3)


def test_a_test_pipeline_of_another_shape_cannot_be_deployed(pair):
    block = yaml.safe_load(PAIR)["PIPELINE"]["valid"]
    block["transform"][1]["CenterCrop"]["target_size"] = 64
    with pytest.raises(ConfigError, match=r"differ: valid \(4, 48, 48, 3\) and test \(4, 64"):
        load_config(pair, [f"PIPELINE.test={json.dumps(block)}"])


def test_class_names_and_flips_that_swap_them(pair, tmp_path):
    cfg = load_config(pair)
    assert list(cfg.class_names) == ["0", "1", "2"]
    (tmp_path / "classes.txt").write_text("left\nright\nup\n")
    named = [f"DATASET.root={tmp_path}", "DATASET.classes=classes.txt"]
    cfg = load_config(pair, [*named, "DATASET.label_flip={left: right}"])
    assert list(cfg.class_names) == ["left", "right", "up"]
    # PaddleVideo's label lists hold the label too.
    (tmp_path / "numbered.txt").write_text("0 air drumming\n1 bowling\n2 0\n")
    numbered = load_config(pair, [*named, "DATASET.classes=numbered.txt"])
    assert list(numbered.class_names) == ["air drumming", "bowling", "0"]
    assert training_transforms(cfg)[3]["RandomFlip"] == {"p": 0.5, "labels": {0: 1, 1: 0}}
    by_number = load_config(pair, [*named, "DATASET.label_flip={0: 1}"])
    assert training_transforms(by_number) == training_transforms(cfg)
    wrong = load_config(pair, [*named, "DATASET.label_flip={left: rihgt}"])
    with pytest.raises(ConfigError, match="right"):
        training_transforms(wrong)
    (tmp_path / "classes.txt").write_text("left\nright\n")
    with pytest.raises(ConfigError, match="2 classes"):
        _ = load_config(pair, named).class_names
    with pytest.raises(ConfigError, match="cannot be read"):
        _ = load_config(pair, ["DATASET.classes=nowhere.txt"]).class_names


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
