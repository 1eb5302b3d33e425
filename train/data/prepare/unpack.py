"""Unpack archives: zip and tar by Python, RAR by whichever program for it is installed."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from infer.system.errors import ClipDuetError

RAR_PROGRAMS: dict[str, Callable[[str, str], list[str]]] = {
    "unrar": lambda file, to: ["x", "-y", "-idq", file, f"{to}/"],
    "unar": lambda file, to: ["-quiet", "-force-overwrite", "-no-directory", "-o", to, file],
    "7z": lambda file, to: ["x", "-y", f"-o{to}", file],
    "bsdtar": lambda file, to: ["-x", "-f", file, "-C", to],
}
"""Programs that read RAR, the most reliable first, and their arguments."""


class UnpackError(ClipDuetError):
    """An archive is broken, or no program that can read it is installed."""


def is_archive(file: Path) -> bool:
    """Whether `unpack` knows the ending."""
    return file.name.lower().endswith((".zip", ".tar", ".tar.gz", ".tgz", ".rar"))


def rar_program() -> str:
    """The program that RAR archives are unpacked with.

    Raises:
        UnpackError: there is none; says how to get one.
    """
    for name in RAR_PROGRAMS:
        if shutil.which(name):
            return name
    raise UnpackError(
        "RAR archives need a program, and none of "
        f"{', '.join(RAR_PROGRAMS)} is installed: apt install unar (or unrar, 7zip with its RAR "
        "module, libarchive-tools), or unpack them by hand"
    )


def unpack(file: Path, to: Path) -> None:
    """Unpack an archive into a folder, over what is there; archives of RAR within it too.

    Raises:
        UnpackError: broken, or no program for it.
    """
    to.mkdir(parents=True, exist_ok=True)
    name = file.name.lower()
    try:
        if name.endswith(".rar"):
            _unrar(file, to)
        elif name.endswith(".zip"):
            with zipfile.ZipFile(file) as archive:
                archive.extractall(to)
        else:
            with tarfile.open(file) as tar:
                _untar(tar, to)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, OSError) as error:
        raise UnpackError(f"{file} cannot be unpacked: {error}") from error


def _untar(tar: tarfile.TarFile, to: Path) -> None:
    """Unpack without what leads out of the folder, and without devices."""
    if hasattr(tarfile, "data_filter"):
        tar.extractall(to, filter="data")
        return
    # Python before 3.10.12 and 3.11.4 cannot do that by itself; Debian 12 has 3.11.2.
    root = to.resolve()
    for member in tar:
        target = (root / member.name).resolve()
        if not target.is_relative_to(root):
            raise tarfile.TarError(f"{member.name} leads out of the folder")
        if member.isdir():
            target.mkdir(parents=True, exist_ok=True)
            continue
        content = tar.extractfile(member) if member.isfile() else None
        if content is None:
            raise tarfile.TarError(f"{member.name} is neither a file nor a folder")
        target.parent.mkdir(parents=True, exist_ok=True)
        with content, open(target, "wb") as out:
            shutil.copyfileobj(content, out)


def _unrar(file: Path, to: Path) -> None:
    """Unpack, and then what came out of it: HMDB51 is an archive of archives."""
    before = set(to.rglob("*.rar"))
    program = rar_program()
    command = [program, *RAR_PROGRAMS[program](str(file.resolve()), str(to.resolve()))]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        reason = said[-1] if said else f"status {done.returncode}"
        raise UnpackError(f"{file}: {program} could not unpack it: {reason}")
    for inner in sorted(set(to.rglob("*.rar")) - before - {file}):
        _unrar(inner, to)
        inner.unlink()
