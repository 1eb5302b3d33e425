"""Paddle Inference as a backend."""

from __future__ import annotations

from ...libraries.install import pip_install
from ..backend import Backend, Preference


def _preference(precision: str, clips: int | None) -> Preference:
    return Preference(130, "the first that runs here")


_PACKAGES = ("paddlepaddle", "paddlepaddle-gpu")

BACKENDS = (
    Backend(
        name="paddle",
        title="Paddle Inference",
        short_title="Paddle",
        import_name="paddle",
        packages=_PACKAGES,
        oldest="3.3.1",
        rivals=_PACKAGES,
        install=pip_install(extra="paddle"),
        format="paddle",
        preference=_preference,
        runtime=f"{__package__}.runtime",
    ),
)
