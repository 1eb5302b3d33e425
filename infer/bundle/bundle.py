"""A deployment bundle: a folder whose `bundle.json` says everything about the files beside it.

Reading is strict: everything that is wrong is reported at once, and no artefact is used whose
bytes are not those that were exported.
"""

from __future__ import annotations

import json
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ..clips.spec import ClipSpec
from ..system.errors import AlteredError, BundleError, listed, os_reason
from ..system.files import sha256_of, write_text
from ..system.strict_json import JsonProblem, read_json, value_problems
from .confidence import Confidence, confidence_of
from .known_answers import KnownAnswers, known_answers_of
from .manifest import FORMAT_VERSION, bundle_problems, seal_problems, sealed
from .moved_aside import moved_note
from .onnx_metadata import onnx_problems

__all__ = [
    "BUNDLE_JSON",
    "FORMAT_VERSION",
    "Artifact",
    "ArtifactFile",
    "Bundle",
    "describe_file",
    "write_bundle_json",
]

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
    classes, spec   of bundle.json, which an ONNX file says too
    """

    key: str
    format: str
    precision: str
    files: tuple[ArtifactFile, ...]
    parity: Mapping[str, Any]
    accuracy: Mapping[str, Any]
    root: Path
    classes: tuple[str, ...] = ()
    spec: ClipSpec | None = None

    @property
    def paths(self) -> list[Path]:
        """Where its files are, in the order of `files`."""
        return [self.root / f.file for f in self.files]

    @property
    def bytes(self) -> int:
        """Size of all its files together."""
        return sum(f.bytes for f in self.files)

    def verify(self) -> None:
        """Check sizes and checksums; and of an ONNX file what it says of itself and of others.

        Raises:
            AlteredError: a file is missing or is not the one that was exported, it has weights in
                a file that is not listed, or it says other classes or another spec.
            BundleError: a file cannot be read, which says nothing about what is in it.
        """
        problems, unread = [], []
        for entry, path in zip(self.files, self.paths, strict=True):
            try:
                state = path.stat()
                size = state.st_size
                if not stat.S_ISREG(state.st_mode):  # a pipe or a device may never end
                    problems.append(f"{entry.file} is not a regular file")
                elif size != entry.bytes:
                    problems.append(f"{entry.file} has {size} bytes instead of {entry.bytes}")
                elif sha256_of(path) != entry.sha256:
                    problems.append(f"{entry.file} was changed after export (SHA-256 differs)")
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
                problems.append(f"{entry.file} is missing: {os_reason(error)}")
            except OSError as error:
                unread.append(f"{entry.file}: {os_reason(error)}")
        if self.format == "onnx" and self.spec is not None and not problems and not unread:
            first, listed_files = self.files[0].file, [entry.file for entry in self.files]
            try:
                problems += onnx_problems(
                    self.paths[0], first, listed_files, self.classes, self.spec
                )
            except OSError as error:
                unread.append(f"{first}: {os_reason(error)}")
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
    def left_out(self) -> Mapping[str, str]:
        """Artefacts that failed at export, by key, and why; not those that nobody asked for."""
        found: Mapping[str, str] = self.raw.get("left_out", {})
        return found

    @property
    def model(self) -> Mapping[str, Any]:
        """Settings of the network: backbone, head, class_num, num_seg, parameters."""
        model: Mapping[str, Any] = self.raw["model"]
        return model

    @property
    def decoder(self) -> Mapping[str, str]:
        """Versions of what read its videos at export, as by `infer.containers.decoder.installed`.

        Empty where it does not say.
        """
        found: Mapping[str, str] = self.raw.get("origin", {}).get("decoder", {})
        return found

    @property
    def clip_seconds(self) -> float | None:
        """Median length in seconds of the clips it was trained on; None where it does not say."""
        found: float | None = self.raw.get("clip_length", {}).get("median_seconds")
        return found

    @property
    def confidence(self) -> Confidence | None:
        """Temperature and thresholds of its scores; None where it has none."""
        return confidence_of(self.raw)

    def needed_confidence(self) -> Confidence:
        """The same, of a bundle that must have it.

        Raises:
            BundleError: it has none.
        """
        found = self.confidence
        if found is None:
            raise BundleError(
                f"{self.root} has no temperature for calibrated scores: export it again, with a "
                "validation list of at least 50 clips, of which some are answered wrong"
            )
        return found

    @property
    def known_answers(self) -> KnownAnswers | None:
        """Clips, and the logits that its 8-bit files say for them; None: it has none."""
        return known_answers_of(self.raw)

    @classmethod
    def load(cls, folder: str | Path) -> Bundle:
        """Read and check `bundle.json` (checksums of other files: when an artefact is opened).

        Raises:
            BundleError: no bundle there, or everything that is wrong with it.
        """
        root = Path(folder)
        file = root / BUNDLE_JSON
        try:
            raw = read_json(file)
        except (FileNotFoundError, NotADirectoryError):
            what = f"has no {BUNDLE_JSON}" if root.is_dir() else "is not there"
            raise BundleError(f"{root} {what}: no bundle{moved_note(root)}") from None
        except JsonProblem as error:
            raise BundleError(f"{file} {error}") from None
        problems = bundle_problems(raw)
        if isinstance(raw, dict) and not value_problems(raw):
            problems = seal_problems(raw) + problems
        if problems:
            raise BundleError(listed(str(file), problems))
        classes, spec = tuple(raw["classes"]), ClipSpec.from_dict(raw["spec"])
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
                classes=classes,
                spec=spec,
            )
            for key, entry in raw["artifacts"].items()
        }
        return cls(
            root=root,
            name=raw["name"],
            classes=classes,
            spec=spec,
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
    """Check `data` and write it with its checksum as the folder's bundle.json, atomically.

    Raises:
        BundleError: everything that is wrong with it; nothing is written then.
    """
    problems = bundle_problems(data)
    if problems:
        raise BundleError(listed("not a valid bundle.json", problems))
    text = json.dumps(sealed(data), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    target = Path(folder) / BUNDLE_JSON
    write_text(target, text)
    return target


def describe_file(folder: str | Path, file: str) -> dict[str, Any]:
    """The entry of an artefact's `files` for one file that lies in the bundle's folder."""
    path = Path(folder) / file
    size = path.stat().st_size
    return {"file": PurePosixPath(file).as_posix(), "bytes": size, "sha256": sha256_of(path)}
