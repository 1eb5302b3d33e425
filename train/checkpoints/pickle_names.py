"""What a pickle may name, and what is done here in its place: arrays, and little else."""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from infer.system.terminal import printable

MOST_DIMENSIONS = 32
LARGEST_KEY = 1 << 60
"""Above, integers of equal hash are easily made, and a dict of them takes quadratic time."""
_NUMBERS = re.compile(r"[<>|=]?(b1|[iu][1248]|f[248]|c8|c16)")


class MalformedPickleError(Exception):
    """A file that is no pickle, or a damaged one; one line."""


class ForbiddenError(Exception):
    """A file that holds more than plain data; `what` names it."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


def shortened(text: str, *, most: int = 120) -> str:
    """A text out of a file as it can be shown: on one line, printable, not too long."""
    shown = printable(text[: most + 1])
    return shown if len(shown) <= most else shown[:most] + "..."


@dataclass(frozen=True)
class Name:
    """A name that files may hold, and what is done here when they call it."""

    name: str
    call: Callable[..., Any] | None = None


class Dtype:
    """A type of numbers, whose byte order a file tells afterwards."""

    __slots__ = ("value",)

    def __init__(self, code: str) -> None:
        if type(code) is not str or not _NUMBERS.fullmatch(code):
            of = "Python objects" if code == "O8" else f"the type {described(code)}"
            raise ForbiddenError(f"an array of {of}")
        self.value = np.dtype(code)

    def build(self, state: Any) -> None:
        """Take in a pickled state."""
        order, fields = state[1], state[2:5]
        if order not in ("<", ">", "|", "=") or any(one is not None for one in fields):
            raise ForbiddenError("an array of a type with fields")
        self.value = self.value.newbyteorder(order)


class Array:
    """An array, whose shape and numbers a file tells afterwards."""

    __slots__ = ("_data", "_dtype", "_order", "_shape")

    def __init__(self) -> None:
        self._shape: tuple[int, ...] = (0,)
        self._dtype, self._order = np.dtype(np.int8), "C"
        self._data: bytes | bytearray | str = b""

    def build(self, state: Any) -> None:
        """Take the state that NumPy pickles: shape, type, order and numbers are its last four.

        Raises:
            ForbiddenError: an array of objects.
            ValueError: a shape that does not fit the numbers.
        """
        shape, dtype, fortran, data = state[-4:]
        self.fill(data, dtype, shape, "F" if fortran else "C")

    def fill(self, data: Any, dtype: Any, shape: Any, order: str = "C") -> None:
        """Take the numbers, their type and their shape.

        Raises:
            ForbiddenError: an array of objects.
            ValueError: a shape that does not fit the numbers.
        """
        if type(dtype) is not Dtype or type(data) not in (bytes, bytearray, str):
            raise ForbiddenError("an array of Python objects")
        if type(shape) is not tuple or len(shape) > MOST_DIMENSIONS or order not in ("C", "F"):
            raise MalformedPickleError("the shape of an array in it makes no sense")
        sizes = [size for size in shape if type(size) is int and 0 <= size < 1 << 40]
        if len(sizes) != len(shape) or math.prod(sizes) * dtype.value.itemsize != len(data):
            raise MalformedPickleError(
                f"an array in it has {len(data):,} bytes, and its shape needs more or fewer"
            )
        self._data, self._dtype = data, dtype.value
        self._shape, self._order = tuple(sizes), order

    @property
    def nbytes(self) -> int:
        """Bytes of its numbers."""
        return len(self._data)

    @property
    def value(self) -> np.ndarray:
        """The array, in the byte order of this machine; a copy."""
        data = self._data.encode("latin-1") if isinstance(self._data, str) else self._data
        found = np.frombuffer(data, self._dtype) if data else np.empty(0, self._dtype)
        order: Any = self._order
        native = found.astype(self._dtype.newbyteorder("="))  # a copy, which may be written to
        return native.reshape(self._shape, order=order)


def _reconstruct(kind: Any, shape: Any, code: Any) -> Array:
    if kind is not NAMES[_ARRAY]:
        raise ForbiddenError(f"an array of the class {described(kind)}")
    if shape != (0,):
        raise MalformedPickleError("an array in it has a shape before it has numbers")
    return Array()


def _from_buffer(data: Any, dtype: Any, shape: Any, order: Any) -> Array:
    array = Array()
    array.fill(data, dtype, shape, order)
    return array


def _scalar(dtype: Any, data: Any) -> np.generic:
    array = Array()
    array.fill(data, dtype, (1,))
    found: np.generic = array.value[0]
    return found


def _eval(text: Any, names: Any) -> Array:
    """What Paddle writes for a `DenseTensor`: `eval("data", {"data": array})`."""
    found = names.get("data") if type(names) is dict and len(names) == 1 else None
    if text != "data" or type(found) is not Array:
        raise ForbiddenError("a call of builtins.eval")
    return found


def _encode(text: Any, encoding: Any) -> str:
    """Bytes as protocol 2 writes them, still as text: a text that is used twice stays one."""
    if encoding not in ("latin1", "latin-1") or type(text) is not str:
        raise ForbiddenError(f"a text in the encoding {described(encoding)}")
    return text


def _pair(items: Any) -> tuple[Any, ...]:
    """What Paddle writes for a tensor: `tuple((name, array))`."""
    if type(items) is not tuple or len(items) != 2:
        raise ForbiddenError("a call of builtins.tuple as Paddle makes none")
    return items


def _ordered(pairs: Any = None) -> OrderedDict[Any, Any]:
    found: OrderedDict[Any, Any] = OrderedDict()
    if pairs is not None:  # as Python 2 writes them
        if type(pairs) is not list:
            raise ForbiddenError("a call of collections.OrderedDict as Paddle makes none")
        for key, value in pairs:
            found[checked_key(key)] = value
        pairs.clear()  # or a file could ask for the same again and again
    return found


_ARRAY = "numpy.ndarray"
_CALLS: dict[str, Callable[..., Any] | None] = {
    _ARRAY: None,
    "numpy.dtype": lambda code, align=0, copy=0: Dtype(code),
    "collections.OrderedDict": _ordered,
    "_codecs.encode": _encode,
}
for _module in ("builtins", "__builtin__"):
    _CALLS |= {f"{_module}.tuple": _pair, f"{_module}.bytes": lambda: b"", f"{_module}.eval": _eval}
for _module in ("numpy.core", "numpy._core"):
    _CALLS |= {
        f"{_module}.multiarray._reconstruct": _reconstruct,
        f"{_module}.multiarray.scalar": _scalar,
        f"{_module}.numeric._frombuffer": _from_buffer,
    }
NAMES = {name: Name(name, call) for name, call in _CALLS.items()}
"""Everything that a file may name: what Paddle and NumPy write, of Python 2 and 3."""


def known(module: str, name: str) -> Name:
    """What a name of a file stands for. Raises ForbiddenError: it is no part of plain data."""
    found = NAMES.get(f"{module}.{name}")
    if found is None:
        raise ForbiddenError(f"the Python name {shortened(f'{module}.{name}')}")
    return found


def checked_key(key: Any) -> str | int:
    """A key of a dict, if it is a text that can be shown or a usual number.

    Raises:
        MalformedPickleError: it is neither.
    """
    if type(key) is str and key.isprintable():
        return key
    if type(key) is int and abs(key) < LARGEST_KEY:
        return key
    raise MalformedPickleError(
        f"a key in it is {described(key)}; allowed: printable texts and numbers below "
        f"{LARGEST_KEY:.0e}"
    )


_KINDS = {
    Array: "an array", Dtype: "a type of numbers", int: "a number", float: "a number",
    bool: "true or false", type(None): "None", bytes: "bytes", OrderedDict: "a dict",
}  # fmt: skip


def described(value: Any) -> str:
    """A value for a message; never its own idea of how it looks."""
    if type(value) is Name:
        return value.name
    if type(value) is str:
        return shortened(repr(value))
    return _KINDS.get(type(value), f"a {type(value).__name__}")
