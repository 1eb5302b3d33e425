"""Prove that what is shipped computes what was trained, before anybody relies on it.

The reference is the trained network itself, unfused, in Paddle's dynamic graph, one clip at a
time. Differences are measured against the largest logit of all clips that are verified: rounding
makes errors of one size on all of them, and a clip whose own logits are small tells nothing.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import paddle
from paddle import nn

from export.network.fuse import fuse
from export.verify.limits import FLOAT32, Tolerance
from infer.system.errors import ClipDuetError
from train.evaluation.evaluate import Evaluation

Run = Callable[[np.ndarray], np.ndarray]


class VerificationError(ClipDuetError):
    """An artefact does not compute what the trained network computes."""

    exit_status = 1


@dataclass(frozen=True)
class Gap:
    """How far two sets of logits are apart.

    Attributes:
        largest: largest |difference|.
        share: that, divided by the largest |logit|.
        typical: root mean square of each clip's largest |difference|, divided by the same.
        worst: index of the clip with the largest.
    """

    largest: float
    share: float
    typical: float
    worst: int


def gap(reference: np.ndarray, found: np.ndarray, *, scale: float | None = None) -> Gap:
    """Compare logits `[n, classes]`; NaN and infinity in `found` count as infinitely far.

    Args:
        reference: logits of the trained network.
        found: logits to be judged.
        scale: what differences are a share of; None: the largest |logit| of `reference`.
    """
    difference = np.abs(found.astype(np.float64) - reference.astype(np.float64)).max(axis=1)
    difference = np.where(np.isfinite(difference), difference, np.inf)
    worst = int(difference.argmax())
    largest = float(difference[worst])
    scale = scale or float(np.abs(reference).max()) or 1.0
    typical = float(np.sqrt(np.square(difference).mean()))
    return Gap(largest, largest / scale, typical / scale, worst)


def check_logits(
    what: str,
    reference: np.ndarray,
    found: np.ndarray,
    *,
    clips: Sequence[str],
    limits: Tolerance = FLOAT32,
    scale: float | None = None,
) -> Gap:
    """Compare logits `[n, classes]` and refuse what is too far away, or answers otherwise.

    Args:
        what: which network, runtime and batch `found` comes from.
        reference: logits of the trained network.
        found: logits to be judged.
        clips: path of each row.
        limits: what rounding explains.
        scale: the largest |logit| of all verified clips; None: of these.

    Raises:
        VerificationError: says shapes, limits, worst clip and what to do next.
    """
    if found.shape != reference.shape:
        raise VerificationError(
            f"{what} returns logits of shape {list(found.shape)}, the trained network "
            f"{list(reference.shape)}\n  {_BUG}"
        )
    scale = scale or float(np.abs(reference).max()) or 1.0
    result = gap(reference, found, scale=scale)
    turned = _turned(reference, found, margin=2 * limits.typical * scale)
    if result.share <= limits.largest and result.typical <= limits.typical and not turned:
        return result
    row = turned[0] if turned else result.worst
    bug = limits.bug is not None and result.share > limits.bug
    lines = [
        f"{what} does not compute what the trained network computes",
        f"  logits {list(reference.shape)} differ by up to {result.largest:.3g}, which is "
        f"{result.share:.3g} of the largest logit of all verified clips "
        f"(allowed: {limits.largest:.3g}); typically by {result.typical:.3g} of it "
        f"(allowed: {limits.typical:.3g})",
        f"  answers that differ though the best two logits do not nearly tie: {len(turned)} of "
        f"{len(reference)}",
        f"  worst clip: {clips[row]}",
        f"    trained network: {_row(reference[row])}",
        f"    found:           {_row(found[row])}",
        f"  {_BUG if bug else limits.remedy}",
    ]
    raise VerificationError("\n".join(lines))


def _turned(reference: np.ndarray, found: np.ndarray, *, margin: float) -> list[int]:
    """Clips with another answer, where the reference's best two logits are further apart."""
    # The only class of a network with one class is always right.
    if reference.shape[1] < 2:
        return []
    best = np.sort(reference, axis=1)
    differ = reference.argmax(axis=1) != found.argmax(axis=1)
    return [int(row) for row in np.flatnonzero(differ & (best[:, -1] - best[:, -2] > margin))]


_BUG = (
    "Check that the versions are those of constraints.txt; if they are, this is a bug of the "
    "export: please report it with this message and the config."
)


def _row(values: np.ndarray) -> str:
    shown = " ".join(f"{value:.5g}" for value in values[:8])
    return f"{shown} ..." if len(values) > 8 else shown


def dynamic(net: nn.Layer) -> Run:
    """A network in Paddle's dynamic graph as a function of uint8 clips `[n, T, H, W, 3]`."""
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
        fused: what `export.network.fuse.fuse` made of it.
        frames: float32 `[N * T, 3, H, W]`, normalised.

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
        gaps.append(check_logits(f"The fused network{note}", reference, found, clips=names))
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
    what: str,
    run: Run,
    alone: np.ndarray | None,
    clips: np.ndarray,
    *,
    paths: Sequence[str],
    batch_sizes: Sequence[int],
    limits: Tolerance,
    scale: float,
) -> Gap:
    """A runtime agrees with the reference at every batch size, and with itself alone.

    Args:
        what: the name that messages use.
        run: the runtime.
        alone: the trained network's logits of each clip alone; None: only the runtime itself is
            compared.
        clips: uint8 `[n, T, H, W, 3]`; larger batches repeat them.
        paths: path of each clip.
        batch_sizes: sizes to try.
        limits: what rounding explains.
        scale: the largest |logit| of all verified clips.

    Returns:
        The largest gap.

    Raises:
        VerificationError: the runtime differs, or a clip gives something else within a batch.
    """
    own = np.concatenate([run(clip[None]) for clip in clips])
    gaps = []

    def look(where: str, expected: np.ndarray, logits: np.ndarray, names: Sequence[str]) -> None:
        gaps.append(
            check_logits(
                f"{what} {where}", expected, logits, clips=names, limits=limits, scale=scale
            )
        )

    if alone is not None:
        look("on one clip", alone, own, paths)
    for size in batch_sizes:
        members = [index % len(clips) for index in range(size)]
        logits = run(np.ascontiguousarray(clips[members]))
        names = [paths[index] for index in members]
        if alone is not None:
            look(f"on a batch of {size}", alone[members], logits, names)
        within = f"on a clip within a batch of {size}, compared with it alone,"
        look(within, own[members], logits, names)
    return max(gaps, key=lambda g: g.share)


def check_answers(
    what: str, reference: Evaluation, found: Evaluation, *, limits: Tolerance = FLOAT32
) -> dict[str, Any]:
    """The same accuracy: an answer may differ only where two classes nearly tie.

    Args:
        what: which artefact and runtime, for messages.
        reference: of the trained network; some of its clips could be read.
        found: of the artefact.
        limits: what rounding explains.

    Returns:
        Largest and typical difference and share of clips with the same answer, for
        `bundle.json`.

    Raises:
        VerificationError: logits or answers differ.
    """
    read = reference.decoded
    paths = [path for path, good in zip(reference.paths, read, strict=True) if good]
    here = reference.logits[read], found.logits[read]
    result = check_logits(f"{what} on the validation list", *here, clips=paths, limits=limits)
    return {
        "max_difference": result.largest,
        "max_share": result.share,
        "typical_share": result.typical,
        **top1_agreement(*here),
    }


def top1_agreement(reference: np.ndarray, found: np.ndarray) -> dict[str, float]:
    """Share of clips `[n, classes]` with the same answer."""
    return {"top1_agreement": float((reference.argmax(axis=1) == found.argmax(axis=1)).mean())}
