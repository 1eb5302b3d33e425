"""What must fit together across a whole config: frames, pixels, labels, schedule.

As in `train.config.model_checks`, blocks that are not well-formed are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import TypeAdapter

from infer.clips.spec import SamplingSpec
from train.config.blocks import Blocks, dig
from train.config.errors import Location, Mistake, as_yaml, dotted, unknown_name
from train.config.list_format import FRAME_SUFFIX
from train.config.loss_checks import losses_of, needs_labels
from train.config.model_checks import ConfigNetwork, check_model, networks_of
from train.config.schema.common import SPLITS, Split
from train.config.schema.data import Dataset, ListFile
from train.config.schema.losses import RKDLoss
from train.config.schema.model import STUDENT
from train.config.schema.optimizer import LearningRate
from train.config.schema.pipeline import PipelineSplit

DENSE_WINDOW = SamplingSpec().window
CROPS = ("RandomCrop", "CenterCrop", "MultiScaleCrop")

_RATE: TypeAdapter[Any] = TypeAdapter(LearningRate)
_LIST: TypeAdapter[ListFile] = TypeAdapter(ListFile)
_DATASET: TypeAdapter[Dataset] = TypeAdapter(Dataset)
_PIPELINE: TypeAdapter[PipelineSplit] = TypeAdapter(PipelineSplit)


def check_config(blocks: Blocks, *, inference: Any) -> Iterator[Mistake]:
    """All checks across a whole config; `inference` is its INFERENCE block."""
    yield from check_model(blocks)
    networks = list(networks_of(blocks))
    pipelines = {split: blocks.checked(_PIPELINE, "PIPELINE", split) for split in SPLITS}
    yield from _same_segments(blocks, networks)
    for split, pipeline in pipelines.items():
        if pipeline is not None:
            yield from _check_sampling(split, pipeline)
            yield from _check_transforms(split, pipeline)
        yield from _check_decoder(blocks, split)
    yield from _same_shape(pipelines)
    yield from _same_normalisation(pipelines)
    yield from _check_inference(inference, pipelines["valid"])
    yield from _check_labels(blocks, networks, pipelines["train"])
    yield from _check_relations(blocks)
    yield from _check_optimizer(blocks)
    yield from _check_scale(blocks)


def check_made_lists(blocks: Blocks, made: Mapping[str, str]) -> Iterator[Mistake]:
    """Lists that BEFORE writes hold the whole paths of its clips; splits have to read them so.

    Args:
        blocks: the config.
        made: the files that BEFORE makes, by their variables.
    """
    before = blocks.written("BEFORE")
    for name in before if isinstance(before, Mapping) else ():
        clips = blocks.checked(_LIST, "BEFORE", name, "clips")
        for split in SPLITS:
            listed = blocks.checked(_LIST, "DATASET", split)
            if clips is None or listed is None or listed.file_path != made.get(name):
                continue
            if listed.format != clips.format:
                what = f"is {listed.format}, but BEFORE.{name}.clips.format, and so the list, is"
                yield Mistake(("DATASET", split, "format"), f"{what} {clips.format}")
            elif listed.format == "VideoDataset" and listed.suffix:
                what = (
                    f"is {as_yaml(listed.suffix)}, but the list of BEFORE.{name} holds whole paths"
                )
                yield Mistake(("DATASET", split, "suffix"), f"{what}: set it to nothing")
            elif listed.format == "FrameDataset" and _pattern(listed) != _pattern(clips):
                what = f"is {as_yaml(_pattern(listed))}, but BEFORE.{name}.clips.suffix is"
                told = f"{what} {as_yaml(_pattern(clips))}: they name the same frames"
                yield Mistake(("DATASET", split, "suffix"), told)


def _pattern(listed: ListFile) -> str:
    return listed.suffix or FRAME_SUFFIX


def _same_segments(blocks: Blocks, networks: list[ConfigNetwork]) -> Iterator[Mistake]:
    """One num_seg for all networks and all pipelines; the Student's leads."""
    known: list[tuple[Location, int]] = [
        ((*network.where, "backbone", "num_seg"), network.backbone.num_seg)
        for network in sorted(networks, key=lambda network: network.role != STUDENT)
        if network.backbone is not None
    ]
    for split in SPLITS:
        sample = blocks.written("PIPELINE", split, "sample")
        if isinstance(sample, Mapping):
            frames = sample.get("num_seg", 8)
            if isinstance(frames, int) and not isinstance(frames, bool):
                known.append((("PIPELINE", split, "sample", "num_seg"), frames))
    for where, frames in known[1:]:
        if frames != known[0][1]:
            yield Mistake(where, f"is {frames}, but {dotted(known[0][0])} is {known[0][1]}")


def _check_sampling(split: str, pipeline: PipelineSplit) -> Iterator[Mistake]:
    wanted = split != "train"
    if pipeline.sample.valid_mode != wanted:
        what = f"is {as_yaml(not wanted)}, must be {as_yaml(wanted)} in the {split} pipeline"
        yield Mistake(("PIPELINE", split, "sample", "valid_mode"), what)
    if pipeline.sample.dense_sample and pipeline.sample.num_seg > DENSE_WINDOW:
        what = f"is {pipeline.sample.num_seg}, dense sampling takes at most {DENSE_WINDOW} frames"
        yield Mistake(("PIPELINE", split, "sample", "num_seg"), what)
    if pipeline.sample.views is not None and not wanted:
        yield Mistake(("PIPELINE", split, "sample", "views"), "is for valid and test; leave it out")


def _check_decoder(blocks: Blocks, split: str) -> Iterator[Mistake]:
    listed = blocks.checked(_LIST, "DATASET", split)
    own = blocks.written("PIPELINE", split) is not None or split != "test"
    where = ("PIPELINE", split if own else "valid", "decode", "name")
    decoder = blocks.written(*where)
    if listed is None or decoder not in ("VideoDecoder", "FrameDecoder"):
        return
    needed = listed.format.replace("Dataset", "Decoder")
    if decoder != needed:
        what = f"is {decoder}, but DATASET.{split}.format is {listed.format}: use {needed}"
        yield Mistake(where, what)


def _check_transforms(split: str, pipeline: PipelineSplit) -> Iterator[Mistake]:
    where: Location = ("PIPELINE", split, "transform")
    names = [step.name for step in pipeline.transform if step.name != "Image2Array"]
    last = [step.name for step in pipeline.transform][-2:]
    if not names or names[0] != "Scale" or names.count("Scale") != 1:
        yield Mistake(where, "must begin with Scale, and hold it once")
    if not names or names[-1] != "Normalization" or names.count("Normalization") != 1:
        yield Mistake(where, "must end with Normalization, and hold it once")
    elif len(names) != len(pipeline.transform) and last != ["Image2Array", "Normalization"]:
        yield Mistake(where, "Image2Array must stand once, just before Normalization")
    between = [name for name in names if name not in ("Scale", "Normalization")]
    crops = ("CenterCrop", "GroupFullResSample") if split != "train" else ()
    if split != "train" and (len(between) != 1 or between[0] not in crops):
        what = f"must have one of {' and '.join(crops)} between Scale and Normalization, not "
        yield Mistake(where, what + (", ".join(between) or "nothing"))
    if split == "train" and "GroupFullResSample" in between:
        yield Mistake(where, "GroupFullResSample is for tests only")
    elif split == "train" and not {"RandomCrop", "CenterCrop", "MultiScaleCrop"} & set(between):
        what = "needs RandomCrop, MultiScaleCrop or CenterCrop: clips of a batch have one size"
        yield Mistake(where, what)
    yield from _check_sizes(where, pipeline)


def _check_sizes(where: Location, pipeline: PipelineSplit) -> Iterator[Mistake]:
    """No crop may be larger than what the step before it leaves, nor the clip than Scale's."""
    size: int | None = None
    scale = pipeline.find("Scale")
    for index, step in enumerate(pipeline.transform):
        options: Any = step.options
        if step.name == "Scale":
            size = options.short_size
        elif step.name in (*CROPS, "GroupFullResSample"):
            key = "crop_size" if step.name == "GroupFullResSample" else "target_size"
            target = getattr(options, key)
            if size is not None and target > size and step.name != "MultiScaleCrop":
                what = f"is {target}, larger than the {size} pixels that the step before leaves"
                yield Mistake((*where, index, step.name, key), what)
            size = target
            final = not any(later.name in CROPS for later in pipeline.transform[index + 1 :])
            if final and step.name == "MultiScaleCrop" and scale and target > scale.short_size:
                what = f"is {target}, but clips cannot exceed Scale's short_size"
                yield Mistake((*where, index, step.name, key), f"{what}, {scale.short_size}")


def _same_shape(pipelines: Mapping[Split, PipelineSplit | None]) -> Iterator[Mistake]:
    """One exported network takes the clips of validation and of the test."""
    valid, test = pipelines["valid"], pipelines["test"]
    if valid is None or test is None or valid.sample.num_seg != test.sample.num_seg:
        return  # another number of frames is told by itself
    if valid.crop != test.crop:
        told = f"valid {valid.clip_shape} and test {test.clip_shape}; one network takes one"
        yield Mistake(("PIPELINE", "test"), f"clips [time, height, width, channel] differ: {told}")


def _same_normalisation(pipelines: Mapping[Split, PipelineSplit | None]) -> Iterator[Mistake]:
    """Normalisation is part of the network: it cannot differ between splits."""
    found = [
        (split, pipeline.find("Normalization"))
        for split, pipeline in pipelines.items()
        if pipeline is not None and pipeline.find("Normalization") is not None
    ]
    for split, block in found[1:]:
        if block != found[0][1]:
            what = f"Normalization differs from that of {found[0][0]}; it is part of the network"
            yield Mistake(("PIPELINE", split, "transform"), what)


def _check_inference(inference: Any, valid: PipelineSplit | None) -> Iterator[Mistake]:
    """INFERENCE is ignored because it repeats the evaluation pipeline: so it must do so."""
    if valid is None:
        return
    crop = valid.find("CenterCrop")
    for key, value in (
        ("num_seg", valid.sample.num_seg),
        ("target_size", crop and crop.target_size),
    ):
        said = dig(inference, key)
        if said is not None and value is not None and said != value:
            what = f"is {as_yaml(said)}, but the valid pipeline's is {value}, which deployment uses"
            yield Mistake(("INFERENCE", key), what)


def _check_labels(
    blocks: Blocks, networks: list[ConfigNetwork], train: PipelineSplit | None
) -> Iterator[Mistake]:
    dataset = blocks.checked(_DATASET, "DATASET")
    if dataset is None:
        return
    names = dataset.classes if isinstance(dataset.classes, list) else None
    if names is not None and isinstance(dataset.label_flip, dict):
        for name in dataset.label_flip:
            if name not in names and not (name.isdigit() and int(name) < len(names)):
                yield Mistake(("DATASET", "label_flip"), unknown_name("class", name, names))
    weights = dataset.class_weights
    widths = [width for network in networks if (width := network.classes()) is not None]
    if isinstance(weights, list) and widths and len(weights) != widths[0][1]:
        what = f"holds {len(weights)} numbers, but {dotted(widths[0][0])} is {widths[0][1]}"
        yield Mistake(("DATASET", "class_weights"), what)
    yield from _check_unlabelled(blocks, dataset)
    for index, step in enumerate(train.transform if train is not None else ()):
        if step.name == "RandomFlip" and dataset.label_flip == "forbidden":
            what = "DATASET.label_flip forbids mirroring; leave RandomFlip out"
            yield Mistake(("PIPELINE", "train", "transform", index, "RandomFlip"), what)


def _check_unlabelled(blocks: Blocks, dataset: Dataset) -> Iterator[Mistake]:
    for split in ("valid", "test"):
        listed = getattr(dataset, split)
        if listed is not None and not listed.labelled:
            what = "accuracy is measured against labels: only the train list may have none"
            yield Mistake(("DATASET", split, "labelled"), what)
        if listed is not None and listed.balance:
            what = "repeats clips in training; every listed clip is evaluated once: leave it out"
            yield Mistake(("DATASET", split, "balance"), what)
    if not dataset.train.labelled:
        what = "is about labels, but DATASET.train.labelled is false"
        if dataset.train.balance:
            yield Mistake(("DATASET", "train", "balance"), what)
        if dataset.class_weights is not None:
            yield Mistake(("DATASET", "class_weights"), what)
        for where in needs_labels(blocks):
            yield Mistake(where, "learns from labels, but DATASET.train.labelled is false")


def _check_relations(blocks: Blocks) -> Iterator[Mistake]:
    clips = blocks.written("DATASET", "batch_size")
    for where, loss in losses_of(blocks, "Train"):
        if isinstance(loss, RKDLoss) and clips == 1:
            what = "compares the clips of a batch, and DATASET.batch_size is 1: raise it"
            yield Mistake((*where, "name"), what)


def _check_scale(blocks: Blocks) -> Iterator[Mistake]:
    """Settings for large batches and averages that exclude others."""
    alternating = blocks.written("MODEL", "update") == "alternating"
    if blocks.written("GRADIENT_ACCUMULATION") is not None and alternating:
        text = "alternating updates take a step after every batch: leave it, or MODEL.update, out"
        yield Mistake(("GRADIENT_ACCUMULATION",), text)
    if blocks.written("EMA") is not None and blocks.written("PRECISEBN") is not None:
        text = "averages the statistics of batch norms as well: leave it, or PRECISEBN, out"
        yield Mistake(("EMA",), text)


def _check_optimizer(blocks: Blocks) -> Iterator[Mistake]:
    if None not in (blocks.written("grad_clip"), blocks.written("OPTIMIZER", "grad_clip")):
        yield Mistake(("grad_clip",), "OPTIMIZER.grad_clip says it too; keep one of them")
    rate = blocks.checked(_RATE, "OPTIMIZER", "learning_rate")
    epochs = blocks.written("epochs")
    if rate is None or not isinstance(epochs, int) or epochs < 1:
        return
    where = ("OPTIMIZER", "learning_rate")
    key = "T_max" if rate.name == "CosineAnnealingDecay" else "max_epoch"
    end = getattr(rate, key, None)
    if end is not None and end < epochs:
        what = f"is {end}, below the {epochs} epochs of the run: the rate ends at 0 before"
        yield Mistake((*where, key), f"{what}; leave {key} out, or set it to {epochs}")
    warmup = getattr(rate, "warmup_epochs", 0)
    if warmup and warmup >= (end or epochs):
        what = (
            f"is {warmup:g}, not below the {end or epochs} epochs of the schedule; for a run that "
            "short, set it to 0"
        )
        yield Mistake((*where, "warmup_epochs"), what)
