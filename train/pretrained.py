"""Start a backbone from an ImageNet checkpoint, and say exactly what was taken from it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from paddle import nn

from train.checkpoint import CheckpointError, load_file, model_weights
from train.recognizers import STUDENT, Recognizer

LEAST_MATCH = 0.5
"""Share of a backbone's entries that a checkpoint must fill: less is some other network's."""


def load_pretrained(recognizer: Recognizer, model: Mapping[str, Any]) -> list[str]:
    """Load the ``pretrained`` file of every backbone that names one.

    Entries of another shape (a classifier for other classes) are left at their initial values.

    Returns:
        One line a network: how many entries were loaded, and which were left out.

    Raises:
        CheckpointError: a file is missing or broken, or fits little of its backbone.
    """
    blocks = (
        {STUDENT: model}
        if model["framework"] == "Recognizer2D"
        else {role: block for entry in model["models"] for role, block in entry.items()}
    )
    lines = []
    for role, block in blocks.items():
        path = (block["backbone"].get("pretrained") or "").strip()
        if path:
            lines.append(f"{role}: {_fill(recognizer.networks[role][0], Path(path))}")
    return lines


def _fill(backbone: nn.Layer, path: Path) -> str:
    weights = model_weights(load_file(path), source=path)
    own = backbone.state_dict()
    fits = {k: v for k, v in weights.items() if k in own and list(v.shape) == list(own[k].shape)}
    reshaped = [key for key in weights if key in own and key not in fits]
    new = [key for key in own if key not in weights]
    unused = [key for key in weights if key not in own]
    if len(fits) < LEAST_MATCH * len(own):
        raise CheckpointError(
            f"{path} fills {len(fits)} of the backbone's {len(own)} entries: it belongs to another "
            f"network. Entries without a match begin with {', '.join(new[:3]) or 'none'}; "
            f"the file has {', '.join(unused[:3]) or 'nothing'} instead"
        )
    backbone.set_state_dict(fits)
    parts = [f"{len(fits)} of {len(own)} entries from {path}"]
    for title, keys in (("other shape", reshaped), ("new", new), ("unused", unused)):
        if keys:
            parts.append(f"{title}: {', '.join(keys[:4])}{' ...' if len(keys) > 4 else ''}")
    return "; ".join(parts)
