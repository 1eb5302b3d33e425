"""What a run is: the settings that its result depends on, and where two runs differ."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from train.config.load import Config
from train.config.networks import blocks_of
from train.config.schema.model import STUDENT

IRRELEVANT = (
    *("output_dir", "log_interval", "model_name", "save_interval", "checkpoint_every_steps"),
    "max_unreadable",
)
IRRELEVANT_OF_DATASET = ("num_workers", "cache", "root", "skip_missing")


def identity(cfg: Config) -> dict[str, Any]:
    """The settings of a config that its result depends on, as plain data."""
    settings = cfg.to_dict()
    for name in IRRELEVANT:
        settings.pop(name)
    for name in IRRELEVANT_OF_DATASET:
        settings["DATASET"].pop(name)
    for block in settings["BEFORE"].values():
        block.pop("relative_to")
    return settings


def completed(stored: dict[str, Any]) -> dict[str, Any]:
    """A stored `identity` with the defaults of settings that came after it was stored."""
    try:
        return identity(Config(**stored))
    except ValidationError:
        return stored


def deployed(cfg: Config) -> dict[str, Any]:
    """The settings that evaluation and deployment depend on: network, pixels, names of classes.

    Raises:
        ConfigError: the file of class names cannot be used.
    """
    student = blocks_of(cfg.model)[STUDENT]
    return {
        "MODEL": {
            part: {key: value for key, value in student[part].items() if key != "pretrained"}
            for part in ("backbone", "head")
        },
        "PIPELINE": {"valid": _as_before(identity(cfg)["PIPELINE"]["valid"])},
        "classes": list(cfg.class_names),
    }


def _as_before(pipeline: dict[str, Any]) -> dict[str, Any]:
    """A pipeline without later settings that have their defaults: checkpoints do not say them."""
    sample = {k: v for k, v in pipeline["sample"].items() if (k, v) != ("by", "frame")}
    steps = [
        {
            name: {k: v for k, v in options.items() if (k, v) != ("square_pixels", False)}
            for name, options in step.items()
        }
        for step in pipeline["transform"]
    ]
    return {**pipeline, "sample": sample, "transform": steps}


def changed_settings(old: Any, new: Any, path: str = "") -> list[str]:
    """Where two nested settings differ, one line each."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = list(dict.fromkeys([*old, *new]))
        return [
            line
            for key in keys
            for line in changed_settings(old.get(key), new.get(key), f"{path}.{key}".lstrip("."))
        ]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = enumerate(zip(old, new, strict=True))
        return [line for i, (a, b) in pairs for line in changed_settings(a, b, f"{path}.{i}")]
    return [] if old == new else [f"{path}: it was {old!r}, now it is {new!r}"]
