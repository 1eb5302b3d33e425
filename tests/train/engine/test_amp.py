"""Mixed precision, emulated: tests/train/engine/half.py says what runs here as on a GPU."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest

from infer.system.errors import ClipDuetError
from tests.train.distill.test_distillation import TERMS, batch, built, model
from tests.train.engine.half import emulate
from tests.train.losses.reference import RESPONSES
from tests.train.tiny import ALONE, PAIR, STUDENT, TEACHER, run, same
from train.checkpoints.checkpoint import BEST, LATEST, load_file
from train.config.load import load_config
from train.distill.build_recognizer import build_recognizer
from train.engine.precision import LossScale, Precision
from train.engine.run import DivergedError, Run
from train.losses import AttentionTransfer, dist, rkd_angle, rkd_distance

LEVELS = ["O1", "O2"]
HALVES = ["float16", "bfloat16"]
PRECISE = {"preciseBN_interval": 1, "num_iters_preciseBN": 2}


@pytest.fixture(autouse=True)
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    emulate(monkeypatch)


def amp(level: str, dtype: str) -> dict[str, Any]:
    return {"enabled": True, "level": level, "dtype": dtype}


def arrays(state: dict[str, Any]) -> dict[str, np.ndarray]:
    return {key: value.numpy() for key, value in state.items()}


def rounded(state: dict[str, np.ndarray], dtype: str) -> dict[str, np.ndarray]:
    """What is left of float32 values in a smaller type, in float32."""
    return {
        key: paddle.to_tensor(value).astype(dtype).astype("float32").numpy()
        for key, value in state.items()
    }


class Seen:
    """What runs did: the loss and scale of every step, and the types of weights and logits."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import train.engine.epoch

        self.losses: list[tuple[int, float]] = []
        self.scales: list[float] = []
        self.types: set[tuple[str, Any]] = set()
        self.stop_at: int | None = None
        take = train.engine.epoch.take_step

        def step(state: Run, parts: Any) -> dict[str, float]:
            if state.progress.step == self.stop_at:
                raise KeyboardInterrupt
            number = state.progress.step
            for key, value in state.recognizer.state_dict().items():
                if key.endswith(("stem.0.conv.weight", "stem.0.bn.weight", "linear.weight")):
                    self.types.add((key, value.dtype))
            means = take(state, parts)
            self.losses.append((number, means["loss"]))
            if state.precision.scale is not None:
                self.scales.append(state.precision.scale.factor)
            return means

        monkeypatch.setattr(train.engine.epoch, "take_step", step)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Seen:
    return Seen(monkeypatch)


@pytest.mark.parametrize("level", LEVELS)
def test_a_run_validates_at_its_precision(
    experiment: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, level: str
) -> None:
    """And recomputes statistics at it; what comes out are numbers, no bits of a half."""
    types = set()
    forward = paddle.nn.Linear.forward

    def watched(layer: paddle.nn.Linear, inputs: paddle.Tensor) -> paddle.Tensor:
        outputs = forward(layer, inputs)
        types.add(outputs.dtype)
        return outputs

    monkeypatch.setattr(paddle.nn.Linear, "forward", watched)
    progress = run(experiment(ALONE, epochs=1, amp=amp(level, "bfloat16"), PRECISEBN=PRECISE))
    assert types == {paddle.bfloat16}
    assert 0.5 < progress.history[0]["valid.loss"] < 5


@pytest.mark.parametrize(("level", "dtype"), zip(LEVELS, HALVES, strict=True))
def test_a_pair_trains_validates_and_goes_on_after_a_kill(
    experiment: Callable[..., Path],
    tmp_path: Path,
    seen: Seen,
    monkeypatch: pytest.MonkeyPatch,
    level: str,
    dtype: str,
) -> None:
    """With clipping and an average; the loss scale changes within the run."""
    monkeypatch.setattr("train.engine.precision.PATIENCE", 2)
    file = experiment(
        PAIR, epochs=2, amp=amp(level, dtype), grad_clip=0.5, EMA={"decay": 0.5},
        checkpoint_every_steps=1,
    )  # fmt: skip
    whole = run(file, f"output_dir={tmp_path / 'whole'}")
    assert whole.step == 6 and all(np.isfinite(loss) for _, loss in seen.losses)
    assert {r["valid.Student.top1"] for r in whole.history} <= {n / 6 for n in range(7)}
    assert all(np.isfinite(record["valid.loss"]) for record in whole.history)
    half = getattr(paddle, dtype) if level == "O2" else paddle.float32
    assert ("Student.0.stem.0.conv.weight", half) in seen.types
    assert ("Student.0.stem.0.bn.weight", paddle.float32) in seen.types
    assert len(set(seen.scales)) > 1 if dtype == "float16" else not seen.scales

    undisturbed, seen.losses, seen.scales = (seen.losses, seen.scales), [], []
    seen.stop_at = 5
    with pytest.raises(KeyboardInterrupt):
        run(file, f"output_dir={tmp_path / 'cut'}")
    seen.stop_at = None
    run(file, f"output_dir={tmp_path / 'cut'}", resume=True)
    assert (seen.losses, seen.scales) == undisturbed
    one, two = (load_file(tmp_path / name / LATEST) for name in ("whole", "cut"))
    for part in ("model", "optimizer", "average"):
        assert same(arrays(one[part]), arrays(two[part]))
    assert one["progress"]["precision"] == two["progress"]["precision"]
    best = [load_file(tmp_path / name / BEST) for name in ("whole", "cut")]
    assert same(arrays(best[0]), arrays(best[1]))
    # Files hold float32 only, and of O2 the masters too, which say more than the weights.
    assert all(value.dtype == paddle.float32 for value in one["model"].values())
    masters = {k: v for k, v in one["optimizer"].items() if "|fp32_master_" in k and k[-1] == "0"
               and "moment" not in k and "pow" not in k}  # fmt: skip
    assert bool(masters) == (level == "O2")
    for key, value in masters.items():
        weight = one["model"][key.split("|")[0]].numpy()
        assert not np.array_equal(value.numpy(), weight)
        assert np.array_equal(rounded({"": value.numpy()}, dtype)[""], weight)


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("level", LEVELS)
def test_the_average_is_validated_and_kept(
    experiment: Callable[..., Path], tmp_path: Path, level: str, dtype: str
) -> None:
    run(experiment(ALONE, epochs=1, amp=amp(level, dtype), EMA={"decay": 0.9}))
    stored, best = load_file(tmp_path / "run" / LATEST), arrays(load_file(tmp_path / "run" / BEST))
    average, last = arrays(stored["average"]), arrays(stored["model"])
    convolutions = [key for key in last if key.endswith("conv.weight")]
    if level == "O2":
        average |= rounded({key: average[key] for key in convolutions}, dtype)
    assert same({k: average[k] for k in convolutions}, {k: best[k] for k in convolutions})
    assert not same({k: last[k] for k in convolutions}, {k: best[k] for k in convolutions})


@pytest.mark.parametrize(("name", "level"), [*zip(TERMS, itertools.cycle(LEVELS))])
def test_every_method_takes_steps(
    experiment: Callable[..., Path], tmp_path: Path, seen: Seen, name: str, level: str
) -> None:
    """With a frozen teacher at the run's precision, and precise statistics.

    What a loss learns itself stays in float32.
    """
    teacher = build_recognizer({"framework": "Recognizer2D", **TEACHER}, seed=0)
    paddle.save(teacher.state_dict(), str(tmp_path / "teacher.pdparams"))
    models = [{"Teacher": {**TEACHER, "pretrained": str(tmp_path / "teacher.pdparams")}},
              {"Student": STUDENT}]  # fmt: skip
    settings = {"amp": amp(level, "bfloat16"), "PRECISEBN": PRECISE}
    assert run(experiment(model(TERMS[name], models=models), epochs=1, **settings)).step == 3
    assert all(np.isfinite(loss) and loss > 0 for _, loss in seen.losses)
    stored = arrays(load_file(tmp_path / "run" / LATEST)["model"])
    connectors = {key for key in stored if key.startswith("connectors.")}
    assert all(np.isfinite(stored[key]).all() for key in connectors)
    own = {dtype for key, dtype in seen.types if key.startswith("connectors.")}
    assert own <= {paddle.float32}
    if level == "O1":
        before = {f"Teacher.{key}": value for key, value in arrays(_networks(teacher)).items()}
        assert same(before, {k: v for k, v in stored.items() if k.startswith("Teacher.")})


def _networks(recognizer: Any) -> dict[str, Any]:
    return recognizer.student.state_dict()


@pytest.mark.parametrize("level", LEVELS)
def test_averages_of_networks_stay_in_float32(
    experiment: Callable[..., Path], tmp_path: Path, seen: Seen, level: str
) -> None:
    """In half precision a share of a thousandth would be lost; their answers are float32 too."""
    peer = {"name": "DistillationKLDivLoss", "model_name_pairs": ["Student", "StudentMean"]}
    train = [*PAIR["loss"]["Train"], peer]
    averages = {"StudentMean": {"of": "Student", "decay": 0.5}}
    spec = {**PAIR, "averages": averages, "loss": {**PAIR["loss"], "Train": train}}
    file = experiment(spec, epochs=1, amp=amp(level, "bfloat16"), PRECISEBN=PRECISE)
    assert run(file).step == 3
    assert all(np.isfinite(loss) for _, loss in seen.losses)
    types = dict(seen.types)
    own = paddle.bfloat16 if level == "O2" else paddle.float32
    assert types["Student.0.stem.0.conv.weight"] == own
    assert types["StudentMean.0.stem.0.conv.weight"] == paddle.float32
    stored = arrays(load_file(tmp_path / "run" / LATEST)["model"])
    key = "StudentMean.0.stem.0.conv.weight"
    assert not same({key: stored[key]}, rounded({key: stored[key]}, "bfloat16"))


@pytest.mark.parametrize(
    ("level", "own"), [(None, "float16"), (None, "bfloat16"), ("O1", "bfloat16"), ("O2", "float16")]
)
def test_a_frozen_teacher_has_a_precision_of_its_own(
    experiment: Callable[..., Path], tmp_path: Path, level: str | None, own: str
) -> None:
    """Its weights stay as they were loaded, also beside half-precision ones of the student."""
    teacher = build_recognizer({"framework": "Recognizer2D", **TEACHER}, seed=0)
    paddle.save(teacher.state_dict(), str(tmp_path / "teacher.pdparams"))
    block = {**TEACHER, "pretrained": str(tmp_path / "teacher.pdparams"), "amp": own}
    terms = [TERMS[name] for name in ("kd", "overhaul", "afd")]
    file = experiment(
        model(*terms, models=[{"Teacher": block}, {"Student": STUDENT}]),
        epochs=1,
        **({} if level is None else {"amp": amp(level, "bfloat16")}),
    )
    assert run(file).step == 3
    stored = arrays(load_file(tmp_path / "run" / LATEST)["model"])
    before = {f"Teacher.{key}": value for key, value in arrays(_networks(teacher)).items()}
    assert same(before, {k: v for k, v in stored.items() if k.startswith("Teacher.")})


def test_a_teachers_own_precision_is_its_networks_alone() -> None:
    recognizer = built(TERMS["kd"], models=[{"Teacher": {**TEACHER, "amp": "float16"}},
                                            {"Student": STUDENT}])  # fmt: skip
    outputs = recognizer(batch()[0])
    assert outputs["Teacher"].dtype == paddle.float16
    assert outputs["Student"].dtype == paddle.float32


FEATURES = {
    "rkd_distance": rkd_distance,
    "rkd_angle": rkd_angle,
    "dist": dist,
    **{name: loss for name, (loss, _) in RESPONSES.items()},
}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", FEATURES)
def test_losses_compute_in_float32_within_mixed_precision(name: str, level: str) -> None:
    rng = np.random.default_rng(3)
    pair = [paddle.to_tensor(rng.normal(0, 9, (6, 10)).astype(np.float32)) for _ in range(2)]
    alone = FEATURES[name](*pair)
    with paddle.amp.auto_cast(level=level, dtype="bfloat16"):
        inside = FEATURES[name](*pair)
    assert inside.dtype == paddle.float32 and float(inside) == float(alone)


@pytest.mark.parametrize("level", LEVELS)
def test_attention_computes_in_float32_within_mixed_precision(level: str) -> None:
    layer = AttentionTransfer([3, 4], [5], qk_dim=4)
    layer.eval()
    rng = np.random.default_rng(3)
    first, second, wanted = (
        paddle.to_tensor(rng.normal(0, 1, (4, width, 6, 6)).astype(np.float32))
        for width in (3, 4, 5)
    )
    alone = layer([first, second], [wanted])
    with paddle.amp.auto_cast(level=level, dtype="bfloat16"):
        assert float(layer([first, second], [wanted])) == float(alone)
        # What does not ask for float32 gets none.
        assert layer.queries[0].linear(wanted.mean(axis=[2, 3])).dtype == paddle.bfloat16


def test_gradients_of_two_types_are_clipped_together() -> None:
    layer = paddle.nn.Sequential(paddle.nn.Conv2D(3, 4, 3), paddle.nn.BatchNorm2D(4))
    optimizer = paddle.optimizer.Momentum(1.0, momentum=0.0, parameters=layer.parameters())
    paddle.amp.decorate([layer], optimizer, level="O2", dtype="float16", master_weight=True)
    parameters = [p for p in layer.parameters() if not p.stop_gradient]
    assert {p.dtype for p in parameters} == {paddle.float16, paddle.float32}
    precision = Precision("bfloat16", level="O2", clip=0.5)
    before = [p.astype("float32").numpy() for p in parameters]
    with precision.autocast():
        loss = (layer(paddle.rand([2, 3, 8, 8])).astype("float32") ** 2 * 30).sum()
    precision.backward(loss)
    assert precision.update(optimizer, [parameters])
    steps = [a - p.astype("float32").numpy() for a, p in zip(before, parameters, strict=True)]
    norm = float(np.sqrt(sum(float((step**2).sum()) for step in steps)))
    assert norm == pytest.approx(0.5, rel=0.02)


def test_the_loss_scale_follows_overflows() -> None:
    scale = LossScale()
    weight = paddle.create_parameter([2], "float32")
    for finite, factor in [(False, 2.0**15), (True, 2.0**15), (False, 2.0**14)]:
        (weight.sum() * scale.factor * (1.0 if finite else 1e38)).backward()
        assert scale.unscale([weight.grad]) == finite and scale.adapt(finite=finite)
        assert scale.factor == factor and scale.steps == int(finite)
        assert not finite or weight.grad.tolist() == [1.0, 1.0]
        weight.clear_gradient(False)
    scale.steps = 1999
    assert scale.adapt(finite=True) and (scale.factor, scale.steps) == (2.0**15, 0)
    for _ in range(15):
        assert scale.adapt(finite=False)
    assert not scale.adapt(finite=False)


def test_a_step_that_overflows_is_left_out(
    experiment: Callable[..., Path], tmp_path: Path, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first scale is meant to be too large sometimes; too large for ever is an error."""
    adapted: list[bool] = []
    unscale = LossScale.unscale

    def once(self: LossScale, gradients: Any) -> bool:
        if len(adapted) in failing:
            paddle.assign(paddle.full_like(gradients[0], float("inf")), gradients[0])
        adapted.append(unscale(self, gradients))
        return adapted[-1]

    monkeypatch.setattr(LossScale, "unscale", once)
    failing = range(1)
    assert run(experiment(ALONE, epochs=1, amp=amp("O2", "float16"))).step == 3
    halved = [2.0 ** (16 - adapted[: step + 1].count(False)) for step in range(3)]
    assert not adapted[0] and seen.scales == halved
    failing = range(3, 1000)
    with pytest.raises(DivergedError, match="loss scale, at step 16"):
        run(experiment(ALONE, epochs=9, output_dir=str(tmp_path / "x"), amp=amp("O2", "float16")))
    assert not any(adapted[3:])


def test_a_run_goes_on_with_weights_of_the_type_that_it_began_with(
    experiment: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = experiment(ALONE, epochs=1, amp=amp("O2", "bfloat16"))
    run(file)
    monkeypatch.setattr("train.engine.precision.on_gpu", lambda: False)
    with pytest.raises(ClipDuetError, match=r"weights in bfloat16, now .* in float32: amp\.level"):
        run(file, resume=True)
    assert load_config(file).amp.enabled
