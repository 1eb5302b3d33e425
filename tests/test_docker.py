"""The Dockerfiles: what can be checked without building them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted((ROOT / "docker").glob("*.Dockerfile"))


def instructions(file: Path) -> list[tuple[str, str]]:
    """Each instruction of a Dockerfile: its word, and what follows."""
    text = re.sub(r"^#.*\n", "", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in lines if line.strip()]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_an_image_runs_the_service_without_rights(file: Path) -> None:
    found = instructions(file)
    last = [place for place, (word, _) in enumerate(found) if word == "FROM"][-1]
    image = dict(found[last:])
    user, group = image["USER"].split(":")
    assert int(user) > 0 and int(group) > 0
    command = [*json.loads(image["ENTRYPOINT"]), *json.loads(image["CMD"])]
    assert command[:2] == ["clipduet", "serve"]
    port = command[command.index("--port") + 1]
    assert image["EXPOSE"] == port
    assert f"http://127.0.0.1:{port}/health/live" in image["HEALTHCHECK"]
    assert '"/health/live"' in (ROOT / "infer" / "serve" / "app.py").read_text(encoding="utf-8")
    for word, rest in found:
        if word == "FROM":
            assert re.match(r"\S+:\S*\d", rest) and ":latest" not in rest, "a version"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_an_image_is_made_of_files_that_are_there_and_are_not_left_out(file: Path) -> None:
    taken = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    copied = [
        name
        for word, rest in instructions(file)
        if word == "COPY" and "--from" not in rest
        for name in rest.split()[:-1]
    ]
    assert copied
    assert [n for n in copied if not (ROOT / n).exists() or f"!{n}" not in taken] == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_its_options_are_those_of_the_service(file: Path) -> None:
    from infer.serve.options import service_parser

    arguments = json.loads(dict(instructions(file))["CMD"])
    args = service_parser("clipduet serve").parse_args(arguments[1:])
    assert args.bundle == "/bundle" and args.host == "0.0.0.0"
    from infer.runtimes.registry import BACKENDS

    assert args.backend in BACKENDS


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_hadolint_has_nothing_to_say(file: Path) -> None:
    hadolint = shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("hadolint is not installed")
    done = subprocess.run([hadolint, str(file)], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")
