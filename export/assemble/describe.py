"""What `bundle.json` says of a network: what it is, and where it came from."""

from __future__ import annotations

import json
import os
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from paddle import nn

from export.network.convert import BATCH, INPUT, OUTPUT
from export.network.deploy import DeployNet
from export.network.strip import Stripped
from infer.bundle.bundle import FORMAT_VERSION
from infer.containers.decoder import installed
from infer.system.errors import ClipDuetError
from infer.system.files import sha256_of
from train.checkpoints.checkpoint import BEST, BEST_RECORD
from train.config.identity import changed_settings, deployed
from train.config.load import Config

TOOLS = ("paddlepaddle", "paddle2onnx", "onnx", "onnxslim", "onnxruntime", "numpy", "pillow")


class ExportError(ClipDuetError):
    """An option out of range, or a file beside the checkpoint that is broken."""


def describe(
    cfg: Config,
    stripped: Stripped,
    net: DeployNet,
    classes: list[str],
    *,
    name: str,
    max_batch: int,
) -> dict[str, Any]:
    """`bundle.json` but for artefacts and origin."""
    spec = net.spec
    return {
        "format_version": FORMAT_VERSION,
        "name": name,
        "model": {
            **stripped.settings,
            "class_num": cfg.class_num,
            "num_seg": spec.sampling.num_seg,
            "parameters": count(net.network),
        },
        "classes": classes,
        "spec": spec.to_dict(),
        "input": {"name": INPUT, "dtype": "uint8", "shape": [BATCH, *spec.clip_shape]},
        "output": {"name": OUTPUT, "dtype": "float32", "shape": [BATCH, len(classes)]},
        "max_batch": max_batch,
    }


def record_of(checkpoint: Path, content: Any) -> dict[str, Any]:
    """What a run recorded of a checkpoint; empty for one that comes from elsewhere.

    Args:
        checkpoint: the file.
        content: what is in it.

    Raises:
        ExportError: the record beside it is broken.
    """
    record: dict[str, Any] = {}
    beside = checkpoint.with_name(BEST_RECORD)
    if checkpoint.name == BEST and beside.is_file():
        try:
            record = dict(json.loads(beside.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise ExportError(f"{beside} cannot be read: {error}; it may be deleted") from error
    elif isinstance(content, dict) and isinstance(content.get("progress"), dict):
        progress = content["progress"]
        record = {key: progress[key] for key in ("epoch", "step", "settings") if key in progress}
    return record


def has_origin(checkpoint: Path) -> bool:
    """Whether a JSON beside a checkpoint says that it was trained here, as in `configs/pretrained`.

    Args:
        checkpoint: the file; the JSON has its name, and its SHA-256.
    """
    try:
        found = json.loads(checkpoint.with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    if not isinstance(found, dict) or not str(found.get("format", "")).startswith("clipduet"):
        return False
    return found.get("sha256") == sha256_of(checkpoint)


def provenance(cfg: Config, checkpoint: Path, recorded: dict[str, Any]) -> dict[str, Any]:
    """The `origin` entry: config, checkpoint with what its run recorded, tools, time, seed.

    Args:
        cfg: the config.
        checkpoint: the file.
        recorded: `record_of` it.

    Raises:
        ExportError: the run had other settings.
    """
    record = dict(recorded)
    validated = record.pop("settings", None)
    if validated is not None:
        changed = changed_settings(validated, deployed(cfg))
        if changed:
            raise ExportError(
                f"{checkpoint} was validated with other settings than this config's:\n  "
                + "\n  ".join(changed)
                + "\nexport with the run's own config and its overrides"
            )
    return {
        "config": cfg.source,
        "config_sha256": cfg.sha256(),
        "checkpoint": {**record, "file": str(checkpoint), "sha256": sha256_of(checkpoint)},
        # What read the clips that its figures were measured on; opening it compares.
        "decoder": installed(),
        "tools": {name: found for name in TOOLS if (found := _version(name))},
        "created": _now(),
        "seed": record.get("seed", cfg.seed),
    }


def _now() -> str:
    """The time in UTC; that of `SOURCE_DATE_EPOCH`, in seconds since 1970, where it is set.

    It is all that differs between two bundles of one checkpoint, and a build that must be
    repeatable to the byte fixes it this way (reproducible-builds.org).

    Raises:
        ExportError: the variable is no such time.
    """
    fixed = os.environ.get("SOURCE_DATE_EPOCH")
    if not fixed:
        return datetime.now(timezone.utc).isoformat(timespec="seconds")
    try:
        return datetime.fromtimestamp(int(fixed), timezone.utc).isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):
        raise ExportError(
            f"SOURCE_DATE_EPOCH is {fixed!r}; allowed: seconds since 1970, a whole number"
        ) from None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def count(network: nn.Layer) -> int:
    """Numbers in a network's state, statistics of batch norms included."""
    return int(sum(np.prod(tensor.shape) for tensor in network.state_dict().values()))
