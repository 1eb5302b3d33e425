"""YAML text to plain data: with the place of each value, within limits, by the rules of YAML 1.2.

`1e-4` is a number, `no` is text, `1:30` is text. A key that stands twice in one mapping is a
mistake, unless it says the same both times, as a block of PaddleVideo's MobileNetV2 file does:
that is noted. A config has a few hundred values and lies a dozen levels deep; what is far beyond
that, by itself or by aliases that multiply, is refused where it goes beyond, before it takes time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from train.config.errors import Location, Mistake, as_yaml, dotted

MOST_BYTES = 1 << 20
MOST_VALUES = 20_000
"""Keys and values of a text, those that aliases and merge keys repeat included."""
DEEPEST = 50
MOST_CHARACTERS = 4096
"""Of one text: the longest path that Linux takes."""
MOST_DIGITS = 100
LARGEST = 1 << 63

_REFUSED = re.compile("[\0\ud800-\udc7f\udd00-\udfff]")
"""NUL, which no path holds, and halves of characters; the rest of them stand for bytes of paths."""


@dataclass
class Document:
    """Data, the file and line of each of its values, and what was wrong with the text itself."""

    data: Any = None
    origins: dict[Location, str] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)
    broken: bool = False
    """A file is missing or is not YAML: what the data lacks says nothing."""
    repeated: list[str] = field(default_factory=list)
    """Keys that stand twice with the same value, each with its places."""

    def origin(self, where: Location) -> str:
        """File and line of the value at `where`, or of the nearest value around it."""
        for end in range(len(where), -1, -1):
            if where[:end] in self.origins:
                return self.origins[where[:end]]
        return ""


def parse_document(text: str, name: str) -> Document:
    """Read YAML text; `name` stands for the file in origins. Mistakes are in the result."""
    document = Document()
    try:
        loader = _Loader(text)
    except yaml.reader.ReaderError as error:
        told = f"not valid YAML: the character {text[error.position]!r} is not allowed"
        return _broken(document, told, f"{name}:{text.count(chr(10), 0, error.position) + 1}")
    try:
        node = loader.get_single_node()
        if node is not None:
            document.data = _construct(loader, node, (), name, document, ())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f"{name}:{mark.line + 1}" if mark else name
        problem = ", ".join(str(part) for part in (error.context, error.problem) if part)
        return _broken(document, _told(problem, limit=isinstance(error, _LimitError)), line)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        return _broken(document, _told(str(error) or type(error).__name__), name)
    finally:
        loader.dispose()
    return document


class _LimitError(yaml.MarkedYAMLError):
    """Text that is YAML, and more than a config ever is."""

    def __init__(self, problem: str, mark: yaml.Mark) -> None:
        super().__init__(None, None, problem, mark)


class _Loader(yaml.SafeLoader):
    """The safe loader with the scalar types of YAML 1.2, and limits."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.constructed: set[yaml.Node] = set()
        self.values = 0
        self._nodes = self._depth = self._merged = 0
        self._flat: dict[yaml.Node, bool] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Called for every key, value and alias in turn, and within itself for what they hold."""
        mark = self.peek_event().start_mark
        self._nodes += 1
        if self._nodes > MOST_VALUES:
            raise _LimitError(f"more than {MOST_VALUES:,} keys and values", mark)
        if self._depth >= DEEPEST:
            raise _LimitError(f"values lie more than {DEEPEST} deep", mark)
        self._depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Put what merge keys name into a mapping, before its own entries."""
        if self._flat.get(node):
            return
        if node in self._flat:
            raise yaml.constructor.ConstructorError(
                None, None, "a merge key names the mapping that it stands in", node.start_mark
            )
        self._flat[node] = False
        merged: list[Any] = []
        for key, value in node.value:
            for source in _sources(value) if key.tag == _MERGE else ():
                self.flatten_mapping(source)
                self._merged += len(source.value)
                if self._merged > MOST_VALUES:
                    raise _LimitError(
                        f"merge keys repeat more than {MOST_VALUES:,} entries", key.start_mark
                    )
                merged += source.value
        node.value = merged + [entry for entry in node.value if entry[0].tag != _MERGE]
        self._flat[node] = True


_MERGE = "tag:yaml.org,2002:merge"
_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?(0|[1-9][0-9]*)|0x[0-9a-fA-F]+", list("-+0123456789")),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
    ("merge", r"<<", ["<"]),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), _first
    )


def _broken(document: Document, what: str, origin: str) -> Document:
    return Document({}, document.origins, [*document.mistakes, Mistake((), what, origin)], True)


def _told(problem: str, *, limit: bool = False) -> str:
    line = problem.splitlines()[0]
    return line if limit else f"not valid YAML: {line}"


def _sources(value: yaml.Node) -> Iterator[yaml.MappingNode]:
    """The mappings that a merge key names, of which the first is to win, the last first."""
    nodes = reversed(value.value) if isinstance(value, yaml.SequenceNode) else [value]
    for node in nodes:
        if not isinstance(node, yaml.MappingNode):
            what = "a merge key wants a mapping or a list of mappings"
            raise yaml.constructor.ConstructorError(None, None, what, node.start_mark)
        yield node


def _construct(
    loader: _Loader,
    node: yaml.Node,
    where: Location,
    name: str,
    document: Document,
    parents: tuple[yaml.Node, ...],
) -> Any:
    """Data of a node; lines go to `document.origins`, duplicate keys to its mistakes or notes."""
    loader.values += 1
    if loader.values > MOST_VALUES:
        raise _LimitError(f"aliases multiply to more than {MOST_VALUES:,} values", node.start_mark)
    if node in parents:
        raise yaml.constructor.ConstructorError(
            None, None, "an alias stands inside its own anchor", node.start_mark
        )
    if len(parents) > DEEPEST:
        raise _LimitError(f"values lie more than {DEEPEST} deep", node.start_mark)
    origin = f"{name}:{node.start_mark.line + 1}" if not name.startswith("-o ") else name
    document.origins[where] = origin
    if isinstance(node, yaml.SequenceNode):
        return [
            _construct(loader, child, (*where, index), name, document, (*parents, node))
            for index, child in enumerate(node.value)
        ]
    if isinstance(node, yaml.ScalarNode):
        return _scalar(loader, node)
    assert isinstance(node, yaml.MappingNode)
    # An alias leads here again, when merge keys are already part of the mapping.
    own = set() if node in loader.constructed else {key for key, _ in node.value}
    loader.constructed.add(node)
    loader.flatten_mapping(node)
    data: dict[Any, Any] = {}
    seen: dict[Any, int] = {}
    for key_node, child in node.value:
        line = key_node.start_mark.line + 1
        key = _scalar(loader, key_node) if isinstance(key_node, yaml.ScalarNode) else None
        if not isinstance(key, (str, int)) or isinstance(key, bool):
            told = as_yaml(key) if isinstance(key_node, yaml.ScalarNode) else "of several values"
            what = f"key {told} must be text; put it in quotes"
            document.mistakes.append(Mistake(where, what, f"{name}:{line}"))
            continue
        inside = (*where, key)
        place = name if name.startswith("-o ") else f"{name}:{line}"
        first, before = seen.get(key), data.get(key)
        if key_node in own:
            seen[key] = line
        if key in data:
            drop_below(document.origins, inside)
        data[key] = _construct(loader, child, inside, name, document, (*parents, node))
        document.origins[inside] = place
        if key_node in own and first is not None:
            # As text: 1, 1.0 and true are equal, and not the same in a config.
            if repr(before) == repr(data[key]):
                also = "" if place == name else f", first on line {first}"
                document.repeated.append(f"{dotted(inside)} ({place}{also})")
            else:
                what = f"stands twice in one mapping, first on line {first} with another value"
                document.mistakes.append(Mistake(inside, what, f"{name}:{line}"))
    return data


def _scalar(loader: _Loader, node: yaml.ScalarNode) -> Any:
    """The value of a scalar."""
    text, mark = node.value, node.start_mark
    if len(text) > MOST_CHARACTERS:
        what = f"a text of {len(text):,} characters, allowed: at most {MOST_CHARACTERS:,}"
        raise _LimitError(what, mark)
    if node.tag in _NUMBERS and len(text) > MOST_DIGITS:
        what = f"a number of {len(text):,} digits, allowed: at most {MOST_DIGITS}"
        raise _LimitError(what, mark)
    if found := _REFUSED.search(text):
        what = f"the character {found[0]!r} is not allowed"
        raise yaml.constructor.ConstructorError(None, None, what, mark)
    try:
        value = loader.construct_object(node)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        kind = node.tag.rpartition(":")[2]
        what = f"{as_yaml(text)} is no {kind}"
        raise yaml.constructor.ConstructorError(None, None, what, mark) from error
    if isinstance(value, int) and not -LARGEST <= value < LARGEST:
        raise _LimitError(f"{as_yaml(value)} is no number of 64 bits", mark)
    return value


def drop_below(origins: dict[Location, str], where: Location) -> None:
    """Forget the places of a value and of everything in it."""
    size = len(where)
    for known in [key for key in origins if key[:size] == where]:
        del origins[known]
