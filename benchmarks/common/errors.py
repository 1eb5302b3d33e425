"""What a benchmark refuses to do, in words for the person who started it."""

from __future__ import annotations

from infer.system.errors import ClipDuetError


class BenchmarkError(ClipDuetError):
    """The comparison cannot be made, or would compare what must not be compared."""
