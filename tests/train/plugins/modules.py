"""Code of plugins, and models whose configs name them."""

from __future__ import annotations

from typing import Any

from tests.train.tiny import LOSSES, PAIR

OWN = {"name": "OwnLoss", "model_name_pairs": ["Student", "Teacher"], "power": 2.0}
LOSS = """
from typing import Annotated
from pydantic import Field
from train.plugins import augmentation, loss

@loss("OwnLoss")
def own(student, teacher, *, power: Annotated[float, Field(gt=0)], mode: str = "plain"):
    return ((student - teacher.detach()) ** power).mean()

@augmentation("Dim")
def dim(frames, label, rng, *, by: int = 2):
    return frames // by, label
"""


def registering(what: str) -> str:
    return f"from train.plugins import augmentation, loss, loss_of_layers\n{what}\n"


def pair(*terms: dict[str, Any], plugins: tuple[str, ...] = ("own_module",)) -> dict[str, Any]:
    losses = {**LOSSES, "Train": [*LOSSES["Train"][:2], *terms]}
    return {**PAIR, "loss": losses, "plugins": list(plugins)}
