"""Does a network see time? Its accuracy on clips whose time was taken away.

A video classifier may live on appearance alone; then a gain of its training says nothing about
motion. Frames in random order, and one frame repeated, show how much it needs the order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from benchmarks.deployments.answers import BATCH, open_cell
from benchmarks.deployments.deployment import Deployment
from benchmarks.stats import paired
from infer.bundle.bundle import Bundle
from infer.runtimes.base import Clips, Logits, Runtime
from train.data.dataset import ClipDataset
from train.evaluation.evaluate import evaluate

KINDS = ("frames in random order", "one frame repeated")


def without_time(clips: Clips, kind: str, rng: np.random.Generator) -> Clips:
    """Take the time out of uint8 clips `[n, T, H, W, 3]`; `kind` is one of `KINDS`."""
    if kind == KINDS[0]:
        return np.stack([clip[rng.permutation(len(clip))] for clip in clips])
    return np.repeat(clips[:, clips.shape[1] // 2, None], clips.shape[1], axis=1)


def time_controls(
    bundles: Mapping[str, Bundle],
    cell: Deployment,
    datasets: Mapping[str, ClipDataset],
    *,
    threads: int,
    workers: int,
    seed: int,
) -> list[dict[str, Any]]:
    """Top-1 of every model on clips without time, one row a model and kind."""
    rows = []
    for name, bundle in bundles.items():
        with open_cell(bundle, cell, threads) as runtime:
            for kind in KINDS:
                result = evaluate(
                    _timeless(runtime, kind, seed),
                    datasets[name],
                    batch_size=BATCH,
                    workers=workers,
                )
                top1 = paired.wilson(int(result.correct.sum()), len(result.correct))
                rows.append({"model": name, "control": kind, "top1": top1.to_dict()})
    return rows


def _timeless(runtime: Runtime, kind: str, seed: int) -> Callable[[Clips], Logits]:
    rng = np.random.default_rng(seed)
    return lambda clips: runtime.run(without_time(clips, kind, rng))
