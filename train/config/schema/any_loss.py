"""One term of `MODEL.loss`, of the repository or of a plugin, by its name."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any, Literal, Union

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, create_model

# The blocks of this module register themselves.
from train.config.schema import losses as losses
from train.config.schema.losses import LossBlock
from train.config.schema.registered import Registered
from train.plugins.registry import LOSSES, LossSchema


class UnloadedLoss(LossBlock):
    """A loss of a plugin that is not loaded: its own settings are taken as they are."""

    model_config = ConfigDict(extra="allow")


def facts_of(loss: Any) -> LossSchema:
    """What a loss needs, by its checked block."""
    # Of one that is not loaded nothing is known: it may teach both networks.
    return LOSSES.get(loss.name) or LossSchema(UnloadedLoss, both_learn=True)


def _block(name: str, loss: LossSchema) -> type[BaseModel]:
    """The model of a loss's block."""
    if not isinstance(loss.settings, Mapping):
        return loss.settings
    fields: dict[str, Any] = {"name": (Literal[name], ...), **loss.settings}
    return create_model(name, __base__=LossBlock, **fields)


@lru_cache(maxsize=8)
def _adapter(registered: tuple[tuple[str, LossSchema], ...]) -> TypeAdapter[Any]:
    blocks = tuple(dict.fromkeys(_block(name, loss) for name, loss in registered))
    # A type that is put together now: pydantic reads it, not mypy.
    one: Any = Annotated[Union[blocks], Field(discriminator="name")]  # noqa: UP007
    return TypeAdapter(one)


Loss = Annotated[
    Any,
    Registered(
        adapter=lambda: _adapter(tuple(LOSSES.items())),
        known=lambda block: block.get("name") in LOSSES,
        other=TypeAdapter(UnloadedLoss),
    ),
]
"""The block of a registered loss, as the model of its settings."""
