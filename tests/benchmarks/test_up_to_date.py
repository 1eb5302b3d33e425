"""Which bundles and results make has to make again."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from benchmarks.up_to_date import main


def bundle_of(folder: Path, weights: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    record = {"origin": {"checkpoint": {"sha256": hashlib.sha256(weights).hexdigest()}}}
    (folder / "bundle.json").write_text(json.dumps(record))
    return folder


def test_a_bundle_is_up_to_date_with_the_weights_it_was_made_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    bundle, weights = bundle_of(Path("b"), b"weights"), Path("best.pdparams")
    weights.write_bytes(b"weights")
    assert main([f"{bundle}={weights}"]) == 0
    assert main([f"{bundle}={weights}", "c=best.pdparams"]) == 1
    assert capsys.readouterr().err == "c is not there\n"
    weights.write_bytes(b"newer weights")
    assert main([f"{bundle}={weights}"]) == 1
    assert capsys.readouterr().err == "b was not made of best.pdparams\n"
    weights.unlink()  # the bundle is what is left
    assert main([f"{bundle}={weights}"]) == 0


def test_results_are_out_of_date_where_a_bundle_is_newer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    asked = ["a=x.pdparams", "b", "--results", "results.json"]
    assert main(asked) == 1
    Path("results.json").touch()
    assert main(asked) == 0  # results are worth their report without the bundles
    for name in ("a", "b"):
        os.utime(bundle_of(Path(name), b"") / "bundle.json", (1e9, 1e9))
    assert main(asked) == 0
    os.utime("results.json", (9e8, 9e8))
    os.utime("a/bundle.json", (8e8, 8e8))
    assert main(asked) == 1
