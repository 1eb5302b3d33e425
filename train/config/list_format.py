"""The formats of lists, by PaddleVideo's names."""

from __future__ import annotations

from typing import Literal

ListFormat = Literal["VideoDataset", "FrameDataset"]

FORMATS: tuple[ListFormat, ...] = ("VideoDataset", "FrameDataset")
FRAME_SUFFIX = "img_{:05}.jpg"  # PaddleVideo's default name of a folder's frames
