"""One thing that a run needs and that is made before it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from train.config.schema.before import Labelling
from train.config.schema.experiment import Config


@dataclass(frozen=True)
class Stage:
    """One thing to make.

    Attributes:
        name: the variable.
        cfg: the config to train, or the one that the labelling network was trained with.
        target: the file that the variable names.
        labelling: what to label, or None for a training.
        owner: the config that needs it.
    """

    name: str
    cfg: Config
    target: Path
    labelling: Labelling | None
    owner: Config

    @property
    def title(self) -> str:
        """What it does, in a few words."""
        if self.labelling is not None:
            return f"labelling clips for {self.name}"
        role = self.name.endswith(("TEACHER", "STUDENT"))
        name = f"the {self.name.lower().replace('_', ' ')}" if role else self.name
        return f"pretraining {name}"
