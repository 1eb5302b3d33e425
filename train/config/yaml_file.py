"""From a YAML file to plain data: inheritance, overrides, environment, origin of each value.

What one text may hold: `train.config.yaml_text`.

`_BASE_: other.yaml` (or a list, later ones win), relative to the file that says it, is read
first; `train.config.merge` says how settings go on top of it. All files go on top of each other in
the order in which they are read, those of a base first.

`${VAR}` and `${VAR:-default}` in a text are replaced from the environment after everything is
merged, so an overridden value needs no variable; `$${` stands for `${`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Any

from infer.system.errors import os_reason
from infer.system.limited_files import read_text
from train.config.errors import Location, Mistake, as_yaml, dotted
from train.config.merge import BEFORE, drop_entry, find_entry, merge
from train.config.yaml_text import DEEPEST, MOST_BYTES, Document, drop_below, parse_document

MOST_FILES, MOST_BASES = 100, 20
"""Files that one config may read by `_BASE_`, and how deep these may lie in each other."""

BASE = "_BASE_"
BESIDE = ("train", "label", "ready")
"""What names a file beside the config in an entry of BEFORE."""

_VARIABLE = re.compile(r"\$\$\{|\$\{([^}]*)\}|\$\{")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def load_document(
    file: Path, *, under: Document | None = None, folder: Path | None = None
) -> Document:
    """Read a YAML file with all its bases. Mistakes are in the result, not raised.

    Args:
        file: to read.
        under: what the file's bases go on top of.
        folder: where the files that BEFORE names are told from; none: that of the file.
    """
    layers = _layers(file, chain=(), read=[])
    for layer in layers:
        _relocate(layer.data, from_folder=file.parent, to_folder=folder or file.parent)
    return reduce(merge, layers, under or Document({}))


def apply_overrides(document: Document, overrides: Sequence[str]) -> None:
    """Set values in place from `a.b.c=value` texts; values are typed as YAML types them.

    A list takes an index, or a name where its entries are mappings with that name as only key:
    `MODEL.models.Teacher.backbone.depth=18`. Missing keys are added and left to validation. Null
    leaves an entry of such a list out: `PIPELINE.train.transform.RandomFlip=null`.
    """
    for text in overrides:
        path, equals, value = text.partition("=")
        origin = f"-o {path}"
        parts = [part.strip() for part in path.split(".")]
        if not equals or not all(parts):
            what = f"override {as_yaml(text)} is not of the form a.b.c=value"
            document.mistakes.append(Mistake((), what))
            continue
        if len(parts) > DEEPEST:
            what = f"override {as_yaml(text)} leads more than {DEEPEST} deep"
            document.mistakes.append(Mistake((), what))
            continue
        parsed = parse_document(value, origin)
        if parsed.mistakes:
            document.mistakes += parsed.mistakes
            continue
        document.repeated += [f"{path}.{told}" for told in parsed.repeated]
        where = _set(document, parts, parsed.data)
        if isinstance(where, Mistake):
            document.mistakes.append(replace(where, origin=origin))
            continue
        if where is not None:
            drop_below(document.origins, where)
            document.origins[where] = origin


def expand_environment(document: Document, environment: Mapping[str, str] | None = None) -> None:
    """Replace `${VAR}` in all texts, in place; a missing variable is a mistake."""
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
                what = f"{as_yaml(value)} holds no valid ${{NAME}} or ${{NAME:-default}}"
            elif name in values and (values[name] or not has_default):
                return values[name]
            elif has_default:
                return default
            else:
                what = (
                    f"{as_yaml(value)} needs the environment variable {name}, which is not set; "
                    f"set it, or give the value by -o {dotted(where)}=..."
                )
            document.mistakes.append(Mistake(where, what, document.origin(where)))
            return match[0]

        return _VARIABLE.sub(substitute, value)

    document.data = expand(document.data, ())


def _layers(file: Path, chain: tuple[Path, ...], *, read: list[Path]) -> list[Document]:
    """A file that `chain` leads to and its bases, unmerged: each goes on top of those before it.

    A base is not merged with its own bases first: it may also replace or remove what lies below
    those.

    Args:
        file: to read.
        chain: the files that inherit it, the first one first.
        read: all files read before; this one and its bases are added.
    """

    def fail(what: str, origin: str = "") -> list[Document]:
        return [Document({}, {}, [Mistake((BASE,) if chain else (), what, origin)], True)]

    try:
        resolved = Path(os.path.realpath(file))
        if resolved in chain:
            circle = (*chain[chain.index(resolved) :], resolved)
            return fail(f"files inherit in a circle: {' -> '.join(map(_short, circle))}")
        if len(chain) > MOST_BASES:
            return fail(f"files inherit more than {MOST_BASES} deep, here {_short(resolved)}")
        if len(read) >= MOST_FILES:
            return fail(f"more than {MOST_FILES} files are inherited, here {_short(resolved)}")
        read.append(resolved)
        text = read_text(file, most=MOST_BYTES)
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        return fail(f"{file} is not text in UTF-8 (byte {error.start})", f"{file}:{line}")
    except (OSError, ValueError) as error:
        return fail(f"{file} cannot be read: {os_reason(error)}")
    document = parse_document(text, str(file))
    if document.data is None and not document.mistakes:
        document.data = {}
    if not isinstance(document.data, dict):
        if not document.mistakes:
            what = f"must hold a mapping, not {as_yaml(document.data)}"
            document.mistakes.append(Mistake((), what, str(file)))
        document.data = {}
        document.broken = True
        return [document]
    bases = document.data.pop(BASE, [])
    origin = document.origins.pop((BASE,), str(file))
    names = [bases] if isinstance(bases, str) else bases
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        what = f"must be a file or a list of files, not {as_yaml(bases)}"
        document.mistakes.append(Mistake((BASE,), what, origin))
        names = []
    layers = []
    for name in names:
        base = file.parent / name
        for layer in _layers(base, (*chain, resolved), read=read):
            for index, mistake in enumerate(layer.mistakes):
                if not mistake.origin:
                    layer.mistakes[index] = replace(mistake, origin=origin)
            _relocate(layer.data, from_folder=base.parent, to_folder=file.parent)
            layers.append(layer)
    return [*layers, document]


def _relocate(data: Any, *, from_folder: Path, to_folder: Path) -> None:
    """Name what a BEFORE needs from another folder than that of the file that says it, in place."""
    blocks = data.get(BEFORE) if isinstance(data, dict) else None
    way = os.path.relpath(from_folder, to_folder)
    if way == os.curdir or not isinstance(blocks, dict):
        return
    for block in blocks.values():
        if isinstance(block, dict):
            for key in ("relative_to",) if block.get("relative_to") else BESIDE:
                if isinstance(block.get(key), str):
                    block[key] = os.path.join(way, block[key])


def _short(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _set(document: Document, parts: list[str], value: Any) -> Location | Mistake | None:
    """Set a value in the data; its location, what is wrong with the path, or None for no value."""
    where: Location = ()
    here = document.data
    for depth, part in enumerate(parts):
        last = depth == len(parts) - 1
        if isinstance(here, list):
            found = _in_list(here, part, where)
            if isinstance(found, Mistake):
                return found
            entry, named = found
            if last and value is None and isinstance(here[entry], dict):
                drop_entry(document, (*where, entry))
                return None
            where += (entry, named) if named is not None else (entry,)
            here, key = (here[entry], named) if named is not None else (here, entry)
        elif isinstance(here, dict):
            # Keys of a few mappings may be numbers in YAML (label_flip: {0: 1}).
            number = _number(part)
            key = number if number is not None and part not in here and number in here else part
            where += (key,)
        else:
            what = f"is {as_yaml(here)}, not a mapping: {'.'.join(parts)} leads nowhere"
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
    number = _number(part)
    if number is not None:
        if number < len(here):
            return number, None
        allowed = f"0 to {len(here) - 1}" if here else "none, the list is empty"
        return Mistake(where, f"has no entry {part}; allowed: {allowed}")
    found = find_entry(here, part)
    return Mistake(where, found) if isinstance(found, str) else (found, part)


def _number(part: str) -> int | None:
    """A part of a path as an index or a number for a key."""
    return int(part) if part.isdecimal() and len(part) < 19 else None
