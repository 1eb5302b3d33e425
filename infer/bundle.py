"""A deployment bundle: a folder whose `bundle.json` says everything about the files beside it.

Reading is strict: everything that is wrong is reported at once, and no artefact is used whose
bytes are not those that were exported.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from infer.errors import AlteredError, BundleError, listed, os_reason
from infer.files import write_text
from infer.moved_aside import whereabouts
from infer.spec import ClipSpec, spec_problems

FORMAT_VERSION = 1
BUNDLE_JSON = "bundle.json"


@dataclass(frozen=True)
class ArtifactFile:
    """One file of an artefact: its name relative to the bundle, size in bytes, SHA-256 in hex."""

    file: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Artifact:
    """One compiled or compilable form of the network.

    key        "onnx.fp32": format and precision
    parity     how far it is from the network it was made from, as verified at export
    accuracy   what it reached on the validation list at export
    """

    key: str
    format: str
    precision: str
    files: tuple[ArtifactFile, ...]
    parity: Mapping[str, Any]
    accuracy: Mapping[str, Any]
    root: Path

    @property
    def paths(self) -> list[Path]:
        """Where its files are, in the order of `files`."""
        return [self.root / f.file for f in self.files]

    @property
    def bytes(self) -> int:
        """Size of all its files together."""
        return sum(f.bytes for f in self.files)

    def verify(self) -> None:
        """Check sizes and checksums.

        Raises:
            AlteredError: a file is missing or is not the one that was exported.
            BundleError: a file cannot be read, which says nothing about what is in it.
        """
        problems, unread = [], []
        for entry, path in zip(self.files, self.paths, strict=True):
            try:
                size = path.stat().st_size
                if size != entry.bytes:
                    problems.append(f"{entry.file} has {size} bytes instead of {entry.bytes}")
                elif sha256_of(path) != entry.sha256:
                    problems.append(f"{entry.file} was changed after export (SHA-256 differs)")
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
                problems.append(f"{entry.file} is missing: {error.strerror}")
            except OSError as error:
                unread.append(f"{entry.file}: {os_reason(error)}")
        if problems:
            title = f"{self.root}: artefact {self.key} cannot be trusted, export it again"
            raise AlteredError(listed(title, problems + unread))
        if unread:
            title = f"{self.root}: artefact {self.key} cannot be read and was not checked"
            raise BundleError(listed(title, unread))


@dataclass(frozen=True)
class Bundle:
    """A validated bundle. `artifacts` by key; `raw` is the whole of bundle.json."""

    root: Path
    name: str
    classes: tuple[str, ...]
    spec: ClipSpec
    input_name: str
    output_name: str
    max_batch: int
    artifacts: Mapping[str, Artifact]
    raw: Mapping[str, Any]

    @property
    def model(self) -> Mapping[str, Any]:
        """Settings of the network: backbone, head, class_num, num_seg, parameters."""
        model: Mapping[str, Any] = self.raw["model"]
        return model

    @classmethod
    def load(cls, folder: str | Path) -> Bundle:
        """Read and check `bundle.json` (checksums: when an artefact is opened).

        Raises:
            BundleError: no bundle there, or everything that is wrong with it.
        """
        root = Path(folder)
        file = root / BUNDLE_JSON
        try:
            raw = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            what = f"has no {BUNDLE_JSON}" if root.is_dir() else "is not there"
            raise BundleError(f"{root} {what}: no bundle{whereabouts(root)}") from None
        except OSError as error:
            raise BundleError(f"{file} cannot be read: {os_reason(error)}") from None
        except ValueError as error:
            raise BundleError(f"{file} cannot be read: {error}") from None
        problems = bundle_problems(raw)
        if problems:
            raise BundleError(listed(str(file), problems))
        artifacts = {
            key: Artifact(
                key=key,
                format=entry["format"],
                precision=entry["precision"],
                files=tuple(
                    ArtifactFile(f["file"], f["bytes"], f["sha256"]) for f in entry["files"]
                ),
                parity=entry.get("parity", {}),
                accuracy=entry.get("accuracy", {}),
                root=root,
            )
            for key, entry in raw["artifacts"].items()
        }
        return cls(
            root=root,
            name=raw["name"],
            classes=tuple(raw["classes"]),
            spec=ClipSpec.from_dict(raw["spec"]),
            input_name=raw["input"]["name"],
            output_name=raw["output"]["name"],
            max_batch=raw["max_batch"],
            artifacts=artifacts,
            raw=raw,
        )

    def artifact(self, key: str) -> Artifact:
        """The artefact of that key, its files checked.

        Raises:
            BundleError: not in this bundle (says what is), or its files were changed.
        """
        if key not in self.artifacts:
            there = ", ".join(sorted(self.artifacts)) or "none"
            raise BundleError(f"{self.root} has no artefact {key}; it has: {there}")
        artifact = self.artifacts[key]
        artifact.verify()
        return artifact


def write_bundle_json(folder: str | Path, data: Mapping[str, Any]) -> Path:
    """Check `data` and write it as the folder's bundle.json, atomically.

    Raises:
        BundleError: everything that is wrong with it; nothing is written then.
    """
    problems = bundle_problems(data)
    if problems:
        raise BundleError(listed("not a valid bundle.json", problems))
    text = json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    target = Path(folder) / BUNDLE_JSON
    write_text(target, text)
    return target


def describe_file(folder: str | Path, file: str) -> dict[str, Any]:
    """The entry of an artefact's `files` for one file that lies in the bundle's folder."""
    path = Path(folder) / file
    size = path.stat().st_size
    return {"file": PurePosixPath(file).as_posix(), "bytes": size, "sha256": sha256_of(path)}


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def bundle_problems(data: object) -> list[str]:
    """Everything wrong with the contents of a bundle.json, one line each."""
    if not isinstance(data, Mapping):
        return ["is not a mapping"]
    version = data.get("format_version")
    if version != FORMAT_VERSION:
        return [
            f"format_version is {version!r}, this program reads {FORMAT_VERSION}: "
            "export the bundle again with this version, or use the version that wrote it"
        ]
    out: list[str] = []
    for key in ("name", "model", "classes", "spec", "input", "output", "max_batch", "artifacts"):
        if key not in data:
            out.append(f"{key} is missing")
    if "name" in data and not _text(data["name"]):
        out.append(f"name is {data['name']!r}; allowed: a text")
    if "model" in data and not isinstance(data["model"], Mapping):
        out.append("model is not a mapping")
    classes = data.get("classes")
    if "classes" in data:
        if not isinstance(classes, list) or not classes or not all(map(_text, classes)):
            out.append("classes must be a list of names, at least one")
            classes = None
        elif len(set(classes)) != len(classes):
            twice = sorted({c for c in classes if classes.count(c) > 1})
            out.append(f"classes has names twice: {', '.join(twice)}")
    wrong_spec = spec_problems(data["spec"]) if "spec" in data else ["missing"]
    if "spec" in data:
        out += [f"spec.{p}" for p in wrong_spec]
    if "max_batch" in data and not _whole(data["max_batch"], 1):
        out.append(f"max_batch is {data['max_batch']!r}; allowed: a whole number from 1")
    if "input" in data:
        shape = None if wrong_spec else [*ClipSpec.from_dict(data["spec"]).clip_shape]
        out += _tensor_problems("input", data["input"], "uint8", shape)
    if "output" in data:
        shape = [len(classes)] if classes else None
        out += _tensor_problems("output", data["output"], "float32", shape)
    if "artifacts" in data:
        out += _artifacts_problems(data["artifacts"])
    return out


def _tensor_problems(where: str, data: object, dtype: str, shape: list[int] | None) -> list[str]:
    if not isinstance(data, Mapping):
        return [f"{where} is not a mapping"]
    out = []
    if not _text(data.get("name")):
        out.append(f"{where}.name is {data.get('name')!r}; allowed: a text")
    if data.get("dtype") != dtype:
        out.append(f"{where}.dtype is {data.get('dtype')!r}; allowed: {dtype}")
    if shape is not None and data.get("shape") != ["batch", *shape]:
        out.append(f"{where}.shape is {data.get('shape')!r}, but must be {['batch', *shape]}")
    return out


def _artifacts_problems(data: object) -> list[str]:
    if not isinstance(data, Mapping) or not data:
        return ["artifacts must be a mapping with at least one artefact"]
    out = []
    for key, entry in data.items():
        where = f"artifacts.{key}"
        if not isinstance(entry, Mapping):
            out.append(f"{where} is not a mapping")
            continue
        for name in ("format", "precision"):
            if not _text(entry.get(name)):
                out.append(f"{where}.{name} is {entry.get(name)!r}; allowed: a text")
        expected = f"{entry.get('format')}.{entry.get('precision')}"
        if key != expected and not key.startswith(f"{expected}."):
            out.append(f"{where} holds {expected}, its key must begin with that")
        files = entry.get("files")
        if not isinstance(files, list) or not files:
            out.append(f"{where}.files must be a list of at least one file")
            continue
        for k, file in enumerate(files):
            out += _file_problems(f"{where}.files[{k}]", file)
    return out


def _file_problems(where: str, data: object) -> list[str]:
    if not isinstance(data, Mapping):
        return [f"{where} is not a mapping"]
    out = []
    name = data.get("file")
    inside = isinstance(name, str) and _text(name) and "\\" not in name
    if inside:
        path = PurePosixPath(str(name))
        inside = not path.is_absolute() and ".." not in path.parts
    if not inside:
        out.append(f"{where}.file is {name!r}; allowed: a file inside the bundle")
    if not _whole(data.get("bytes"), 0):
        out.append(f"{where}.bytes is {data.get('bytes')!r}; allowed: a whole number from 0")
    if not re.fullmatch(r"[0-9a-f]{64}", str(data.get("sha256"))):
        out.append(f"{where}.sha256 is {data.get('sha256')!r}; allowed: 64 hex digits")
    return out


def _text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _whole(value: object, low: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= low
