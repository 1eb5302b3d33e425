"""Blocks about how a run takes its steps and when it ends."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from train.config.schema.common import STRICT, Positive


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


class EarlyStopping(BaseModel):
    """End a run whose top-1 on the validation list gets no better."""

    model_config = STRICT

    patience: Positive
    """Epochs in a row without a better top-1 after which the run ends."""
