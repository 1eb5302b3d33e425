"""`python -m benchmarks.shuffled_training`: what a network learns from frames without their order.

A dataset of motions is one of motions only if nothing else tells the label. Networks that were
trained on ordered frames are near chance on shuffled ones whatever else tells it: they never
looked for that. So here a network is trained from its first weights on shuffled frames, in another
order whenever a clip is read, and then answers shuffled test clips.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import EXTRA
from benchmarks.common import machine
from benchmarks.common.command import add_config, add_out, carry_out
from benchmarks.common.result_file import header
from benchmarks.stats.paired import wilson
from benchmarks.study.measure import answer_in_paddle
from benchmarks.training.runs import CHECKPOINTS
from export.option_limits import SEED
from infer.command.parser import Parser
from infer.command.runner import command, run_and_exit
from infer.system.files import sha256_of
from train.config.options import text_override
from train.data.dataset import ClipDataset

FORMAT, FORMAT_VERSION = "clipduet-shuffled-training", 1


class ShuffledClips:
    """A dataset whose clips have lost the order of their frames.

    Args:
        clips: the dataset as it is.
        seed: of the orders of evaluation clips; those of training follow from the run's.
    """

    def __init__(self, clips: ClipDataset, *, seed: int) -> None:
        self._clips, self._seed = clips, seed

    def __len__(self) -> int:
        return len(self._clips)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._clips, name)

    def read(self, index: int, *, rng: np.random.Generator | None) -> tuple[np.ndarray, int]:
        """As `ClipDataset.read`, the T frames of all views in one other order."""
        clips, label = self._clips.read(index, rng=rng)
        draws = rng if self._clips.train else np.random.default_rng([self._seed, index])
        assert draws is not None  # training clips were drawn with it
        return np.ascontiguousarray(clips[:, draws.permutation(clips.shape[1])]), label


@command(stopped="go on with the same command", extra=EXTRA)
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 done, 2 wrong use."""
    parser = Parser(
        prog="python -m benchmarks.shuffled_training",
        description="Train a network on clips whose frames are shuffled, and measure what it "
        "answers to shuffled test clips: at chance, nothing but the order of frames tells labels.",
    )
    add_config(parser, "configs/motions_teacher.yaml")
    parser.add_argument("--run", type=Path, default=Path("runs/shuffled"),
        help="folder of the training, which goes on there (default: %(default)s)")  # fmt: skip
    parser.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    add_out(parser)
    result = carry_out(run, parser.parse_args(arguments), allowed={"seed": SEED})
    low, high = result["interval"]
    print(f"trained and asked without the order of frames: top-1 {100 * result['top1']:.2f} % "
          f"({100 * low:.2f} to {100 * high:.2f}) of {result['clips']} clips, "
          f"chance {100 / result['classes']:.2f} %")  # fmt: skip
    return 0


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Train, answer, count; JSON-ready."""
    from train.config.load import load_config
    from train.data.fingerprint import fingerprint
    from train.data.splits import build_dataset, training_datasets
    from train.engine.loop import train
    from train.engine.reporter import Reporter
    from train.engine.stopping import stop_requests

    cfg = load_config(
        options.config,
        [*options.override, f"seed={options.seed}", text_override("output_dir", str(options.run))],
    )
    train_set, valid_set = (ShuffledClips(one, seed=options.seed) for one in training_datasets(cfg))
    with stop_requests() as should_stop:
        progress = train(
            cfg,
            train_set=train_set,  # type: ignore[arg-type]
            valid_set=valid_set,  # type: ignore[arg-type]
            resume=True,
            reporter=Reporter(sys.stderr),
            should_stop=should_stop,
        )
    test_set = build_dataset(cfg, "test")
    best = options.run / CHECKPOINTS["best"]
    seen = answer_in_paddle(cfg, best, ShuffledClips(test_set, seed=options.seed))
    right = int((seen.logits.argmax(axis=-1) == seen.labels).sum())
    interval = wilson(right, len(seen.labels))
    return {
        **header(FORMAT, FORMAT_VERSION),
        "config": options.config,
        "config_sha256": cfg.sha256(),
        "seed": options.seed,
        "epochs": cfg.epochs,
        "machine": machine.machine(),
        "checkpoint_sha256": sha256_of(best),
        "validation_top1": float(progress.best["top1"]),
        "test_list": str(cfg.lists["test"].list_file) if cfg.lists["test"] else None,
        "test_clips_sha256": fingerprint(test_set.samples),
        "clips": len(seen.labels),
        "classes": cfg.class_num,
        "top1": seen.top1,
        "interval": [interval.low, interval.high],
    }


if __name__ == "__main__":
    run_and_exit(main)
