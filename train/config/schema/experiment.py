"""Everything a config may say, section by section, and what is left out of it knowingly."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr

from infer.clips.spec import ClipSpec
from train.config.class_count import wrong_counts
from train.config.class_file import ClassFileError, read_class_names
from train.config.errors import ConfigError, Mistake, dotted
from train.config.options import without_variables
from train.config.schema.before import Before, ready_file
from train.config.schema.common import SPLITS, Block, Positive, Rate, Split
from train.config.schema.data import Dataset, SplitFiles
from train.config.schema.model import Model, Recognizer2D, RecognizerDistillation
from train.config.schema.optimizer import Optimizer
from train.config.schema.pipeline import Pipeline
from train.config.schema.training import Accumulation, Amp, EarlyStopping, Ema, PreciseBN
from train.config.schema.transforms import Mix

IGNORED: tuple[tuple[str, ...], ...] = (
    ("log_level",),
    ("METRIC",),
    ("INFERENCE",),
    ("use_gpu",),
    ("use_npu",),
    ("use_xpu",),
    ("to_static",),
    ("DATASET", "valid_num_workers"),
    ("DATASET", "test_num_workers"),
    ("DATASET", "*", "num_retries"),
    ("PIPELINE", "*", "decode", "backend"),
    ("PIPELINE", "*", "sample", "use_pil"),
    ("PIPELINE", "*", "transform", "*", "CenterCrop", "backend"),
)
"""Keys of PaddleVideo that choose its device, logger, decoder or metric printer: no result here
depends on them. `INFERENCE` repeats the evaluation pipeline and must agree with it."""


class Qat(Block):
    """The fine-tune for 8 bits that may follow a training (`export.qat`)."""

    loss: Literal["self", "run"] = "self"
    """`self`: the network learns to answer as it did before it was rounded. `run`: it learns by
    MODEL.loss.Train, together with the run's other networks, which are not rounded."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Loss `self`: divides the logits of the network and of its fp32 teacher, which is itself
    before."""
    label_weight: Rate = 0.0
    """Loss `self`: weight of the loss to the labels, beside 1 for that to the teacher."""
    step_rate: Rate = 100.0
    """How many times faster than weights the steps of activations learn, on a scale of factors."""
    calibration_clips: Positive = 128
    """Training clips that set the ranges to start from."""
    calibrator: Literal["minmax", "entropy", "percentile"] = "percentile"
    """How these ranges follow from the values seen."""


class Config(Block):
    """One experiment. Upper-case sections are typed; lower-case ones are what builders take.

    What follows from several sections is worked out once, when it is first asked for: `specs`,
    `lists`, `class_names`.
    """

    MODEL: Model
    DATASET: Dataset
    PIPELINE: Pipeline
    OPTIMIZER: Optimizer
    BEFORE: Before = {}
    """What must be there first, such as a trained teacher, and how to make it."""
    MIX: Mix | None = None
    """Mixing of clips within a batch; none: no mixing."""
    PRECISEBN: PreciseBN | None = None
    """None: batch norms keep the statistics of training."""
    GRADIENT_ACCUMULATION: Accumulation | None = None
    """None: every batch is a step."""
    EMA: Ema | None = None
    """None: the weights as they are."""
    QAT: Qat | None = None
    """None: there is no fine-tune for 8 bits."""
    epochs: Positive
    """Times that the training list is gone through."""
    max_steps: Positive | None = None
    """Optimiser steps after which the run ends before its epochs do; none: no such limit."""
    early_stopping: EarlyStopping | None = None
    """None: the run goes through all its epochs."""
    model_name: str = ""
    """For logs only."""
    weights: str | None = None
    """Checkpoint that whole networks start from, heads included."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Every random draw of the run follows from it."""
    output_dir: str = ""
    """Where checkpoints and logs go; empty: runs/NAME, NAME the config file's."""
    log_interval: Positive = 10
    """Steps between two updates of the progress bar's figures and of the viewers' scalars."""
    save_interval: Positive = 1
    """Epochs between two checkpoints."""
    checkpoint_every_steps: Annotated[int, Field(ge=0)] = 0
    """Steps between two checkpoints within an epoch; 0: none."""
    max_unreadable: Annotated[float, Field(ge=0, le=100)] = 5.0
    """Percent of a list's clips that may be unreadable: more are an error, and all always."""
    amp: Amp = Amp()
    sync_bn: bool = True
    """Batch norms of a training over several processes see the whole batch."""
    grad_clip: Annotated[float, Field(gt=0)] | None = None
    """Largest global norm of the gradient; OPTIMIZER.grad_clip says the same."""

    _ignored: tuple[str, ...] = PrivateAttr(default=())
    _repeated: tuple[str, ...] = PrivateAttr(default=())
    _source: str = PrivateAttr(default="")
    # Files that BEFORE makes, and the texts with a variable that they stand for.
    _made: dict[str, str] = PrivateAttr(default_factory=dict)
    _trust: bool = PrivateAttr(default=False)

    @property
    def ignored(self) -> tuple[str, ...]:
        """Paths of keys that were there and have no meaning here; to be named once."""
        return self._ignored

    @property
    def repeated(self) -> tuple[str, ...]:
        """Keys that stand twice with the same value, with their places; to be named once."""
        return self._repeated

    @property
    def source(self) -> str:
        """The file, for messages."""
        return self._source

    @property
    def trust(self) -> bool:
        """Whether checkpoints that this names may run code; never part of a file."""
        return self._trust

    @property
    def model(self) -> dict[str, Any]:
        """The MODEL block with all defaults."""
        return self.MODEL.model_dump()

    @property
    def optimizer(self) -> dict[str, Any]:
        """The OPTIMIZER block with all defaults and one gradient clip."""
        block = self.OPTIMIZER.model_dump()
        if self.grad_clip is not None:
            block["grad_clip"] = {"name": "ClipGradByGlobalNorm", "value": self.grad_clip}
        return block

    @property
    def mix(self) -> dict[str, Any] | None:
        """The MIX block, or None."""
        return None if self.MIX is None else self.MIX.model_dump()

    @cached_property
    def class_num(self) -> int:
        """Classes that the networks tell apart."""
        return class_num(self.MODEL)

    @cached_property
    def specs(self) -> Mapping[Split, ClipSpec]:
        """How a video of each split becomes a clip; that of `valid` is what deployment does.

        For `train` the crop is the size that the training transforms end at.
        """
        return {s: self.PIPELINE.of(s).spec(training=s == "train") for s in SPLITS}

    @cached_property
    def lists(self) -> Mapping[Split, SplitFiles | None]:
        """The list and data folder of each split; None where there is no such split."""
        return {split: self.DATASET.files(split) for split in SPLITS}

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes by label; their numbers where the config names none.

        A file of names holds one a line, with its label or without; see
        `train.config.class_file`.

        Raises:
            ConfigError: the file of names cannot be read, or does not hold as many as the networks
                tell apart.
        """
        classes = self.DATASET.classes
        if classes is None:
            return tuple(str(index) for index in range(self.class_num))
        if isinstance(classes, list):
            return tuple(classes)
        file = Path(self.DATASET.root) / classes
        try:
            names = read_class_names(file)
        except ClassFileError as error:
            raise self._wrong_classes(str(error)) from error
        if len(names) != self.class_num:
            places = wrong_counts(self.model, len(names), str(file))
            said = " and ".join(dotted(place.where) for place in places)
            what = f"{file} names {len(names)} classes, but {said} is {self.class_num}"
            raise self._wrong_classes(f"{what}: leave that out, or set it to {len(names)}")
        return tuple(names)

    @cached_property
    def deployed_names(self) -> tuple[str, ...]:
        """What a bundle calls the classes: `class_names`, or `class_0`, `class_1`, ..."""
        if self.DATASET.classes is None:
            return tuple(f"class_{index}" for index in range(self.class_num))
        return self.class_names

    def _wrong_classes(self, text: str) -> ConfigError:
        return ConfigError(self.source, [Mistake(("DATASET", "classes"), text)])

    def to_dict(self) -> dict[str, Any]:
        """Everything, defaults included, as plain data; `Config(**it)` is the same config.

        Files that BEFORE makes are called by their variables, and where its configs are is said:
        the data may be kept in another folder than the file was.
        """
        data: dict[str, Any] = self._named(self.model_dump())
        for block in data["BEFORE"].values() if self.source else ():
            block["relative_to"] = str(self.beside(block["relative_to"]).absolute())
        for split in ("train", "valid", "test"):
            pipeline = getattr(self.PIPELINE, split)
            if pipeline is not None:
                data["PIPELINE"][split]["transform"] = pipeline.blocks()
        return data

    def to_file(self) -> dict[str, Any]:
        """`to_dict` for a file: `load_config` reads the same settings from it."""
        made = set(self._made.values())

        def exactly(value: Any) -> Any:
            if isinstance(value, dict):
                return {key: exactly(item) for key, item in value.items()}
            if isinstance(value, list):
                return [exactly(item) for item in value]
            is_text = isinstance(value, str) and value not in made
            return without_variables(value) if is_text else value

        data: dict[str, Any] = exactly(self.to_dict())
        return data

    def ready(self, name: str) -> Path | None:
        """The checkpoint that a variable of BEFORE takes in place of a training, if there is one.

        Args:
            name: the variable.
        """
        return ready_file(self.BEFORE[name].model_dump(), Path(self.source).parent)

    def beside(self, relative_to: str) -> Path:
        """The folder that a config of BEFORE is looked for in."""
        return Path(self.source).parent / relative_to

    def _named(self, settings: Any) -> Any:
        """Settings with the variables of BEFORE again, for files that it makes.

        They lie in the run's folder, and where that is is no part of what a run is.
        """
        if isinstance(settings, dict):
            return {key: self._named(value) for key, value in settings.items()}
        if isinstance(settings, list):
            return [self._named(value) for value in settings]
        return self._made.get(settings, settings) if isinstance(settings, str) else settings

    def sha256(self) -> str:
        """Checksum of what differs from the defaults, whatever the file's comments and order.

        Where the run and the configs of BEFORE are kept is no part of it, nor how many clips may
        be unreadable or missing, nor are settings that came later, at their defaults.
        """
        apart = {"output_dir", "max_unreadable"}
        settings = self._named(self.model_dump(exclude_defaults=True, exclude=apart))
        for block in settings.get("BEFORE", {}).values():
            block.pop("relative_to", None)
        settings["DATASET"].pop("skip_missing", None)
        text = json.dumps(settings, sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()


def class_num(model: Recognizer2D | RecognizerDistillation) -> int:
    """Width of the logits of a checked MODEL block."""
    if isinstance(model, Recognizer2D):
        backbone, head = model.backbone, model.head
    else:
        ((network),) = [next(iter(entry.values())) for entry in model.models][:1]
        backbone, head = network.backbone, network.head
    width = getattr(head, "num_classes", None) or getattr(backbone, "class_num", None)
    assert isinstance(width, int)
    return width
