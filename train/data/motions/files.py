"""Which clips of the embedded dataset are whole: each one's checksum is kept beside the lists."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from infer.system.errors import VideoError
from infer.system.files import sha256_of, write_text
from train.data.first_frame import check_first_frame

RECORD = "clips.sha256"
"""A line a clip, as `sha256sum` writes and checks them."""
_LINE = re.compile(r"([0-9a-f]{64})  (\S+)")


def read_checksums(out: Path) -> dict[str, str]:
    """Checksums by path below `out`; lines that are none are passed over."""
    try:
        text = (out / RECORD).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return {}
    found = (_LINE.fullmatch(line) for line in text.splitlines())
    return {match[2]: match[1] for match in found if match}


def write_record(out: Path, checksums: Mapping[str, str]) -> None:
    """Keep checksums by path below `out`.

    Raises:
        WriteError: the file cannot be written.
    """
    lines = (f"{checksum}  {name}\n" for name, checksum in sorted(checksums.items()))
    write_text(out / RECORD, "".join(lines))


def is_whole(path: Path, checksum: str | None) -> bool:
    """Whether a clip is there and has not changed since it was made.

    Of one without a checksum, of a run that was killed or of an older version, a frame must decode.
    """
    try:
        if checksum is not None:
            return sha256_of(path) == checksum
        check_first_frame(path)
    except (OSError, VideoError):
        return False
    return True
