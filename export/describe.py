"""`python -m export.describe FILE`: what an ONNX file of a bundle says of itself.

All that a program needs to classify a clip with the file alone: names, types and shapes of input
and output, layout, sampling, preprocessing, classes, versions.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from infer.command.parser import Parser
from infer.command.runner import command, run_and_exit
from infer.system.errors import ClipDuetError
from infer.system.terminal import printable

FORMATS = ("text", "json")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = Parser(
        prog="python -m export.describe",
        description="Print what an ONNX file says of itself: classes, sampling, preprocessing, "
        "layout, versions.",
    )
    parser.add_argument("file", metavar="FILE", help="an ONNX file, of a bundle or elsewhere")
    parser.add_argument("--format", choices=FORMATS, default="text", help="default: text")
    return parser


@command(extra="export")
def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    args = parser().parse_args(argv)
    found = describe(Path(args.file))
    if args.format == "json":
        print(json.dumps(found, indent=2))
    else:
        print(printable("\n".join(_lines(found)), keep="\n"))
    return 0


def describe(path: Path) -> dict[str, Any]:
    """What a file says.

    Args:
        path: an ONNX file.

    Returns:
        `input` and `output` (name, dtype, shape each), `opset`, `weights` (other files that it
        needs), and what the metadata has of `classes`, `sampling`, `preprocess`, `layout`,
        `versions`, `confidence`. Other metadata lies under `other`.

    Raises:
        ClipDuetError: it is no ONNX file, or damaged.
        OSError: it cannot be read.
    """
    from infer.bundle.onnx_file import OnnxProblem, read_onnx_file
    from infer.bundle.onnx_metadata import PREFIX
    from infer.system.strict_json import JsonProblem, parse_json

    if path.is_dir():
        inside = sorted(one.name for one in path.glob("*.onnx"))
        files = f"one of its files: {', '.join(inside)}" if inside else "an ONNX file"
        raise ClipDuetError(f"{path} is a folder; name {files}")
    try:
        file = read_onnx_file(path)
    except OnnxProblem as error:
        raise ClipDuetError(f"{path} {error}") from None
    found: dict[str, Any] = {**_ports(path), "weights": list(file.external)}
    other = {}
    for key, text in file.metadata.items():
        if not key.startswith(PREFIX):
            other[key] = text
            continue
        try:
            found[key.removeprefix(PREFIX)] = parse_json(text.encode("utf-8"))
        except JsonProblem as error:
            raise ClipDuetError(f"{path}: its metadata {key} {error}") from None
    return {**found, "other": other}


def _ports(path: Path) -> dict[str, Any]:
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        model = onnx.load(str(path), load_external_data=False)
    except (DecodeError, ValueError) as error:
        raise ClipDuetError(f"{path} is no ONNX file, or is damaged: {error}") from None
    constants = {tensor.name for tensor in model.graph.initializer}
    return {
        "input": [_port(one) for one in model.graph.input if one.name not in constants],
        "output": [_port(one) for one in model.graph.output],
        "opset": {one.domain or "ai.onnx": one.version for one in model.opset_import},
    }


def _port(value: Any) -> dict[str, Any]:
    import onnx

    tensor = value.type.tensor_type
    dtype = onnx.TensorProto.DataType.Name(tensor.elem_type).lower()
    shape = [one.dim_param or one.dim_value for one in tensor.shape.dim]
    return {"name": value.name, "dtype": dtype, "shape": shape}


def _lines(found: dict[str, Any]) -> list[str]:
    lines = []
    for kind in ("input", "output"):
        for one in found[kind]:
            shape = ", ".join(map(str, one["shape"]))
            lines.append(f"{kind:12}{one['name']}: {one['dtype']} [{shape}]")
    lines.append(f"{'opset':12}{', '.join(f'{k} {v}' for k, v in found['opset'].items())}")
    if found["weights"]:
        lines.append(f"{'weights':12}in {', '.join(found['weights'])}")
    classes = found.get("classes")
    for part in ("layout", "sampling", "preprocess", "versions", "confidence"):
        said = found.get(part)
        if part == "confidence" and said is None:  # a bundle may be without
            continue
        if not isinstance(said, dict):
            lines.append(f"{part:12}{'it does not say' if said is None else json.dumps(said)}")
            continue
        width = max(map(len, said), default=0)
        for place, (key, value) in enumerate(said.items()):
            shown = value if isinstance(value, str) else json.dumps(value)
            lines.append(f"{'' if place else part:12}{key:{width}}  {shown}")
    if isinstance(classes, list):
        lines += [
            f"{'' if place else 'classes':12}{place}  {name}" for place, name in enumerate(classes)
        ]
    else:
        lines.append(f"{'classes':12}it does not say")
    for key, text in found["other"].items():
        lines.append(f"{'other':12}{key}: {text[:200]}")
    return lines


if __name__ == "__main__":
    run_and_exit(main)
