"""Take the Student out of a checkpoint, strictly: nothing missing, nothing left over.

A key that does not fit is the sign of a config and a checkpoint that do not belong together. A
network that was filled half from the file and half from random numbers would still run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from paddle import nn

from infer.system.errors import ClipDuetError
from train.config.networks import blocks_of
from train.config.schema.model import CONNECTORS, STUDENT
from train.models import PARTS, build_network

Arrays = dict[str, np.ndarray]

SHOWN = 5
"""Keys of a kind that the message spells out; the rest is counted."""


class StripError(ClipDuetError):
    """A checkpoint that does not hold the Student of the config, and only the roles it names.

    Attributes:
        missing: keys that the Student needs and the file lacks.
        unexpected: keys of the file that belong to no role of the config.
        misshapen: `key: file has [..], the network needs [..]`.
        broken: keys whose values are not all finite.
    """

    def __init__(
        self,
        source: str | Path,
        *,
        missing: Sequence[str] = (),
        unexpected: Sequence[str] = (),
        misshapen: Sequence[str] = (),
        broken: Sequence[str] = (),
        hint: str = "",
    ) -> None:
        self.missing, self.unexpected = list(missing), list(unexpected)
        self.misshapen, self.broken = list(misshapen), list(broken)
        lines = [f"{source} does not hold the network that the config describes"]
        lines += [f"  {hint}"] if hint else []
        for title, keys in (
            ("missing", self.missing),
            ("unexpected", self.unexpected),
            ("wrong shape", self.misshapen),
            ("NaN or infinite values", self.broken),
        ):
            if keys:
                lines.append(f"  {title} ({len(keys)}):")
                lines += [f"    {key}" for key in keys[:SHOWN]]
                lines += [f"    ... and {len(keys) - SHOWN} more"] if len(keys) > SHOWN else []
        super().__init__("\n".join(lines))


@dataclass(frozen=True)
class Stripped:
    """What a checkpoint was made of.

    Attributes:
        network: the Student, `Sequential(backbone, head)` in evaluation mode, filled.
        settings: its `backbone` and `head` blocks.
        others: the networks of the other roles that the file holds in full, filled as well:
            `export.verify.parity` proves that nothing of them is in the artefacts.
        leftovers: tensors that belong to the losses, or to other roles without forming the network
            of the config.
    """

    network: nn.Sequential
    settings: dict[str, Any]
    others: dict[str, nn.Sequential]
    leftovers: Arrays


def strip(weights: Mapping[str, Any], model: Mapping[str, Any], *, source: str | Path) -> Stripped:
    """Build the Student of a MODEL block and fill it from a checkpoint's state dict.

    Args:
        weights: arrays or tensors by PaddleVideo's keys: `backbone.*` and `head.*` for a
            Recognizer2D, `ROLE.0.*` and `ROLE.1.*` for a RecognizerDistillation, whose
            `*_student.pdparams` hold `0.*` and `1.*`.
        model: the config's MODEL block.
        source: the file, for messages.

    Raises:
        StripError: lists every key that is missing, left over, misshapen or not finite.
    """
    blocks = _blocks(model)
    arrays = {key: np.asarray(value) for key, value in weights.items() if hasattr(value, "shape")}
    pair = model["framework"] != "Recognizer2D"
    # What keys of a role begin with in the file, and in its network.
    prefixes = {role: {f"{role}.": ""} if pair else PARTS for role in blocks}
    if all(key.startswith(tuple(PARTS.values())) for key in arrays):
        prefixes[STUDENT] = {"": ""}
    networks = {role: build_network(block) for role, block in blocks.items()}
    expected = {
        role: {_file_key(key, prefixes[role]): list(value.shape) for key, value in state.items()}
        for role, state in ((role, net.state_dict()) for role, net in networks.items())
    }
    own = expected[STUDENT]
    foreign = tuple(p for role, parts in prefixes.items() if role != STUDENT for p in parts)
    if pair:
        # What the losses learnt themselves, connectors and attention, stays behind as teachers do.
        foreign += (f"{CONNECTORS}.",)
    missing = [key for key in own if key not in arrays]
    unexpected = [key for key in arrays if key not in own and not key.startswith(foreign)]
    found = [key for key in own if key in arrays]
    misshapen = [
        f"{key}: the file has {list(arrays[key].shape)}, the network needs {own[key]}"
        for key in found
        if list(arrays[key].shape) != own[key]
    ]
    broken = [key for key in found if not np.isfinite(_float32(arrays[key])).all()]
    if missing or unexpected or misshapen or broken:
        raise StripError(
            source,
            missing=missing,
            unexpected=unexpected,
            misshapen=misshapen,
            broken=broken,
            hint=_hint(arrays, pair=pair, found=found, broken=broken),
        )
    others = {}
    leftovers = {key: value for key, value in arrays.items() if key not in own}
    for role, shapes in expected.items():
        fits = all(key in arrays and list(arrays[key].shape) == shapes[key] for key in shapes)
        if fits:
            _fill(networks[role], arrays, prefixes[role])
            if role != STUDENT:
                others[role] = networks[role]
                leftovers = {k: v for k, v in leftovers.items() if k not in shapes}
    settings = {part: blocks[STUDENT][part] for part in ("backbone", "head")}
    return Stripped(networks[STUDENT], settings, others, leftovers)


def _blocks(model: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The networks' settings by role, in the order of the config; then those of averages."""
    blocks = blocks_of(model)
    averages = model.get("averages") or {}
    blocks |= {name: blocks[block["of"]] for name, block in averages.items()}
    if STUDENT not in blocks:
        raise StripError(
            "The config",
            hint=f"MODEL.models names {', '.join(blocks)}; one of them must be {STUDENT}",
        )
    return blocks


def _file_key(key: str, prefixes: Mapping[str, str]) -> str:
    for in_file, in_network in prefixes.items():
        if key.startswith(in_network):
            return in_file + key[len(in_network) :]
    raise AssertionError(f"{key} is neither of the backbone nor of the head")


def _fill(network: nn.Sequential, arrays: Arrays, prefixes: Mapping[str, str]) -> None:
    state = {key: _float32(arrays[_file_key(key, prefixes)]) for key in network.state_dict()}
    network.set_state_dict(state)
    network.eval()


def _float32(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float32)


def _hint(arrays: Arrays, *, pair: bool, found: Sequence[str], broken: Sequence[str]) -> str:
    if broken:
        return "The training diverged: export an earlier checkpoint."
    roles = sorted({key.split(".")[0] for key in arrays if key.split(".")[1:2] in (["0"], ["1"])})
    if pair and any(key.startswith(tuple(PARTS)) for key in arrays):
        return "The checkpoint is that of one network (Recognizer2D), the config that of several."
    if not pair and roles:
        return (
            f"The checkpoint is that of several networks ({', '.join(roles)}), "
            "the config that of one (Recognizer2D)."
        )
    if not found and roles:
        return f"The file holds {', '.join(roles)}, but no {STUDENT}."
    return (
        "Config and checkpoint do not belong together: pass the config (and the overrides) that "
        "the run was started with."
    )
