"""How large a video may be. A small file can unpack to more than a machine has memory or time for.

A declared size is compared before a decoder is opened; FFmpeg compares that of every frame before
it makes room for it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from ..system.errors import VideoError


@dataclass(frozen=True)
class Limits:
    """What one video may have at most. The defaults are above what cameras and encoders make.

    Attributes:
        pixels: of a frame, width times height. 8192 x 4352 is the largest frame of H.264, H.265
            and AV1 at level 6.2; 8K is smaller.
        frames: in all; 92 hours at 30 a second.
        seconds: from the first time stamp to the last; a week. Where those of MPEG-TS wrap they
            jump by 26.5 hours.
        bytes: of the file, or of the pictures that are read of a folder; 1 TiB.

    Raises:
        ValueError: one of them is not above 0.
    """

    pixels: int = 8192 * 4352
    frames: int = 10_000_000
    seconds: float = 7 * 86_400
    bytes: int = 1 << 40

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if not value > 0:
                raise ValueError(f"the limit {one.name} is {value}; allowed: above 0")

    def allowed(self, name: str) -> str:
        """The limit of that name, and the option that sets it."""
        return f"at most {getattr(self, name):,} (--max-{name} of predict)"

    def check_size(self, path: Path, width: int, height: int, what: str = "its frames are") -> None:
        """Raises VideoError where width x height are too many pixels."""
        if width * height > self.pixels:
            found = f"{what} {width}x{height}, {width * height:,} pixels"
            raise VideoError(path, f"{found}, allowed: {self.allowed('pixels')}", "limit")

    def check_frames(self, path: Path, frames: int) -> None:
        """Raises VideoError where there are too many frames."""
        if frames > self.frames:
            found = f"it has at least {frames:,} frames"
            raise VideoError(path, f"{found}, allowed: {self.allowed('frames')}", "limit")

    def check_seconds(self, path: Path, seconds: float) -> None:
        """Raises VideoError where a video is too long."""
        if seconds > self.seconds:
            found = f"it lasts at least {seconds:,.2f} seconds"
            raise VideoError(path, f"{found}, allowed: {self.allowed('seconds')}", "limit")

    def check_bytes(self, path: Path, count: int) -> None:
        """Raises VideoError where a file is too large."""
        if count > self.bytes:
            found = f"it has {count:,} bytes"
            raise VideoError(path, f"{found}, allowed: {self.allowed('bytes')}", "limit")


LIMITS = Limits()
"""What holds where nobody gives others: in training, export and benchmarks."""
