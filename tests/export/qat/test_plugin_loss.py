"""A fine-tune that goes on learning by a loss of a module of the user's own."""

from __future__ import annotations

import copy
import sys
from pathlib import Path

import pytest
import yaml

from export.qat import __main__ as qat
from tests.export.conftest import MODELS, config_of
from tests.export.qat.test_mutual import RUN
from tests.export.qat.test_qat import SETTINGS
from tests.train.plugins.conftest import WriteModule, write_module
from train.__main__ import main as train
from train.checkpoints.checkpoint import LATEST, load_file
from train.plugins import load, registry

__all__ = ["write_module"]

LOSS = """
from train.plugins import loss

@loss("OwnLoss", short="Own")
def own(student, teacher):
    return ((student - teacher.detach()) ** 2).mean()
"""
OWN = {"name": "OwnLoss", "model_name_pairs": ["Student", "Teacher"]}


def test_the_module_is_named_with_an_option(
    write_module: WriteModule,
    clips: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_module("own_module", LOSS)
    content = config_of(copy.deepcopy(MODELS["pair"]), clips)
    content["MODEL"]["plugins"] = ["own_module"]
    content["MODEL"]["loss"]["Train"].append(OWN)
    content["DATASET"]["batch_size"] = 3
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(content))
    (tmp_path / "qat.yaml").write_text(yaml.safe_dump({**SETTINGS, **RUN, "epochs": 1}))
    run, out = tmp_path / "run", tmp_path / "out"
    assert train(["-c", str(tmp_path / "own.yaml"), "--output", str(run)]) == 0

    # Another process, in which nothing is loaded yet.
    registry.forget("loss", "OwnLoss")
    monkeypatch.delitem(sys.modules, "own_module")
    monkeypatch.setattr(load, "_LOADED", set())
    capsys.readouterr()
    command = ["--checkpoint", str(run), "--qat", str(tmp_path / "qat.yaml"), "--out", str(out)]
    command += ["--activations", "int8"]
    assert qat.main(command) == 2
    said = capsys.readouterr().err
    assert "OwnLoss" in said and "--plugins" in said
    assert not (out / "int8" / LATEST).exists()
    assert qat.main([*command, "--resume", "--plugins", "own_module"]) == 0
    assert "own_module.py" in "".join(capsys.readouterr())
    (epoch,) = load_file(out / "int8" / LATEST)["progress"]["history"]
    assert epoch["train.Student-Teacher.Own"] > 0
