"""From a YAML file to plain data: inheritance, overrides, environment, origin of each value.

YAML here is read by the 1.2 core rules: ``1e-4`` is a number, ``no`` is text, ``1:30`` is text.
A key that stands twice in one mapping is a mistake.

``_BASE_: other.yaml`` (or a list, later ones win), relative to the file that says it, is read
first. Then mappings merge key by key, and everything else, lists included, replaces what was
there. A mapping that holds ``_replace_: true`` replaces as a whole, which is what a block wants
that changes its ``name``.

``${VAR}`` and ``${VAR:-default}`` in a text are replaced from the environment after everything is
merged, so an overridden value needs no variable; ``$${`` stands for ``${``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from train.config_errors import Location, Mistake, dotted, shown, unknown_name

BASE, REPLACE = "_BASE_", "_replace_"

_VARIABLE = re.compile(r"\$\$\{|\$\{([^}]*)\}|\$\{")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass
class Document:
    """Data, the file and line of each of its values, and what was wrong with the text itself."""

    data: Any = None
    origins: dict[Location, str] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)
    broken: bool = False
    """A file is missing or is not YAML: what the data lacks says nothing."""

    def origin(self, where: Location) -> str:
        """File and line of the value at ``where``, or of the nearest value around it."""
        for end in range(len(where), -1, -1):
            if where[:end] in self.origins:
                return self.origins[where[:end]]
        return ""


class _Loader(yaml.SafeLoader):
    """The safe loader with the scalar types of YAML 1.2."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.flattened: set[yaml.Node] = set()


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


def load_document(file: Path, *, under: Document | None = None) -> Document:
    """Read a YAML file with all its bases. Mistakes are in the result, not raised.

    ``under`` is what the file's bases go on top of.
    """
    return _load(file, chain=(), under=under)


def parse_document(text: str, name: str) -> Document:
    """Read YAML text; ``name`` stands for the file in origins."""
    document = Document()
    try:
        loader = _Loader(text)
    except yaml.reader.ReaderError as error:
        told = f"not valid YAML: the character {text[error.position]!r} is not allowed"
        where = f"{name}:{text.count(chr(10), 0, error.position) + 1}"
        return Document({}, {}, [Mistake((), told, where)], True)
    try:
        node = loader.get_single_node()
        if node is not None:
            document.data = _construct(loader, node, (), name, document, ())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f"{name}:{mark.line + 1}" if mark else name
        problem = error.problem or error.context
        document.mistakes.append(Mistake((), f"not valid YAML: {problem}", line))
        document.broken = True
    except (yaml.YAMLError, ValueError) as error:
        document.mistakes.append(Mistake((), f"not valid YAML: {error}", name))
        document.broken = True
    finally:
        loader.dispose()
    return document


def merge(base: Document, over: Document) -> Document:
    """``over`` on top of ``base``, by the rules of the module docstring."""
    origins = dict(base.origins)
    data = _merge(base.data, over.data, (), origins, over.origins)
    return Document(data, origins, base.mistakes + over.mistakes, base.broken or over.broken)


def apply_overrides(document: Document, overrides: Sequence[str]) -> None:
    """Set values in place from ``a.b.c=value`` texts; values are typed as YAML types them.

    A list takes an index, or a name where its entries are mappings with that name as only key:
    ``MODEL.models.Teacher.backbone.depth=18``. Missing keys are added and left to validation.
    """
    for text in overrides:
        path, equals, value = text.partition("=")
        origin = f"-o {path}"
        parts = [part.strip() for part in path.split(".")]
        if not equals or not all(parts):
            what = f"override {shown(text)} is not of the form a.b.c=value"
            document.mistakes.append(Mistake((), what))
            continue
        parsed = parse_document(value, origin)
        if parsed.mistakes:
            document.mistakes += parsed.mistakes
            continue
        where = _set(document, parts, parsed.data)
        if isinstance(where, Mistake):
            document.mistakes.append(replace(where, origin=origin))
            continue
        _drop_below(document.origins, where)
        document.origins[where] = origin


def expand_environment(document: Document, environment: Mapping[str, str] | None = None) -> None:
    """Replace ``${VAR}`` in all texts, in place; a missing variable is a mistake."""
    values = os.environ if environment is None else environment

    def expand(value: Any, where: Location) -> Any:
        if isinstance(value, dict):
            return {key: expand(item, (*where, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [expand(item, (*where, index)) for index, item in enumerate(value)]
        if not isinstance(value, str) or "${" not in value:
            return value

        def substitute(match: re.Match[str]) -> str:
            if match[0] == "$${":
                return "${"
            name, has_default, default = (match[1] or "").partition(":-")
            if not _NAME.fullmatch(name) or "${" in default:
                what = f"{shown(value)} holds no valid ${{NAME}} or ${{NAME:-default}}"
            elif name in values and (values[name] or not has_default):
                return values[name]
            elif has_default:
                return default
            else:
                what = (
                    f"{shown(value)} needs the environment variable {name}, which is not set; "
                    f"set it, or give the value by -o {dotted(where)}=..."
                )
            document.mistakes.append(Mistake(where, what, document.origin(where)))
            return match[0]

        return _VARIABLE.sub(substitute, value)

    document.data = expand(document.data, ())


def _load(file: Path, chain: tuple[Path, ...], *, under: Document | None = None) -> Document:
    resolved = file.resolve()
    if resolved in chain:
        circle = " -> ".join(_short(path) for path in (*chain[chain.index(resolved) :], resolved))
        return Document({}, {}, [Mistake((BASE,), f"files inherit in a circle: {circle}")], True)
    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        what = f"{file} cannot be read: {error.strerror or error}"
        return Document({}, {}, [Mistake((BASE,) if chain else (), what)], True)
    except UnicodeDecodeError as error:
        what = f"{file} is not text in UTF-8 (byte {error.start})"
        return Document({}, {}, [Mistake((BASE,) if chain else (), what)], True)
    document = parse_document(text, str(file))
    if document.data is None and not document.mistakes:
        document.data = {}
    if not isinstance(document.data, dict):
        if not document.mistakes:
            what = f"must hold a mapping, not {shown(document.data)}"
            document.mistakes.append(Mistake((), what, str(file)))
        document.data = {}
        document.broken = True
        return document
    bases = document.data.pop(BASE, [])
    origin = document.origins.pop((BASE,), str(file))
    names = [bases] if isinstance(bases, str) else bases
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        what = f"must be a file or a list of files, not {shown(bases)}"
        document.mistakes.append(Mistake((BASE,), what, origin))
        names = []
    inherited = under or Document({})
    for name in names:
        base = _load(file.parent / name, (*chain, resolved))
        for index, mistake in enumerate(base.mistakes):
            if not mistake.origin:
                base.mistakes[index] = Mistake(mistake.where, mistake.text, origin)
        inherited = merge(inherited, base)
    return merge(inherited, document)


def _short(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _construct(
    loader: _Loader,
    node: yaml.Node,
    where: Location,
    name: str,
    document: Document,
    parents: tuple[yaml.Node, ...],
) -> Any:
    """Data of a node; lines go to ``document.origins``, duplicate keys to its mistakes."""
    if node in parents:
        raise yaml.constructor.ConstructorError(
            None, None, "an alias stands inside its own anchor", node.start_mark
        )
    origin = f"{name}:{node.start_mark.line + 1}" if not name.startswith("-o ") else name
    document.origins[where] = origin
    if isinstance(node, yaml.SequenceNode):
        return [
            _construct(loader, child, (*where, index), name, document, (*parents, node))
            for index, child in enumerate(node.value)
        ]
    if not isinstance(node, yaml.MappingNode):
        return loader.construct_object(node)
    # An alias leads here again, when merge keys are already part of the mapping.
    own = [] if node in loader.flattened else [key for key, _ in node.value]
    loader.flattened.add(node)
    loader.flatten_mapping(node)
    data: dict[Any, Any] = {}
    seen: dict[Any, int] = {}
    for key_node, child in node.value:
        key = loader.construct_object(key_node)
        line = key_node.start_mark.line + 1
        if not isinstance(key, (str, int)) or isinstance(key, bool):
            what = f"key {shown(key)} must be text; put it in quotes"
            document.mistakes.append(Mistake(where, what, f"{name}:{line}"))
            continue
        inside = (*where, key)
        if key_node in own:
            if key in seen:
                what = f"stands twice in one mapping, first on line {seen[key]}"
                document.mistakes.append(Mistake(inside, what, f"{name}:{line}"))
            seen[key] = line
        _drop_below(document.origins, inside)
        data[key] = _construct(loader, child, inside, name, document, (*parents, node))
        document.origins[inside] = origin if name.startswith("-o ") else f"{name}:{line}"
    return data


def _merge(
    base: Any,
    over: Any,
    where: Location,
    origins: dict[Location, str],
    over_origins: dict[Location, str],
) -> Any:
    replaces = isinstance(over, dict) and over.get(REPLACE) is True
    if not isinstance(base, dict) or not isinstance(over, dict) or replaces:
        _drop_below(origins, where)
        size = len(where)
        origins.update({k: v for k, v in over_origins.items() if k[:size] == where})
        return _without_marks(over)
    merged = dict(base)
    if where in over_origins:
        origins[where] = over_origins[where]
    for key, value in over.items():
        if key != REPLACE or value is not True:
            merged[key] = _merge(base.get(key), value, (*where, key), origins, over_origins)
    return merged


def _without_marks(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_marks(v) for k, v in value.items() if k != REPLACE or v is not True}
    if isinstance(value, list):
        return [_without_marks(item) for item in value]
    return value


def _drop_below(origins: dict[Location, str], where: Location) -> None:
    size = len(where)
    for known in [key for key in origins if key[:size] == where]:
        del origins[known]


def _set(document: Document, parts: list[str], value: Any) -> Location | Mistake:
    """Set a value in the data; its location, or what is wrong with the path."""
    where: Location = ()
    here = document.data
    for depth, part in enumerate(parts):
        last = depth == len(parts) - 1
        if isinstance(here, list):
            found = _in_list(here, part, where)
            if isinstance(found, Mistake):
                return found
            entry, named = found
            where += (entry, named) if named is not None else (entry,)
            here, key = (here[entry], named) if named is not None else (here, entry)
        elif isinstance(here, dict):
            # Keys of a few mappings may be numbers in YAML (label_flip: {0: 1}).
            key = int(part) if part not in here and part.isdigit() and int(part) in here else part
            where += (key,)
        else:
            what = f"is {shown(here)}, not a mapping: {'.'.join(parts)} leads nowhere"
            return Mistake(where, what)
        if last:
            here[key] = value
        elif isinstance(here, dict) and here.get(key) is None:
            here[key] = {}
            document.origins[where] = f"-o {'.'.join(parts)}"
            here = here[key]
        else:
            here = here[key]
    return where


def _in_list(here: list[Any], part: str, where: Location) -> tuple[int, str | None] | Mistake:
    if part.isdigit():
        if int(part) < len(here):
            return int(part), None
        allowed = f"0 to {len(here) - 1}" if here else "none, the list is empty"
        return Mistake(where, f"has no entry {part}; allowed: {allowed}")
    singles = [next(iter(e)) if isinstance(e, dict) and len(e) == 1 else None for e in here]
    if singles.count(part) == 1:
        return singles.index(part), part
    if singles.count(part) > 1:
        places = [str(index) for index, name in enumerate(singles) if name == part]
        return Mistake(where, f"holds {part} more than once; say {' or '.join(places)}")
    names = [str(name) for name in singles if name is not None]
    return Mistake(where, unknown_name("entry", part, names))
