"""What `bundle.json` must hold, and the checksum that it carries of itself."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from ..clips.spec import ClipSpec, spec_problems
from ..system.strict_json import shown, shown_key, value_problems
from ..system.whole_numbers import is_whole
from .confidence import confidence_problems
from .known_answers import KNOWN_ANSWERS, known_answers_problems
from .listed_file import file_problems, is_text

FORMAT_VERSION = 1
CHECKSUM = "manifest_sha256"
"""Bundles of earlier versions do not have it."""
MOST_BATCH = 1 << 16

NEEDED = ("name", "model", "classes", "spec", "input", "output", "max_batch", "artifacts")


def checksum(data: Mapping[str, Any]) -> str:
    """SHA-256, in hex, of everything in a bundle.json but its checksum.

    Of the values and not of the file's bytes: whitespace and the order of keys do not count. What
    is hashed is the JSON text with sorted keys, without whitespace, in ASCII.
    """
    rest = {key: value for key, value in data.items() if key != CHECKSUM}
    text = json.dumps(
        rest, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    )
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def sealed(data: Mapping[str, Any]) -> dict[str, Any]:
    """A bundle.json with the checksum of what it holds now, as its last entry."""
    rest = {key: value for key, value in data.items() if key != CHECKSUM}
    return {**rest, CHECKSUM: checksum(rest)}


def seal_problems(data: Mapping[str, Any]) -> list[str]:
    """What is wrong with the checksum of a bundle.json, if it has one."""
    if CHECKSUM not in data:
        return []
    if data[CHECKSUM] != checksum(data):
        return [
            f"was changed after export ({CHECKSUM} does not fit the rest): copy the whole folder "
            "again, or export it again"
        ]
    return []


def bundle_problems(data: object) -> list[str]:
    """Everything wrong with the contents of a bundle.json, one line each; not its checksum."""
    if not isinstance(data, Mapping):
        return ["is not a mapping"]
    version = data.get("format_version")
    if not is_whole(version, 0) or version != FORMAT_VERSION:
        return [
            f"format_version is {shown(version)}, this program reads {FORMAT_VERSION}: "
            "export the bundle again with this version, or use the version that wrote it"
        ]
    out = value_problems(data)
    out += [f"{key} is missing" for key in NEEDED if key not in data]
    if "name" in data and not is_text(data["name"]):
        out.append(f"name is {shown(data['name'])}; allowed: a text")
    for key in ("model", "origin"):
        if key in data and not isinstance(data[key], Mapping):
            out.append(f"{key} is not a mapping")
    left_out = data.get("left_out", {})
    if not isinstance(left_out, Mapping) or not all(map(is_text, left_out.values())):
        out.append("left_out must map artefacts to why they were left out, each a text")
    out += _decoder_problems(data.get("origin"))
    if "clip_length" in data:
        out += _length_problems(data["clip_length"])
    if "confidence" in data:
        out += confidence_problems(data["confidence"])
    classes = data.get("classes")
    if "classes" in data:
        if not isinstance(classes, list) or not classes or not all(map(is_text, classes)):
            out.append("classes must be a list of names, at least one")
            classes = None
        else:
            twice = sorted(name for name, count in Counter(classes).items() if count > 1)
            if twice:
                out.append(f"classes has names twice: {', '.join(map(shown_key, twice))}")
    wrong_spec = spec_problems(data["spec"]) if "spec" in data else ["missing"]
    spec = None if wrong_spec else ClipSpec.from_dict(data["spec"])
    if "spec" in data:
        out += [f"spec.{p}" for p in wrong_spec]
    if "max_batch" in data and not is_whole(data["max_batch"], 1, MOST_BATCH):
        allowed = f"a whole number from 1 to {MOST_BATCH}"
        out.append(f"max_batch is {shown(data['max_batch'])}; allowed: {allowed}")
    if "input" in data:
        shape = [*spec.clip_shape] if spec else None
        out += _tensor_problems("input", data["input"], "uint8", shape)
    if "output" in data:
        shape = [len(classes)] if classes else None
        out += _tensor_problems("output", data["output"], "float32", shape)
    out += _model_problems(data.get("model"), classes, spec)
    if "artifacts" in data:
        out += _artifacts_problems(data["artifacts"])
    if KNOWN_ANSWERS in data:
        count = len(classes) if classes else None
        out += known_answers_problems(data[KNOWN_ANSWERS], data.get("artifacts"), count, spec)
    return out


def _decoder_problems(origin: object) -> list[str]:
    """Bundles of earlier versions do not say what read their videos."""
    if not isinstance(origin, Mapping) or "decoder" not in origin:
        return []
    versions = origin["decoder"]
    if not isinstance(versions, Mapping):
        return ["origin.decoder is not a mapping"]
    return [
        f"origin.decoder.{shown_key(name)} is {shown(version)}; allowed: a text"
        for name, version in versions.items()
        if not is_text(version)
    ]


def _length_problems(length: object) -> list[str]:
    """Bundles of earlier versions do not say how long training clips were."""
    if not isinstance(length, Mapping):
        return ["clip_length is not a mapping"]
    out = []
    median, clips = length.get("median_seconds"), length.get("clips")
    if isinstance(median, bool) or not isinstance(median, int | float) or not 0 < median < 1e9:
        out.append(f"clip_length.median_seconds is {shown(median)}; allowed: seconds above 0")
    if not is_whole(clips, 1):
        out.append(f"clip_length.clips is {shown(clips)}; allowed: a whole number from 1")
    return out


def _model_problems(model: object, classes: list[str] | None, spec: ClipSpec | None) -> list[str]:
    """What the network's settings say, where they say it, must be what the rest says."""
    if not isinstance(model, Mapping):
        return []
    out = []
    for key, want in (
        ("class_num", len(classes) if classes else None),
        ("num_seg", spec.sampling.num_seg if spec else None),
    ):
        if key in model and (not is_whole(model[key], 1) or want not in (None, model[key])):
            must = "a whole number from 1" if want is None else f"{want}, as in the rest"
            out.append(f"model.{key} is {shown(model[key])}; allowed: {must}")
    return out


def _tensor_problems(where: str, data: object, dtype: str, shape: list[int] | None) -> list[str]:
    if not isinstance(data, Mapping):
        return [f"{where} is not a mapping"]
    out = []
    if not is_text(data.get("name")):
        out.append(f"{where}.name is {shown(data.get('name'))}; allowed: a text")
    if data.get("dtype") != dtype:
        out.append(f"{where}.dtype is {shown(data.get('dtype'))}; allowed: {dtype}")
    if shape is not None and not _same_shape(data.get("shape"), shape):
        out.append(f"{where}.shape is {shown(data.get('shape'))}, but must be {['batch', *shape]}")
    return out


def _same_shape(found: object, shape: list[int]) -> bool:
    # Compared as whole numbers: for Python true is 1 and 4.0 is 4.
    return (
        isinstance(found, list)
        and found == ["batch", *shape]
        and all(is_whole(size, 1) for size in found[1:])
    )


def _artifacts_problems(data: object) -> list[str]:
    if not isinstance(data, Mapping) or not data:
        return ["artifacts must be a mapping with at least one artefact"]
    out = []
    for key, entry in data.items():
        where = f"artifacts.{shown_key(key)}"
        if not isinstance(entry, Mapping):
            out.append(f"{where} is not a mapping")
            continue
        for name in ("format", "precision"):
            if not is_text(entry.get(name)):
                out.append(f"{where}.{name} is {shown(entry.get(name))}; allowed: a text")
        for name in ("parity", "accuracy"):
            if not isinstance(entry.get(name, {}), Mapping):
                out.append(f"{where}.{name} is not a mapping")
        expected = f"{entry.get('format')}.{entry.get('precision')}"
        if key != expected and not str(key).startswith(f"{expected}."):
            out.append(f"{where} holds {shown_key(expected)}, its key must begin with that")
        files = entry.get("files")
        if not isinstance(files, list) or not files:
            out.append(f"{where}.files must be a list of at least one file")
            continue
        if entry.get("format") == "onnx" and not _is_onnx(files[0]):
            # By another suffix a runtime takes it for another format, with weights of its own.
            out.append(f"{where}.files[0] must be an ONNX file: its name must end with .onnx")
        for k, file in enumerate(files):
            out += file_problems(f"{where}.files[{k}]", file)
    return out


def _is_onnx(data: object) -> bool:
    name = data.get("file") if isinstance(data, Mapping) else None
    return not isinstance(name, str) or name.endswith(".onnx")
