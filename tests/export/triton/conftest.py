"""A bundle for tests of repositories."""

from __future__ import annotations

import pytest

from tests.export.triton.repositories import write_bundle


@pytest.fixture
def bundle(tmp_path):
    return write_bundle(tmp_path / "bundle")
