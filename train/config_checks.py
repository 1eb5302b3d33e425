"""What must fit together across a config: frames, classes, channels, names, pipelines.

Every check takes the blocks that are well-formed in themselves and leaves out the others, so that
one message holds both kinds of mistakes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

from pydantic import TypeAdapter, ValidationError

from train.config_errors import Location, Mistake, dotted, shown, unknown_name
from train.schema import LearningRate
from train.schema_data import SPLITS, Dataset, ListFile, PipelineSplit
from train.schema_model import (
    GROUND_TRUTH,
    STUDENT,
    Backbone,
    Head,
    Loss,
    MoViNetHead,
    MutualLoss,
    PPTSMHead,
    PPTSMv2Backbone,
    ResNetTweaksTSMBackbone,
)

T = TypeVar("T")

_BACKBONE: TypeAdapter[Any] = TypeAdapter(Backbone)
_HEAD: TypeAdapter[Any] = TypeAdapter(Head)
_LOSS: TypeAdapter[Any] = TypeAdapter(Loss)
_RATE: TypeAdapter[Any] = TypeAdapter(LearningRate)
_LIST: TypeAdapter[ListFile] = TypeAdapter(ListFile)
_DATASET: TypeAdapter[Dataset] = TypeAdapter(Dataset)
_PIPELINE: TypeAdapter[PipelineSplit] = TypeAdapter(PipelineSplit)


class Placed(NamedTuple):
    """A network of the config; parts that are not well-formed are None."""

    role: str
    where: Location
    backbone: PPTSMv2Backbone | ResNetTweaksTSMBackbone | None
    head: MoViNetHead | PPTSMHead | None

    def classes(self) -> tuple[Location, int] | None:
        """Width of the logits and the key that says it."""
        if isinstance(self.head, PPTSMHead):
            return (*self.where, "head", "num_classes"), self.head.num_classes
        if isinstance(self.backbone, PPTSMv2Backbone):
            return (*self.where, "backbone", "class_num"), self.backbone.class_num
        return None


def check_model(model: Any) -> Iterator[Mistake]:
    """Checks within the MODEL block."""
    networks = list(_networks(model))
    for network in networks:
        yield from _check_network(network)
    yield from _same_classes(networks)
    if isinstance(model, Mapping) and model.get("framework") == "RecognizerDistillation":
        yield from _check_roles(model, networks)
        yield from _check_losses(model, networks)


def check_config(raw: Mapping[str, Any]) -> Iterator[Mistake]:
    """All checks across a whole config."""
    model = raw.get("MODEL")
    yield from check_model(model)
    networks = list(_networks(model))
    pipelines: dict[str, PipelineSplit | None] = {
        split: _attempt(_PIPELINE, _dig(raw, "PIPELINE", split)) for split in SPLITS
    }
    yield from _same_segments(raw, networks)
    for split, pipeline in pipelines.items():
        if pipeline is not None:
            yield from _check_sampling(split, pipeline)
            yield from _check_transforms(split, pipeline)
        yield from _check_decoder(raw, split)
    yield from _same_normalisation(pipelines)
    yield from _check_inference(raw, pipelines)
    yield from _check_labels(raw, networks, pipelines["train"])
    yield from _check_optimizer(raw)


def _attempt(adapter: TypeAdapter[T], raw: Any) -> T | None:
    try:
        return adapter.validate_python(raw)
    except ValidationError:
        return None


def _dig(raw: Any, *keys: str) -> Any:
    for key in keys:
        raw = raw.get(key) if isinstance(raw, Mapping) else None
    return raw


def _networks(model: Any) -> Iterator[Placed]:
    def placed(role: str, where: Location, block: Any) -> Placed:
        backbone = _attempt(_BACKBONE, _dig(block, "backbone"))
        return Placed(role, where, backbone, _attempt(_HEAD, _dig(block, "head")))

    models = _dig(model, "models")
    if isinstance(models, list):
        for index, entry in enumerate(models):
            if isinstance(entry, Mapping) and len(entry) == 1:
                ((role, block),) = entry.items()
                yield placed(role, ("MODEL", "models", index, role), block)
    elif isinstance(model, Mapping):
        yield placed(STUDENT, ("MODEL",), model)


def _check_network(network: Placed) -> Iterator[Mistake]:
    backbone, head, where = network.backbone, network.head, (*network.where, "head")
    if isinstance(backbone, PPTSMv2Backbone) and isinstance(head, PPTSMHead):
        what = "ppTSMHead needs features, PPTSM_v2 ends in logits; use MoViNetHead"
        yield Mistake((*where, "name"), what)
    if isinstance(backbone, ResNetTweaksTSMBackbone) and isinstance(head, MoViNetHead):
        what = "MoViNetHead needs logits, ResNetTweaksTSM ends in features; use ppTSMHead"
        yield Mistake((*where, "name"), what)
    if isinstance(backbone, ResNetTweaksTSMBackbone) and isinstance(head, PPTSMHead):
        if head.in_channels != backbone.features:
            what = (
                f"is {head.in_channels}, must be {backbone.features}, the channels of "
                f"ResNetTweaksTSM at depth {backbone.depth} and width {backbone.width:g}"
            )
            yield Mistake((*where, "in_channels"), what)
        if head.num_seg != backbone.num_seg:
            what = f"is {head.num_seg}, but the backbone's is {backbone.num_seg}"
            yield Mistake((*where, "num_seg"), what)


def _same_classes(networks: list[Placed]) -> Iterator[Mistake]:
    widths = [width for network in networks if (width := network.classes()) is not None]
    for where, classes in widths[1:]:
        if classes != widths[0][1]:
            what = f"is {classes}, but {dotted(widths[0][0])} is {widths[0][1]}"
            yield Mistake(where, f"{what}: all networks tell the same classes apart")


def _check_roles(model: Mapping[str, Any], networks: list[Placed]) -> Iterator[Mistake]:
    where = ("MODEL", "models")
    roles = [network.role for network in networks]
    models = model.get("models")
    complete = isinstance(models, list) and len(models) == len(networks)
    if complete and STUDENT not in roles:
        yield Mistake(where, f"has no {STUDENT}, which is the network that is deployed")
    for network in networks:
        if network.role == GROUND_TRUTH:
            yield Mistake(network.where, f"{GROUND_TRUTH} is the name of the labels")
        if roles.count(network.role) > 1 and network.where[2] != roles.index(network.role):
            yield Mistake(network.where, f"the name {network.role} is taken; names must differ")
    frozen = model.get("freeze_params_list") or []
    if not complete or not isinstance(frozen, list):
        return
    if frozen and len(frozen) != len(roles):
        what = f"has {len(frozen)} entries for {len(roles)} models ({', '.join(map(str, roles))})"
        yield Mistake(("MODEL", "freeze_params_list"), what)
    elif STUDENT in roles and frozen and frozen[roles.index(STUDENT)] is True:
        what = f"freezes {STUDENT}: the network that is deployed would not learn"
        yield Mistake(("MODEL", "freeze_params_list", roles.index(STUDENT)), what)


def _check_losses(model: Mapping[str, Any], networks: list[Placed]) -> Iterator[Mistake]:
    roles = [network.role for network in networks]
    learning: set[str] = set()
    complete = bool(networks)
    for mode in ("Train", "Val"):
        blocks = _dig(model, "loss", mode)
        for index, block in enumerate(blocks if isinstance(blocks, list) else ()):
            where = ("MODEL", "loss", mode, index, "model_name_pairs")
            loss = _attempt(_LOSS, block)
            if loss is None:
                complete = False
                continue
            if mode == "Train":
                learning |= set(loss.model_name_pairs)
            yield from _check_pair(loss, roles, where)
        complete = complete and isinstance(blocks, list)
    for network in networks:
        if isinstance(network.head, (MoViNetHead, PPTSMHead)) and network.head.ls_eps:
            what = "labels are smoothed by Recognizer2D only; the terms of MODEL.loss have no such"
            yield Mistake((*network.where, "head", "ls_eps"), f"{what} setting: leave it out")
    flags = model.get("freeze_params_list") or [False] * len(roles)
    if complete and isinstance(flags, list) and len(flags) == len(roles):
        for network, flag in zip(networks, flags, strict=True):
            if flag is not True and network.role not in learning:
                what = f"no term holds {network.role}, which is not frozen: it would never learn"
                yield Mistake(("MODEL", "loss", "Train"), what)


def _check_pair(loss: Any, roles: list[str], where: Location) -> Iterator[Mistake]:
    pair = loss.model_name_pairs
    allowed = roles if isinstance(loss, MutualLoss) else [*roles, GROUND_TRUTH]
    unknown = [name for name in pair if name not in allowed]
    for name in unknown:
        if name == GROUND_TRUTH:
            yield Mistake(where, f"{loss.name} compares two networks, not one with {GROUND_TRUTH}")
        else:
            yield Mistake(where, unknown_name("network", name, allowed))
    if unknown:
        return
    if isinstance(loss, MutualLoss):
        if pair[0] == pair[1]:
            yield Mistake(where, f"{loss.name} needs two different networks, not {shown(pair)}")
    elif pair.count(GROUND_TRUTH) != 1:
        yield Mistake(where, f"{loss.name} needs one network and {GROUND_TRUTH}, not {shown(pair)}")


def _same_segments(raw: Mapping[str, Any], networks: list[Placed]) -> Iterator[Mistake]:
    """One num_seg for all networks and all pipelines; the Student's leads."""
    known: list[tuple[Location, int]] = [
        ((*network.where, "backbone", "num_seg"), network.backbone.num_seg)
        for network in sorted(networks, key=lambda network: network.role != STUDENT)
        if network.backbone is not None
    ]
    for split in SPLITS:
        sample = _dig(raw, "PIPELINE", split, "sample")
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
        what = f"is {shown(not wanted)}, must be {shown(wanted)} in the {split} pipeline"
        yield Mistake(("PIPELINE", split, "sample", "valid_mode"), what)
    if pipeline.sample.views is not None and not wanted:
        yield Mistake(("PIPELINE", split, "sample", "views"), "is for valid and test; leave it out")


def _check_decoder(raw: Mapping[str, Any], split: str) -> Iterator[Mistake]:
    listed = _attempt(_LIST, _dig(raw, "DATASET", split))
    own = _dig(raw, "PIPELINE", split) is not None or split != "test"
    where = ("PIPELINE", split if own else "valid", "decode", "name")
    decoder = _dig(raw, *where)
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
        elif step.name in ("RandomCrop", "CenterCrop", "MultiScaleCrop", "GroupFullResSample"):
            key = "crop_size" if step.name == "GroupFullResSample" else "target_size"
            target = getattr(options, key)
            if size is not None and target > size and step.name != "MultiScaleCrop":
                what = f"is {target}, larger than the {size} pixels that the step before leaves"
                yield Mistake((*where, index, step.name, key), what)
            size = target
            final = not any("Crop" in later.name for later in pipeline.transform[index + 1 :])
            if final and step.name == "MultiScaleCrop" and scale and target > scale.short_size:
                what = f"is {target}, but clips cannot exceed Scale's short_size"
                yield Mistake((*where, index, step.name, key), f"{what}, {scale.short_size}")


def _same_normalisation(pipelines: Mapping[str, PipelineSplit | None]) -> Iterator[Mistake]:
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


def _check_inference(
    raw: Mapping[str, Any], pipelines: Mapping[str, PipelineSplit | None]
) -> Iterator[Mistake]:
    """INFERENCE is ignored because it repeats the evaluation pipeline: so it must do so."""
    valid = pipelines["valid"]
    if valid is None:
        return
    crop = valid.find("CenterCrop")
    for key, value in (
        ("num_seg", valid.sample.num_seg),
        ("target_size", crop and crop.target_size),
    ):
        said = _dig(raw, "INFERENCE", key)
        if said is not None and value is not None and said != value:
            what = f"is {shown(said)}, but the valid pipeline's is {value}, which deployment uses"
            yield Mistake(("INFERENCE", key), what)


def _check_labels(
    raw: Mapping[str, Any], networks: list[Placed], train: PipelineSplit | None
) -> Iterator[Mistake]:
    dataset = _attempt(_DATASET, _dig(raw, "DATASET"))
    widths = [width for network in networks if (width := network.classes()) is not None]
    if dataset is None:
        return
    names = dataset.classes if isinstance(dataset.classes, list) else None
    if names is not None and widths and len(names) != widths[0][1]:
        what = f"holds {len(names)} names, but {dotted(widths[0][0])} is {widths[0][1]}"
        yield Mistake(("DATASET", "classes"), what)
    if names is not None and isinstance(dataset.label_flip, dict):
        for name in dataset.label_flip:
            if name not in names and not (name.isdigit() and int(name) < len(names)):
                yield Mistake(("DATASET", "label_flip"), unknown_name("class", name, names))
    for index, step in enumerate(train.transform if train is not None else ()):
        if step.name == "RandomFlip" and dataset.label_flip == "forbidden":
            what = "DATASET.label_flip forbids mirroring; leave RandomFlip out"
            yield Mistake(("PIPELINE", "train", "transform", index, "RandomFlip"), what)


def _check_optimizer(raw: Mapping[str, Any]) -> Iterator[Mistake]:
    if raw.get("grad_clip") is not None and _dig(raw, "OPTIMIZER", "grad_clip") is not None:
        yield Mistake(("grad_clip",), "OPTIMIZER.grad_clip says it too; keep one of them")
    rate = _attempt(_RATE, _dig(raw, "OPTIMIZER", "learning_rate"))
    epochs = raw.get("epochs")
    if rate is None or not isinstance(epochs, int):
        return
    where = ("OPTIMIZER", "learning_rate")
    key = "T_max" if rate.name == "CosineAnnealingDecay" else "max_epoch"
    end = getattr(rate, key, None)
    if end is not None and end < epochs:
        what = f"is {end}, below the {epochs} epochs of the run: the rate would rise again"
        yield Mistake((*where, key), f"{what}; leave {key} out, or set it to {epochs}")
    warmup = getattr(rate, "warmup_epochs", 0)
    if warmup and warmup >= (end or epochs):
        what = f"is {warmup:g}, not below the {end or epochs} epochs of the schedule"
        yield Mistake((*where, "warmup_epochs"), what)
