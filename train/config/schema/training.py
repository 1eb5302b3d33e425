"""Blocks about how a run takes its steps and when it ends."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from train.config.schema.common import Block, Positive


class Amp(Block):
    """Automatic mixed precision, where the device has it."""

    enabled: bool = False
    level: Literal["O1", "O2"] = "O1"
    dtype: Literal["float16", "bfloat16"] = "float16"


class Accumulation(Block):
    """Steps of a batch that is larger than what fits into memory at once."""

    global_batch_size: Positive
    """Clips a step, over all processes: a multiple of DATASET.batch_size times the processes."""


class Ema(Block):
    """Validate, and keep as the best, a moving average of the weights."""

    decay: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """Share of the average that a step leaves, at most."""


class PreciseBN(Block):
    """Recompute the statistics of batch norms from training clips before validation."""

    preciseBN_interval: Positive = 1
    """Epochs between two recomputations."""
    num_iters_preciseBN: Positive = 200
    """Batches that are averaged."""


class EarlyStopping(Block):
    """End a run whose top-1 on the validation list gets no better."""

    patience: Positive
    """Epochs in a row without a better top-1 after which the run ends."""
