"""A tree of clips by class: which clips it holds, and which of its folders give no class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from infer.command.inputs import VIDEO_SUFFIXES
from infer.system.errors import ClipDuetError, listed
from infer.system.files import folder_obstacle
from train.data.lists import cannot_be_listed

MOST = 10
"""Folders that are named; of the others only their number is said."""


class FoldersError(ClipDuetError):
    """The tree is not one of clips by class, or cannot be split as asked."""


@dataclass(frozen=True)
class Clip:
    """A clip of the tree: its path below the root, its class, its scene ("" without scenes)."""

    path: str
    label: str
    scene: str


def find_clips(root: Path, *, option: str = "--root") -> list[Clip]:
    """All video files below `root`, by path; hidden files and folders are passed over.

    Links that lead to no file are among them: whoever reads the clips tells of these.

    Args:
        root: the folder that holds the classes, or scenes of classes.
        option: how the command line calls it.

    Raises:
        FoldersError: no clips, clips outside a class folder, or two layouts at once.
    """
    if not root.is_dir():
        raise FoldersError(f"{root} is not a folder; {option} wants the one that holds the classes")
    paths = sorted(
        path.relative_to(root)
        for path in root.rglob("*")
        if path.suffix.lower() in VIDEO_SUFFIXES
        and not _hidden(path.relative_to(root))
        and (path.is_file() or _leads_nowhere(path))
    )
    if not paths:
        raise FoldersError(
            f"{root} holds no video files; known endings: {' '.join(VIDEO_SUFFIXES)}"
        )
    depths = {len(path.parts) for path in paths}
    if len(depths) > 1 or not depths <= {2, 3}:
        examples = [
            str(next(path for path in paths if len(path.parts) == depth))
            for depth in sorted(depths)
        ]
        layouts = "class/clip, or all of scene/class/clip"
        raise FoldersError(listed(f"{root}: all clips must lie as {layouts}; found", examples))
    wrong = [repr(name) for name in map(str, paths) if cannot_be_listed(name)]
    if wrong:
        what = "a list cannot hold names with line breaks, or that begin with # or a space; rename"
        raise FoldersError(listed(what, wrong))
    return [
        Clip(path.as_posix(), path.parts[-2], path.parts[0] if len(path.parts) == 3 else "")
        for path in paths
    ]


def no_class(
    root: Path, clips: Sequence[Clip], readable: Sequence[Clip], *, out: Path | None = None
) -> list[str]:
    """Folders where a class would lie that none comes from, each with the reason.

    Args:
        root: what `find_clips` looked through.
        clips: what it found.
        readable: those of them that can be read.
        out: the folder of the lists, which may lie beside the classes.
    """
    classes = {clip.label for clip in readable}
    found = Counter(clip.label for clip in clips)
    reasons = {
        name: f"none of {count} clips can be read" if count > 1 else "its clip cannot be read"
        for name, count in found.items()
        if name not in classes
    }
    for path in sorted(root.glob("*/*" if any(clip.scene for clip in clips) else "*")):
        if _hidden(path.relative_to(root)) or path.name in found:
            continue
        if out is not None and out.resolve().is_relative_to(path.resolve()):
            continue
        if path.is_dir():
            linked = path.is_symlink()
            reasons[path.name] = "a link, which is not followed" if linked else "no video files"
        elif _leads_nowhere(path):
            reasons[path.name] = "a link that leads nowhere"
    return [f"{name} ({reasons[name]})" for name in sorted(reasons)]


def about_no_class(folders: Sequence[str]) -> list[str]:
    """A line that warns of folders that give no class, if there are any."""
    if not folders:
        return []
    number = "1 folder gives" if len(folders) == 1 else f"{len(folders)} folders give"
    more = f", and {len(folders) - MOST} more" if len(folders) > MOST else ""
    return [f"warning: {number} no class: {', '.join(folders[:MOST])}{more}"]


def can_hold(out: Path) -> None:
    """Refuse a folder to write to that cannot be made or written, before anything is computed.

    Raises:
        FoldersError: says why.
    """
    obstacle = folder_obstacle(out)
    if obstacle is not None:
        raise FoldersError(f"--out {out}: {obstacle}")


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _leads_nowhere(path: Path) -> bool:
    return path.is_symlink() and not path.exists()
