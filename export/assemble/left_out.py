"""One precision's failure leaves out that precision, and not the bundle."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from export.network.captured_output import ConversionError
from export.verify.parity import VerificationError
from infer.system.errors import BackendError, BundleError
from train.evaluation.evaluate import EvaluationError

FAILURES = (ConversionError, VerificationError, EvaluationError, BackendError, BundleError)
"""What a file fails with that cannot be made, opened or run, or computes something else. A mistake
in options, config or lists, and a full disk, concern the whole bundle."""


class FailedArtifacts:
    """Artefacts that failed, and why.

    Args:
        required: keys of those without which there is no bundle.
    """

    def __init__(self, required: Collection[str]) -> None:
        self._required = frozenset(required)
        self.reasons: dict[str, str] = {}

    @contextmanager
    def unless_required(self, *keys: str) -> Iterator[None]:
        """Note what the body fails with and go on behind it, if none of `keys` is required.

        Args:
            keys: the artefacts that the body makes or verifies.

        Raises:
            ClipDuetError: the body's, where one of them is required.
        """
        try:
            yield
        except FAILURES as error:
            if self._required & set(keys):
                if isinstance(error, (EvaluationError, BundleError)):
                    raise VerificationError(str(error)) from error  # no wrong use
                raise
            self.reasons |= {key: str(error) for key in keys if key not in self.reasons}

    def drop(self, folder: Path, built: dict[str, Any], files: Mapping[str, str]) -> None:
        """Remove what there is of artefacts that failed.

        Args:
            folder: the bundle's.
            built: entries of `bundle.json`.
            files: names of the files, by artefact.
        """
        for key in self.reasons:
            built.pop(key, None)
            (folder / files[key]).unlink(missing_ok=True)

    def warnings(self, files: Mapping[str, str]) -> list[str]:
        """What to tell of each at the end; `files`: see `drop`."""
        return [
            f"warning: {files[key]} is left out of the bundle: {reason}\n"
            f"  --require {key.split('.')[1]} makes this an error."
            for key, reason in self.reasons.items()
        ]
