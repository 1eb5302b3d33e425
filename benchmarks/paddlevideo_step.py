"""`python -m benchmarks.paddlevideo_step --checkout DIR`: a training step, there and here.

The same YAML of PaddleVideo's builds both; both get the same weights, take a step on the same
clips, and must agree on the logits before anything is timed. A step is forward, loss, backward
and optimiser, without the reading of clips; normalisation is a part of ours and of PaddleVideo's
reading, so it counts against us.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import machine
from benchmarks.common.command import TIMING, add_timing, carry_out, measuring
from benchmarks.common.errors import BenchmarkError
from benchmarks.common.result_file import header
from benchmarks.timing.latency import ratio, summarise, time_in_turns
from benchmarks.training import paddlevideo_code
from benchmarks.training.steps import training_step
from export.option_limits import BATCH
from infer.command.parser import Parser
from infer.command.runner import run_and_exit

FOLDER = Path("configs/recognition/pptsm/v2")
CONFIGS = {
    "student": FOLDER / "pptsm_lcnet_k400_16frames_uniform.yaml",
    "pair": FOLDER / "pptsm_lcnet_k400_16frames_uniform_dml_distillation.yaml",
}
TOLERANCE = 1e-3
"""Largest difference of the two codes' logits, as a share of the largest."""


@measuring
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 not slower, 1 slower, 2 wrong use."""
    parser = Parser(
        prog="python -m benchmarks.paddlevideo_step",
        description="Time a training step of PaddleVideo's code and of this one.",
    )
    add = parser.add_argument
    add("--checkout", type=Path, required=True, help="of github.com/PaddlePaddle/PaddleVideo")
    add("--batch-size", type=int, default=2, help="clips a step (default: %(default)s)")
    add_timing(parser, seconds=120.0)
    options = parser.parse_args(arguments)
    result = carry_out(run, options, allowed=TIMING | {"batch_size": BATCH})
    for name, row in result["networks"].items():
        low, high = row["ratio_spread"]
        print(
            f"{name:8s} ours {row['ours']['p50']:.2f} s a step, "
            f"PaddleVideo's {row['theirs']['p50']:.2f} s: "
            f"{row['ratio']:.3f} of its time ({low:.3f} to {high:.3f})"
        )
    return 0 if all(row["ratio"] <= 1 for row in result["networks"].values()) else 1


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Compare and time; JSON-ready."""
    paddlevideo_code.use(options.checkout)
    networks = {}
    for name, config in CONFIGS.items():
        ours, theirs, difference = build_both_steps(options.checkout / config, options.batch_size)
        timings = time_in_turns(
            {"ours": ours, "theirs": theirs},
            budget=options.seconds,
            repetitions=options.repetitions,
            seed=0,
        )
        networks[name] = {
            "config": str(config),
            "logits_difference": difference,
            **{who: summarise(seen, batch=options.batch_size) for who, seen in timings.items()},
            **ratio(timings["ours"], timings["theirs"]),
        }
    return {
        **header("clipduet-paddlevideo-step", 1),
        "batch_size": options.batch_size,
        "machine": machine.machine(),
        "load": machine.load_average(),
        "networks": networks,
    }


def build_both_steps(
    config: Path, batch: int
) -> tuple[Callable[[], float], Callable[[], float], float]:
    """One step of ours and of PaddleVideo's, and how far their logits are apart.

    Raises:
        BenchmarkError: the keys of the networks differ, or their logits do.
    """
    import paddle
    from paddlevideo.modeling.builder import build_model
    from paddlevideo.solver import build_lr, build_optimizer
    from paddlevideo.utils import get_config

    from train.config.load import load_config
    from train.distill.build_recognizer import build_recognizer
    from train.models.pixels import PixelInput

    cfg = load_config(config, [f"DATASET.batch_size={batch}"])
    spec = cfg.specs["train"]
    pixels = PixelInput(spec.preprocess.mean, spec.preprocess.std)
    recognizer = build_recognizer(cfg.model, seed=0, pixels=pixels)

    other = get_config(str(config), overrides=[], show=False)
    blocks = [block for entry in other.MODEL.get("models", []) for block in entry.values()]
    for block in blocks or [other.MODEL]:
        block["backbone"]["pretrained"] = ""
    model = build_model(other.MODEL)
    weights = recognizer.state_dict()
    if set(weights) != set(model.state_dict()):
        raise BenchmarkError(f"{config}: the two networks have other keys")
    model.set_state_dict(weights)

    rng = np.random.default_rng(0)
    clips = rng.integers(0, 256, (batch, *spec.clip_shape), dtype=np.uint8)
    labels = paddle.to_tensor(rng.integers(0, cfg.class_num, (batch, 1)))
    frames = pixels(paddle.to_tensor(clips))
    images = frames.reshape([batch, -1, *frames.shape[1:]])
    difference = _difference(recognizer, model, frames, images)
    if not difference <= TOLERANCE:
        raise BenchmarkError(f"{config}: logits differ by {difference:.2g} of the largest")

    optimizer = build_optimizer(
        other.OPTIMIZER, build_lr(other.OPTIMIZER.learning_rate, 1000), model
    )
    model.train()

    def theirs() -> float:
        # Mixup's labels are two and a share; of plain clips, the same label twice.
        outputs = model([images.clone(), labels, labels, paddle.ones([1])], mode="train")
        outputs["loss"].backward()
        optimizer.step()
        optimizer.clear_grad()
        return float(outputs["loss"])

    return training_step(cfg, recognizer, seed=0), theirs, difference


def _difference(recognizer: Any, model: Any, frames: Any, images: Any) -> float:
    import paddle

    recognizer.eval()
    model.eval()
    with paddle.no_grad():
        ours = recognizer.student(frames).numpy()
        theirs = model([images.clone()], mode="infer").numpy()
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


if __name__ == "__main__":
    run_and_exit(main)
