"""What is recorded of an epoch, and of the best one."""

from __future__ import annotations

from typing import Any

import paddle

from train.distill.recognizers import STUDENT
from train.distill.terms import Outputs
from train.engine.reporter import peak_memory
from train.engine.run import Run
from train.evaluation.evaluate import Evaluation
from train.losses import Target


def epoch_record(run: Run, result: Evaluation, *, trained: float) -> dict[str, Any]:
    """What the history of a run holds of the epoch that has just been validated.

    Args:
        run: that has not counted the epoch yet.
        result: the validation.
        trained: seconds of the run when the epoch's last step was done.
    """
    progress, began = run.progress, run.progress.began
    times = {} if began is None else {"training_seconds": round(trained - began, 3)}
    return {
        "epoch": progress.epoch + 1,
        "step": progress.step,
        "rate": float(run.optimizer.get_lr()),
        **{f"train.{name}": round(value, 6) for name, value in progress.means().items()},
        **_valid_loss(run, result),
        f"valid.{STUDENT}.top1": result.top1,
        "valid.failed": len(result.failed),
        "seconds": round(progress.seconds, 1),
        "waiting": round(progress.waiting, 1),
        "memory": peak_memory(),
        "clips": progress.batch * run.cfg.DATASET.batch_size * run.team.size,
        **times,
    }


def _valid_loss(run: Run, result: Evaluation) -> dict[str, float]:
    """The `Val` loss over the clips that could be read; none where it wants other networks."""
    read = result.decoded
    outputs = Outputs({STUDENT: paddle.to_tensor(result.logits[read])})
    if not read.any() or not run.recognizer.can_lose(outputs, mode="Val"):
        return {}
    target = Target(paddle.to_tensor(result.labels[read]))
    terms = run.recognizer.losses(outputs, target, mode="Val")
    return {"valid.loss": round(sum(float(term) for term in terms.values()), 6)}


def best_record(run: Run, result: Evaluation) -> dict[str, Any]:
    """What `best.json` holds."""
    device = paddle.device.get_device().partition(":")[0]
    missing = {"training": len(run.train.missing), "validation": len(run.valid.missing)}
    return {
        **run.progress.best,
        "seed": run.cfg.seed,
        "config": run.cfg.source,
        "config_sha256": run.cfg.sha256(),
        # Export compares: which clips these were, and what rounded.
        "validation": {
            "clips": run.clips["validation"],
            "failed": len(result.failed),
            "device": device,
            "amp": run.precision.dtype,
        },
        "settings": run.deployed,
        **({"extended": run.progress.extended} if run.progress.extended else {}),
        **({"missing": missing} if any(missing.values()) else {}),
    }
