"""The blocks of a config that checks across them compare: each is validated once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from train.config.errors import Location

T = TypeVar("T")


class Blocks:
    """A config as it is written, and its blocks by type where they are well-formed.

    Args:
        raw: the config as it is written.
        checked: the whole of it, if nothing is wrong: its blocks are taken as they are then.
    """

    def __init__(self, raw: Any, checked: BaseModel | None) -> None:
        self._raw, self._checked = raw, checked
        self._found: dict[Location, Any] = {}

    def written(self, *where: str | int) -> Any:
        """The value at a place as it is written, or None."""
        return dig(self._raw, *where)

    def checked(self, adapter: TypeAdapter[T], *where: str | int) -> T | None:
        """The block at a place as the adapter's type, or None where it is not well-formed."""
        if where not in self._found:
            self._found[where] = self._validated(adapter, where)
        found: T | None = self._found[where]
        return found

    def _validated(self, adapter: TypeAdapter[T], where: Location) -> Any:
        if self._checked is not None:
            return dig(self._checked, *where)
        try:
            return adapter.validate_python(self.written(*where))
        except ValidationError:
            return None


def dig(value: Any, *keys: str | int) -> Any:
    """The value below a path of keys and indices, or None."""
    for key in keys:
        if isinstance(value, BaseModel):
            value = getattr(value, str(key), None)
        elif isinstance(value, Mapping):
            value = value.get(key)
        elif isinstance(value, list) and isinstance(key, int) and key < len(value):
            value = value[key]
        else:
            return None
    return value
