"""Settings for a set of clips and a machine, each with its reason."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata

import numpy as np

from infer.system import hardware
from train.config.weights_by_name import EMBEDDED, IMAGENET
from train.data.balance import epoch_length, unequal_classes
from train.data.loader import batches_in_epoch
from train.init.look import Look
from train.init.networks import NONE, Machine, Networks, networks_of

SIDES = (224, 160, 112, 96, 64, 48, 32)
"""Input sizes to choose from, in pixels."""
STEPS = 1000
"""Steps that a small network takes to learn a small set."""
EPOCHS = (15, 60)
_OPPOSITES = (("left", "right"), ("clockwise", "counterclockwise"), ("cw", "ccw"))
_WORDS = re.compile(r"([A-Z][a-z]+|[A-Z]+|[a-z]+)")


@dataclass(frozen=True)
class Choices:
    """Settings; `reasons` has one line for each that is not the same for every set."""

    start: str
    num_seg: int
    balance: float
    short_size: int
    crop: int
    batch_size: int
    epochs: int
    rate: float
    num_workers: int
    cache: bool
    flip: bool
    label_flip: str | dict[str, str]
    networks: Networks
    reasons: dict[str, str]


def this_machine() -> Machine:
    """What this process can train on."""
    try:
        metadata.version("paddlepaddle-gpu")
        gpu = bool(hardware.nvidia_gpus().found)
    except metadata.PackageNotFoundError:
        gpu = False
    return Machine(hardware.cores(), gpu, hardware.memory_bytes() or 0)


def choose(
    looks: Sequence[Look],
    counts: Sequence[int],
    classes: Sequence[str],
    machine: Machine,
    *,
    start: str = NONE,
) -> Choices:
    """Choose settings.

    Args:
        looks: all clips that can be read.
        counts: how many clips of each class are for training.
        classes: their names.
        machine: what trains.
        start: what the networks begin with, one of `STARTS`.
    """
    reasons: dict[str, str] = {}
    balance, reasons["balance"] = _balance(counts, classes)
    labels = np.repeat(np.arange(len(counts)), counts)
    training = epoch_length(labels, balance)
    num_seg, reasons["num_seg"] = _sampling(looks)
    crop, reasons["crop"] = _side(looks, training, machine, start)
    short = 8 * -(-9 * crop // 64)
    batch = max(1, min((16 if training < 500 else 32) if machine.gpu else 8, training // 2))
    steps = batches_in_epoch(training, batch_size=batch, drop_last=True)
    reasons["batch_size"] = (
        f"{training} training clips an epoch make {steps} steps; more clips a step would be fewer "
        "steps"
    )
    epochs = int(np.clip(round(STEPS / steps), *EPOCHS))
    reasons["epochs"] = f"{epochs * steps} steps; the best epoch by the validation list is kept"
    workers = 0 if machine.cores < 2 else min(machine.cores // 2, 8)
    reasons["num_workers"] = f"threads that read clips; this machine has {machine.cores} cores"
    cache, reasons["cache"] = _cache(looks, short, machine)
    flip, reasons["label_flip"] = flip_rule(classes)
    networks, reasons["networks"] = networks_of(start, crop, training, machine)
    rate = {8: 1.5e-3, 16: 2e-3, 32: 3e-3}.get(batch, 1e-3)
    reasons["rate"] = ""
    if start == IMAGENET:
        rate *= 0.2
        reasons["rate"] = "lower than for random weights, so that what they know is kept at first"
    return Choices(
        start=start,
        num_seg=num_seg,
        balance=balance,
        short_size=short,
        crop=crop,
        batch_size=batch,
        epochs=epochs,
        rate=rate,
        num_workers=workers,
        cache=cache,
        flip=flip != "forbidden",
        label_flip=flip,
        networks=networks,
        reasons=reasons,
    )


def flip_rule(classes: Sequence[str]) -> tuple[str | dict[str, str], str]:
    """What mirroring makes of a label, by the names of the classes, and why."""
    words = {name: [word.lower() for word in _WORDS.split(name)] for name in classes}
    mirrored = {name: "".join(map(_opposite, parts)) for name, parts in words.items()}
    sided = [name for name in classes if mirrored[name] != name.lower()]
    if not sided:
        what = "no class name says left or right; set forbidden if a mirrored clip is another class"
        return "allowed", what
    known = {name.lower(): name for name in classes}
    if all(mirrored[name] in known for name in sided):
        pairs = {name: known[mirrored[name]] for name in sided}
        return pairs, "mirroring swaps these classes, as their names say"
    alone = next(name for name in sided if mirrored[name] not in known)
    return (
        "forbidden",
        f"{alone} has a side and there is no class for the other: nothing is mirrored",
    )


def _opposite(word: str) -> str:
    for one, other in _OPPOSITES:
        if word in (one, other):
            return other if word == one else one
    return word


def _balance(counts: Sequence[int], classes: Sequence[str]) -> tuple[float, str]:
    unequal = unequal_classes(counts)
    if unequal is None:
        return 0.0, ""
    many, few = unequal
    told = f"{classes[many]} has {counts[many]} training clips, {classes[few]} {counts[few]}"
    return 0.5, f"balance: {told}: clips of rare classes come more than once an epoch"


def _sampling(looks: Sequence[Look]) -> tuple[int, str]:
    frames = np.array([look.frames for look in looks])
    seconds = [look.seconds for look in looks if look.seconds is not None]
    length = f"{np.median(seconds):.1f} s" if seconds else "of unknown length"
    median = int(np.median(frames))
    if median < 8:
        return 4, f"frames a clip, over all of it; half of the clips have {median} frames or fewer"
    return 8, f"frames a clip, spread over all of it; the median clip is {length}, {median} frames"


def _side(looks: Sequence[Look], training: int, machine: Machine, start: str) -> tuple[int, str]:
    side = int(np.median([min(look.width, look.height) for look in looks]))
    most, why = 224, "the size of the public recipe"
    if not machine.gpu:
        most = 112 if machine.cores >= 16 else 96 if training <= 1000 else 64
        why = f"{machine.cores} cores train it in reasonable time; cost grows with its square"
    if start == EMBEDDED and most > 64:
        most, why = 64, "not far from the 48 pixels of the clips that the weights were learnt from"
    crop = next((size for size in SIDES if size <= min(most, side)), SIDES[-1])
    if side < most:
        why = f"clips are {side} pixels on their short side, and more would add nothing"
    return crop, why


def _cache(looks: Sequence[Look], short: int, machine: Machine) -> tuple[bool, str]:
    """Training keeps all frames of a clip, scaled."""
    pixels = sum(
        look.frames * short**2 * max(look.width, look.height) / max(min(look.width, look.height), 1)
        for look in looks
    )
    size = 3 * pixels / 2**30
    fits = 3 * pixels < machine.memory / 4
    told = f"all clips, decoded and scaled, take {size:.1f} GiB of {machine.memory / 2**30:.0f}"
    return fits, told + ("" if fits else ": every epoch decodes them again")
