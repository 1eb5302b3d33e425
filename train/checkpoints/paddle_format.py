"""What `paddle.load` makes of the plain data in a file: tensors, with their names."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import paddle

from train.checkpoints.pickle_names import MalformedPickleError, shortened

NAMES = "StructuredToParameterName@@"
"""Since Paddle 2.0: the names of the tensors by their keys."""
PARTS = "UnpackBigParamInfor@@"
"""In protocols 2 and 3: arrays of more than 1 GiB are cut into parts."""
_ODD = (AttributeError, LookupError, TypeError, ValueError)


def as_paddle_loads(content: Any) -> Any:
    """Do to a file's plain data what `paddle.load` does.

    A state dict with a table of names, of Paddle 1.8 to 3, gets tensors of these names. Elsewhere
    `(name, array)` stands for a tensor, as Paddle has written them since 2.1; in data without
    any such pair every array is a tensor.

    Raises:
        MalformedPickleError: a table names what is not there, or Paddle has no such arrays.
    """
    try:
        if isinstance(content, dict):
            _join_parts(content)
            if NAMES in content:
                _name_tensors(content)
                return content
        if _holds_pairs(content):
            return _converted(content, _is_pair, lambda pair: _named(*pair))
        return _converted(content, lambda value: isinstance(value, np.ndarray), paddle.to_tensor)
    except (MemoryError, RuntimeError, TypeError, ValueError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise MalformedPickleError(
            f"Paddle makes no tensors of what it holds ({shortened(lines[0])})"
        ) from error


def _join_parts(content: dict[Any, Any]) -> None:
    """Put large arrays together again, in place."""
    try:
        for key, about in content.pop(PARTS, {}).items():
            parts = [content.pop(part) for part in about["slices"]]
            if not all(isinstance(part, np.ndarray) for part in parts):
                raise TypeError(key)
            content[key] = np.concatenate(parts).reshape(about["OriginShape"])
    except _ODD as error:
        raise MalformedPickleError(
            f"its table of large arrays ({PARTS}) does not fit its arrays: it is damaged"
        ) from error


def _name_tensors(content: dict[Any, Any]) -> None:
    """Make tensors of the arrays that the table of names lists, in place."""
    names = content.pop(NAMES)
    if not isinstance(names, dict) or not all(key in content for key in names):
        raise MalformedPickleError(
            f"its table of names ({NAMES}) lists arrays that it does not hold: it is damaged"
        )
    for key, name in names.items():
        if isinstance(content[key], np.ndarray):
            content[key] = _named(name, content[key])


def _named(name: str, array: np.ndarray) -> paddle.Tensor:
    tensor = paddle.to_tensor(array)
    tensor.name = name
    return tensor


def _is_pair(value: Any) -> bool:
    return (
        type(value) is tuple
        and len(value) == 2
        and isinstance(value[0], str)
        and isinstance(value[1], np.ndarray)
    )


def _holds_pairs(value: Any) -> bool:
    if _is_pair(value):
        return True
    items = value.values() if isinstance(value, dict) else value
    return isinstance(value, (dict, list, tuple)) and any(map(_holds_pairs, items))


def _converted(value: Any, wanted: Callable[[Any], bool], convert: Callable[[Any], Any]) -> Any:
    if wanted(value):
        return convert(value)
    kind = type(value)
    if kind in (dict, OrderedDict):
        return kind((key, _converted(item, wanted, convert)) for key, item in value.items())
    if kind in (list, tuple):
        return kind(_converted(item, wanted, convert) for item in value)
    return value
