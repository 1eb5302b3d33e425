"""Start whole networks from checkpoints: a teacher that is to be believed, a student to fine-tune.

Unlike an ImageNet backbone (`train.checkpoints.pretrained`) such a network is taken entirely
or not at
all: a teacher with a single layer of random numbers would teach noise.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from train.checkpoints.checkpoint import (
    CheckpointError,
    load_file,
    model_weights,
    set_weights,
    some,
)
from train.checkpoints.pretrained import Read
from train.config.errors import dotted
from train.config.networks import blocks_of, places_of
from train.config.schema.model import CONNECTORS, STUDENT
from train.distill.recognizers import Recognizer
from train.models import PARTS, sequential_key

PATHS = {new: old for old, new in PARTS.items()}

_CLASSIFIERS = ("backbone.fc", "backbone.out")
"""What the backbones that end in logits call their last layer."""


def load_networks(
    recognizer: Recognizer,
    model: Mapping[str, Any],
    *,
    filled: Mapping[str, Collection[str]] | None = None,
    read: Read = load_file,
) -> list[str]:
    """Fill the networks whose block names a checkpoint in `pretrained`.

    Args:
        recognizer: the networks.
        model: the MODEL block.
        filled: keys of the networks, by role, that have got their weights already.
        read: reads a file.

    Returns:
        One line a network.

    Raises:
        CheckpointError: files that are missing, broken or do not fit entry by entry; networks that
            are frozen, and of which something that the loss reads was not filled.
    """
    lines, problems = [], []
    for role, block in blocks_of(model).items():
        place = dotted((*places_of(model)[role], "pretrained"))
        try:
            if block.get("pretrained"):
                lines.append(_load_network(recognizer, role, block, read))
            elif role in recognizer.frozen:
                _check_filled(recognizer, role, set((filled or {}).get(role, ())))
        except CheckpointError as error:
            problems.append(f"{place}: {error}")
    if problems:
        raise CheckpointError("\n".join(problems))
    return lines


def _load_network(recognizer: Recognizer, role: str, block: Mapping[str, Any], read: Read) -> str:
    path = Path(block["pretrained"])
    whose, weights = network_weights(path, block.get("pretrained_role"), default=role, read=read)
    set_weights(recognizer.networks[role], weights, source=path)
    return f"{role}: all of {whose} from {path}"


def _check_filled(recognizer: Recognizer, role: str, known: Collection[str]) -> None:
    """Nothing that the loss reads of a frozen network may be random."""
    random = [key for key in _needed(recognizer, role) if key not in known]
    if not random:
        return
    what = "random weights"
    if known:
        paths = [PATHS[key[:2]] + key[2:] for key in random]
        what += f" ({len(random)} entries: {some(paths)})"
    raise CheckpointError(
        f"{role} is frozen and has {what}: it would teach noise. Train it first and name its "
        "best.pdparams here"
    )


def _needed(recognizer: Recognizer, role: str) -> list[str]:
    """Keys of a network that what the loss reads of it depends on: all, or those of its layers."""
    keys = list(recognizer.networks[role].state_dict())
    paths = recognizer.tapped(role)
    if recognizer.is_read(role) or any(path.startswith("head") for path in paths):
        return keys
    own = [key for key in keys if key.startswith("0.")]
    if any(path in ("backbone", *_CLASSIFIERS) for path in paths):
        return own
    # Features end before a backbone's own classifier.
    ends = tuple(f"{sequential_key(path)}." for path in _CLASSIFIERS)
    return [key for key in own if not key.startswith(ends)]


def network_weights(
    path: Path, role: str | None, *, default: str = STUDENT, read: Read = load_file
) -> tuple[str, dict[str, Any]]:
    """One network of a checkpoint, by the keys of `Sequential(backbone, head)`.

    Args:
        path: a run's `best.pdparams` or `latest.ckpt`, of one network or of several, or
            PaddleVideo's, whose `*_student.pdparams` have the keys already.
        role: whose weights; None: those of `default` if the file has it, else the Student's.
        default: a role.
        read: reads a file.

    Returns:
        The network's name and its weights.

    Raises:
        CheckpointError: the file is missing or broken, or has no such network.
    """
    weights = model_weights(read(path), source=path)
    if any(key.startswith(tuple(PARTS)) for key in weights):
        if role not in (None, STUDENT):
            raise CheckpointError(f"{path} holds one network, not several with a {role}")
        own = {sequential_key(key): value for key, value in weights.items()}
        return "the network", {key: value for key, value in own.items() if key is not None}
    if all(key.startswith(tuple(PARTS.values())) for key in weights) and role is None:
        return "the network", weights
    found = {key.split(".")[0] for key in weights if key.split(".")[1:2] in (["0"], ["1"])}
    roles = sorted(found - {CONNECTORS})
    whose = role or (default if default in roles else STUDENT)
    if whose not in roles:
        known = ", ".join(roles) or "none"
        raise CheckpointError(f"{path} holds no network {whose}; it holds: {known}")
    prefix = f"{whose}."
    return f"the {whose}", {
        key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)
    }
