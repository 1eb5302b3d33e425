"""What is to be answered: videos by their names, or rows of Parquet files."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..command.inputs import VIDEO_SUFFIXES, find_videos
from ..system.addresses import NOT_READ, is_address
from ..system.errors import ClipDuetError
from ..system.terminal import counted


@dataclass(frozen=True)
class Source:
    """Inputs, each with a name that no other has.

    Attributes:
        names: of inputs that can be read, in order.
        problems: of those that cannot: why, by name.
        dataset: of Ray Data with the inputs whose names are given, in blocks of so many; its
            columns are those that `read_videos` takes.
        notes: for the user, a sentence each.
    """

    names: Sequence[str]
    problems: Mapping[str, str]
    dataset: Callable[[Collection[str], int], Any]
    notes: Sequence[str] = field(default_factory=tuple)


def named_videos(named: Sequence[str], lists: Sequence[str], root: Path | None) -> Source:
    """Videos as `predict` takes them, and at addresses that fsspec reads.

    An address may be a pattern, or a folder (it ends with /), which is searched for the suffixes of
    videos.

    Raises:
        ClipDuetError: an address cannot be searched.
    """
    inputs = find_videos(named, lists=lists, root=root)
    files: dict[str, tuple[str, int | None]] = {}
    problems: dict[str, str] = {}
    for row in inputs.rows:
        if row.video is not None:
            path = Path(row.name)
            frames = inputs.frames.get(inputs.videos[row.video])
            files.setdefault(_text(row.name), (os.path.abspath(path), frames))
        elif row.problem == NOT_READ:
            for address in _addresses(row.name):
                files.setdefault(_text(address), (address, None))
        else:
            problems.setdefault(_text(row.name), row.problem)
    for name in files:
        problems.pop(name, None)
    return Source(list(files), problems, _dataset_of_paths(files), inputs.notes)


def parquet_rows(
    named: Sequence[str], column: str, name_column: str | None, root: Path | None
) -> Source:
    """Rows of Parquet files, with paths or with the bytes of video files.

    Args:
        named: files, folders and patterns, on this machine or at addresses.
        column: of paths or addresses (text), or of the bytes of files (binary).
        name_column: whose values are the names of the rows; None: the paths.
        root: folder that relative paths start from; None: the current folder.

    Raises:
        ClipDuetError: no such files or columns, or values that are missing.
    """
    import pyarrow as pa

    files, files_system = _parquet_files(named)
    table = _opened(files, files_system)
    kind = _type_of(table, column)
    has_bytes = pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
    if not has_bytes and not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise ClipDuetError(
            f"--column {column} holds {kind}; needed: text with paths, or the bytes of files"
        )
    if has_bytes and name_column is None:
        raise ClipDuetError(f"--column {column} holds bytes: --name-column says what rows are "
                            "called in the answers")  # fmt: skip
    names_of = name_column or column
    _type_of(table, names_of)
    wanted = [names_of] if has_bytes or names_of == column else [names_of, column]
    first: dict[str, tuple[str, int | None]] = {}
    repeated = 0
    for batch in table.to_batches(columns=wanted):
        names = _texts(batch[names_of], names_of)
        paths = names if len(wanted) == 1 else _texts(batch[column], column)
        for name, path in zip(names, paths, strict=True):
            repeated += name in first
            first.setdefault(name, ("" if has_bytes else _absolute(path, root), None))
    notes = []
    if repeated:
        notes.append(f"{counted(repeated, 'row')} had a name that came before; it is answered once")
    if has_bytes:
        return Source(list(first), {}, _dataset_of_bytes(named, column, names_of), notes)
    return Source(list(first), {}, _dataset_of_paths(first), notes)


def _dataset_of_paths(
    files: Mapping[str, tuple[str, int | None]],
) -> Callable[[Collection[str], int], Any]:
    def dataset(names: Collection[str], block: int) -> Any:
        import pyarrow as pa
        import ray.data

        chosen = [name for name in files if name in names]
        table = pa.table(
            {
                "video": pa.array(chosen, pa.string()),
                "path": pa.array([os.fsencode(files[name][0]) for name in chosen], pa.binary()),
                "frames": pa.array([files[name][1] for name in chosen], pa.int32()),
            }
        )
        return ray.data.from_arrow(table, override_num_blocks=-(-len(chosen) // block))

    return dataset


def _dataset_of_bytes(
    named: Sequence[str], column: str, names: str
) -> Callable[[Collection[str], int], Any]:
    def dataset(wanted: Collection[str], block: int) -> Any:
        import ray
        import ray.data

        files, files_system = _parquet_files(named)
        rows = ray.data.read_parquet(files, filesystem=files_system, columns=[names, column])
        return rows.map_batches(
            _renamed,
            fn_kwargs={"names": names, "content": column, "wanted": [ray.put(frozenset(wanted))]},
            batch_format="pyarrow",
            batch_size=block,
        )

    return dataset


def _renamed(batch: Any, *, names: str, content: str, wanted: Sequence[Any]) -> Any:
    """In a task: the rows that are wanted, by one reference of Ray to a set of names."""
    import pyarrow as pa

    kept = _fetched(wanted[0])
    texts = batch[names].cast(pa.string())
    table = pa.table({"video": texts, "content": batch[content].cast(pa.large_binary())})
    return table.filter(pa.array([text in kept for text in texts.to_pylist()], pa.bool_()))


@functools.lru_cache(1)
def _fetched(reference: Any) -> frozenset[str]:
    import ray

    return frozenset(ray.get(reference))


def _text(name: str) -> str:
    """A name as text in UTF-8: what is not is an escape, as in all other output."""
    return name.encode("utf-8", "backslashreplace").decode()


def _absolute(path: str, root: Path | None) -> str:
    if is_address(path):
        return path
    return os.path.abspath(os.path.join(root or "", os.path.expanduser(path)))


def _addresses(address: str) -> Iterable[str]:
    """The files that an address names; nobody is asked about one that is a file by its form."""
    folder, pattern = address.endswith("/"), any(sign in address for sign in "*[")
    if not folder and not pattern:
        return [address]
    import fsspec

    try:
        system, path = fsspec.core.url_to_fs(address)
        inside = sorted(system.find(path) if folder else system.glob(path))
        found = [one for one in inside if pattern or Path(one).suffix.lower() in VIDEO_SUFFIXES]
        if found:
            return [system.unstrip_protocol(one) for one in found]
    except Exception as error:  # each file system has errors of its own
        raise _unreadable(address, error) from None
    raise ClipDuetError(f"{address}: no videos there")


def _parquet_files(named: Sequence[str]) -> tuple[list[str], Any]:
    """Parquet files, and the file system that they are all on; None: this machine's."""
    import fsspec

    found: list[str] = []
    systems = []
    for name in named:
        try:
            system, path = fsspec.core.url_to_fs(os.path.expanduser(name))
            if any(sign in path for sign in "*?[") and not system.exists(path):
                some = sorted(system.glob(path))
            elif system.isdir(path):
                some = [one for one in sorted(system.find(path)) if one.endswith(".parquet")]
            else:
                some = [path] if system.exists(path) else []
        except Exception as error:  # each file system has errors of its own
            raise _unreadable(name, error) from None
        if not some:
            raise ClipDuetError(f"--parquet {name}: no file there")
        found += some
        systems.append(system)
    if any(system != systems[0] for system in systems):
        raise ClipDuetError("--parquet names files on several file systems; name those of one")
    return list(dict.fromkeys(found)), systems[0] if any(map(is_address, named)) else None


def _opened(files: Sequence[str], system: Any) -> Any:
    import pyarrow.dataset as arrow

    try:
        return arrow.dataset(list(files), format="parquet", filesystem=system)
    except (OSError, ValueError) as error:
        raise _unreadable(f"--parquet {files[0]}", error) from None


def _type_of(table: Any, column: str) -> Any:
    if column not in table.schema.names:
        there = ", ".join(table.schema.names[:20])
        raise ClipDuetError(f"no column {column} in the Parquet files; there are: {there}")
    return table.schema.field(column).type


def _texts(values: Any, column: str) -> list[str]:
    import pyarrow as pa

    if values.null_count:
        raise ClipDuetError(f"the column {column} has rows without a value; leave them out")
    try:
        return [str(text) for text in values.cast(pa.string()).to_pylist()]
    except pa.ArrowInvalid as error:
        raise ClipDuetError(f"the column {column} is no text: {error}") from None


def _unreadable(name: str, error: Exception) -> ClipDuetError:
    text = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    return ClipDuetError(f"{name} cannot be read: {text}")
