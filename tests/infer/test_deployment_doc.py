"""docs/deployment.md quotes messages that the code really gives, and the pinned versions."""

from __future__ import annotations

import re

import pytest


@pytest.fixture(scope="module")
def page(root):
    return (root / "docs" / "deployment.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def said(root):
    """All text of infer/ and export/, with strings that go on in the next line put together."""
    files = sorted(file for room in ("infer", "export") for file in (root / room).rglob("*.py"))
    text = "\n".join(file.read_text(encoding="utf-8") for file in files)
    return re.sub(r'"\s*\n\s*f?"', "", text).replace('"\\""', "")


def test_every_message_of_the_table_is_one_of_ours(page, said):
    rows = re.findall(
        r"^\| (`.+?) \| .+\|$", page[page.index("## Troubleshooting") :], re.MULTILINE
    )
    messages = [message for row in rows for message in re.findall(r"`([^`]+)`", row)]
    assert len(messages) > 20
    missing = {
        message: part
        for message in messages
        for part in re.split(r"\(?\u2026\)?", message)
        if part.strip() and part not in said
    }
    assert missing == {}


def test_the_pins_of_the_matrix_are_those_of_the_constraints(page, root):
    pins = (root / "constraints.txt").read_text(encoding="utf-8")
    table = page[page.index("## Versions") : page.index("## Troubleshooting")]
    for package in ("onnxruntime", "openvino", "paddlepaddle", "tritonclient"):
        found = re.findall(rf"^{package}==([\d.]+)", pins, re.MULTILINE)
        row = next(line for line in table.splitlines() if package in line)
        assert found and all(version in row for version in found), package
