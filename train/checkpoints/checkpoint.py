"""What a run leaves on disk: where it stands, and its best weights.

`latest.ckpt` is one file with everything that continuing needs, `best.pdparams` a plain state
dict with PaddleVideo's keys, `config.yaml` the run's settings, whole. All are written beside
their name and then renamed, so that a run killed at any moment leaves whole files; the two with
weights end with a checksum (`train.checkpoints.checksum`), which is compared wherever one is
read.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import paddle
from paddle.optimizer import Optimizer

from infer.containers.file_kind import HEAD, TEXT, kind_of
from infer.system.errors import ClipDuetError, os_reason
from infer.system.files import replacing, write_text
from train.checkpoints.checksum import ChecksumError, checked_size, seal
from train.checkpoints.optimizer_state import optimizer_state, set_optimizer_state
from train.checkpoints.paddle_format import as_paddle_loads
from train.checkpoints.pickle_names import ForbiddenError, MalformedPickleError, shortened
from train.checkpoints.safe_pickle import read_plain
from train.config.run_folder import BEST, BEST_RECORD, LATEST
from train.distill.recognizers import Recognizer
from train.losses.float32 import HALVES

SHOWN = 4
"""Keys of a kind that a message spells out; the rest is counted."""

FORMAT = 1
PARTS = ("model", "optimizer", "progress")
"""What `latest.ckpt` holds beside its format."""
TORCH = 0x1950A86A20F9469CFC6C
"""The number that PyTorch's files of before 1.6 begin with."""


class CheckpointError(ClipDuetError):
    """A checkpoint that cannot be read, or that belongs to something else."""


def save_latest(
    folder: Path,
    recognizer: Recognizer,
    optimizer: Optimizer,
    progress: Mapping[str, Any],
    *,
    average: Mapping[str, Any] | None = None,
) -> None:
    """Write `latest.ckpt`: weights, their average, optimiser and `progress` (plain data)."""
    content = {
        "format": FORMAT,
        "model": _in_float32(recognizer),
        "optimizer": optimizer_state(recognizer, optimizer),
        "progress": dict(progress),
        "average": None if average is None else dict(average),
    }
    save_file(folder / LATEST, content)


def load_latest(
    folder: Path,
    recognizer: Recognizer,
    optimizer: Optimizer,
    *,
    trust: bool = False,
    prepare: Callable[[], None] = lambda: None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Restore weights and optimiser from `latest.ckpt`.

    Args:
        folder: of the run.
        recognizer: gets the weights.
        optimizer: gets its state.
        trust: see `load_file`.
        prepare: called between the two.

    Returns:
        The run's progress, and the average of its weights, if it has one.

    Raises:
        CheckpointError: the file is broken or holds other networks.
    """
    path = folder / LATEST
    content = load_file(path, trust=trust)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} is not a checkpoint that this version can continue; weights alone are read "
            "with --weights"
        )
    lacking = [key for key in PARTS if not isinstance(content.get(key), dict)]
    if lacking:
        raise CheckpointError(
            f"{path} lacks {', '.join(lacking)}: it is damaged, or was written by another program"
        )
    set_weights(recognizer, content["model"], source=path)
    prepare()
    set_optimizer_state(recognizer, optimizer, content["optimizer"])
    return content["progress"], content.get("average") or {}


def save_best(folder: Path, recognizer: Recognizer, record: Mapping[str, Any]) -> None:
    """Write `best.pdparams`, and `best.json` with what is known of it."""
    save_file(folder / BEST, _in_float32(recognizer))
    write_text(folder / BEST_RECORD, json.dumps(dict(record), indent=1) + "\n")


def load_file(path: Path, *, trust: bool = False) -> Any:
    """Read a `.pdparams` or `.ckpt` file: what `paddle.load` gives, without running it.

    Args:
        path: the file.
        trust: let Paddle read it, and with it run whatever the file asks for.

    Raises:
        CheckpointError: no such file, not one that Paddle wrote, a damaged one, or one that holds
            more than arrays, dicts and numbers.
    """
    if not path.is_file():
        raise CheckpointError(f"no checkpoint at {path}")
    head = b""
    try:
        with path.open("rb") as file:
            size = checked_size(file)
            head = file.read(HEAD)
            file.seek(0)
            if kind := _other_weights(head):
                raise _unreadable(path, f"it is {kind}")
            if not trust:
                return as_paddle_loads(read_plain(file, size=size))
        return _load_trusted(path)
    except ForbiddenError as error:
        kind = kind_of(head)
        if kind and kind != TEXT:  # pickles of protocol 0 are texts
            raise _unreadable(path, f"it is {kind}") from error
        raise CheckpointError(
            f"{path} is not loaded: it holds {error.what}, which could run code; weights are "
            "arrays, dicts, lists, numbers and texts. It is damaged, or made for more than "
            "weights: take another copy of it, or, if you trust whoever made it, add --trust"
        ) from error
    except ChecksumError as error:
        raise CheckpointError(
            f"{path} is damaged: {error}. Take another copy of it; a run without {LATEST} starts "
            f"from the beginning, or from {BEST} with --weights"
        ) from error
    except (OSError, MalformedPickleError) as error:
        kind = "" if isinstance(error, OSError) else kind_of(head)
        told = kind and not (trust and kind == TEXT)
        raise _unreadable(path, f"it is {kind}" if told else os_reason(error)) from error


def _unreadable(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(
        f"{path} is not a readable checkpoint: {reason}; expected is a file that Paddle wrote, "
        "such as a run's best.pdparams"
    )


def _load_trusted(path: Path) -> Any:
    try:
        return paddle.load(str(path))
    except Exception as error:  # Reading a pickle runs what it asks for, which may raise anything.
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise MalformedPickleError(f"Paddle cannot read it ({shortened(reason)})") from error


def _other_weights(head: bytes) -> str:
    """Which program's weights begin like this; "" if they may be Paddle's."""
    if head.startswith(pickle.dumps(TORCH, protocol=2)):
        return "a PyTorch file"
    if head.startswith(b"PK\x03\x04"):
        return "a zip archive, as PyTorch's files are"
    return "a safetensors file" if head[8:10] == b'{"' else ""


def model_weights(content: Any, *, source: Path) -> dict[str, paddle.Tensor]:
    """The state dict in a loaded `.pdparams` or `.ckpt` file, without what is no array.

    Raises:
        CheckpointError: there is none.
    """
    weights = content
    if isinstance(content, dict) and "format" in content:
        weights = content.get("model")
    arrays = {}
    if isinstance(weights, dict):
        arrays = {str(key): value for key, value in weights.items() if hasattr(value, "shape")}
    if not arrays:
        raise CheckpointError(
            f"{source} holds no weights; a file of weights ends in .pdparams (PaddleVideo's .pdopt "
            "is the state of its optimiser)"
        )
    return arrays


def set_weights(layer: paddle.nn.Layer, weights: Mapping[str, Any], *, source: Path) -> None:
    """Copy weights into a layer whose keys and shapes must be just these.

    Raises:
        CheckpointError: says which entries are missing, unexpected and misshapen.
    """
    own = layer.state_dict()
    problems = {
        "missing": [key for key in own if key not in weights],
        "unexpected": [key for key in weights if key not in own],
        "of another shape": [
            f"{key} {list(weights[key].shape)}, expected {list(own[key].shape)}"
            for key in own
            if key in weights and list(weights[key].shape) != list(own[key].shape)
        ],
    }
    count = sum(map(len, problems.values()))
    if count:
        lines = [f"{title} ({len(keys)}): {some(keys)}" for title, keys in problems.items() if keys]
        raise CheckpointError(
            f"{source} does not fit the config's networks ({count} entries):\n  "
            + "\n  ".join(lines)
        )
    layer.set_state_dict(dict(weights))


def some(keys: Sequence[str]) -> str:
    """The first few of a list of keys, and how many more there are."""
    rest = len(keys) - SHOWN
    more = f" and {rest} more" if rest > 0 else ""
    return ", ".join(keys[:SHOWN]) + more if keys else "nothing"


def _in_float32(layer: paddle.nn.Layer) -> dict[str, paddle.Tensor]:
    """The state of a layer in the type that every reader knows; what has it is not copied."""
    state = layer.state_dict()
    for key, value in state.items():
        if value.dtype in HALVES:
            state[key] = value.astype("float32")
    return state


def save_file(path: Path, content: Any) -> None:
    """Write plain data and tensors with a checksum at the end; whole, or not at all."""
    with replacing(path) as file:
        paddle.save(content, str(file))
        seal(file)
