"""Prove where every number in an artefact comes from: the Student, all of it, and nobody else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import onnx
import paddle
from onnx import numpy_helper

from export.network.convert import PADDLE_STEM
from export.verify.parity import VerificationError

Arrays = Mapping[str, np.ndarray]

MOVED = 0.5
"""How far a fine-tune may move a weight, as a share of its norm: others' weights are 1.4 away."""

QUANTIZED = "_quantized"
"""The suffix of the name of a tensor that `export.int8.qdq` has rounded."""


def check_origin(what: str, tensors: Arrays, own: Arrays, foreign: Arrays) -> int:
    """Every float tensor is one of `own`, every one of `own` is there, none is `foreign`.

    Tensors are compared by content: names, a transposition and added axes of length 1 do not
    matter. Single numbers, which a converter may add, are not looked at.

    Args:
        what: the artefact, for messages.
        tensors: the artefact's tensors by name.
        own: the fused Student's.
        foreign: tensors of the checkpoint's other networks.

    Returns:
        How many numbers the Student's tensors hold.

    Raises:
        VerificationError: names the tensors that are wrong here, or lacking.
    """
    mine = {_content(value): name for name, value in own.items()}
    theirs = {_content(value): name for name, value in foreign.items()}
    found, strange = set(), []
    for name, value in tensors.items():
        if value.dtype.kind != "f" or value.size == 1:
            continue
        match = next((c for c in _layouts(value) if c in mine), None)
        if match is not None:
            found.add(match)
            continue
        whose = next((theirs[c] for c in _layouts(value) if c in theirs), "no network")
        strange.append(f"{name} {list(value.shape)} belongs to {whose}")
    lacking = [
        f"{name} {list(own[name].shape)} is not in it"
        for content, name in mine.items()
        # A bias that is zero everywhere is an addition that a simplifier leaves out.
        if content not in found and own[name].size > 1 and own[name].any()
    ]
    _raise_if(what, strange + lacking)
    return sum(value.size for value in own.values())


def check_distinct(own: Arrays, raw: Arrays, foreign: Arrays) -> None:
    """No tensor of the fused Student is another network's.

    Tensors that the checkpoint's Student shares with the others anyway, such as biases that are
    still zero, are no evidence and are left out.

    Raises:
        VerificationError: names them.
    """
    common = {_content(value) for value in raw.values()}
    theirs = {_content(v): n for n, v in foreign.items() if not _trivial(v)}
    wrong = [
        f"{name} {list(value.shape)} is {theirs[content]}"
        for name, value in own.items()
        if (content := _content(value)) in theirs and content not in common
    ]
    _raise_if("The fused network", wrong)


def check_half_origin(what: str, tensors: Arrays, own: Arrays, foreign: Arrays) -> int:
    """As `check_origin`, where an artefact's float16 tensors are `own`, rounded.

    Args:
        what: the artefact, for messages.
        tensors: its tensors by name; those of float32 were not rounded.
        own: the fused Student's.
        foreign: tensors of the checkpoint's other networks.
    """
    wide = {name for name, value in tensors.items() if value.dtype == np.float32}
    rounded = {n: v if n in wide else v.astype(np.float16) for n, v in own.items()}
    return check_origin(what, tensors, rounded, foreign)


def check_quantized_origin(what: str, tensors: Arrays, own: Arrays) -> None:
    """Every rounded tensor is one of `own` to within half a step.

    Args:
        what: the artefact, for messages.
        tensors: its tensors by name: `X_quantized` with `X_scale` or `X_quantized_scale`.
        own: the fused Student's, by the names of the fp32 artefact.

    Raises:
        VerificationError: names the tensors that are not.
    """
    wrong = []
    for name, value in tensors.items():
        if not name.endswith(QUANTIZED):
            continue
        key = name.removesuffix(QUANTIZED)
        scale = tensors.get(f"{name}_scale", tensors.get(f"{key}_scale"))
        if key not in own or scale is None or own[key].size != value.size:
            wrong.append(f"{name} {list(value.shape)} belongs to no tensor of the network")
            continue
        step = _per_channel(scale.astype(np.float64), value)
        zero = tensors.get(f"{key}_zero_point", np.zeros(1))
        levels = value.astype(np.float64) - _per_channel(zero.astype(np.float64), value)
        off = np.abs(levels * step - own[key].reshape(value.shape))
        if (off > 0.501 * step + 1e-7).any():
            wrong.append(f"{name} {list(value.shape)} is not {key}, rounded")
    _raise_if(what, wrong)


def check_trained_origin(what: str, tensors: Arrays, own: Arrays) -> None:
    """Every rounded tensor is one of `own` that a fine-tune has moved a little.

    Args:
        what: the artefact, for messages.
        tensors: its tensors by name, see `check_quantized_origin`.
        own: the fused Student's before the fine-tune.

    Raises:
        VerificationError: names the tensors that are not.
    """
    wrong, far = [], []
    for name, value in tensors.items():
        key = name.removesuffix(QUANTIZED)
        if not name.endswith(QUANTIZED) or value.dtype != np.int8 or not key.endswith(".weight"):
            continue
        if key not in own or own[key].size != value.size:
            wrong.append(f"{name} {list(value.shape)} belongs to no tensor of the network")
            continue
        step = _per_channel(tensors[f"{key}_scale"].astype(np.float64), value)
        before = own[key].reshape(value.shape).astype(np.float64)
        moved = float(np.linalg.norm(value * step - before) / (np.linalg.norm(before) or 1.0))
        if moved > MOVED:
            far.append(f"{name} {list(value.shape)} is {moved:.0%} away from {key}")
    _raise_if(what, wrong)
    if far:
        raise VerificationError(
            f"{what} is not the Student any more: the fine-tune moved weights by more than "
            f"{MOVED:.0%}{_shown(far)}\n"
            "  A fine-tune for 8 bits moves weights by a few per cent: lower "
            "OPTIMIZER.learning_rate in the file after --qat and run python -m export.qat again"
        )


def onnx_tensors(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    """Initialisers and constants of a graph by name."""
    found = {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.TENSOR:
                found[f"{node.name}.{attribute.name}"] = numpy_helper.to_array(attribute.t)
    return found


def paddle_tensors(folder: Path) -> dict[str, np.ndarray]:
    """Weights and buffers of a Paddle inference model by name."""
    loaded = paddle.jit.load(str(folder / PADDLE_STEM))
    return {name: value.numpy() for name, value in loaded.state_dict().items()}


def _content(value: np.ndarray) -> bytes:
    return np.ascontiguousarray(value, np.float32).tobytes()


def _layouts(value: np.ndarray) -> Iterable[bytes]:
    yield _content(value)
    if value.ndim == 2:
        yield _content(value.T)


def _trivial(value: np.ndarray) -> bool:
    return bool(value.size == 1 or (value == value.flat[0]).all())


def _per_channel(scale: np.ndarray, value: np.ndarray) -> np.ndarray:
    """The scale spread over the axis that has one of its numbers for each channel."""
    if scale.size == 1:
        return np.full(value.shape, float(scale.flat[0]))
    axis = 0 if value.shape[0] == scale.size else value.ndim - 1
    shape = [1] * value.ndim
    shape[axis] = scale.size
    return np.broadcast_to(scale.reshape(shape), value.shape)


def _raise_if(what: str, wrong: list[str]) -> None:
    if not wrong:
        return
    raise VerificationError(
        f"{what} does not hold the Student's weights and nothing else:{_shown(wrong)}\n"
        "  This is a bug of the export: please report it with this message."
    )


def _shown(lines: list[str]) -> str:
    more = f"\n  ... and {len(lines) - 12} more" if len(lines) > 12 else ""
    return "".join(f"\n  {line}" for line in lines[:12]) + more
