"""What the tests of predict's command share."""

from __future__ import annotations

import pytest

from infer.predict import main


@pytest.fixture
def ask(bundle, tmp_path, monkeypatch, capsys):
    """`ask("v", "--top-k", "2")`: status, stdout, stderr of a command in `tmp_path`."""
    monkeypatch.chdir(tmp_path)

    def run(*args):
        capsys.readouterr()
        status = main(["--bundle", str(bundle), "--threads", "1", "--video", *map(str, args)])
        return status, *capsys.readouterr()

    return run
