"""Networks that are updated in turn within a batch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import paddle

from tests.train.distill.pairs import CE, SECOND_CE, S, T, batch, built, model, state
from tests.train.tiny import STUDENT, run, weights
from train.distill.build_recognizer import build_recognizer
from train.engine.optim import build_optimizer
from train.losses import Target, cross_entropy, kl_divergence
from train.models.pixels import PixelInput


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
