"""What is wrong with a transform's settings."""

from __future__ import annotations

from infer.errors import ClipDuetError


class AugmentError(ClipDuetError):
    """The training transforms cannot be built, or cannot be applied to frames of this size."""


def check(name: str, key: str, value: object, ok: bool, allowed: str) -> None:
    """Raise AugmentError unless a setting is `ok`; a bool is no number."""
    if isinstance(value, bool) or not ok:
        raise AugmentError(f"{name}: {key} is {value!r}, allowed: {allowed}")
