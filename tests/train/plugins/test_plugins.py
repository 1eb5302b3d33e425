"""Modules outside the tree that configs name: what they bring, and what is wrong with some."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.train.plugins.conftest import WriteModule
from tests.train.plugins.modules import LOSS, OWN, pair, registering
from tests.train.tiny import LOSSES
from train.config.load import Config, ConfigError, load_config
from train.data.augment.transforms import AugmentError, build_transforms
from train.plugins import PluginError
from train.plugins.load import load_plugins
from train.plugins.registry import DATASETS, ORIGINS
from train.plugins.registry import LOSSES as KNOWN


def told(error: pytest.ExceptionInfo[ConfigError]) -> dict[str, str]:
    return {".".join(map(str, m.where)): m.text for m in error.value.mistakes}


def test_a_config_names_what_a_module_registers(
    write_module: WriteModule, dimmed: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    module = write_module("own_module", LOSS)
    file = dimmed(pair(OWN))
    with caplog.at_level(logging.INFO, "clipduet"):
        cfg = load_config(file)
        load_config(file)
    (said,) = [record.message for record in caplog.records if "plugin" in record.message]
    assert all(what in said for what in (str(module), "own_module", "OwnLoss", "Dim"))
    term = cfg.model["loss"]["Train"][2]
    assert (term["power"], term["mode"], term["loss_weight"]) == (2.0, "plain", 1.0)
    assert cfg.PIPELINE.train.blocks()[2] == {"Dim": {"by": 4}}
    again = Config(**cfg.to_dict())
    assert again.to_dict() == cfg.to_dict() and again.sha256() == cfg.sha256()
    _, dim = build_transforms(cfg.PIPELINE.train.blocks())
    frames = np.full((4, 32, 32, 3), 100, np.uint8)
    changed, label = dim(frames, 1, np.random.default_rng(0))
    assert (changed == 25).all() and label == 1


def test_a_module_that_imports_paddle_leaves_signals_to_the_command(
    write_module: WriteModule, root: Path
) -> None:
    """Paddle would print the call stack of its C++ code, and a warning that helps nobody."""
    module = write_module("own_module", f"import paddle\n{LOSS}")
    code = """
import os, signal
from train.plugins.load import load_plugins
load_plugins(["own_module"])
os.kill(os.getpid(), signal.SIGTERM)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{module.parent}"},
    )  # fmt: skip
    assert done.returncode == -signal.SIGTERM
    assert "ccache" not in done.stderr and "Termination" not in done.stderr


def test_settings_of_a_plugin_are_checked_as_all_are(
    write_module: WriteModule, dimmed: Callable[..., Path]
) -> None:
    write_module("own_module", LOSS)
    wrong = {**OWN, "power": 0.0, "mood": "plain", "loss_weight": -1.0}
    file = dimmed(pair(wrong, {**OWN, "name": "OwnLos"}))
    with pytest.raises(ConfigError) as error:
        load_config(file, ["PIPELINE.train.transform.2.Dim.by=half"])
    mistakes = told(error)
    assert mistakes.keys() == {
        *(f"MODEL.loss.Train.2.{key}" for key in ("power", "mood", "loss_weight")),
        "MODEL.loss.Train.3.name",
        "PIPELINE.train.transform.2.Dim.by",
    }
    assert "mode" in mistakes["MODEL.loss.Train.2.mood"]
    assert "OwnLoss" in mistakes["MODEL.loss.Train.3.name"]


def test_without_its_plugin_a_name_is_unknown(
    experiment: Callable[..., Path],
) -> None:
    with pytest.raises(ConfigError) as error:
        load_config(experiment(pair(OWN, plugins=())))
    assert told(error).keys() == {"MODEL.loss.Train.2.name"}


def test_the_config_that_a_run_left_loads_no_code(
    write_module: WriteModule, dimmed: Callable[..., Path], tmp_path: Path
) -> None:
    """Its terms and augmentations stay as they are; where they are needed, they are missing."""
    ran = tmp_path / "ran"
    write_module("own_module", f"open({str(ran)!r}, 'w').close()\n{LOSS}")
    file = dimmed(pair(OWN))
    cfg = load_config(file, stored=True)
    assert not ran.exists() and "OwnLoss" not in KNOWN
    assert cfg.model["loss"]["Train"][2] == {
        **OWN, "loss_weight": 1.0, "ramp": None, "decay": None, "floor": 0.0,
    }  # fmt: skip
    assert cfg.PIPELINE.train.blocks()[2] == {"Dim": {"by": 4}}
    assert cfg.specs["valid"].clip_shape == (4, 32, 32, 3)
    with pytest.raises(AugmentError, match=r"Dim.*--plugins"):
        build_transforms(cfg.PIPELINE.train.blocks())
    asked = load_config(file, stored=True, plugins=["own_module"])
    assert ran.exists() and asked.model["loss"]["Train"][2]["mode"] == "plain"


def test_a_stored_config_without_plugins_is_checked_in_full(
    experiment: Callable[..., Path],
) -> None:
    with pytest.raises(ConfigError):
        load_config(experiment(pair(OWN, plugins=())), stored=True)


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("own_module", "import math\n", ["registers nothing"]),
        ("own_module", "\n\n1 / 0\n", ["ZeroDivisionError", "own_module.py:3"]),
        ("own_module", "raise SystemExit(3)\n", ["SystemExit"]),
        ("own_module", "import is_not_there\n", ["is_not_there", "own_module.py:1"]),
        ("own_module", "def broken(:\n", ["SyntaxError", "own_module.py:1"]),
        ("own_modul", "", ["there is no module own_modul", "users", "PYTHONPATH"]),
        ("gone.inner", "", ["there is no module gone.inner"]),
        ("./own_module.py", LOSS, ["no name of a module"]),
        ("own_module.py", LOSS, ["no name of a module", "as import does"]),
        ("/etc/passwd", "", ["no name of a module"]),
        ("json", "", ["Python itself"]),
    ],
)
def test_a_module_that_cannot_be_used_is_a_mistake_of_the_config(
    name: str,
    code: str,
    words: list[str],
    write_module: WriteModule,
    experiment: Callable[..., Path],
) -> None:
    """The only one: that its names are unknown follows from it."""
    write_module("own_module", code)
    with pytest.raises(ConfigError) as error:
        load_config(experiment(pair(OWN, plugins=(name,))))
    mistakes = told(error)
    assert mistakes.keys() == {"MODEL.plugins.0"}
    assert all(word in mistakes["MODEL.plugins.0"] for word in words), mistakes


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("@loss('DistillationDMLLoss')\ndef f(a, b): ...", ["taken", "schema.losses"]),
        ("@loss('X')\ndef f(a, b): ...\n@loss('X')\ndef g(a, b): ...", ["X", "taken"]),
        ("@augmentation('RandomCrop')\ndef f(a, b, c): ...", ["taken"]),
        ("@loss('a b')\ndef f(a, b): ...", ["a b", "letters"]),
        ("@loss('X')\ndef f(a): ...", ["1 arguments", "2"]),
        ("@loss('X', labels=True)\ndef f(a, b): ...", ["3"]),
        ("@loss_of_layers('X')\ndef f(a, b): ...", ["2 arguments"]),
        ("@loss('X')\ndef f(a, b, *, power=1.0): ...", ["power", "type"]),
        ("@loss('X')\ndef f(a, b, *, ramp: float = 1.0): ...", ["ramp"]),
        ("@loss('X')\ndef f(a, b, **rest): ...", ["rest"]),
        ("@augmentation('X')\ndef f(a, b, c, *, target_size: int): ...", ["target_size"]),
        ("@loss('X')\ndef f(a: 'Nothing', b): ...", ["Nothing"]),
    ],
)
def test_what_cannot_be_registered(code: str, words: list[str], write_module: WriteModule) -> None:
    """And of its module nothing stays."""
    write_module("own_module", registering("@loss('Before')\ndef first(a, b): ...\n" + code))
    before = dict(ORIGINS)
    with pytest.raises(PluginError) as error:
        load_plugins(["own_module"])
    assert all(word in str(error.value) for word in [*words, "own_module"]), error.value
    assert before == ORIGINS and "Before" not in KNOWN


def test_two_modules_cannot_take_one_name(write_module: WriteModule) -> None:
    for name in ("one_module", "two_module"):
        write_module(name, registering("@loss('X')\ndef f(a, b): ..."))
    load_plugins(["one_module"])
    with pytest.raises(PluginError, match=r"two_module.* X.*one_module"):
        load_plugins(["two_module"])
    assert ORIGINS["loss", "X"] == "one_module"


def test_a_module_that_was_mended_loads(write_module: WriteModule) -> None:
    write_module("own_module", registering("@loss('X')\ndef f(a, b): ...\n1 / 0"))
    with pytest.raises(PluginError):
        load_plugins(["own_module"])
    write_module("own_module", registering("@loss('X')\ndef f(a, b): ..."))
    load_plugins(["own_module"])
    assert "X" in KNOWN


def test_facts_of_a_loss_count_in_checks(
    write_module: WriteModule, experiment: Callable[..., Path]
) -> None:
    """Who learns, whether labels are needed, and layers, which validation does not look into."""
    code = "@loss('Both', both_learn=True)\ndef f(a, b): ...\n"
    code += "@loss('Labels', labels=True)\ndef g(a, b, target): ...\n"
    code += "@loss_of_layers('Layers')\ndef h(sides, *, key: str): ...\n"
    write_module("own_module", registering(code))
    names = ["Student", "Teacher"]

    def mistakes(model: dict[str, Any], **changes: Any) -> dict[str, str]:
        try:
            load_config(experiment(model, **changes))
        except ConfigError as error:
            return {".".join(map(str, m.where)): m.text for m in error.mistakes}
        return {}

    def model(*terms: dict[str, Any], val: tuple[dict[str, Any], ...] = ()) -> dict[str, Any]:
        block = pair()
        train = [{"model_name_pairs": names, **term} for term in terms]
        valid = [*LOSSES["Val"], *({"model_name_pairs": names, **term} for term in val)]
        return {**block, "loss": {"Train": train, "Val": valid}}

    assert mistakes(model({"name": "Both"})) == {}
    assert "Teacher" in mistakes(model({"name": "Labels"}))["MODEL.loss.Train"]
    layers = {"name": "Layers", "key": "backbone"}
    assert mistakes(model({"name": "Both"}, layers)) == {}
    assert "MODEL.loss.Val.1.name" in mistakes(model({"name": "Both"}, val=(layers,)))
    unlabelled = {"DATASET": {"batch_size": 4, "train": {"format": "VideoDataset",
        "file_path": "a", "labelled": False}, "valid": {"format": "VideoDataset",
        "file_path": "b"}}}  # fmt: skip
    found = mistakes(model({"name": "Both"}, {"name": "Labels"}), **unlabelled)
    assert found.keys() == {"MODEL.loss.Train.1.name"}


def test_a_dataset_is_named_on_the_command_line(
    write_module: WriteModule, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from train.data.prepare.__main__ import main

    arguments = ["lab", "--root", str(tmp_path / "data")]
    assert main(arguments) == 2 and "lab" in capsys.readouterr().err
    write_module(
        "own_module",
        "from train.data.prepare.sources import dataset\n"
        "@dataset('lab', title='T', licence='L', home='H', by_hand='all to {annotations}')\n"
        "def lab(folder): return {}['video']\n",
    )
    assert main([*arguments, "--plugins", "own_module"]) == 2
    said = capsys.readouterr()
    assert "T (H)" in said.out and "annotations" in said.err
    assert DATASETS["lab"].title == "T"
    (tmp_path / "data" / "annotations").mkdir(parents=True)
    assert main([*arguments, "--plugins", "own_module"]) == 2
    said = capsys.readouterr()
    assert "the dataset lab (own_module.py:2) failed: KeyError" in said.err
    assert main([*arguments, "--plugins", "gone_module"]) == 2
    assert "gone_module" in capsys.readouterr().err


@pytest.mark.parametrize("first", ["data.augment.transforms", "distill.build_terms", "config.load"])
def test_tables_are_filled_in_any_order(first: str, root: Path) -> None:
    code = f"import train.{first}, train.config.load, train.data.augment.transforms"
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
