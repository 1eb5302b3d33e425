"""The commands of docs/service.md do what the page says."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_doc_blocks import ALL
from tests.test_doc_commands import commands

ROOT = Path(__file__).resolve().parents[3]
BLOCKS = [block for block in ALL if block.place.startswith("docs/service.md:")]
OURS = "http://127.0.0.1:8000"


def of_page(name: str, language: str = "sh") -> list[list[str]]:
    blocks = [block.code for block in BLOCKS if block.language == language]
    return [words for code in blocks for words in commands(code) if words[0] == name]


def test_the_requests_of_the_page(running, videos, tmp_path):
    if shutil.which("curl") is None:
        pytest.skip("no curl")
    for name in ("clip.mp4", "a.mp4", "b.mp4"):
        shutil.copy(videos / "green.mp4", tmp_path / name)
    asked = of_page("curl")
    assert len(asked) == 2
    for words in asked:
        address = words[-1]
        assert address.startswith(OURS)
        command = [*words[:-1], address.replace(OURS, running.url), "--noproxy", "*", "-sS"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        results = json.loads(done.stdout)["results"]
        assert [one["label"] for one in results] == ["green"] * shlex.join(words).count("@")
        # All three classes, or those of the best two that reach 0.1: green is far above.
        assert {len(one["topk"]) for one in results} == {1 if "top_k" in address else 3}


def test_the_client_of_the_page(running, videos, tmp_path):
    pytest.importorskip("geventhttpclient", reason="tritonclient[http] is not installed")
    (code,) = (block.code for block in BLOCKS if block.language == "python")
    shutil.copy(videos / "green.mp4", tmp_path / "clip.mp4")
    code = code.replace(OURS.removeprefix("http://"), running.url.removeprefix("http://"))
    code = code.replace('"mine"', '"colours"')
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout == "[b'green']\n", done.stderr


def test_every_kind_of_error_is_on_the_page():
    text = (ROOT / "docs" / "service.md").read_text(encoding="utf-8")
    from infer.system.errors import FAILURES

    for kind in FAILURES:
        assert f"`{kind}`" in text
