"""What the blocks of a config are made of."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Split = Literal["train", "valid", "test"]
SPLITS: tuple[Split, ...] = ("train", "valid", "test")

Positive = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
PartialShare = Annotated[float, Field(ge=0, lt=1)]
Segments = Annotated[int, Field(ge=2, le=1024)]
Side = Annotated[int, Field(ge=1, le=8192)]
"""Pixels."""
Means = Annotated[list[Share], Field(min_length=3, max_length=3)]
Spreads = Annotated[list[Annotated[float, Field(ge=1e-6, le=1)]], Field(min_length=3, max_length=3)]


class Block(BaseModel):
    """No unknown keys, no silent conversion of types, no change after loading."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, protected_namespaces=()
    )
