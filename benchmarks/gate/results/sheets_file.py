"""Pictures of flipped clips beside a result file: `results.json` has its `sheets.json`.

A file of its own, so that the result stays one of figures, and small. Beside the result and not
only in a report: a report can be made again anywhere, also where the clips are not. What the
networks answered is not in it: that follows from the result.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.common.errors import BenchmarkError
from benchmarks.common.result_file import beside, complete, dump, read
from benchmarks.deployments.accuracy import MODELS
from benchmarks.gate.flipped_clips import LOST, WAYS, FlippedClip, Flips, Network, Sheets
from infer.system.files import sha256_of, write_text

FORMAT, FORMAT_VERSION = "clipduet-contact-sheets", 1


def sheets_path(results: Path) -> Path:
    """Where the pictures of a result file lie."""
    return beside(results, "sheets.json")


def write_sheets(results: Path, sheets: Sheets | None) -> dict[str, Any] | None:
    """Write the pictures of a result file, before that file itself; what it says of them.

    Args:
        results: the result file.
        sheets: None where none are wanted.
    """
    if sheets is None:
        return None
    file = sheets_path(results)
    content = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "kinds": [asdict(kind) for kind in sheets.kinds],
        "pictures": {
            str(clip): base64.b64encode(jpeg).decode() for clip, jpeg in sheets.pictures.items()
        },
    }
    write_text(file, dump(content))
    return {"file": file.name, "sha256": sha256_of(file)}


def read_sheets(path: Path, results: Mapping[str, Any]) -> Sheets:
    """The pictures of a result file.

    Args:
        path: of the result file.
        results: what it holds.

    Raises:
        BenchmarkError: there are none, and why; or the file is missing, damaged or of another
            result.
    """
    if "sheets" not in results:
        raise BenchmarkError(f"{path.name} is of a version of the gate that took no pictures")
    record = results["sheets"]
    if record is None:
        raise BenchmarkError(f"{path.name} was measured with --sheets 0")
    with complete(path):
        file, digest = path.with_name(Path(record["file"]).name), record["sha256"]
    if not file.is_file():
        raise BenchmarkError(f"{file.name} is missing: copy it beside {path.name}")
    if sha256_of(file) != digest:
        raise BenchmarkError(
            f"{file.name} has another SHA-256 than {path.name} says: it belongs to another result "
            "or is damaged"
        )
    stored = read(file, format=FORMAT, versions=(FORMAT_VERSION,), made_by="make benchmark")
    try:
        with complete(file):
            kinds = tuple(_flips(kind, results) for kind in stored["kinds"])
            pictures = {int(clip): _jpeg(text) for clip, text in stored["pictures"].items()}
    except (ValueError, AttributeError) as error:
        raise BenchmarkError(f"{file.name} is damaged: {error}") from error
    return Sheets(kinds, pictures)


def _flips(stored: Mapping[str, Any], results: Mapping[str, Any]) -> Flips:
    cells = [row["cell"] for row in results["cells"]]
    networks = [Network(**stored[end]) for end in ("before", "after")]
    clips, pairs = len(results["data"]["labels"]), len(results["pairs"])
    shown = [
        FlippedClip(int(one["clip"]), int(one["pair"]), float(one["before"]), float(one["after"]))
        for one in stored["shown"]
    ]
    if any(net.model not in MODELS or net.cell not in cells for net in networks):
        raise ValueError("it names a network that the result does not have")
    if stored["way"] not in WAYS:
        raise ValueError(f"a way to flip is {stored['way']!r}; allowed: {', '.join(WAYS)}")
    for one in shown:
        if not (0 <= one.clip < clips and 0 <= one.pair < pairs):
            raise ValueError(f"clip {one.clip} of pair {one.pair} is not in the result")
        if not (0 <= one.before <= 1 and 0 <= one.after <= 1):
            raise ValueError(f"a probability of clip {one.clip} is not between 0 and 1")
        right = [_is_right(results, network, one) for network in networks]
        if right != [stored["way"] == LOST, stored["way"] != LOST]:
            raise ValueError(f"clip {one.clip} of pair {one.pair} did not flip so in the result")
    return Flips(networks[0], networks[1], stored["way"], int(stored["clips"]), tuple(shown))


def _is_right(results: Mapping[str, Any], network: Network, one: FlippedClip) -> bool:
    row = next(row for row in results["cells"] if row["cell"] == network.cell)
    said = row["pairs"][one.pair][network.model]["predictions"][one.clip]
    return bool(said == results["data"]["labels"][one.clip])


def _jpeg(text: str) -> bytes:
    found = base64.b64decode(text, validate=True)
    if not found.startswith(b"\xff\xd8"):
        raise ValueError("a picture is no JPEG")
    return found
