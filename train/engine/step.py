"""One optimiser step: the batches that make it, the losses, the update."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import paddle
from paddle import Tensor

from train.data.loader import Batch
from train.data.unreadable import Failed
from train.distill.at_once import detach
from train.distill.averages import update_averages
from train.distill.terms import Outputs
from train.distributed.shards import Shards, redistribute
from train.engine.run import Run
from train.losses import Target


@dataclass(frozen=True)
class Part:
    """A batch of a step.

    Attributes:
        batch: what this process sees of it.
        shards: how many clips each process sees.
        failed: path and reason of its clips that could not be read, of all processes.
        useful: whether anything can be learnt from it.
    """

    batch: Batch
    shards: Shards
    failed: Sequence[Failed]
    useful: bool

    @property
    def clips(self) -> int:
        """How many clips all processes learn from."""
        return self.shards.total if self.useful else 0

    @property
    def left_out(self) -> str | None:
        """Why clips that could be read teach nothing."""
        if self.useful or not self.shards.total:
            return None
        if not all(self.shards.clips):
            return f"a batch has fewer readable clips than processes: {self.shards.total}"
        return f"too few clips in a batch for any term of the loss: {self.shards.total}"


def parts_of(run: Run, batches: Iterable[Batch]) -> Iterator[Part]:
    """What all processes know of each batch; clips that failed anywhere are noted everywhere.

    Every process takes part in every sum: a batch of fewer clips than processes is of no use.
    Nor is one of too few clips for every term of the loss.
    """
    whole = run.cfg.DATASET.batch_size * run.team.size
    for batch in batches:
        failed = [(str(run.train.samples[i].path), error.reason) for i, error in batch.failed]
        batch, shards = redistribute(batch, run.team)
        if shards.total < whole:
            failed = [clip for part in run.team.gather(failed) for clip in part]
            run.progress.skipped += [f"{path}: {reason}" for path, reason in failed]
        useful = all(shards.clips) and run.recognizer.can_learn(shards.total, run.share)
        yield Part(batch, shards, failed, useful)


def take_step(run: Run, parts: list[Part]) -> dict[str, float]:
    """Learn from the parts of one step's batch.

    Returns:
        Loss terms and training accuracies by name, means over the clips of all processes.

    Raises:
        DivergedError: the loss is NaN or infinite; nothing was updated.
    """
    clips = sum(part.clips for part in parts)
    means: dict[str, float] = {}
    for place, part in enumerate(parts):
        values = _learn(run, part, place, clips, update=place + 1 == len(parts))
        for name, value in values.items():
            means[name] = means.get(name, 0.0) + value * (part.clips / clips)
    run.schedule.step()
    run.progress.step += 1
    update_averages(run.recognizer.networks, run.recognizer.averages, step=run.progress.step)
    if run.average is not None:
        run.average.update(run.progress.step)
    return means


def _learn(run: Run, part: Part, place: int, clips: int, *, update: bool) -> dict[str, float]:
    """Add the gradient of one part, the step's `place`-th, and step if it is the last one."""
    batch = part.batch
    # Draws follow from the step and the place of the clips in it alone: the same after a resume,
    # and dropout the same for a student that trains alone and one in a pair.
    step, place = run.progress.step, place * run.team.size + run.team.rank
    draw = f"{run.cfg.seed}/step/{step}" + (f"/{place}" if place else "")
    pixels, target = _mixed(run, batch, np.random.default_rng([run.cfg.seed, step, place, 1]))
    with run.precision.autocast():
        inputs = run.pixels(paddle.to_tensor(pixels))
        outputs = run.recognizer(inputs, draw=draw)
    outputs.shards = part.shards
    backward_networks = detach(outputs)
    here = len(batch.labels)
    terms: dict[str, float] = {}
    for learner, last in run.recognizer.turns:
        learnt = _loss(run, outputs, target, learner, weight=here)
        if learnt is None:
            continue
        loss, values = learnt
        terms |= values
        # One batch in one process: the gradient is that of the mean. Otherwise means become sums,
        # and these, added up and divided by all clips, the gradient of the mean over all.
        alone = clips == here
        run.precision.backward(loss if alone else loss * here)
        backward_networks()
        if not update:
            continue
        if not alone:
            run.team.add_gradients(run.recognizer.trainable_parameters(), divisor=clips)
        if not run.precision.update(run.optimizer, run.recognizer.parameter_groups()):
            raise run.diverged("gradients are NaN or infinite even at the smallest loss scale,")
        if learner is not None and not last:
            # The others learn from what this one has become.
            with run.precision.autocast(), paddle.no_grad():
                run.recognizer.run(learner, inputs, outputs, draw=draw)
    right = {
        f"{role}.top1": _accuracy(logits, target)
        for role, logits in outputs.items()
        if run.cfg.DATASET.train.labelled
    }
    return {"loss": sum(terms.values()), **terms, **run.team.means(right, weight=here)}


def _mixed(run: Run, batch: Batch, rng: np.random.Generator) -> tuple[np.ndarray, Target]:
    if run.mix is None:
        labels = paddle.to_tensor(batch.labels)
        return batch.clips, Target(labels, class_weights=run.class_weights)
    mixed = run.mix(batch.clips, batch.labels, rng)
    target = Target(
        paddle.to_tensor(mixed.labels_a),
        paddle.to_tensor(mixed.labels_b),
        paddle.to_tensor(mixed.lam),
        run.class_weights,
    )
    return mixed.clips, target


def _loss(
    run: Run, outputs: Outputs, target: Target, learner: str | None, *, weight: float
) -> tuple[Tensor, dict[str, float]] | None:
    """The loss of this process, and its terms by name as means over all processes.

    None where no term teaches the learner from so few clips.
    """
    with run.precision.autocast():
        seen = outputs if learner is None else outputs.seen_by(learner)
        terms = run.recognizer.losses(seen, target, progress=run.share, learner=learner)
        if not terms:
            return None
        loss = paddle.add_n(list(terms.values()))
    values = {name: float(term) for name, term in terms.items()}
    values = run.team.means(values, weight=weight)
    total = sum(values.values())
    if not (math.isfinite(total) and math.isfinite(float(loss))):
        parts = ", ".join(f"{name} {value:g}" for name, value in values.items())
        raise run.diverged(f"the loss is {total} ({parts})")
    return loss, values


def _accuracy(logits: Tensor, target: Target) -> float:
    """Share of right answers; a mixed clip counts each label by its share."""
    guess = logits.argmax(axis=-1)
    return float(target.by_clip(lambda labels: (guess == labels).astype("float32")).mean())
