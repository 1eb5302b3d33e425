"""Everything a config may say, section by section, and what is left out of it knowingly."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, PrivateAttr

from train.config.schema.before import Before
from train.config.schema.common import STRICT, Positive
from train.config.schema.data import Dataset, Mix, Pipeline
from train.config.schema.model import Model, Recognizer2D, RecognizerDistillation

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

Rate = Annotated[float, Field(ge=0)]


def _number_to(block: str, key: str) -> BeforeValidator:
    """Let a plain number stand for `{"name": block, key: number}`."""

    def widen(value: Any) -> Any:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return {"name": block, key: value}
        return value

    return BeforeValidator(widen)


class CustomWarmupCosineDecay(BaseModel):
    """Linear warm-up to the cosine of the whole run, then along it."""

    model_config = STRICT

    name: Literal["CustomWarmupCosineDecay"]
    cosine_base_lr: Rate
    """Rate at the start of the cosine."""
    warmup_epochs: Rate = 0
    warmup_start_lr: Rate = 0.0
    max_epoch: Positive | None = None
    """Epoch at which the cosine reaches 0; none: the run's epochs."""
    iter_step: bool = True
    """Change the rate with every step; false: with every epoch."""


class CosineAnnealingDecay(BaseModel):
    """A cosine from `learning_rate` to `eta_min`."""

    model_config = STRICT

    name: Literal["CosineAnnealingDecay"]
    learning_rate: Rate
    T_max: Positive | None = None
    """Epoch at which the cosine ends; none: the run's epochs."""
    eta_min: Rate = 0.0
    iter_step: bool = False
    """Change the rate with every step; false: with every epoch."""


class Constant(BaseModel):
    """The same rate throughout; a plain number says the same."""

    model_config = STRICT

    name: Literal["Constant"]
    learning_rate: Rate


LearningRate = Annotated[
    CustomWarmupCosineDecay | CosineAnnealingDecay | Constant,
    Field(discriminator="name"),
    _number_to("Constant", "learning_rate"),
]


class WeightDecay(BaseModel):
    """How strongly weights shrink; a plain number says the same."""

    model_config = STRICT

    name: Literal["L2"] = "L2"
    value: Rate


class GradClip(BaseModel):
    """Scale the gradient down to a global norm; a plain number says the same."""

    model_config = STRICT

    name: Literal["ClipGradByGlobalNorm"] = "ClipGradByGlobalNorm"
    value: Annotated[float, Field(gt=0)]


Decay = Annotated[WeightDecay | None, _number_to("L2", "value")]
Clip = Annotated[GradClip | None, _number_to("ClipGradByGlobalNorm", "value")]


class Momentum(BaseModel):
    """Stochastic gradient descent with momentum."""

    model_config = STRICT

    name: Literal["Momentum"]
    learning_rate: LearningRate
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    use_nesterov: bool = False
    weight_decay: Decay = None
    grad_clip: Clip = None


class AdamW(BaseModel):
    """Adam with decoupled weight decay."""

    model_config = STRICT

    name: Literal["AdamW"]
    learning_rate: LearningRate
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    epsilon: Annotated[float, Field(gt=0)] = 1e-8
    weight_decay: Decay = None
    no_weight_decay_name: str = ""
    """Words, separated by spaces: parameters whose names hold one of them do not decay."""
    grad_clip: Clip = None


Optimizer = Annotated[Momentum | AdamW, Field(discriminator="name")]


class Amp(BaseModel):
    """Automatic mixed precision, where the device has it."""

    model_config = STRICT

    enabled: bool = False
    level: Literal["O1", "O2"] = "O1"
    dtype: Literal["float16", "bfloat16"] = "float16"


class Accumulation(BaseModel):
    """Steps of a batch that is larger than what fits into memory at once."""

    model_config = STRICT

    global_batch_size: Positive
    """Clips a step, over all processes: a multiple of DATASET.batch_size times the processes."""


class Ema(BaseModel):
    """Validate, and keep as the best, a moving average of the weights."""

    model_config = STRICT

    decay: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """Share of the average that a step leaves, at most."""


class PreciseBN(BaseModel):
    """Recompute the statistics of batch norms from training clips before validation."""

    model_config = STRICT

    preciseBN_interval: Positive = 1
    """Epochs between two recomputations."""
    num_iters_preciseBN: Positive = 200
    """Batches that are averaged."""


class Qat(BaseModel):
    """The fine-tune for 8 bits that may follow a training (`export.qat`)."""

    model_config = STRICT

    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Divides the logits of the network and of its fp32 teacher, that is, of itself before."""
    label_weight: Rate = 0.0
    """Weight of the loss to the labels, beside 1 for that to the teacher."""
    step_rate: Rate = 100.0
    """How many times faster than weights the steps of activations learn, on a scale of factors."""
    calibration_clips: Positive = 128
    """Training clips that set the ranges to start from."""
    calibrator: Literal["minmax", "entropy", "percentile"] = "percentile"
    """How these ranges follow from the values seen."""


class Config(BaseModel):
    """One experiment. Upper-case sections are typed; lower-case ones are what builders take."""

    model_config = STRICT

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
    model_name: str = ""
    """For logs only."""
    weights: str | None = None
    """Checkpoint that whole networks start from, heads included."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Every random draw of the run follows from it."""
    output_dir: str = ""
    """Where checkpoints and logs go; empty: runs/NAME, NAME the config file's."""
    log_interval: Positive = 10
    """Steps between two updates of the progress bar's figures and of VisualDL's scalars."""
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
    _source: str = PrivateAttr(default="")
    # Files that BEFORE makes, and the texts with a variable that they stand for.
    _made: dict[str, str] = PrivateAttr(default_factory=dict)
    _trust: bool = PrivateAttr(default=False)

    @property
    def ignored(self) -> tuple[str, ...]:
        """Paths of keys that were there and have no meaning here; to be named once."""
        return self._ignored

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

    @property
    def dataset(self) -> Dataset:
        """The DATASET block."""
        return self.DATASET

    @property
    def pipeline(self) -> Pipeline:
        """The PIPELINE block."""
        return self.PIPELINE

    @property
    def class_num(self) -> int:
        """Classes that the networks tell apart."""
        return class_num(self.MODEL)

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
        be unreadable, nor are settings that came later, at their defaults.
        """
        apart = {"output_dir", "max_unreadable"}
        settings = self._named(self.model_dump(exclude_defaults=True, exclude=apart))
        for block in settings.get("BEFORE", {}).values():
            block.pop("relative_to", None)
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
