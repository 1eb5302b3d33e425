"""Read a pickle as data: arrays, dicts, lists and numbers, and nothing that could run code.

`pickle.load` calls whatever a file names. Here nothing of a file is ever looked up or called: a
few dozen opcodes build plain data, the handful of names that Paddle and NumPy write stand for what
is done here in their place, and everything else is refused by its name. What a file may take of
memory and time is bounded by its size: lengths beyond its end, arrays of other sizes than their
bytes, and entries that refer to each other until they multiply are refused.
"""

from __future__ import annotations

import pickletools
from collections import OrderedDict
from collections.abc import Iterator
from typing import IO, Any, BinaryIO, cast

import numpy as np

from train.checkpoints.pickle_names import (
    Array,
    Dtype,
    ForbiddenError,
    MalformedPickleError,
    Name,
    checked_key,
    described,
    known,
)

MOST_OPCODES = 10_000_000
"""A network of a thousand tensors takes some 50,000."""
DEEPEST = 100
REPEATS = 4
"""How often, on average, a file may refer to the same entry or bytes; tied weights do it twice."""
_SPARE = 100
"""Entries that the smallest file may have more."""

_NUMBERS = ("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "INT", "LONG", "BINFLOAT", "FLOAT")
_TEXTS = ("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "UNICODE")
_BYTES = ("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8")
_BYTES_OF_PYTHON_2 = ("BINSTRING", "SHORT_BINSTRING", "STRING")
_VALUES = frozenset([*_NUMBERS, *_TEXTS, *_BYTES, *_BYTES_OF_PYTHON_2])
"""Opcodes whose argument is the value itself."""
_PUTS, _GETS = ("PUT", "BINPUT", "LONG_BINPUT"), ("GET", "BINGET", "LONG_BINGET")
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_BROKEN = (ArithmeticError, LookupError, MemoryError, RecursionError, TypeError, ValueError)


def read_plain(file: BinaryIO, *, size: int) -> Any:
    """Read the first `size` bytes of a file, which must be one pickle.

    Args:
        file: at its beginning.
        size: of the pickle in bytes.

    Returns:
        Dicts, ordered dicts, lists, tuples, numbers, texts, bytes, None and arrays of numbers.

    Raises:
        MalformedPickleError: it is no pickle, damaged, or larger than its bytes account for.
        ForbiddenError: it names something that is none of these.
    """
    if not size:
        raise MalformedPickleError("it is empty")
    machine = _Machine()
    source = _Source(file, size)
    try:
        for opcode, argument, _ in pickletools.genops(cast(IO[bytes], source)):
            machine.take(opcode.name, argument)
    except _BROKEN as error:
        if not source.left:
            raise MalformedPickleError("it ends too early: a part of it is missing") from error
        raise MalformedPickleError(
            f"byte {size - source.left:,} of {size:,} makes no sense there: it is damaged, or a "
            "file of another program"
        ) from error
    if source.left:
        raise MalformedPickleError(f"{source.left:,} bytes follow its end: it is damaged")
    entries = REPEATS * (machine.count + _SPARE)
    try:
        return _Plain(most_entries=entries, most_bytes=REPEATS * size).of(machine.result())
    except _BROKEN as error:
        raise MalformedPickleError("its entries do not fit together: it is damaged") from error


class _Source:
    """The bytes of a file, no more than there are; what `pickletools` reads from."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self.left = file, size

    def read(self, count: int) -> bytes:
        # One byte is asked for where an opcode may stand, the end of the file included.
        if count > max(1, self.left):
            raise MalformedPickleError(
                "it ends too early, or a length in it is wrong: it is cut off or damaged"
            )
        return self._counted(self._file.read(min(count, self.left)))

    def readline(self) -> bytes:
        return self._counted(self._file.readline(self.left))

    def _counted(self, data: bytes) -> bytes:
        self.left -= len(data)
        return data


class _Machine:
    """The stack that opcodes work on."""

    def __init__(self) -> None:
        self.count = 0
        self._stack: list[Any] = []
        self._marked: list[list[Any]] = []
        self._memo: dict[int, Any] = {}

    def take(self, name: str, argument: Any) -> None:
        """Do what one opcode says."""
        self.count += 1
        if self.count > MOST_OPCODES:
            raise MalformedPickleError(f"it has more than {MOST_OPCODES:,} entries")
        stack = self._stack
        if name in _VALUES:
            stack.append(argument)
        elif name in _GETS:
            stack.append(self._memo[argument])
        elif name in _PUTS:
            self._memo[argument] = stack[-1]
        elif name == "MEMOIZE":
            self._memo[len(self._memo)] = stack[-1]
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _TUPLES:
            items = tuple(stack[-_TUPLES[name] :])
            if len(items) < _TUPLES[name]:
                raise IndexError("a tuple of too few entries")
            stack[-len(items) :] = [items]
        elif name not in ("PROTO", "FRAME", "STOP"):
            action = getattr(self, f"_{name.lower()}", None)
            if action is None:
                raise ForbiddenError(f"the pickle instruction {name}")
            action(argument)

    def result(self) -> Any:
        """What is left when a file ends."""
        (content,) = self._stack
        if self._marked:
            raise ValueError("an entry that does not end")
        return content

    def _mark(self, argument: None) -> None:
        self._marked.append(self._stack)
        self._stack = []

    def _from_mark(self) -> list[Any]:
        items, self._stack = self._stack, self._marked.pop()
        return items

    def _empty_dict(self, argument: None) -> None:
        self._stack.append({})

    def _empty_list(self, argument: None) -> None:
        self._stack.append([])

    def _tuple(self, argument: None) -> None:
        items = tuple(self._from_mark())
        self._stack.append(items)

    def _list(self, argument: None) -> None:
        items = self._from_mark()
        self._stack.append(items)

    def _dict(self, argument: None) -> None:
        items = self._from_mark()
        self._stack.append({})
        self._set(items)

    def _append(self, argument: None) -> None:
        self._extend([self._stack.pop()])

    def _appends(self, argument: None) -> None:
        self._extend(self._from_mark())

    def _extend(self, items: list[Any]) -> None:
        if type(self._stack[-1]) is not list:
            raise ForbiddenError(f"entries for what is no list: {described(self._stack[-1])}")
        self._stack[-1].extend(items)

    def _setitem(self, argument: None) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self._set([key, value])

    def _setitems(self, argument: None) -> None:
        self._set(self._from_mark())

    def _set(self, items: list[Any]) -> None:
        holder = self._stack[-1]
        if type(holder) not in (dict, OrderedDict):
            raise ForbiddenError(f"entries for what is no dict: {described(holder)}")
        for key, value in zip(items[::2], items[1::2], strict=True):
            holder[checked_key(key)] = value

    def _global(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self._stack.append(known(module, name))

    def _stack_global(self, argument: None) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        if type(name) is not str or type(module) is not str:
            raise ValueError("a name that is no text")
        self._stack.append(known(module, name))

    def _reduce(self, argument: None) -> None:
        arguments, named = self._stack.pop(), self._stack.pop()
        if type(named) is not Name or named.call is None or type(arguments) is not tuple:
            raise ForbiddenError(f"a call of {described(named)}")
        try:
            self._stack.append(named.call(*arguments))
        except TypeError as error:
            raise ForbiddenError(f"a call of {named.name} as Paddle makes none") from error

    def _build(self, argument: None) -> None:
        state, built = self._stack.pop(), self._stack[-1]
        if type(built) not in (Array, Dtype) or type(state) is not tuple or len(state) < 4:
            raise ForbiddenError(f"an object with attributes: {described(built)}")
        built.build(state)


class _Plain:
    """Turns what was read into the data itself, and counts what that takes."""

    def __init__(self, *, most_entries: int, most_bytes: int) -> None:
        self._entries, self._bytes = most_entries, most_bytes

    def of(self, value: Any, depth: int = 0) -> Any:
        """The data of a value."""
        self._entries -= 1
        if self._entries < 0:
            raise MalformedPickleError("its entries refer to each other and multiply")
        if depth > DEEPEST:
            raise MalformedPickleError(
                f"its entries are nested more than {DEEPEST} levels deep, or within themselves"
            )
        kind = type(value)
        if kind in (dict, OrderedDict):
            return kind((key, self.of(item, depth + 1)) for key, item in value.items())
        if kind in (list, tuple):
            return kind(self._all(value, depth + 1))
        if kind is Array:
            self._bytes -= value.nbytes
            if self._bytes < 0:
                raise MalformedPickleError("its arrays are larger than the file")
            return value.value
        if value is None or kind in (bool, int, float, str, bytes) or isinstance(value, np.generic):
            return value
        raise ForbiddenError(described(value))

    def _all(self, values: Any, depth: int) -> Iterator[Any]:
        return (self.of(item, depth) for item in values)
