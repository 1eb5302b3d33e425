"""One entry of a `transform` list, of the repository or of a plugin, by its name."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, create_model, model_validator

# The settings of this module register themselves.
from train.config.schema import transforms as transforms
from train.config.schema.common import Block
from train.config.schema.registered import Registered
from train.plugins.registry import STEPS, StepSchema


class UnloadedOptions(Block):
    """Settings of an augmentation whose plugin is not loaded: they are taken as they are."""

    model_config = ConfigDict(extra="allow")


class Step(Block):
    """One entry of a transform list: a mapping with one key, the name of the transform.

    The fields are added where the entry is checked: `AnyStep`.
    """

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_bare_names(cls, value: Any) -> Any:
        """`- RandomFlip:` means RandomFlip with its defaults."""
        if isinstance(value, dict):
            if len(value) != 1:
                raise ValueError(f"must hold one transform, it holds {', '.join(value) or 'none'}")
            return {name: {} if options is None else options for name, options in value.items()}
        return value

    @property
    def name(self) -> str:
        """The transform's name."""
        (name,) = self.model_fields_set
        return name

    @property
    def options(self) -> BaseModel:
        """The transform's settings."""
        options = getattr(self, self.name)
        assert isinstance(options, BaseModel)
        return options


class UnloadedStep(Block):
    """An entry whose name is not known, because the plugin that has it is not loaded."""

    model_config = ConfigDict(extra="allow")

    __pydantic_extra__: dict[str, UnloadedOptions]

    @model_validator(mode="before")
    @classmethod
    def _one_name(cls, value: Any) -> Any:
        return {name: {} if options is None else options for name, options in value.items()}

    @property
    def name(self) -> str:
        """The transform's name."""
        (name,) = self.__pydantic_extra__
        return name

    @property
    def options(self) -> BaseModel:
        """The transform's settings."""
        return self.__pydantic_extra__[self.name]


def _settings(name: str, step: StepSchema) -> type[BaseModel]:
    """The model of a transform's settings."""
    settings = step.settings
    if not isinstance(settings, Mapping):
        return settings
    fields: dict[str, Any] = dict(settings)
    return create_model(f"{name}Options", __base__=Block, **fields)


@lru_cache(maxsize=8)
def _adapter(registered: tuple[tuple[str, StepSchema], ...]) -> TypeAdapter[Any]:
    fields: dict[str, Any] = {
        name: (_settings(name, step) | None, None) for name, step in registered
    }
    return TypeAdapter(create_model("Step", __base__=Step, **fields))


AnyStep = Annotated[
    Any,
    Registered(
        adapter=lambda: _adapter(tuple(STEPS.items())),
        known=lambda entry: len(entry) != 1 or next(iter(entry)) in STEPS,
        other=TypeAdapter(UnloadedStep),
    ),
]
"""An entry of a registered name, as a `Step` with the settings of that name."""
