"""A bundle changed in every place. `make torture` runs it; `make test` leaves it out."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from infer import predict
from infer.bundle.bundle import Bundle
from infer.bundle.manifest import CHECKSUM
from infer.runtimes.registry import artifact_keys
from tests.changed_json import EVIL, at, changed, contents, near, places, put, resealed, without
from tests.export.conftest import Exported

pytestmark = [pytest.mark.torture, pytest.mark.timeout(7200)]
DEPLOYMENTS = (
    ("onnxruntime", "fp32"),
    ("onnxruntime", "fp16"),
    ("onnxruntime", "int8"),
    ("openvino", "int8"),
    ("paddle", "fp32"),
)


@dataclass(frozen=True)
class Copy:
    """A bundle that may be changed, and a video whose answers are known."""

    folder: Path
    video: Path
    capsys: pytest.CaptureFixture[str]

    def answers(self, backend: str, precision: str) -> tuple[int, Any]:
        """Exit status, and the answer in every deployment of an artifact."""
        options = ["--backend", backend, "--precision", precision, "--format", "jsonl"]
        options += ["--threads", "1", "--bundle", str(self.folder), "--video", str(self.video)]
        status = predict.main(options)
        said = self.capsys.readouterr()
        told = f"exit status {status}: {said.err}"
        assert "Traceback" not in said.err and status in (0, 2), told
        assert not any(ord(letter) < 32 for letter in said.err.replace("\n", "")), told
        if status:
            assert said.err.startswith("error: ") and not said.out, told
            return status, said.err
        (row,) = map(json.loads, said.out.splitlines())
        row.pop("seconds")
        return status, row

    def used(self) -> Iterator[tuple[str, tuple[str, str]]]:
        """Which artifact each deployment runs."""
        there = Bundle.load(self.folder).artifacts
        for backend, precision in DEPLOYMENTS:
            found = [key for key in artifact_keys(backend, precision) if key in there]
            if found and find_spec(backend):
                yield found[0], (backend, precision)


@pytest.fixture
def copy(
    exported: Callable[[str], Exported],
    clips: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> Copy:
    folder = tmp_path / "bundle"
    shutil.copytree(exported("single").folder, folder)
    return Copy(folder, clips / "clip 0.mp4", capsys)


@pytest.mark.parametrize("name", [*EVIL, "another", "nothing"])
def test_no_changed_field_changes_an_answer_without_a_word(copy: Copy, name: str) -> None:
    data = contents(copy.folder)
    used = dict(copy.used())
    whole = {key: copy.answers(*deployment) for key, deployment in used.items()}
    assert len(used) >= 3 and {status for status, _ in whole.values()} == {0}
    refused = 0
    for place in places(data):
        if name == "nothing":
            other = without(data, place)
        else:
            value = near(at(data, place)) if name == "another" else EVIL[name]
            other = changed(data, place, value)
        # Of an artifact's entry the deployment that runs it, of all others the usual one.
        key = place[1] if place[0] == "artifacts" and len(place) > 1 else ""
        key = key if key in used else "onnx.fp32"
        if other == data or place == (CHECKSUM,):
            continue
        put(copy.folder, other)
        status, told = copy.answers(*used[key])
        if CHECKSUM in other:
            assert status == 2 and "bundle.json" in told, (place, told)
        put(copy.folder, resealed(other))
        status, answer = copy.answers(*used[key])
        refused += status == 2
        # Without its best artifact a deployment runs another.
        left_out = place == ("artifacts", key) and name == "nothing"
        if status == 0 and not left_out:
            assert answer == whole[key][1], place
    assert refused > 10


def flipped(file: Path, seed: int) -> None:
    data = bytearray(file.read_bytes())
    data[random.Random(seed).randrange(len(data))] ^= 1 << seed % 8
    file.write_bytes(data)


def instead(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def put_there(file: Path) -> None:
        file.unlink()
        make(file)

    return put_there


CHANGES: dict[str, Callable[[Path], object]] = {
    **{f"bit {seed}": lambda file, seed=seed: flipped(file, seed) for seed in range(8)},
    "half": lambda file: os.truncate(file, file.stat().st_size // 2),
    "without its end": lambda file: os.truncate(file, file.stat().st_size - 1),
    "empty": lambda file: os.truncate(file, 0),
    "longer": lambda file: file.write_bytes(file.read_bytes() + b"\0"),
    "zeros": lambda file: file.write_bytes(bytes(file.stat().st_size)),
    "gone": lambda file: file.unlink(),
    "a folder": instead(lambda file: file.mkdir()),
    "a pipe": instead(os.mkfifo),
    "a link to nothing": instead(lambda file: file.symlink_to("nothing")),
    "a link to itself": instead(lambda file: file.symlink_to(file.name)),
    "a link to zeros": instead(lambda file: file.symlink_to("/dev/zero")),
    "a link to a folder": instead(lambda file: file.symlink_to(".")),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_no_changed_file_changes_an_answer_without_a_word(copy: Copy, kind: str) -> None:
    used = dict(copy.used())
    bundle = Bundle.load(copy.folder)
    whole = {key: copy.answers(*deployment) for key, deployment in used.items()}
    files = {file: key for key in bundle.artifacts for file in bundle.artifacts[key].paths}
    kept = copy.folder.parent / "kept"
    for file in [*files, copy.folder / "bundle.json"]:
        shutil.copy(file, kept)
        CHANGES[kind](file)
        for key, deployment in used.items():
            status, answer = copy.answers(*deployment)
            if files.get(file) == key:
                assert status == 2 and file.name in answer, (file, answer)
            elif file in files or status == 0:  # of bundle.json a change of layout is none
                assert (status, answer) == whole[key], file
            else:
                assert str(copy.folder) in answer, (file, answer)
        shutil.rmtree(file) if file.is_dir() and not file.is_symlink() else file.unlink(True)
        shutil.copy(kept, file)
