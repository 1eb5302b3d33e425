"""How much accuracy INT8 may lose: a goal, and what clips say about it.

Rounding turns answers where two classes nearly tie, and whether such a turn loses or wins a clip is
luck: of 480 clips with 26 turned ones, the loss of top-1 is known to within 1.5 points, which says
nothing about a goal of 0.5. The trained network knows better what a turn is worth: one from an
answer with probability 0.41 to one with 0.35 loses 0.06 clips. The sum of these is the *expected*
loss. Its probabilities are made honest first, by the temperature that fits them to the labels best
(Guo et al., "On Calibration of Modern Neural Networks", 2017). So both are asked: a goal holds
where the expected loss is within it, and what is counted does not refute that.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.special import log_softmax

from export.int8.defaults import Goal
from export.verify.collapse import LEVEL, sign_test
from export.verify.parity import VerificationError
from train.evaluation.evaluate import Evaluation

MOST_LOST = 10.0
"""Points that a quantised network may lose where no goal is set: one that certainly loses more is
broken, whatever its roundings."""

TEMPERATURES = 0.1, 10.0
"""A network that is right on every clip would fit best with 0."""


class GoalError(VerificationError):
    """A quantised network that loses more than it may."""


@dataclass(frozen=True)
class Score:
    """What rounding did to a network's answers, clip by clip.

    Attributes:
        clips: clips that both networks were asked about.
        top1: share of them that the rounded network answers right.
        lost: clips that only the trained network answers right.
        won: clips that only the rounded network answers right.
        agreement: share of clips with the same answer.
        divergence: mean KL divergence of the rounded network's probabilities from the trained
            network's, in nats: it moves with every clip, where top-1 moves with a few.
        expected: points of top-1 that the turned answers lose by the trained network's honest
            probabilities.
        sqnr: power of the trained network's logits over that of the difference, in decibels.
    """

    clips: int
    top1: float
    lost: int
    won: int
    agreement: float
    divergence: float
    expected: float
    sqnr: float

    @property
    def loss(self) -> float:
        """Points of top-1 lost; negative: won."""
        return 100.0 * (self.lost - self.won) / self.clips

    @property
    def uncertainty(self) -> float:
        """Half the width of the 95 % interval of `loss`, in points.

        By the normal approximation for paired answers.
        """
        changed = self.lost + self.won
        variance = changed - (self.lost - self.won) ** 2 / self.clips
        return 196.0 * math.sqrt(max(variance, 0.0)) / self.clips

    def reaches(self, goal: Goal) -> bool:
        """The goal holds, as far as these clips tell."""
        # A share of clips is compared with a number that people round.
        enough = goal.least is None or 100.0 * self.top1 >= goal.least - 1e-9
        refuted = self.loss - self.uncertainty > goal.loss + 1e-9
        return enough and not refuted and self.expected <= goal.loss

    def __str__(self) -> str:
        return (
            f"top-1 {self.top1:.4f}, expected loss {self.expected:.2f} points, counted "
            f"{self.loss:+.2f} +- {self.uncertainty:.2f} ({self.lost} clips lost, {self.won} won "
            f"of {self.clips}), "
            f"KL {self.divergence:.5f}, SQNR {self.sqnr:.1f} dB"
        )

    def to_dict(self) -> dict[str, Any]:
        """The score as plain data, ready for JSON."""
        return {**asdict(self), "loss": self.loss, "uncertainty": self.uncertainty}


def score(reference: Evaluation, found: Evaluation, *, temperature: float | None = None) -> Score:
    """Compare a rounded network with the trained one on the same clips.

    Args:
        reference: the trained network on labelled clips.
        found: the rounded network.
        temperature: of `reference`, where `temperature_of` has found it before.
    """
    temperature = temperature or temperature_of(reference)
    read = reference.decoded & found.decoded
    before, after = reference.correct[read], found.correct[read]
    exact, rounded = (e.logits[read].astype(np.float64) for e in (reference, found))
    log_p, log_q = log_softmax(exact, axis=1), log_softmax(rounded, axis=1)
    noise = float(((rounded - exact) ** 2).sum())
    power = float((exact**2).sum())
    answers, turned, rows = exact.argmax(axis=1), rounded.argmax(axis=1), np.arange(len(exact))
    honest = np.exp(log_softmax(exact / temperature, axis=1))
    given_up = honest[rows, answers] - honest[rows, turned]
    return Score(
        clips=int(read.sum()),
        top1=float(after.mean()),
        lost=int((before & ~after).sum()),
        won=int((~before & after).sum()),
        agreement=float((answers == turned).mean()),
        divergence=float((np.exp(log_p) * (log_p - log_q)).sum(axis=1).mean()),
        expected=100.0 * float(given_up.mean()),
        sqnr=10.0 * math.log10(power / noise) if noise and power else math.inf,
    )


def temperature_of(reference: Evaluation) -> float:
    """What to divide logits by so that probabilities fit the labels best (least log-loss)."""
    read = reference.decoded
    logits, labels = reference.logits[read].astype(np.float64), reference.labels[read]
    rows = np.arange(len(labels))

    def loss(log_temperature: float) -> float:
        scaled = log_softmax(logits / math.exp(log_temperature), axis=1)
        return -float(scaled[rows, labels].mean())

    # Golden section: the log-loss has one minimum in the inverse of the temperature.
    low, high = (math.log(limit) for limit in TEMPERATURES)
    share = (math.sqrt(5) - 1) / 2
    while high - low > 1e-3:
        left, right = high - share * (high - low), low + share * (high - low)
        low, high = (low, right) if loss(left) < loss(right) else (left, high)
    return math.exp((low + high) / 2)


def check_goal(what: str, goal: Goal, found: Score, *, trained: bool = False) -> None:
    """Refuse a network that misses the goal.

    Args:
        what: the artefact.
        goal: the goal.
        found: what became of it.
        trained: it has been through quantisation-aware training.

    Raises:
        GoalError: says by how much, and what to do next.
    """
    if found.reaches(goal):
        return
    least = "" if goal.least is None else f", and at least {goal.least:g} % right"
    raise GoalError(
        f"{what} misses the goal of at most {goal.loss:g} points lost{least}: {found}\n"
        f"  {remedy(trained=trained)}"
    )


def check_loss(what: str, found: Score, *, trained: bool = False) -> None:
    """Refuse a network that is broken, where no goal is set.

    Lost answers tell that where they are more than luck explains (the exact sign test of
    `export.verify.collapse`), and where they were none that nearly tied.

    Args:
        what: the artefact.
        found: what became of it.
        trained: it has been through quantisation-aware training.

    Raises:
        GoalError: says by how much, and what to do next.
    """
    certain = sign_test(found.lost, found.won) < LEVEL
    if certain and found.loss > MOST_LOST and found.expected > MOST_LOST:
        raise GoalError(
            f"{what} loses more than {MOST_LOST:g} points: {found}\n  {remedy(trained=trained)}"
        )


def remedy(*, trained: bool = False) -> str:
    """What to do about accuracy that is lost; arguments as of `check_goal`."""
    if trained:
        return "Train longer (epochs, learning rate in the --qat file), or allow more: --int8-goal"
    return (
        "Quantisation-aware training is next: make qat, or python -m export.qat and then "
        "python -m export --qat FOLDER; or allow more: --int8-goal"
    )
