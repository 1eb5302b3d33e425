"""Start from other people's weights, and say exactly what was taken from them.

`MODEL...backbone.pretrained` fills one backbone, `weights` whole networks, heads included.
A file may hold the networks of a PaddleVideo training, those of a run here (the keys are the
same), or an ImageNet network of PaddleClas. What it calls its entries is found out by trying.
`imagenet` and `embedded` name weights without a file (`train.config.weights_by_name`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from paddle import nn

from train.checkpoints.checkpoint import CheckpointError, load_file, model_weights, some
from train.checkpoints.weights_files import weights_file
from train.config.errors import dotted
from train.config.networks import blocks_of, places_of
from train.config.weights_by_name import NAMES, named_weights
from train.distill.recognizers import STUDENT, Recognizer
from train.models import sequential_key
from train.models.resnet_tweaks_tsm import BLOCKS, block_name

LEAST_MATCH = 0.5
"""Share of a network's entries that a file must fill: less is some other network's."""

Weights = Mapping[str, Any]
Read = Callable[[Path], Any]
Reading = Callable[[str], str | None]
"""From a key of the file to the key of `Sequential(backbone, head)`, or None."""


@dataclass(frozen=True)
class Loaded:
    """What a file gave to one network or backbone, by the keys of what it was given to.

    Attributes:
        source: the file.
        loaded: entries that were filled.
        reshaped: entries that kept their initial values because the file's have other shapes,
            such as a classifier for other classes: `key [file's], not [own]`.
        new: entries that the file lacks; they kept their initial values too.
        left_over: keys of the file that were not used.
        name: what the config calls weights that it names without a file.
    """

    source: Path
    loaded: tuple[str, ...]
    reshaped: tuple[str, ...]
    new: tuple[str, ...]
    left_over: tuple[str, ...]
    name: str = ""

    def __str__(self) -> str:
        if not self.loaded:
            return f"nothing in {self.source}; it keeps its initial values"
        wanted = len(self.loaded) + len(self.reshaped) + len(self.new)
        source = f"{self.name} ({self.source})" if self.name else str(self.source)
        parts = [f"{len(self.loaded)} of {wanted} entries from {source}"]
        for title, keys in (
            ("other shape, left out", self.reshaped),
            ("new", self.new),
            ("not used", self.left_over),
        ):
            if keys:
                parts.append(f"{title} ({len(keys)}): {some(keys)}")
        return "; ".join(parts)


def load_pretrained(
    recognizer: Recognizer, model: Mapping[str, Any], *, read: Read = load_file
) -> dict[str, Loaded]:
    """Load the `pretrained` file of every backbone that names one.

    Args:
        recognizer: the networks.
        model: the MODEL block.
        read: reads a file.

    Returns:
        By role what was loaded and what was left out, of the networks that have such a file.

    Raises:
        CheckpointError: files that are missing or broken, or fit little of their backbones.
    """
    found, problems, places = {}, [], places_of(model)
    for role, block in blocks_of(model).items():
        name = (block["backbone"].get("pretrained") or "").strip()
        if not name:
            continue
        path, depth = Path(name), block["backbone"].get("depth")
        readings = [*_recogniser_readings(role), *_imagenet_readings(depth)]
        title = ""
        try:
            if name in NAMES:
                named = named_weights(name, block["backbone"])
                path, title = weights_file(named), f"{name}: {named.title}"
            weights = model_weights(read(path), source=path)
            backbone = recognizer.networks[role][0]
            filled = _fill(backbone, weights, readings, prefix="0.", source=path)
            found[role] = replace(filled, name=title)
        except CheckpointError as error:
            problems.append(f"{dotted((*places[role], 'backbone', 'pretrained'))}: {error}")
    if problems:
        raise CheckpointError("\n".join(problems))
    return found


def load_weights(
    recognizer: Recognizer, path: Path, *, read: Read = load_file
) -> dict[str, Loaded]:
    """Fill whole networks, heads included, from a checkpoint of a recogniser.

    A checkpoint of one network fills the Student; the others then keep their values.

    Returns:
        By role what was loaded, of all networks.

    Raises:
        CheckpointError: the file is missing or broken, or fits little of a network.
    """
    weights = model_weights(read(path), source=path)
    found = {}
    for role, network in recognizer.networks.items():
        if role in recognizer.averages:
            continue  # It begins as what it follows.
        others = tuple(f"{name}." for name in recognizer.roles if name != role)
        mine = {key: value for key, value in weights.items() if not key.startswith(others)}
        if role != STUDENT:
            mine = {key: value for key, value in mine.items() if key.startswith(f"{role}.")}
        if mine or role == STUDENT:
            found[role] = _fill(network, mine, _recogniser_readings(role), prefix="", source=path)
        else:
            found[role] = Loaded(path, (), (), tuple(network.state_dict()), ())
    return found


def _fill(
    layer: nn.Layer, weights: Weights, readings: Sequence[Reading], *, prefix: str, source: Path
) -> Loaded:
    """Fill a layer, whose keys lack `prefix`, by the reading of the file that fits most of it."""
    own = layer.state_dict()

    def read(reading: Reading) -> dict[str, str]:
        """The file's keys by the layer's."""
        named = ((reading(key), key) for key in weights)
        return {
            new.removeprefix(prefix): key
            for new, key in named
            if new is not None and new.startswith(prefix)
        }

    def fits(names: Mapping[str, str]) -> list[str]:
        shape = {key: list(weights[name].shape) for key, name in names.items() if key in own}
        return [key for key in own if shape.get(key) == list(own[key].shape)]

    names = max((read(reading) for reading in readings), key=lambda names: len(fits(names)))
    loaded = fits(names)
    new = [key for key in own if key not in names]
    if len(loaded) < LEAST_MATCH * len(own):
        raise CheckpointError(
            f"{source} fills {len(loaded)} of {len(own)} entries: it belongs to another network. "
            f"Entries without a match begin with {some(new)}; the file has {some(list(weights))}"
        )
    for key in loaded:
        own[key].set_value(np.asarray(weights[names[key]], dtype=np.float32))
    used = {names[key] for key in own if key in names}
    return Loaded(
        source=source,
        loaded=tuple(loaded),
        reshaped=tuple(
            f"{key} {list(weights[names[key]].shape)}, not {list(own[key].shape)}"
            for key in own
            if key in names and key not in loaded
        ),
        new=tuple(new),
        left_over=tuple(key for key in weights if key not in used),
    )


def _recogniser_readings(role: str) -> list[Reading]:
    """Checkpoints of several networks, of one, and PaddleVideo's `*_student.pdparams`."""

    def own(key: str) -> str | None:
        return key.removeprefix(f"{role}.") if key.startswith(f"{role}.") else None

    return [own, sequential_key, lambda key: key]


def _imagenet_readings(depth: int | None) -> Iterator[Reading]:
    """A backbone alone, under its own keys or under those of PaddleClas's ResNets since 2.1."""
    yield lambda key: f"0.{key}"
    if depth is None:
        return
    names = [block_name(depth, stage, i) for stage, n in enumerate(BLOCKS[depth]) for i in range(n)]
    parts = {"conv": "_conv", "bn": "_batch_norm"}

    def paddleclas(key: str) -> str | None:
        if stem := re.fullmatch(r"stem\.([0-2])\.(conv|bn)\.(\w+)", key):
            return f"0.conv1_{int(stem[1]) + 1}.{parts[stem[2]]}.{stem[3]}"
        block = re.fullmatch(r"blocks\.(\d+)\.(conv\d|short)\.(conv|bn)\.(\w+)", key)
        if block and int(block[1]) < len(names):
            return f"0.{names[int(block[1])]}.{block[2]}.{parts[block[3]]}.{block[4]}"
        return None

    def paddleclas_2_0(key: str) -> str | None:
        """Shallow ResNets called their blocks as deep ones do."""
        block = re.fullmatch(r"bb_(\d)_(\d+)\.(.+)", key)
        if block is None:
            return f"0.{key}"
        return f"0.{block_name(depth, int(block[1]), int(block[2]))}.{block[3]}"

    yield paddleclas
    yield paddleclas_2_0
