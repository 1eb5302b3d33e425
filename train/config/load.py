"""Read an experiment from YAML: every mistake at once, or a checked config with all its defaults.

The layout is PaddleVideo's, whose files load unchanged; see `train.config.schema.experiment`
for every key, `train.config.yaml_file` for `_BASE_`, overrides and `${VAR}`.

    cfg = load_config("configs/pptsm_v2_8f.yaml", ["epochs=10", "MODEL.backbone.scale=0.5"])
"""

from __future__ import annotations

import copy
import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from infer.clips.spec import ClipSpec, PreprocessSpec, SamplingSpec
from infer.system.errors import ClipDuetError
from train.config.checks import check_config, check_made_lists
from train.config.class_file import ClassFileError, read_class_names
from train.config.errors import (
    ConfigError,
    Location,
    Mistake,
    dotted,
    guessed_names,
    pydantic_mistakes,
    unknown_name,
)
from train.config.list_format import ListFormat
from train.config.model_checks import check_model
from train.config.schema.data import PipelineSplit, Split
from train.config.schema.experiment import IGNORED, Config
from train.config.schema.model import ModelOnly
from train.config.yaml_file import Document, apply_overrides, expand_environment, load_document

__all__ = [
    "Config",
    "ConfigError",
    "SplitFiles",
    "class_names",
    "clip_spec",
    "load_config",
    "parse_model",
    "pipeline_of",
    "run_config",
    "split_files",
    "transform_blocks",
]

Checked = TypeVar("Checked", bound=BaseModel)

RUN_CONFIG = "config.yaml"
"""Name of the file that a run writes its settings to, overrides included."""
DENSE_VIEWS = 10
"""Windows that dense sampling takes from a video in evaluation, as PaddleVideo does."""


@dataclass(frozen=True)
class SplitFiles:
    """Where a split is, with `DATASET.root` applied."""

    list_file: Path
    root: Path
    format: ListFormat
    suffix: str
    labelled: bool = True


def load_config(
    path: str | Path,
    overrides: Sequence[str] = (),
    *,
    over: str | Path | None = None,
    trust: bool = False,
) -> Config:
    """Read a YAML config.

    Args:
        path: the file.
        overrides: `a.b.c=value` texts, applied in order on top of the file.
        over: a second file, whose settings go on top of the first's before the overrides do.
        trust: let checkpoints that the config or a command names hold more than arrays, dicts and
            numbers: Paddle reads them then, and runs what they ask for.

    Raises:
        ConfigError: all mistakes, each with its path, value, what is allowed and where it stands.
    """
    document = load_document(Path(path))
    if over is not None:
        document = load_document(Path(over), under=document)
    if document.broken:
        raise ConfigError(str(path), document.mistakes)
    apply_overrides(document, overrides)
    if not document.data.get("output_dir"):
        document.data["output_dir"] = f"runs/{Path(path).stem}"
    made = {k: v for k, v in _made_before(document.data).items() if not os.environ.get(k)}
    expand_environment(document, {**os.environ, **made})
    raw = copy.deepcopy(document.data)
    ignored = tuple(_drop_ignored(raw))
    mistakes = list(document.mistakes)
    config, found = _validate(Config, raw)
    mistakes += found
    mistakes += check_config({**raw, "INFERENCE": document.data.get("INFERENCE")})
    mistakes += check_made_lists(raw, made)
    if mistakes or config is None:
        raise ConfigError(str(path), _with_origins(mistakes, document))
    config._ignored = ignored
    config._source = str(path)
    config._trust = trust
    config._made = {file: f"${{{name}}}" for name, file in made.items()}
    return config


def before_path(output_dir: str, name: str, block: Any) -> Path:
    """The file that a variable of BEFORE names while the environment does not set it."""
    folder = Path(output_dir) / "before"
    if isinstance(block, Mapping) and "label" in block:
        # Lists are looked for below DATASET.root, so this one says where it is.
        return folder.absolute() / f"{name.lower()}.list"
    return folder / name.lower() / "best.pdparams"


def parse_model(block: Mapping[str, Any]) -> dict[str, Any]:
    """A MODEL block alone, checked and with all defaults; `{"MODEL": {...}}` works as well.

    Raises:
        ConfigError: all mistakes.
    """
    raw = {"MODEL": block.get("MODEL", block)}
    raw = copy.deepcopy(raw if "MODEL" not in block else dict(block))
    config, mistakes = _validate(ModelOnly, raw)
    mistakes += check_model(raw["MODEL"])
    if mistakes or config is None:
        raise ConfigError("MODEL", mistakes)
    return config.MODEL.model_dump()


def pipeline_of(cfg: Config, split: Split) -> PipelineSplit:
    """The pipeline of a split; a test split without its own uses that of validation."""
    if split == "train":
        return cfg.PIPELINE.train
    if split == "test" and cfg.PIPELINE.test is not None:
        return cfg.PIPELINE.test
    return cfg.PIPELINE.valid


def clip_spec(cfg: Config, split: Split = "valid") -> ClipSpec:
    """How a video of that split becomes a clip; that of `valid` is what deployment does.

    For `train` the crop is the size that the training transforms end at.

    Raises:
        ConfigError: the clips of validation and test differ in shape, which one exported network
            cannot take.
    """
    spec = _split_spec(cfg, split)
    if split != "train":
        other: Split = "test" if split == "valid" else "valid"
        shapes = {split: spec.clip_shape, other: _shape(cfg, other)}
        if len(set(shapes.values())) > 1:
            what = " and ".join(f"{name} {shape}" for name, shape in shapes.items())
            text = f"clips [time, height, width, channel] differ: {what}; one network takes one"
            raise ConfigError(cfg.source, [Mistake(("PIPELINE", other), text)])
    return spec


def split_files(cfg: Config, split: Split) -> SplitFiles | None:
    """The list and data folder of a split; None where there is no such split."""
    listed = getattr(cfg.DATASET, split)
    if listed is None:
        return None
    root = Path(cfg.DATASET.root)
    return SplitFiles(
        root / listed.file_path,
        root / listed.data_prefix,
        listed.format,
        listed.suffix,
        listed.labelled,
    )


def class_names(cfg: Config) -> list[str]:
    """Names of the classes by label.

    A file of names holds one a line, with its label or without; see
    `train.config.class_file`.

    Raises:
        ConfigError: the file of names cannot be read, or does not hold as many as the networks
            tell apart.
    """
    classes = cfg.DATASET.classes
    if classes is None:
        return [str(index) for index in range(cfg.class_num)]
    if isinstance(classes, list):
        return list(classes)
    file = Path(cfg.DATASET.root) / classes

    def fail(text: str) -> ConfigError:
        return ConfigError(cfg.source, [Mistake(("DATASET", "classes"), text)])

    try:
        names = read_class_names(file)
    except ClassFileError as error:
        raise fail(str(error)) from error
    if len(names) != cfg.class_num:
        raise fail(f"{file} names {len(names)} classes, the networks tell {cfg.class_num} apart")
    return names


def classes_of(cfg: Config) -> list[str]:
    """The config's class names, or `class_0`, `class_1`, ..."""
    if cfg.DATASET.classes is None:
        return [f"class_{index}" for index in range(cfg.class_num)]
    return class_names(cfg)


def run_config(checkpoint: Path, *, of: str | None = None) -> Path:
    """The settings that a run leaves beside its checkpoints.

    Args:
        checkpoint: a file of the run.
        of: what the config is wanted for, if not for the checkpoint itself.

    Raises:
        ClipDuetError: there are none, or the checkpoint itself is not there.
    """
    if of is None and not checkpoint.is_file():
        raise ClipDuetError(f"there is no {checkpoint}; a run leaves best.pdparams in its folder")
    config = checkpoint.with_name(RUN_CONFIG) if checkpoint.name else Path(RUN_CONFIG)
    if not config.is_file():
        raise ClipDuetError(f"there is no {config}; name the config of {of or checkpoint} with -c")
    return config


def transform_blocks(cfg: Config) -> list[dict[str, dict[str, Any]]]:
    """The training transforms for `build_transforms`; a flip knows which labels it swaps.

    Raises:
        ConfigError: `DATASET.label_flip` names a class that there is not.
    """
    blocks = cfg.PIPELINE.train.blocks()
    swaps = cfg.DATASET.label_flip
    flips = [block["RandomFlip"] for block in blocks if "RandomFlip" in block]
    if not flips or not isinstance(swaps, dict):
        return blocks
    names = class_names(cfg)
    labels = {name: index for index, name in enumerate(names)}
    labels = {str(index): index for index in range(len(names))} | labels
    unknown = [name for name in swaps if name not in labels]
    if unknown:
        where = ("DATASET", "label_flip")
        mistakes = [Mistake(where, unknown_name("class", name, names)) for name in unknown]
        raise ConfigError(cfg.source, mistakes)
    for flip in flips:
        flip["labels"] = {labels[a]: labels[b] for a, b in swaps.items()}
    return blocks


def _made_before(raw: Mapping[str, Any]) -> dict[str, str]:
    """The variables of BEFORE, as far as the block is well-formed."""
    block = raw.get("BEFORE")
    home = Document({"output_dir": raw["output_dir"]})
    expand_environment(home)
    if not isinstance(block, Mapping) or not isinstance(home.data["output_dir"], str):
        return {}
    return {
        name: str(before_path(home.data["output_dir"], name, made))
        for name, made in block.items()
        if isinstance(name, str)
    }


def _validate(model: type[Checked], raw: Any) -> tuple[Checked | None, list[Mistake]]:
    try:
        return model.model_validate(raw), []
    except ValidationError as error:
        mistakes = pydantic_mistakes(error, model=model, raw=raw)
        guesses = guessed_names(error, raw)
    if guesses:
        # A mistyped name hides what else is wrong in its block: look again with the likely one.
        guessed = copy.deepcopy(raw)
        for where, name in guesses.items():
            block = guessed
            for part in where[:-1]:
                block = block[part]
            block[where[-1]] = name
        mistakes += _validate(model, guessed)[1]
    return None, mistakes


def _with_origins(mistakes: Sequence[Mistake], document: Document) -> list[Mistake]:
    placed = [
        mistake
        if mistake.origin or not mistake.where
        else dataclasses.replace(mistake, origin=document.origin(mistake.where))
        for mistake in mistakes
    ]
    return list(dict.fromkeys(placed))


def _drop_ignored(raw: dict[str, Any]) -> Iterator[str]:
    """Take keys without meaning out of `raw`; yields their paths."""
    for pattern in IGNORED:
        for where, holder in list(_matches(raw, pattern)):
            del holder[pattern[-1]]
            yield dotted(where)


def _matches(
    here: Any, pattern: tuple[str, ...], where: Location = ()
) -> Iterator[tuple[Location, dict[str, Any]]]:
    head, rest = pattern[0], pattern[1:]
    if head == "*":
        items: list[tuple[str | int, Any]] = []
        if isinstance(here, dict):
            items = list(here.items())
        elif isinstance(here, list):
            items = list(enumerate(here))
        for key, value in items:
            yield from _matches(value, rest, (*where, key))
    elif isinstance(here, dict) and head in here:
        if rest:
            yield from _matches(here[head], rest, (*where, head))
        else:
            yield (*where, head), here


def _shape(cfg: Config, split: Split) -> tuple[int, ...]:
    pipeline = pipeline_of(cfg, split)
    return (
        pipeline.sample.num_seg * pipeline.sample.seg_len,
        _crop(pipeline),
        _crop(pipeline),
        3,
    )


def _crop(pipeline: PipelineSplit) -> int:
    """Height and width that the transforms end at."""
    size = 0
    for step in pipeline.transform:
        options: Any = step.options
        size = getattr(options, "target_size", 0) or getattr(options, "crop_size", 0) or size
    return size


def _split_spec(cfg: Config, split: Split) -> ClipSpec:
    pipeline = pipeline_of(cfg, split)
    sample, scale = pipeline.sample, pipeline.find("Scale")
    normalization = pipeline.find("Normalization")
    dense = sample.dense_sample
    views = sample.views or (DENSE_VIEWS if dense else 1)
    sampling = SamplingSpec(
        num_seg=sample.num_seg,
        seg_len=sample.seg_len,
        kind="dense" if dense else "uniform",
        select_left=sample.select_left,
        views=views if split != "train" else 1,
    )
    preprocess = PreprocessSpec(
        short_size=scale.short_size,
        fixed_ratio=scale.fixed_ratio,
        keep_ratio=scale.keep_ratio,
        do_round=scale.do_round,
        resize=scale.filter,
        crop=_crop(pipeline),
        crops=3 if pipeline.find("GroupFullResSample") else 1,
        mean=normalization.mean,
        std=normalization.std,
    )
    return ClipSpec(sampling, preprocess)
