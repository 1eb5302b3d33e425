"""Settings on top of inherited ones: mappings by key, lists of named entries by name.

A mapping merges key by key into a mapping. A list replaces what was there, with two exceptions
where the inherited list names its entries, as `- RandomFlip: {p: 0.5}` does:

- a mapping changes the entries by name: `transform: {RandomFlip: {p: 0.2}}`;
- `MODEL.models` merges by name: `- Student: {backbone: {num_seg: 8}}` changes that alone, and a new
  name is a network more. Only a list that can stand by itself, whose networks all say the names of
  their backbone and head and one of which is the Student, replaces the list.

`_remove_: [RandomFlip]` leaves entries out, of such a list or of a mapping; so does `RandomFlip:
null` in a mapping that changes a list. A mapping with `_replace_: true` replaces as a whole, which
is what a block wants that changes its `name`; so does each entry of BEFORE, whose files lie beside
the file that says it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from train.config.errors import Location, Mistake, as_yaml, unknown_name
from train.config.schema.model import STUDENT
from train.config.yaml_text import Document

REPLACE, REMOVE, BEFORE = "_replace_", "_remove_", "BEFORE"
MODELS = ("MODEL", "models")


@dataclass(frozen=True)
class _At:
    """Where a value stands: in the inherited settings, in those on top, and in the result."""

    base: Location = ()
    over: Location = ()
    result: Location = ()

    def key(self, key: str | int) -> _At:
        return _At((*self.base, key), (*self.over, key), (*self.result, key))


@dataclass
class _Notes:
    """What happened to places: those that are gone, and where entries of lists went."""

    replaced: set[Location] = field(default_factory=set)
    base: dict[Location, Location] = field(default_factory=dict)
    over: dict[Location, Location] = field(default_factory=dict)
    mistakes: list[tuple[_At, str]] = field(default_factory=list)


def merge(base: Document, over: Document) -> Document:
    """`over` on top of `base`, by the rules of the module docstring."""
    notes = _Notes()
    data = _merge(base.data, over.data, _At(), notes)
    origins = {
        _moved(where, notes.base): origin
        for where, origin in base.origins.items()
        if not any(where[:size] in notes.replaced for size in range(len(where) + 1))
    }
    origins.update({_moved(where, notes.over): origin for where, origin in over.origins.items()})
    found = [Mistake(at.result, text, over.origin(at.over)) for at, text in notes.mistakes]
    mistakes = base.mistakes + over.mistakes + found
    broken, repeated = base.broken or over.broken, base.repeated + over.repeated
    return Document(data, origins, mistakes, broken, repeated)


def names_of(entries: list[Any]) -> list[str | int | None]:
    """The names of a list's entries; None of one that is no mapping with its name as only key."""
    return [next(iter(e)) if isinstance(e, dict) and len(e) == 1 else None for e in entries]


def find_entry(entries: list[Any], name: object) -> int | str:
    """The place of the entry of that name, or what is wrong."""
    names = names_of(entries)
    if names.count(name) == 1:  # type: ignore[arg-type]
        return names.index(name)  # type: ignore[arg-type]
    if name in names:
        places = [str(index) for index, known in enumerate(names) if known == name]
        return f"holds {name} more than once; say {' or '.join(places)}"
    return unknown_name("entry", name, [str(known) for known in names if known is not None])


def drop_entry(document: Document, where: Location) -> None:
    """Take an entry out of a list, in place, and move the places of those behind it."""
    holder = document.data
    *way, index = where
    for part in way:
        holder = holder[part]
    del holder[index]
    size = len(way)
    moved = {}
    for known, origin in document.origins.items():
        if known[:size] == where[:size] and len(known) > size and isinstance(known[size], int):
            if known[size] == index:
                continue
            if known[size] > index:  # type: ignore[operator]
                known = (*known[:size], known[size] - 1, *known[size + 1 :])  # type: ignore[operator]
        moved[known] = origin
    document.origins.clear()
    document.origins.update(moved)


def _merge(base: Any, over: Any, at: _At, notes: _Notes) -> Any:
    replaces = isinstance(over, dict) and over.get(REPLACE) is True
    # A teacher that is ready is not that of another training.
    replaces = replaces or (len(at.result) == 2 and at.result[0] == BEFORE)
    if not replaces and isinstance(base, list):
        changes = _changes(base, over, at)
        if changes is not None:
            return _merge_list(base, over, changes, at, notes)
    if not isinstance(base, dict) or not isinstance(over, dict) or replaces:
        notes.replaced.add(at.base)
        return _without_marks(over, at, notes)
    merged = dict(base)
    for key, value in over.items():
        if key == REMOVE:
            for name in _removed(value, at, notes):
                if name in merged:
                    del merged[name]
                    notes.replaced.add((*at.base, name))
                else:
                    told = unknown_name("key", name, [str(known) for known in base])
                    notes.mistakes.append((at, f"{REMOVE}: {told}"))
        elif key != REPLACE or value is not True:
            merged[key] = _merge(base.get(key), value, at.key(key), notes)
    return merged


def _changes(base: list[Any], over: Any, at: _At) -> list[tuple[Location, Any, Any]] | None:
    """What `over` says of named entries: its place below `over`, the name, the value.

    None where it replaces the list.
    """
    names = names_of(base)
    if isinstance(over, dict) and (REMOVE in over or (base and None not in names)):
        return [((name,), name, value) for name, value in over.items() if name != REMOVE]
    if at.result != MODELS or not isinstance(over, list) or not base or None in names:
        return None
    own = names_of(over)
    if None in own or len(set(own)) < len(own) or len(set(names)) < len(names):
        return None
    if STUDENT in own and all(
        _is_whole(entry[name]) for entry, name in zip(over, own, strict=True)
    ):
        return None
    entries = enumerate(zip(own, over, strict=True))
    return [((index, name), name, entry[name]) for index, (name, entry) in entries if name]


def _is_whole(network: Any) -> bool:
    """Whether this is a network by itself, and no change of an inherited one."""
    if not isinstance(network, dict) or REPLACE in network:
        return False
    parts = [network.get("backbone"), network.get("head")]
    return all(isinstance(part, dict) and "name" in part for part in parts)


def _merge_list(
    base: list[Any], over: Any, changes: list[tuple[Location, Any, Any]], at: _At, notes: _Notes
) -> list[Any]:
    entries: list[Any] = list(base)
    gone = set()
    removed = _removed(over.get(REMOVE, []), at, notes) if isinstance(over, dict) else []
    by_key = isinstance(over, dict)
    for place, name, value in [*(((REMOVE,), name, None) for name in removed), *changes]:
        found = find_entry(base, name)
        if isinstance(found, int) and by_key and value is None:
            gone.add(found)
        elif isinstance(found, int):
            inside = _At((*at.base, found, name), (*at.over, *place), (*at.result, found, name))
            notes.over[inside.over] = inside.result
            entries[found] = {name: _merge(base[found][name], value, inside, notes)}
        elif by_key or name in names_of(base):
            told = f"{REMOVE}: {found}" if place == (REMOVE,) else found
            notes.mistakes.append((at, told))
        else:
            where = _At((), (*at.over, *place), (*at.result, len(entries), name))
            notes.over[where.over] = where.result
            entries.append({name: _without_marks(value, where, notes)})
    kept = [index for index in range(len(entries)) if index not in gone]
    _renumber(kept, len(entries), at, notes)
    return [entries[index] for index in kept]


def _renumber(kept: list[int], number: int, at: _At, notes: _Notes) -> None:
    """Note where the entries of a list went when some of them were left out."""
    if len(kept) == number:
        return
    new = {old: place for place, old in enumerate(kept)}
    size = len(at.result)
    for where, result in list(notes.over.items()):
        if result[:size] == at.result and len(result) > size:
            old = result[size]
            if isinstance(old, int) and old in new:
                notes.over[where] = (*at.result, new[old], *result[size + 1 :])
    for old in range(number):
        if old in new:
            notes.base[(*at.base, old)] = (*at.result, new[old])
        else:
            notes.replaced.add((*at.base, old))


def _removed(names: Any, at: _At, notes: _Notes) -> Iterator[str]:
    """The names that `_remove_` holds."""
    listed = [names] if isinstance(names, str) else names
    if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
        what = f"{REMOVE} must be a list of names, not {as_yaml(names)}"
        notes.mistakes.append((at, what))
        listed = []
    yield from dict.fromkeys(listed)


def _without_marks(value: Any, at: _At, notes: _Notes) -> Any:
    if isinstance(value, dict):
        if REMOVE in value:
            what = f"{REMOVE} leaves out what is inherited, and nothing is inherited here"
            notes.mistakes.append((at, what))
        return {
            k: _without_marks(v, at.key(k), notes)
            for k, v in value.items()
            if k != REMOVE and (k != REPLACE or v is not True)
        }
    if isinstance(value, list):
        return [_without_marks(item, at.key(index), notes) for index, item in enumerate(value)]
    return value


def _moved(where: Location, moves: dict[Location, Location]) -> Location:
    if moves:
        for size in range(len(where), 0, -1):
            if where[:size] in moves:
                return (*moves[where[:size]], *where[size:])
    return where
