"""What a benchmark refuses to do, in words for the person who started it."""

from __future__ import annotations

from infer.command.runner import FAILED, WRONG_USE
from infer.system.errors import ClipDuetError


class BenchmarkError(ClipDuetError):
    """The comparison cannot be made, or would compare what must not be compared."""


class StepError(BenchmarkError):
    """A training or an export that a benchmark started has failed.

    Args:
        text: the message.
        status: what the command ended with. Wrong use of it is wrong use of the benchmark.
    """

    def __init__(self, text: str, status: int = FAILED) -> None:
        super().__init__(text)
        self.exit_status = WRONG_USE if status == WRONG_USE else FAILED
