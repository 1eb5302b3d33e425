"""The fine-tune for 8 bits in which a run's networks go on learning from each other."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import paddle
import pytest
import yaml

from export.assemble.bundle import export_bundle
from export.qat import __main__ as qat
from export.qat.__main__ import fine_tune
from export.qat.graph_net import GraphNet
from export.qat.mutual import mutual_recognizer
from export.qat.settings import check_settings
from export.qat.trained import QatError
from export.verify.origin import onnx_tensors
from infer.bundle.bundle import Bundle
from tests.export.conftest import MODELS, QUICK, Experiment, config_of
from tests.export.qat.test_graph_net import answers, learned
from tests.export.qat.test_qat import SETTINGS
from train.checkpoints.checkpoint import load_file
from train.config.load import load_config
from train.distill.recognizers import Recognizer
from train.engine.run import built_networks
from train.losses import Target

REPO = Path(__file__).parents[3]
RUN = {
    # Labels that the network does not know yet move it further than its own answers do.
    "OPTIMIZER": {"_replace_": True, "name": "AdamW", "learning_rate": 0.0001},
    "QAT": {"calibration_clips": 4, "loss": "run"},
}
CE = {"name": "DistillationCELoss", "model_name_pairs": [["Student", "GroundTruth"]]}
DML = {"name": "DistillationDMLLoss", "model_name_pairs": ["Student", "Teacher"]}
DISTANCE = {
    "name": "DistillationDistanceLoss",
    "model_name_pairs": ["Student", "Teacher"],
    "s_key": "backbone",
    "t_key": "head",
}


def settings_of(made: Experiment, output: Path, **changes: Any) -> Any:
    """The experiment's config with the settings of the fine-tune on top."""
    file = output.with_name(f"{output.name}.yaml")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump({**SETTINGS, **RUN, **changes}))
    overrides = [f"output_dir={json.dumps(str(output))}", "DATASET.batch_size=3"]
    return load_config(made.config, overrides, over=file)


def changed(made: Experiment, folder: Path, change: Callable[[dict[str, Any]], None]) -> Experiment:
    """Another config around the experiment's clips, with a checkpoint of its own networks."""
    content = config_of(copy.deepcopy(MODELS["pair"]), Path(made.cfg.DATASET.root))
    change(content["MODEL"])
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "changed.yaml"
    file.write_text(yaml.safe_dump(content))
    cfg = load_config(file)
    # Not the weights that the config's own seed draws.
    recognizer, _ = built_networks(cfg.model_copy(update={"seed": 5}))
    paddle.save(recognizer.state_dict(), str(folder / "best.pdparams"))
    return Experiment(file, cfg, recognizer, folder / "best.pdparams")


@pytest.fixture(scope="module")
def pair(experiment: Callable[..., Experiment]) -> Experiment:
    return experiment("pair")


@pytest.fixture(scope="module")
def tuned(pair: Experiment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished fine-tune of the pair."""
    folder = tmp_path_factory.mktemp("mutual") / "run"
    fine_tune(settings_of(pair, folder), pair.checkpoint)
    return folder


def rounded_of(folder: Path, kind: str) -> GraphNet:
    """The Student as it is when its fine-tune begins."""
    floats = onnx_tensors(onnx.load(str(folder / "fp32.onnx")))
    return GraphNet(onnx.load(str(folder / kind / "start.onnx")), floats)


def recognizer_of(made: Experiment, tuned: Path) -> Recognizer:
    """The networks that learn, by a config whose Student is the pair's."""
    return mutual_recognizer(made.cfg, made.checkpoint, lambda: rounded_of(tuned, "int8"))


@pytest.fixture(scope="module")
def batch() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, 4, 32, 32, 3), dtype=np.uint8)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    found: np.ndarray = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return found


def mutual_term(student: np.ndarray, teacher: np.ndarray) -> float:
    """Half the sum of both KL divergences, mean over the clips."""
    a, b = log_softmax(student), log_softmax(teacher)
    return float(((np.exp(a) - np.exp(b)) * (a - b)).sum(axis=-1).mean() / 2)


def test_what_the_rounded_student_says_is_what_both_learn_from(
    pair: Experiment, tuned: Path, batch: np.ndarray
) -> None:
    recognizer = recognizer_of(pair, tuned)
    recognizer.train()
    outputs = recognizer(paddle.to_tensor(batch), draw="a step")
    target = Target(paddle.to_tensor(np.array([0, 1, 2])))
    terms = recognizer.losses(outputs, target)
    assert set(terms) == {"Student.CE", "Student-Teacher.DML"}
    says = answers(onnx.load(str(tuned / "int8/start.onnx")), batch, exact=True)
    exact = answers(onnx.load(str(tuned / "fp32.onnx")), batch)
    teacher = outputs["Teacher"].numpy()
    rounded, floats = mutual_term(says, teacher), mutual_term(exact, teacher)
    # A sum in another order ends on the other side of a rounding now and then.
    assert abs(float(terms["Student-Teacher.DML"]) - rounded) < 0.2 * abs(floats - rounded)
    paddle.add_n(list(terms.values())).backward()
    for group in recognizer.parameter_groups():
        assert group and all(parameter.grad is not None for parameter in group)


def test_the_teacher_sees_what_it_saw_in_the_run_and_computes_with_floats(
    pair: Experiment, tuned: Path, tmp_path: Path, batch: np.ndarray
) -> None:
    def own_pixels(model: dict[str, Any]) -> None:
        model["models"][0]["Teacher"]["input"] = {"mean": [0.5] * 3, "std": [0.2] * 3, "size": 40}

    made = changed(pair, tmp_path, own_pixels)
    run, pixels = built_networks(made.cfg)
    run.set_state_dict(load_file(made.checkpoint))
    recognizer = recognizer_of(made, tuned)
    for one in (run, recognizer):
        one.eval()
    clips = paddle.to_tensor(batch)
    np.testing.assert_array_equal(
        recognizer(clips)["Teacher"].numpy(), run(pixels(clips))["Teacher"].numpy()
    )


def test_terms_are_where_they_were_at_the_end_of_the_run(
    pair: Experiment, tuned: Path, tmp_path: Path, batch: np.ndarray
) -> None:
    def moving(model: dict[str, Any]) -> None:
        falling = {**DML, "loss_weight": 3.0, "ramp": [0, 0.2], "decay": [0.5, 1], "floor": 0.5}
        constant = {
            **CE,
            "model_name_pairs": [["Student", "GroundTruth"], ["Teacher", "GroundTruth"]],
        }
        gone = {**DML, "decay": [0.5, 0.9], "temperature": 4.0}
        model["loss"]["Train"] = [constant, falling, gone]

    recognizer = recognizer_of(changed(pair, tmp_path, moving), tuned)
    recognizer.train()
    outputs = recognizer(paddle.to_tensor(batch), draw="a step")
    target = Target(paddle.to_tensor(np.array([0, 1, 2])))
    plain = mutual_term(outputs["Student"].numpy(), outputs["Teacher"].numpy())
    for progress in (0.0, 0.5, 1.0):
        terms = recognizer.losses(outputs, target, progress=progress)
        assert set(terms) == {"Student.CE", "Teacher.CE", "Student-Teacher.DML"}
        assert float(terms["Student-Teacher.DML"]) == pytest.approx(1.5 * plain, rel=1e-4)


def test_both_networks_learn(pair: Experiment, tuned: Path) -> None:
    before = load_file(pair.checkpoint)
    after = load_file(tuned / "int8/latest.ckpt")["model"]
    teacher = {key for key in before if key.startswith("Teacher.")}
    assert teacher <= after.keys()
    moved = {key for key in teacher if not np.array_equal(after[key], before[key])}
    # Statistics of batch norms move too: only weights tell that it learns.
    weights = {key for key in teacher if key.endswith(".weight")}
    assert weights and weights <= moved
    start = rounded_of(tuned, "int8").state_dict()
    assert any(not np.array_equal(after[f"Student.{key}"], v.numpy()) for key, v in start.items())


def test_a_frozen_teacher_stays_as_it_was(pair: Experiment, tmp_path: Path) -> None:
    def frozen(model: dict[str, Any]) -> None:
        model["freeze_params_list"] = [True, False]

    made = changed(pair, tmp_path / "frozen", frozen)
    cfg = settings_of(made, tmp_path / "run", epochs=1)
    fine_tune(cfg, made.checkpoint, activations=["uint8"])
    before, after = load_file(made.checkpoint), load_file(tmp_path / "run/uint8/best.pdparams")
    for key in (key for key in before if key.startswith("Teacher.")):
        np.testing.assert_array_equal(after[key], before[key], err_msg=key)


def averaged(model: dict[str, Any]) -> None:
    """Each network learns from the other's average (peer collaborative learning)."""
    model["averages"] = {
        "StudentMean": {"of": "Student", "decay": 0.5},
        "TeacherMean": {"of": "Teacher", "decay": 0.5},
    }
    pairs = [["Student", "TeacherMean"], ["Teacher", "StudentMean"]]
    model["loss"]["Train"] = [CE, {"name": "DistillationKLDivLoss", "model_name_pairs": pairs}]


@pytest.mark.parametrize("change", [None, averaged])
def test_a_stopped_fine_tune_goes_on_to_the_same_end(
    pair: Experiment, tmp_path: Path, change: Callable[[dict[str, Any]], None] | None
) -> None:
    made = pair if change is None else changed(pair, tmp_path / "config", change)
    whole, parts = (settings_of(made, tmp_path / name) for name in ("whole", "parts"))
    fine_tune(whole, made.checkpoint, activations=["int8"])
    calls = iter([False, True])
    with pytest.raises(KeyboardInterrupt):
        fine_tune(
            parts, made.checkpoint, activations=["int8"], should_stop=lambda: next(calls, False)
        )
    fine_tune(parts, made.checkpoint, activations=["int8"], resume=True)
    one, other = (load_file(tmp_path / f / "int8/latest.ckpt") for f in ("whole", "parts"))
    for part in ("model", "optimizer"):
        assert one[part].keys() == other[part].keys()
    for key, value in one["model"].items():
        np.testing.assert_array_equal(value, other["model"][key], err_msg=key)
    files = [tmp_path / f / "int8/trained.onnx" for f in ("whole", "parts")]
    assert files[0].read_bytes() == files[1].read_bytes()
    if change is averaged:
        # The average of a network that rounds begins as this, rounds, and follows it.
        means = {key: v for key, v in one["model"].items() if key.startswith("StudentMean.")}
        names = {key.removeprefix("StudentMean.") for key in means}
        assert names == set(rounded_of(tmp_path / "whole", "int8").state_dict())
        assert any(
            not np.array_equal(value, one["model"][key.replace("StudentMean", "Student")])
            for key, value in means.items()
        )


def test_a_bundle_holds_the_rounded_student_and_nothing_of_the_teacher(
    pair: Experiment, tuned: Path, tmp_path: Path, batch: np.ndarray
) -> None:
    options = replace(QUICK, qat=tuned, calibration_clips=128)
    export_bundle(pair.cfg, pair.checkpoint, tmp_path / "bundle", options=options)
    bundle = Bundle.load(tmp_path / "bundle")
    states = [load_file(pair.checkpoint)]
    for key, kind in (("onnx.int8", "int8"), ("onnx.int8.x86", "uint8")):
        entry = bundle.raw["artifacts"][key]["quantization"]
        assert entry["method"] == "quantisation-aware training"
        assert entry["training"]["settings"]["loss"] == "run"
        model = onnx.load(str(bundle.artifact(key).paths[0]))
        state = load_file(tuned / kind / "latest.ckpt")["model"]
        states.append(state)
        net = rounded_of(tuned, kind)
        start = learned(net, batch)
        net.set_state_dict(
            {k.removeprefix("Student."): v for k, v in state.items() if k.startswith("Student.")}
        )
        expected, found = answers(model, batch, exact=True), learned(net, batch)
        # A sum in another order ends on the other side of a rounding now and then.
        assert np.abs(found - expected).max() <= 0.05 * np.abs(expected).max()
        assert np.abs(found - expected).max() < 0.5 * np.abs(start - expected).max()
        before = onnx_tensors(onnx.load(str(tuned / kind / "start.onnx")))
        assert {n: v.shape for n, v in onnx_tensors(model).items()} == {
            n: v.shape for n, v in before.items()
        }
    teachers = {
        np.asarray(value, np.float32).tobytes()
        for state in states
        for key, value in state.items()
        if key.startswith("Teacher.") and len(set(np.asarray(value).flat)) > 1
    }
    assert len(teachers) > 40
    for file in (tmp_path / "bundle").rglob("*.onnx"):
        for name, value in onnx_tensors(onnx.load(str(file))).items():
            assert np.asarray(value, np.float32).tobytes() not in teachers, name
            assert "Teacher" not in name


def test_mixed_clips_teach_too(pair: Experiment, tmp_path: Path) -> None:
    """The run's MIX is part of how it learns; the other form wants clips of bytes."""
    cfg = settings_of(pair, tmp_path / "run", epochs=1, MIX={"name": "Mixup", "alpha": 0.2})
    record = fine_tune(cfg, pair.checkpoint, activations=["uint8"])
    assert record["trained"]["uint8"]["steps"] == 2


def test_all_that_has_no_meaning_is_told(pair: Experiment, tmp_path: Path) -> None:
    settings = {**RUN["QAT"], "temperature": 2.0, "label_weight": 0.5}
    wrong = settings_of(
        pair, tmp_path / "run", QAT=settings, EMA={},
        MODEL={"loss": {"Train": [CE, {**DML, "decay": [0.5, 0.9]}, DISTANCE]}},
    )  # fmt: skip
    with pytest.raises(QatError) as caught:
        fine_tune(wrong, pair.checkpoint)
    for said in ("QAT.temperature", "QAT.label_weight", "EMA", "MODEL.loss.Train.2"):
        assert f"- {said} " in str(caught.value)
    assert not (tmp_path / "run").exists()
    with pytest.raises(QatError, match="PRECISEBN"):
        fine_tune(settings_of(pair, tmp_path / "run", PRECISEBN={}), pair.checkpoint)
    gone = {"loss": {"Train": [CE, {**CE, "model_name_pairs": ["Teacher", "GroundTruth"]}, DML]}}
    for term, fits in (({}, True), ({"loss_weight": 0.0}, False), ({"decay": [0, 1]}, False)):
        gone["loss"]["Train"][-1] = {**DML, **term}
        cfg = settings_of(pair, tmp_path / "run", MODEL=gone)
        if fits:
            check_settings(cfg)
            continue
        with pytest.raises(QatError, match=r"no term of MODEL\.loss\.Train"):
            check_settings(cfg)


def test_a_run_of_one_network_has_no_partner(
    experiment: Callable[..., Experiment], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = experiment("single")
    file = tmp_path / "mutual.yaml"
    file.write_text(yaml.safe_dump({**SETTINGS, **RUN}))
    command = ["--checkpoint", str(made.checkpoint), "-c", str(made.config), "--qat", str(file)]
    assert qat.main([*command, "--out", str(tmp_path / "out")]) == 2
    assert "QAT.loss is run, but MODEL is one network" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("prefix", ["", "Student."])
def test_a_checkpoint_of_the_student_alone_is_refused(
    pair: Experiment, tmp_path: Path, prefix: str
) -> None:
    """As PaddleVideo's `*_student.pdparams`, or a run's file with the teacher taken out."""
    state = {
        prefix + key.removeprefix("Student."): value
        for key, value in paddle.load(str(pair.checkpoint)).items()
        if key.startswith("Student.")
    }
    file = tmp_path / "student.pdparams"
    paddle.save(state, str(file))
    with pytest.raises(QatError, match=r"no network Teacher(.|\n)*best\.pdparams"):
        fine_tune(settings_of(pair, tmp_path / "run"), file)
    assert not (tmp_path / "run").exists()


def test_the_other_loss_of_a_folder_is_refused(
    pair: Experiment, tuned: Path, tmp_path: Path
) -> None:
    itself = settings_of(pair, tuned, QAT={"calibration_clips": 4})
    with pytest.raises(QatError, match=r"started elsewhere \(loss differ"):
        fine_tune(itself, pair.checkpoint, resume=True)
    start = json.loads((tuned / "start.json").read_text())
    assert start.pop("loss") == "run"
    (tmp_path / "run").mkdir()
    # As one from before there was another loss.
    (tmp_path / "run/start.json").write_text(json.dumps(start))
    with pytest.raises(QatError, match=r"started elsewhere \(loss differ"):
        fine_tune(settings_of(pair, tmp_path / "run"), pair.checkpoint, resume=True)


def test_the_recipe_of_the_embedded_dataset_fits_its_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEACHER", raising=False)
    configs = REPO / "configs"
    cfg = load_config(configs / "motions_dml.yaml", over=configs / "motions_qat_mutual.yaml")
    check_settings(cfg)
    itself = load_config(configs / "motions_dml.yaml", over=configs / "motions_qat.yaml")
    assert cfg.QAT is not None and itself.QAT is not None
    assert (cfg.QAT.loss, itself.QAT.loss) == ("run", "self")
    assert (cfg.epochs, cfg.optimizer) == (itself.epochs, itself.optimizer)
