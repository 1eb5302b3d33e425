"""Each ONNX file of a bundle stands alone: it says what goes in and what comes out.

Its metadata holds classes, sampling and preprocessing, for whoever opens it with a plain runtime.
Weights in other files are allowed where bundle.json lists those files with their checksums.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from ..clips.spec import ClipSpec, spec_problems
from ..system.strict_json import JsonProblem, parse_json, shown, value_problems
from .manifest import FORMAT_VERSION
from .onnx_file import OnnxProblem, read_onnx_file

PREFIX = "clipduet."
CLASSES = f"{PREFIX}classes"
SAMPLING = f"{PREFIX}sampling"
PREPROCESS = f"{PREFIX}preprocess"
LAYOUT = f"{PREFIX}layout"
VERSIONS = f"{PREFIX}versions"
CONFIDENCE = f"{PREFIX}confidence"
LISTED = 5
"""Differences that are named; the rest is counted."""
_MISSING = object()


def onnx_metadata(
    classes: Sequence[str],
    spec: ClipSpec,
    *,
    version: str = "",
    confidence: Mapping[str, Any] | None = None,
) -> dict[str, str]:
    """What an ONNX file says of itself: keys of its metadata, each with JSON.

    `classes` is a list of names by index; `sampling` and `preprocess` are the parts of `spec` in
    bundle.json; `layout` says what goes in and comes out, and `versions` what wrote the file
    (`version`: of this package); `confidence`, where it is given, is the entry of bundle.json. The
    last three are for people and other programs, and are not compared with bundle.json.
    """
    values = {
        CLASSES: list(classes),
        **_parts(spec),
        LAYOUT: _layout(len(classes), spec),
        VERSIONS: {"bundle": FORMAT_VERSION, **({"clipduet": version} if version else {})},
    }
    if confidence is not None:
        values[CONFIDENCE] = dict(confidence)
    return {key: json.dumps(value, ensure_ascii=False) for key, value in values.items()}


def _layout(classes: int, spec: ClipSpec) -> dict[str, Any]:
    return {
        "input": {
            "dtype": "uint8",
            "shape": ["batch", *spec.clip_shape],
            "axes": ["batch", "time", "height", "width", "channel"],
            "channels": "RGB",
            "values": "0 to 255; the graph normalises them",
        },
        "output": {
            "dtype": "float32",
            "shape": ["batch", classes],
            "values": "logits; scores are their softmax, of a video the mean over its clips",
        },
    }


def onnx_problems(
    path: Path, name: str, listed: Sequence[str], classes: Sequence[str], spec: ClipSpec
) -> list[str]:
    """What is wrong with an ONNX file of a bundle beside its checksum, one line each.

    Files that earlier versions exported have no metadata, and are not blamed for it.

    Args:
        path: where it lies.
        name: as bundle.json lists it.
        listed: the artefact's files, as bundle.json lists them, whose checksums are checked.
        classes: of bundle.json.
        spec: of bundle.json.

    Raises:
        OSError: it cannot be read.
    """
    try:
        found = read_onnx_file(path)
    except OnnxProblem as error:
        return [f"{name} {error}"]
    return [
        *_external_problems(found.external, name, listed),
        *(f"{name} is not the file that bundle.json describes: {difference}"
          for difference in _differences(found.metadata, classes, spec)),
    ]  # fmt: skip


def _external_problems(locations: Sequence[str], name: str, listed: Sequence[str]) -> list[str]:
    known = {PurePosixPath(file) for file in listed}
    return [
        f"{name} has weights in {shown(location)}, which is none of the artefact's files in "
        "bundle.json: nothing says that they are those that were exported"
        for location in locations
        if "\\" in location
        or ".." in PurePosixPath(location).parts
        or PurePosixPath(name).parent / location not in known
    ]


def _differences(
    metadata: Mapping[str, str], classes: Sequence[str], spec: ClipSpec
) -> Iterator[str]:
    """What the metadata says otherwise."""
    wanted: dict[str, Any] = {CLASSES: list(classes), **_parts(spec)}
    for key, want in wanted.items():
        if key not in metadata:
            continue
        try:
            value = parse_json(metadata[key].encode("utf-8"))
        except JsonProblem as error:
            yield f"its metadata {key} {error}"
            continue
        found = list(_between(key.rpartition(".")[2], _complete(key, value, spec), want))
        yield from found[:LISTED]
        if found[LISTED:]:
            yield f"{key} differs in {len(found) - LISTED} more places"


def _parts(spec: ClipSpec) -> dict[str, Any]:
    parts = spec.to_dict()
    return {SAMPLING: parts["sampling"], PREPROCESS: parts["preprocess"]}


def _complete(key: str, value: Any, spec: ClipSpec) -> Any:
    """A part of a spec with what later versions have added to it; else the value as it is."""
    if key == CLASSES or value_problems(value):
        return value
    whole = {**spec.to_dict(), key.rpartition(".")[2]: value}
    return value if spec_problems(whole) else _parts(ClipSpec.from_dict(whole))[key]


def _between(where: str, found: Any, want: Any) -> Iterator[str]:
    """Each place where two JSON values differ."""
    if isinstance(want, list) and isinstance(found, list) and len(want) != len(found):
        yield f"{where} has {len(found)} entries in its metadata, {len(want)} in bundle.json"
    elif isinstance(want, list) and isinstance(found, list):
        for index, pair in enumerate(zip(found, want, strict=True)):
            yield from _between(f"{where}[{index}]", *pair)
    elif isinstance(want, dict) and isinstance(found, dict):
        for key in dict.fromkeys([*want, *found]):
            pair = found.get(key, _MISSING), want.get(key, _MISSING)
            yield from _between(f"{where}.{key}", *pair)
    elif want != found or isinstance(want, bool) != isinstance(found, bool):
        there, here = ("missing" if one is _MISSING else shown(one) for one in (found, want))
        yield f"{where} is {there} in its metadata, {here} in bundle.json"
