"""Prove that what is shipped computes what was trained, before anybody relies on it.

The reference is the trained network itself, unfused, in Paddle's dynamic graph, one clip at a
time. Differences are measured against the largest logit: that is what decides between classes.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import paddle
from paddle import nn

from export.fuse import fuse
from infer.errors import ClipDuetError
from train.evaluate import Evaluation

Run = Callable[[np.ndarray], np.ndarray]

TOLERANCE = 1e-4
"""Largest allowed difference of two fp32 logits, as a share of the largest |logit|. Sums in
another order differ by about 1e-6; a wrong node, slope or padding by far more than 1e-3."""

TOLERANCE_FP16 = 0.01
"""The same for float16, whose numbers have 11 bits: a rounding is up to 5e-4 of a value, in every
layer. Networks of up to 55 convolutions and random weights differ by 0.001 of the largest logit."""

BATCH_TOLERANCE_INT8 = 0.05
"""The same for a quantised network and itself on another batch: where a sum in another order
falls on the other side of a rounding, that is one step of 256 in one of many activations."""


class VerificationError(ClipDuetError):
    """An artefact does not compute what the trained network computes."""

    exit_status = 1


@dataclass(frozen=True)
class Gap:
    """How far two sets of logits are apart.

    Attributes:
        largest: largest |difference|.
        share: that, divided by the largest |logit| of the reference.
        worst: index of the clip where it occurs.
    """

    largest: float
    share: float
    worst: int


def gap(reference: np.ndarray, found: np.ndarray) -> Gap:
    """Compare logits ``[n, classes]``; NaN and infinity in ``found`` count as infinitely far."""
    difference = np.abs(found.astype(np.float64) - reference.astype(np.float64)).max(axis=1)
    difference = np.where(np.isfinite(difference), difference, np.inf)
    worst = int(difference.argmax())
    largest = float(difference[worst])
    scale = float(np.abs(reference).max()) or 1.0
    return Gap(largest, largest / scale, worst)


def compare(
    what: str,
    reference: np.ndarray,
    found: np.ndarray,
    *,
    clips: Sequence[str],
    tolerance: float = TOLERANCE,
) -> Gap:
    """Compare logits ``[n, classes]`` and refuse what is too far away.

    Args:
        what: which network, runtime and batch ``found`` comes from.
        reference: logits of the trained network.
        found: logits to be judged.
        clips: path of each row.
        tolerance: as a share of the largest |logit|.

    Raises:
        VerificationError: says shapes, tolerance, worst clip and what to do next.
    """
    if found.shape != reference.shape:
        raise VerificationError(
            f"{what} returns logits of shape {list(found.shape)}, the trained network "
            f"{list(reference.shape)}\n{_NEXT}"
        )
    result = gap(reference, found)
    if not result.share <= tolerance:
        row = result.worst
        raise VerificationError(
            f"{what} does not compute what the trained network computes\n"
            f"  logits {list(reference.shape)} differ by up to {result.largest:.3g}, which is "
            f"{result.share:.3g} of the largest logit (allowed: {tolerance:.3g})\n"
            f"  worst clip: {clips[row]}\n"
            f"    trained network: {_row(reference[row])}\n"
            f"    found:           {_row(found[row])}\n{_NEXT}"
        )
    return result


_NEXT = (
    "  Nothing was written. Check that the versions are those of constraints.txt; if they are, "
    "this is a bug of the export: please report it with this message and the config."
)


def _row(values: np.ndarray) -> str:
    shown = " ".join(f"{value:.5g}" for value in values[:8])
    return f"{shown} ..." if len(values) > 8 else shown


def dynamic(net: nn.Layer) -> Run:
    """A network in Paddle's dynamic graph as a function of uint8 clips ``[n, T, H, W, 3]``."""
    net.eval()

    def run(clips: np.ndarray) -> np.ndarray:
        with paddle.no_grad():
            logits: np.ndarray = net(paddle.to_tensor(clips)).numpy()
        return logits

    return run


def check_fusion(student: nn.Sequential, fused: nn.Sequential, frames: paddle.Tensor) -> Gap:
    """Fused and unfused agree, with the trained and with randomised batch norms.

    A fresh batch norm, mean 0 and variance 1, hides most mistakes of a fold; so do the gentle
    statistics of a network that has hardly trained.

    Args:
        student: the unfused network.
        fused: what :func:`export.fuse.fuse` made of it.
        frames: float32 ``[N * T, 3, H, W]``, normalised.

    Returns:
        The larger gap of the two comparisons.

    Raises:
        VerificationError: they do not agree.
    """
    shaken = copy.deepcopy(student)
    randomise(shaken, seed=0)
    shaken.eval()
    cases = (("", student, fused), (" with randomised batch norms", shaken, fuse(shaken)))
    gaps = []
    for note, plain, folded in cases:
        with paddle.no_grad():
            reference, found = plain(frames).numpy(), folded(frames).numpy()
        names = [f"number {index} of the validation list" for index in range(len(reference))]
        gaps.append(compare(f"The fused network{note}", reference, found, clips=names))
    return max(gaps, key=lambda g: g.share)


def randomise(network: nn.Layer, *, seed: int) -> None:
    """Give every batch norm other statistics, and every bias that is a parameter other values."""
    rng = np.random.default_rng(seed)
    for layer in network.sublayers():
        if isinstance(layer, nn.BatchNorm2D):
            size = layer.weight.shape
            for tensor, values in (
                (layer.weight, rng.uniform(0.5, 1.5, size)),
                (layer.bias, rng.normal(0, 0.1, size)),
                (layer._mean, rng.normal(0, 0.1, size)),
                (layer._variance, rng.uniform(0.5, 1.5, size)),
            ):
                tensor.set_value(values.astype(np.float32))


def check_batches(
    runtimes: dict[str, Run],
    reference: Run,
    clips: np.ndarray,
    *,
    paths: Sequence[str],
    batch_sizes: Sequence[int],
    tolerance: float = TOLERANCE,
) -> dict[str, Gap]:
    """Every runtime agrees with the reference at every batch size, and with itself alone.

    Args:
        runtimes: functions of clips, by the name that messages use.
        reference: the trained network.
        clips: uint8 ``[n, T, H, W, 3]``; larger batches repeat them.
        paths: path of each clip.
        batch_sizes: sizes to try.
        tolerance: as a share of the largest |logit|.

    Returns:
        The largest gap, by runtime.

    Raises:
        VerificationError: a runtime differs, or a clip gives something else within a batch.
    """
    alone = np.concatenate([reference(clip[None]) for clip in clips])
    found = {}
    for name, run in runtimes.items():
        own = np.concatenate([run(clip[None]) for clip in clips])
        gaps = [compare(f"{name} on one clip", alone, own, clips=paths, tolerance=tolerance)]
        for size in batch_sizes:
            members = [index % len(clips) for index in range(size)]
            logits = run(np.ascontiguousarray(clips[members]))
            names = [paths[index] for index in members]
            pairs = (
                (f"{name} on a batch of {size}", alone),
                (f"{name} on a clip within a batch of {size}, compared with it alone,", own),
            )
            gaps += [
                compare(what, expected[members], logits, clips=names, tolerance=tolerance)
                for what, expected in pairs
            ]
        found[name] = max(gaps, key=lambda g: g.share)
    return found


def check_answers(
    what: str, reference: Evaluation, found: Evaluation, *, tolerance: float = TOLERANCE
) -> dict[str, Any]:
    """The same accuracy: an answer may differ only where two classes tie within the tolerance.

    Args:
        what: which artefact and runtime, for messages.
        reference: of the trained network.
        found: of the artefact.
        tolerance: of logits, as a share of the largest.

    Returns:
        Largest difference and share of clips with the same answer, for ``bundle.json``.

    Raises:
        VerificationError: logits or answers differ.
    """
    read = reference.decoded
    if not read.any():
        path, reason = reference.failed[0]
        raise VerificationError(
            "no clip of the validation list can be read, so nothing can be verified; the first: "
            f"{path}: {reason}"
        )
    paths = [path for path, good in zip(reference.paths, read, strict=True) if good]
    here = reference.logits[read], found.logits[read]
    result = compare(f"{what} on the validation list", *here, clips=paths, tolerance=tolerance)
    margin = 2 * tolerance * float(np.abs(here[0]).max())
    best = np.sort(here[0], axis=1)
    # The only class of a network with one class is always right.
    tied = best[:, -1] - best[:, -2] <= margin if best.shape[1] > 1 else np.ones(len(best), bool)
    differ = here[0].argmax(axis=1) != here[1].argmax(axis=1)
    if (differ & ~tied).any():
        row = int(np.flatnonzero(differ & ~tied)[0])
        raise VerificationError(
            f"{what} answers {int(here[1][row].argmax())} instead of "
            f"{int(here[0][row].argmax())} on {paths[row]}; top-1 {found.top1:.4f} instead of "
            f"{reference.top1:.4f}\n{_NEXT}"
        )
    return {"max_difference": result.largest, "max_share": result.share, **agreement(*here)}


def agreement(reference: np.ndarray, found: np.ndarray) -> dict[str, float]:
    """Share of clips ``[n, classes]`` with the same answer."""
    return {"top1_agreement": float((reference.argmax(axis=1) == found.argmax(axis=1)).mean())}
