"""A team follows one process that has the whole batch: losses between clips, batch norms."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import paddle
import pytest
import yaml
from paddle import nn

from tests.train.distributed.teams import CALM, finish, launch, launch_script, launch_several
from tests.train.tiny import PAIR, run, weights
from train.checkpoints.checkpoint import LATEST, load_file
from train.config.load import load_config, parse_model
from train.data.loader import epoch_order
from train.distill.build_recognizer import build_recognizer
from train.distributed.team import Team
from train.engine.ema import Average
from train.engine.run import average_statistics

S, T = "Student", "Teacher"
STEP = {"name": "Momentum", "momentum": 0.0,
        "learning_rate": {"name": "Constant", "learning_rate": 0.003}}  # fmt: skip
LAYERS = ["backbone.stages.1", "backbone.stages.3"]
TERMS: dict[str, dict[str, Any]] = {
    "rkd": {"name": "DistillationRKDLoss"},
    "rkd of embeddings": {
        "name": "DistillationRKDLoss", "s_key": "backbone.fc:input", "t_key": LAYERS[1],
    },
    "dist": {"name": "DistillationDISTLoss"},
    "afd": {"name": "DistillationAFDLoss", "s_key": LAYERS, "t_key": LAYERS, "qk_dim": 8,
            "loss_weight": 50.0},
}  # fmt: skip


def pair(*terms: dict[str, Any]) -> dict[str, Any]:
    """Two students that learn the labels, and the first from the second by `terms`."""
    labels = [
        {"name": "DistillationCELoss", "model_name_pairs": [role, "GroundTruth"]} for role in (S, T)
    ]
    losses = [{"model_name_pairs": [S, T], **term} for term in terms]
    return {
        **PAIR,
        "models": [{T: CALM}, {S: CALM}],
        "loss": {"Train": [*labels, *losses], "Val": labels[:1]},
    }


def test_losses_between_clips_see_those_of_all_processes(
    experiment: Callable[..., Path], tmp_path: Path, root: Path
) -> None:
    """One step of four clips, or without those of the first process that cannot be read.

    Where that is both, the process is given one of the other's.
    """
    cases = [*((name, 0) for name in TERMS), ("rkd", 1), ("dist", 1), ("rkd", 2)]
    files, folders, changes = [], [], []
    for place, (name, broken) in enumerate(cases):
        folder = tmp_path / str(place)
        folder.mkdir()
        file = experiment(pair(TERMS[name]), OPTIMIZER=STEP, epochs=1)
        files.append(file.rename(folder / "experiment.yaml"))
        clips = four_clips(files[-1], folder, broken=broken)
        folders.append(folder)
        changes.append([f"DATASET.root={clips}", "epochs=1", "max_unreadable=50"])
    trainings = [
        [
            "-c", str(file), "--output", str(folder / "two"),
            *(word for change in (*given, "DATASET.batch_size=2") for word in ("-o", change)),
        ]
        for file, folder, given in zip(files, folders, changes, strict=True)
    ]  # fmt: skip
    finish(launch_several(root, tmp_path, trainings))
    for case, file, folder, given in zip(cases, files, folders, changes, strict=True):
        alone = run(file, *given, f"output_dir={folder}/one")
        stored = load_file(folder / "two" / LATEST)["progress"]
        assert stored["step"] == alone.step == 1, case
        assert len(stored["skipped"]) == case[1], case
        (mine,), (theirs,) = alone.history, stored["history"]
        figures = [key for key in mine if key.startswith("train.")]
        assert len(figures) == 6, case
        for key in figures:
            assert theirs[key] == pytest.approx(mine[key], rel=1e-3), (case, key)
        start = build_recognizer(load_config(file).model, seed=5).state_dict()
        one, two = weights(folder / "one"), weights(folder / "two")
        moved = norm(one[key] - start[key].numpy() for key in start)
        assert norm(one[key] - two[key] for key in start) < 1e-3 * moved, case


def four_clips(file: Path, folder: Path, *, broken: int) -> Path:
    """A dataset of four clips, the first of which in the epoch's order cannot be read."""
    clips = folder / "clips"
    shutil.copytree(yaml.safe_load(file.read_text())["DATASET"]["root"], clips)
    lines = (clips / "train.list").read_text().splitlines()[:4]
    (clips / "train.list").write_text("\n".join(lines))
    for place in epoch_order(4, seed=5, epoch=0, shuffle=True)[:broken]:
        (clips / lines[place].split()[0]).write_bytes(b"no video")
    return clips


def test_fewer_clips_than_processes_are_left_out_and_told(
    experiment: Callable[..., Path], tmp_path: Path, root: Path
) -> None:
    file = experiment({"framework": "Recognizer2D", **CALM}, epochs=1)
    options = ["-o", f"DATASET.root={four_clips(file, tmp_path, broken=3)}"]
    options += ["-o", "DATASET.batch_size=2", "--output", str(tmp_path / "run")]
    process = launch(root, tmp_path / "log", file, *options, "--max-unreadable", "100")
    process.communicate(timeout=240)
    assert process.returncode != 0, "nothing was learnt"
    # The launcher repeats the end of it.
    output = (tmp_path / "log" / "workerlog.0").read_text()
    assert output.count("skipped: ") == 3
    assert "left out: " in output
    assert "epoch 1 ended without a step" in output and "3 x not a video" in output
    assert not (tmp_path / "run" / LATEST).exists()


def norm(arrays: Iterable[np.ndarray]) -> float:
    return float(np.sqrt(sum(float((array.astype(np.float64) ** 2).sum()) for array in arrays)))


def test_statistics_are_averaged_of_every_batch_norm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where they are not synchronised: attention's and the moving averages' as well.

    Those of a frozen teacher are alike everywhere; a mean of equal numbers may be another number.
    """
    averaged: list[int] = []
    monkeypatch.setattr(Team, "average", lambda self, tensors: averaged.extend(map(id, tensors)))
    model = {**pair(TERMS["afd"]), "freeze_params_list": [True, False]}
    del model["loss"]["Train"][1]  # the teacher learns no labels
    model["averages"] = {"Mean": {"of": "Student"}}
    own = {"name": "DistillationKLDivLoss", "model_name_pairs": ["Student", "Mean"]}
    model["loss"]["Train"].append(own)
    recognizer = build_recognizer(parse_model(model), seed=0)
    average = Average(recognizer, 0.9, still=recognizer.still)
    state: Any = SimpleNamespace(
        team=Team(0, 2), cfg=SimpleNamespace(sync_bn=False), recognizer=recognizer, average=average
    )
    average_statistics(state)
    statistics = {
        key: {id(live[key]) for live in (recognizer.state_dict(), average.state_dict())}
        for key in average.state_dict()
        if key.endswith(("_mean", "_variance"))
    }
    assert {key.split(".")[0] for key in statistics} == {"Student", "connectors"}
    assert all(len(both) == 2 for both in statistics.values())
    means = {
        id(value)
        for key, value in recognizer.state_dict().items()
        if key.startswith("Mean.") and key.endswith(("_mean", "_variance"))
    }
    assert means and set.union(means, *statistics.values()) == set(averaged)


FAR = """
import sys

import numpy as np
import paddle
from paddle import nn

from train.distributed.sync_bn import synchronise
from train.distributed.team import join

team, folder = join(), sys.argv[1]
for kind in sys.argv[2:]:
    layer = nn.Sequential(getattr(nn, kind)(3))
    synchronise(layer)
    given = np.load(f"{folder}/{kind}.npz")
    own = {key: paddle.to_tensor(np.array_split(given[key], [5])[team.rank]) for key in given}
    inputs = own["inputs"]
    inputs.stop_gradient = False
    outputs = layer(inputs)
    (outputs * own["wanted"]).sum().backward()
    np.savez(
        f"{folder}/{kind}.{team.rank}.npz", outputs=outputs.numpy(), gradient=inputs.grad.numpy(),
        mean=layer[0]._mean.numpy(), variance=layer[0]._variance.numpy(),
        scale=layer[0].weight.grad.numpy(),
    )
"""
"""A batch norm of two processes, five rows in the first and three in the second."""


def test_batch_norms_far_from_zero(tmp_path: Path, root: Path) -> None:
    """Means of a thousand deviations: the mean of squares holds nothing of the variance there."""
    rng = np.random.default_rng(0)
    shapes = {nn.BatchNorm1D: (8, 3), nn.BatchNorm2D: (8, 3, 6, 6)}
    given = {}
    for kind, shape in shapes.items():
        offset = np.array([1000.0, -1000.0, 0.0]).reshape([1, 3] + [1] * (len(shape) - 2))
        inputs = (rng.normal(0, 1, shape) + offset).astype(np.float32)
        given[kind] = inputs, rng.normal(0, 1, shape).astype(np.float32)
        np.savez(tmp_path / f"{kind.__name__}.npz", inputs=inputs, wanted=given[kind][1])
    script = tmp_path / "far.py"
    script.write_text(FAR)
    arguments = [str(script), str(tmp_path), *(kind.__name__ for kind in shapes)]
    finish(launch_script(root, tmp_path / "log", arguments))
    for kind, (inputs, wanted) in given.items():
        files = [tmp_path / f"{kind.__name__}.{rank}.npz" for rank in (0, 1)]
        check_far(kind, inputs, wanted, [dict(np.load(file)) for file in files])


def check_far(
    kind: type[nn.BatchNorm1D | nn.BatchNorm2D],
    inputs: np.ndarray,
    wanted: np.ndarray,
    found: list[dict[str, np.ndarray]],
) -> None:
    """Compare what both processes found with one layer that sees all rows."""
    # In float64, where nothing cancels.
    paddle.set_default_dtype("float64")
    try:
        layer = kind(3)
    finally:
        paddle.set_default_dtype("float32")
    x = paddle.to_tensor(inputs.astype(np.float64), stop_gradient=False)
    outputs = layer(x)
    (outputs * paddle.to_tensor(wanted.astype(np.float64))).sum().backward()
    both = {key: np.concatenate([part[key] for part in found]) for key in ("outputs", "gradient")}
    np.testing.assert_allclose(both["outputs"], outputs.numpy(), atol=2e-3)
    np.testing.assert_allclose(both["gradient"], x.grad.numpy(), atol=2e-3)
    scale = sum(part["scale"] for part in found)
    np.testing.assert_allclose(scale, layer.weight.grad.numpy(), rtol=1e-2, atol=2e-3)
    for part in found:
        np.testing.assert_allclose(part["mean"], layer._mean.numpy(), rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(part["variance"], layer._variance.numpy(), rtol=1e-3)
