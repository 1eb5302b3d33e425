"""What a command says of packages that are not there."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import pytest

from infer.command.missing import OF_MAKE_SETUP, advice

ROOT = Path(__file__).parents[3]


def brought(extra: str) -> set[str]:
    """An extra and those that it names."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    named = re.findall(r"clipduet\[([\w,]+)\]", setup["options.extras_require"][extra])
    return {extra}.union(*(brought(one) for names in named for one in names.split(",")))


def test_make_setup_brings_what_is_listed() -> None:
    rule = re.search(
        r"/setup:.*\n\t\$\(call install,([^ ]*?),what", (ROOT / "Makefile").read_text()
    )
    assert rule is not None
    names = rule.group(1).split("$(comma)")
    assert set().union(*(brought(name) for name in names)) | {""} == OF_MAKE_SETUP


@pytest.mark.parametrize(
    ("extra", "helps"), [("", True), ("export,report", True), ("serve", True), ("corpus", False)]
)
def test_make_setup_is_named_only_where_it_helps(extra: str, helps: bool) -> None:
    said = advice("a_package", extra=extra)
    assert ("make setup" in said) is helps
    assert "pip install" in said and extra in said
