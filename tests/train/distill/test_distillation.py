"""Every method takes real steps, with the networks, layers and parameters that it should."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
from paddle import nn

from export.network.strip import strip
from infer.system.errors import ClipDuetError
from tests.train.tiny import ALONE, PAIR, STUDENT, TEACHER, run, same, weights
from train.checkpoints.checkpoint import BEST, load_file
from train.checkpoints.teachers import load_networks
from train.config.load import ConfigError, parse_model
from train.distill.recognizers import Recognizer, build_recognizer
from train.engine.optim import build_optimizer
from train.losses import Target, cross_entropy, kl_divergence
from train.models.pixels import PixelInput, input_adapter

S, T = "Student", "Teacher"
CE = {"name": "DistillationCELoss", "model_name_pairs": [S, "GroundTruth"]}
SECOND_CE = {**CE, "model_name_pairs": [T, "GroundTruth"]}
STAGES = ["backbone.stages.1.0.pw_conv.bn", "backbone.stages.3.0.pw_conv.act:input"]
BLOCKS = ["backbone.res3b.act:input", "backbone.res5b.act:input"]
NORMS = ["backbone.res3b.conv1._batch_norm", "backbone.res5b.conv1._batch_norm"]

TERMS: dict[str, dict[str, Any]] = {
    "kd": {"name": "DistillationKLDivLoss"},
    "js": {"name": "DistillationJSDivLoss"},
    "dkd": {"name": "DistillationDKDLoss", "temperature": 4.0, "beta": 8.0},
    "dist": {"name": "DistillationDISTLoss"},
    "rkd": {"name": "DistillationRKDLoss"},
    "rkd of embeddings": {
        "name": "DistillationRKDLoss",
        "s_key": "backbone.fc:input",
        "t_key": "backbone.res5b",
    },
    "distance": {"name": "DistillationDistanceLoss", "s_key": STAGES, "t_key": BLOCKS},
    "overhaul": {
        "name": "DistillationOverHaulLoss",
        "s_key": STAGES,
        "t_key": BLOCKS,
        "t_norm": NORMS,
        "loss_weight": 0.001,
    },
    "afd": {"name": "DistillationAFDLoss", "s_key": STAGES, "t_key": BLOCKS, "qk_dim": 16},
}


def model(*terms: dict[str, Any], frozen: bool = True, **changes: Any) -> dict[str, Any]:
    train = [{"model_name_pairs": [S, T], **term} for term in terms]
    return {
        **PAIR,
        "freeze_params_list": [frozen, False],
        "loss": {"Train": train, "Val": [CE]},
        **changes,
    }


def built(*terms: dict[str, Any], **changes: Any) -> Recognizer:
    recognizer = build_recognizer(parse_model(model(*terms, **changes)), seed=1)
    recognizer.train()
    return recognizer


def batch(clips: int = 3, size: int = 32) -> tuple[paddle.Tensor, Target]:
    rng = np.random.default_rng(0)
    frames = rng.normal(0, 1, (clips * 4, 3, size, size)).astype(np.float32)
    return paddle.to_tensor(frames), Target(paddle.to_tensor(np.arange(clips) % 3))


def state(layer: nn.Layer) -> dict[str, np.ndarray]:
    return {key: value.numpy().copy() for key, value in layer.state_dict().items()}


def step(recognizer: Recognizer, inputs: paddle.Tensor, target: Target) -> dict[str, float]:
    """One optimiser step for all, as the loop takes it."""
    rate = {"name": "Constant", "learning_rate": 0.01}
    block = {"name": "Momentum", "learning_rate": rate, "momentum": 0.0, "use_nesterov": False}
    optimizer, _ = build_optimizer(
        recognizer, {**block, "weight_decay": None}, steps_per_epoch=1, epochs=1
    )
    terms = recognizer.losses(recognizer(inputs, draw="x"), target)
    paddle.add_n(list(terms.values())).backward()
    optimizer.step()
    optimizer.clear_grad(set_to_zero=False)
    return {name: float(term) for name, term in terms.items()}


# --- every method --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TERMS)
def test_a_frozen_teacher_teaches_and_stays(name: str) -> None:
    recognizer = built(TERMS[name])
    before = state(recognizer)
    terms = step(recognizer, *batch())
    assert len(terms) == 1 and all(np.isfinite(value) and value > 0 for value in terms.values())
    after = state(recognizer)
    moved = {key for key in after if not np.array_equal(before[key], after[key])}
    assert moved and not any(key.startswith("Teacher.") for key in moved)
    assert any(key.startswith("Student.0.stem") for key in moved)
    connectors = {key for key in after if key.startswith("connectors.")}
    assert bool(connectors) == (name in ("distance", "overhaul", "afd"))
    assert all(key in moved for key in connectors if key.endswith("conv.weight"))


def test_response_relation_and_feature_terms_add_up() -> None:
    names = ("kd", "rkd of embeddings", "overhaul", "afd")
    recognizer = built(CE, *(TERMS[name] for name in names), TERMS["overhaul"])
    inputs, target = batch()
    terms = recognizer.losses(recognizer(inputs), target)
    pair = f"{S}-{T}"
    kinds = ("KD", "RKD", "OverHaul", "AFD", "OverHaul#2")
    assert list(terms) == ["Student.CE", *(f"{pair}.{kind}" for kind in kinds)]
    # The same loss twice has connectors of its own, drawn by its place.
    first, second = (float(terms[f"{pair}.{kind}"]) for kind in ("OverHaul", "OverHaul#2"))
    assert first != second


def test_networks_of_one_architecture_need_no_connector() -> None:
    layer = "backbone.stages.3"
    twins = [{T: STUDENT}, {S: STUDENT}]
    term = {"name": "DistillationDistanceLoss", "s_key": layer, "t_key": layer}
    recognizer = built(CE, SECOND_CE, term, frozen=False, models=twins)
    assert not any(key.startswith("connectors.") for key in recognizer.state_dict())
    inputs, target = batch()
    outputs = recognizer(inputs)
    terms = recognizer.losses(outputs, target)
    a, b = (outputs.features[role, layer] for role in (S, T))
    wanted = float(((a - b) ** 2).mean())
    assert float(terms["Student-Teacher.Distance"]) == pytest.approx(wanted, rel=1e-5)
    forced = built(CE, SECOND_CE, {**term, "connector": True}, frozen=False, models=twins)
    assert any(key.startswith("connectors.") for key in forced.state_dict())


def test_a_cohort_of_three_learns_from_each_other() -> None:
    others = ["Second", "Third"]
    roles = [S, *others]
    pairs = [[a, b] for i, a in enumerate(roles) for b in roles[i + 1 :]]
    labels = [{**CE, "model_name_pairs": [role, "GroundTruth"]} for role in roles]
    cohort = {"name": "DistillationDMLLoss", "model_name_pairs": pairs, "loss_weight": 0.5}
    models = [{role: STUDENT} for role in roles]
    recognizer = built(*labels, cohort, models=models, freeze_params_list=[])
    before = state(recognizer)
    terms = step(recognizer, *batch())
    assert {f"{a}-{b}.DML" for a, b in pairs} <= set(terms)
    after = state(recognizer)
    for role in roles:
        assert not np.array_equal(before[f"{role}.0.fc.weight"], after[f"{role}.0.fc.weight"])


@pytest.mark.parametrize("clips", [1, 2])
def test_small_batches(clips: int) -> None:
    """A relation needs two clips; where unreadable ones leave fewer, its term is left out."""
    names = ["dkd", "dist", "rkd", "overhaul", "afd"]
    recognizer = built(CE, *(TERMS[name] for name in names))
    terms = step(recognizer, *batch(clips))
    assert ("Student-Teacher.RKD" in terms) == (clips == 2)
    assert all(np.isfinite(value) for value in terms.values())


# --- taps ----------------------------------------------------------------------------------------


def hooks(network: nn.Layer) -> int:
    return sum(
        len(layer._forward_pre_hooks) + len(layer._forward_post_hooks)
        for layer in network.sublayers(include_self=True)
    )


def test_taps_are_gone_after_the_pass_and_not_there_in_evaluation() -> None:
    recognizer = built(CE, TERMS["afd"])
    outputs = recognizer(batch()[0])
    assert set(outputs.features) == {(S, path) for path in STAGES} | {(T, path) for path in BLOCKS}
    assert all(hooks(network) == 0 for network in recognizer.networks.values())
    recognizer.eval()
    assert recognizer(batch()[0]).features == {}
    plain = built(CE, TERMS["kd"])
    assert plain(batch()[0]).features == {}


def test_an_input_tap_is_what_the_activation_takes() -> None:
    layer = "backbone.stages.3.0.pw_conv"
    recognizer = built(
        CE,
        {**TERMS["rkd"], "s_key": f"{layer}.act:input", "t_key": BLOCKS[0]},
        {**TERMS["rkd"], "s_key": layer, "t_key": BLOCKS[0]},
    )
    features = recognizer(batch()[0]).features
    before, after = features[S, f"{layer}.act:input"].numpy(), features[S, layer].numpy()
    assert before.min() < 0
    np.testing.assert_array_equal(np.maximum(before, 0), after)


@pytest.mark.parametrize(
    ("changes", "where", "words"),
    [
        ({"s_key": "backbone.stage.3"}, "s_key", "no layer 'backbone.stage.3'; the nearest: backb"),
        ({"t_key": ["backbone.res9a"]}, "t_key", "'backbone.res9a'"),
        ({"t_norm": "backbone.res5b"}, "t_norm", "no batch norm"),
        ({"t_norm": None}, "t_key", "t_norm"),
        ({"s_key": "backbone.fc"}, "s_key", r"backbone.fc .* shape is \[1, 3"),
        ({"s_key": "backbone.stages.2.0.dw_conv"}, "s_key", "does not run"),
        ({"connector": False}, "connector", "16 channels|channels, "),
    ],
)
def test_wrong_layers_are_told_with_the_nearest(
    changes: dict[str, Any], where: str, words: str
) -> None:
    one = {**TERMS["overhaul"], "s_key": STAGES[1], "t_key": BLOCKS[1], "t_norm": NORMS[1]}
    with pytest.raises(ConfigError, match=words) as caught:
        built(CE, {**one, **changes})
    assert [m.where for m in caught.value.mistakes] == [("MODEL", "loss", "Train", 1, where)]


def test_all_wrong_layers_are_told_at_once() -> None:
    wrong = {"s_key": ["backbone.x"], "t_key": ["backbone.y"]}
    with pytest.raises(ConfigError) as caught:
        built(CE, {**TERMS["afd"], **wrong}, {**TERMS["distance"], **wrong})
    assert len(caught.value.mistakes) == 4


# --- alternating ---------------------------------------------------------------------------------


def test_alternating_updates_are_those_of_the_paper(
    experiment: Callable[..., Path], tmp_path: Path
) -> None:
    """The second network learns from what the first one has just become."""
    calm = {**STUDENT, "backbone": {**STUDENT["backbone"], "dropout_prob": 0.0}}
    both = {"name": "DistillationKLDivLoss", "temperature": 1.0}
    loss = [CE, SECOND_CE, {**both, "model_name_pairs": [[S, T], [T, S]]}]
    twins = model(*loss, frozen=False, models=[{S: calm}, {T: calm}], update="alternating")
    rate = {"name": "Constant", "learning_rate": 0.05}
    optimizer = {"name": "Momentum", "momentum": 0.0, "learning_rate": rate}
    file = experiment(twins, epochs=1, OPTIMIZER=optimizer)
    run(file, "DATASET.batch_size=12", f"output_dir={tmp_path / 'a'}")
    found = weights(tmp_path / "a")

    from train.config.load import load_config
    from train.data.loader import epoch_batches
    from train.data.splits import training_datasets

    cfg = load_config(file, ["DATASET.batch_size=12"])
    settings = {"seed": cfg.seed, "epoch": 0, "shuffle": True, "drop_last": True, "workers": 0}
    data = next(epoch_batches(training_datasets(cfg)[0], batch_size=12, **settings))
    inputs = PixelInput([0.5] * 3, [0.25] * 3)(paddle.to_tensor(data.clips))
    target = Target(paddle.to_tensor(data.labels))
    mine = build_recognizer(cfg.model, seed=cfg.seed)
    mine.train()
    for own, other in ((S, T), (T, S)):
        logits, seen = mine.networks[own](inputs), mine.networks[other](inputs)
        (cross_entropy(logits, target) + kl_divergence(logits, seen, temperature=1.0)).backward()
        for parameter in mine.networks[own].parameters():
            if parameter.grad is not None:
                scale = parameter.optimize_attr["learning_rate"]
                parameter.set_value(parameter.detach() - 0.05 * scale * parameter.grad)
            parameter.clear_gradient(set_to_zero=False)
    for key, value in mine.state_dict().items():
        if not key.endswith(("_mean", "_variance")):
            np.testing.assert_allclose(found[key], value.numpy(), atol=2e-5, err_msg=key)
    run(file, "DATASET.batch_size=12", f"output_dir={tmp_path / 'b'}", "MODEL.update=together")
    together = weights(tmp_path / "b")
    first, second = (
        max(float(np.abs(found[key] - together[key]).max()) for key in found if role in key)
        for role in ("Student.0.fc", "Teacher.0.fc")
    )
    assert first == 0 and second > 1e-6


def test_a_network_whose_turn_it_is_not_does_not_move() -> None:
    """Adam's momentum and decay would move it even without a gradient."""
    mutual = {"name": "DistillationDMLLoss"}
    recognizer = built(CE, SECOND_CE, mutual, frozen=False, update="alternating")
    assert recognizer.turns == [(T, False), (S, True)]
    rate = {"name": "Constant", "learning_rate": 0.01}
    adam = {"name": "AdamW", "learning_rate": rate, "weight_decay": {"value": 0.1}}
    adam |= {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "no_weight_decay_name": ""}
    optimizer, _ = build_optimizer(recognizer, adam, steps_per_epoch=1, epochs=1)
    from train.engine.precision import Precision

    inputs, target = batch()
    for learner in (T, S, T):
        before = {role: state(net) for role, net in recognizer.networks.items()}
        seen = recognizer(inputs).seen_by(learner)
        terms = recognizer.losses(seen, target, learner=learner)
        total = paddle.add_n(list(terms.values()))
        total.backward()
        Precision(None).update(optimizer, recognizer.parameter_groups())
        for role, network in recognizer.networks.items():
            key = "0.stem.0.conv.weight" if role == S else "0.conv1_1._conv.weight"
            moved = not np.array_equal(before[role][key], network.state_dict()[key].numpy())
            assert moved == (role == learner)


# --- frozen teachers, whole networks -------------------------------------------------------------


def test_a_frozen_teacher_costs_the_optimiser_nothing(tmp_path: Path) -> None:
    recognizer = built(CE, TERMS["afd"])
    groups = recognizer.parameter_groups()
    assert [bool(group) for group in groups] == [False, True, True]
    teachers = {parameter.name for parameter in recognizer.networks[T].parameters()}
    assert not teachers & {parameter.name for group in groups for parameter in group}
    assert not any(layer.training for layer in recognizer.networks[T].sublayers())
    outputs = recognizer(batch()[0])
    assert outputs[T].stop_gradient and not outputs[S].stop_gradient
    assert all(f.stop_gradient for (role, _), f in outputs.features.items() if role == T)


def test_a_teacher_is_taken_entirely_or_not_at_all(tmp_path: Path) -> None:
    pair = build_recognizer(PAIR, seed=7)
    single = build_recognizer({"framework": "Recognizer2D", **TEACHER}, seed=8)
    files = {}
    donors = (("pair", pair), ("single", single), ("bare", single.student))
    pair_with_connectors = built(CE, SECOND_CE, TERMS["overhaul"], frozen=False)
    donors += (("connected", pair_with_connectors),)
    for name, donor in donors:
        files[name] = str(tmp_path / f"{name}.pdparams")
        paddle.save(donor.state_dict(), files[name])

    def load(path: str, **changes: Any) -> tuple[Recognizer, list[str]]:
        block = {**TEACHER, "pretrained": path, **changes}
        spec = parse_model(model(CE, TERMS["kd"], models=[{T: block}, {S: STUDENT}]))
        recognizer = build_recognizer(spec, seed=1)
        return recognizer, load_networks(recognizer, spec)

    whose = (("pair", pair.networks[T]), ("single", single.student), ("bare", single.student))
    for name, donor in whose:
        recognizer, lines = load(files[name])
        assert same(state(recognizer.networks[T]), state(donor))
        assert len(lines) == 1 and files[name] in lines[0]
    for words, arguments in (
        ("does not fit the config's networks", {"path": files["pair"], "pretrained_role": S}),
        (r"unexpected \(\d+\): 0.stem.0.conv.weight, .* and \d+ more$",
         {"path": files["pair"], "pretrained_role": S}),
        ("holds no network Third; it holds: Student, Teacher$",
         {"path": files["connected"], "pretrained_role": "Third"}),
        (r"^MODEL.models.0.Teacher.pretrained: no checkpoint at .*none\.pdparams",
         {"path": str(tmp_path / "none.pdparams")}),
    ):  # fmt: skip
        with pytest.raises(ClipDuetError, match=words):
            load(**arguments)
    with pytest.raises(ClipDuetError) as caught:
        load(path=files["pair"], pretrained_role=S)
    assert len(str(caught.value).splitlines()) <= 4
    spec = parse_model(model(CE, TERMS["kd"]))
    with pytest.raises(ClipDuetError, match="random weights"):
        load_networks(build_recognizer(spec, seed=1), spec)


@pytest.mark.parametrize(
    ("term", "gets", "words"),
    [
        ("kd", "nothing", "random weights"),
        ("kd", "backbone", r"random weights \(2 entries: head.fc.weight, head.fc.bias\)"),
        ("rkd", "backbone", r"\(2 entries"),
        ("kd", "student", "^MODEL.models.0.Teacher.pretrained: "),
        ("overhaul", "student", "random weights"),
        ("overhaul", "backbone", None),
        ("rkd of embeddings", "backbone", None),
        ("kd", "pair", None),
    ],
)
def test_a_frozen_teacher_is_filled_where_a_term_reads_it(
    experiment: Callable[..., Path], tmp_path: Path, term: str, gets: str, words: str | None
) -> None:
    pair, file = build_recognizer(PAIR, seed=7), str(tmp_path / "given.pdparams")
    donors = {"backbone": pair.networks[T][0], "student": pair.student, "pair": pair}
    if gets in donors:
        paddle.save(donors[gets].state_dict(), file)
    backbone = {**TEACHER["backbone"], **({"pretrained": file} if gets == "backbone" else {})}
    entries = [{T: {**TEACHER, "backbone": backbone}}, {S: STUDENT}]
    config = experiment(model(CE, TERMS[term], models=entries), epochs=1)
    changes = [f"weights={file}"] if gets in ("student", "pair") else []
    if words is None:
        run(config, *changes)
        return
    with pytest.raises(ClipDuetError, match=words):
        run(config, *changes)


def test_a_teacher_sees_its_own_normalisation_and_size() -> None:
    clips = np.random.default_rng(0).integers(0, 256, (2, 4, 32, 32, 3), dtype=np.uint8)
    own, wanted = PixelInput([0.5] * 3, [0.25] * 3), PixelInput([0.4, 0.5, 0.6], [0.2, 0.3, 0.1])
    frames = own(paddle.to_tensor(clips))
    adapter = input_adapter(own, mean=wanted.mean, std=wanted.std)
    np.testing.assert_allclose(
        adapter(frames).numpy(), wanted(paddle.to_tensor(clips)).numpy(), atol=1e-5
    )
    assert list(input_adapter(own, size=48)(frames).shape) == [8, 3, 48, 48]
    block = {**TEACHER, "input": {"mean": wanted.mean, "std": wanted.std, "size": 48}}
    spec = parse_model(model(CE, TERMS["kd"], models=[{T: block}, {S: STUDENT}]))
    recognizer = build_recognizer(spec, seed=1, pixels=own)
    recognizer.eval()
    seen = recognizer(frames)
    bigger = nn.functional.interpolate(
        wanted(paddle.to_tensor(clips)), size=[48, 48], mode="bilinear"
    )
    alone = recognizer.networks[T](bigger)
    np.testing.assert_allclose(seen[T].numpy(), alone.numpy(), atol=1e-5)
    np.testing.assert_array_equal(seen[S].numpy(), recognizer.student(frames).numpy())
    assert recognizer.state_dict().keys() == build_recognizer(PAIR, seed=1).state_dict().keys()


def test_only_the_layers_that_are_named_learn() -> None:
    block = {**ALONE, "trainable": ["backbone.fc", "*.stages.3.*.bn"]}
    recognizer = build_recognizer(parse_model(block), seed=1)
    recognizer.train()
    before = state(recognizer)
    step(recognizer, *batch())
    moved = {k for k, v in state(recognizer).items() if not np.array_equal(before[k], v)}
    assert {"backbone.fc.weight", "backbone.fc.bias"} <= moved
    assert any(".stages.3.0.pw_conv.bn._mean" in key for key in moved)
    assert all(".fc." in key or (".stages.3." in key and ".bn." in key) for key in moved)


def test_layers_that_cannot_learn_are_told_with_their_place() -> None:
    def told(spec: dict[str, Any]) -> dict[str, str]:
        with pytest.raises(ConfigError) as caught:
            build_recognizer(parse_model(spec), seed=1)
        return {".".join(map(str, m.where)): m.text for m in caught.value.mistakes}

    for pattern, words in (
        ("backbone.classifier", "'backbone.classifier'; "),
        ("head", "head"),
        ("*.act", "nothing learns: backbone"),
    ):
        alone = told({**ALONE, "trainable": [pattern]})
        assert list(alone) == ["MODEL.trainable"] and words in alone["MODEL.trainable"]
        entries = [{T: TEACHER}, {S: {**STUDENT, "trainable": pattern}}]
        pair = told(model(CE, TERMS["kd"], models=entries))
        place = "MODEL.models.1.Student.trainable"
        assert list(pair) == [place] and words in pair[place]
    both = told({**ALONE, "trainable": ["backbone.classifier", "head"]})
    assert "no layer" in both["MODEL.trainable"]


# --- whole runs ----------------------------------------------------------------------------------


def test_connectors_are_checkpointed_resumed_and_left_out_of_the_export(
    experiment: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = model(CE, SECOND_CE, TERMS["overhaul"], TERMS["afd"], frozen=False)
    file = experiment(spec, epochs=2)
    run(file, f"output_dir={tmp_path / 'whole'}")
    whole = weights(tmp_path / "whole")
    learnt = [key for key in whole if key.startswith("connectors.")]
    assert {key.split(".")[1] for key in learnt} == {"2", "3"}

    import train.engine.loop
    from train.engine.run import Run

    take = train.engine.loop.take_step

    def stop_at_4(state: Run, data: Any) -> dict[str, float]:
        if state.progress.step == 4:
            raise KeyboardInterrupt
        return take(state, data)

    monkeypatch.setattr(train.engine.loop, "take_step", stop_at_4)
    with pytest.raises(KeyboardInterrupt):
        run(file, f"output_dir={tmp_path / 'cut'}")
    monkeypatch.undo()
    run(file, f"output_dir={tmp_path / 'cut'}", resume=True)
    assert same(whole, weights(tmp_path / "cut"))

    best = load_file(tmp_path / "whole" / BEST)
    stripped = strip(best, parse_model(spec), source="file")
    assert set(stripped.leftovers) == set(learnt) & set(best)
    assert list(stripped.others) == [T] and set(stripped.settings) == {"backbone", "head"}
    own = build_recognizer(ALONE, seed=0).student.state_dict()
    assert stripped.network.state_dict().keys() == own.keys()
    assert hooks(stripped.network) == 0
