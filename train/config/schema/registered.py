"""Blocks whose names are registered: losses and transforms, those of plugins among them.

What may stand in a block is looked up when a config is read, in `train.plugins.registry`, so that
a plugin that was loaded before counts as what comes with the repository does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, TypeAdapter
from pydantic_core import CoreSchema, core_schema

_UNLOADED: ContextVar[bool] = ContextVar("unloaded", default=False)


@contextmanager
def without_plugins() -> Iterator[None]:
    """Take blocks of unknown names as they are while the body runs.

    For the config that a run has left: the modules that it names are not loaded, and what only
    trains is not needed.
    """
    token = _UNLOADED.set(True)
    try:
        yield
    finally:
        _UNLOADED.reset(token)


@dataclass(frozen=True)
class Registered:
    """Annotates a type that is worked out when a value is checked.

    Attributes:
        adapter: what checks a value now.
        known: whether a value names what is registered; others are taken as `other` says while
            `without_plugins` holds.
        other: what checks these.
    """

    adapter: Callable[[], TypeAdapter[Any]]
    known: Callable[[Any], bool]
    other: TypeAdapter[Any]

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """How pydantic checks the type."""
        return core_schema.no_info_plain_validator_function(self._validated)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """The keys that may stand there, for messages."""
        return dict(handler(self.adapter().core_schema))

    def _validated(self, value: Any) -> Any:
        left_out = _UNLOADED.get() and isinstance(value, Mapping) and not self.known(value)
        return (self.other if left_out else self.adapter()).validate_python(value)
