"""An augmentation of a plugin as a transform: its answer is checked, what it raises is named."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from train.plugins.call import call
from train.plugins.error import PluginError


@dataclass(frozen=True)
class CheckedTransform:
    """A registered function with its settings.

    Attributes:
        what: names the augmentation in messages, see `train.plugins.call.called`.
        function: takes frames, label, generator and the settings.
        settings: by name.
    """

    what: str
    function: Callable[..., Any]
    settings: Mapping[str, Any]

    def __call__(
        self, frames: np.ndarray, label: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, int]:
        """Change frames uint8 [T, H, W, 3] and their label.

        Raises:
            PluginError: the function returned something else than such frames and a label, or
                raised an error.
        """
        answer = call(self.what, self.function, frames, label, rng, **self.settings)
        if not (isinstance(answer, tuple) and len(answer) == 2):
            raise PluginError(f"{self.what} must return frames and a label, not {type(answer)}")
        changed, new = answer
        if not isinstance(changed, np.ndarray) or changed.dtype != np.uint8:
            found = getattr(changed, "dtype", type(changed).__name__)
            raise PluginError(f"{self.what} must return frames of uint8, not {found}")
        if changed.shape != frames.shape:
            wanted = f"frames of the shape that it got, {frames.shape}"
            raise PluginError(f"{self.what} must return {wanted}, not {changed.shape}")
        if isinstance(new, bool) or not isinstance(new, (int, np.integer)):
            raise PluginError(f"{self.what} must return a label, a whole number, not {new!r}")
        return changed, int(new)
