"""Read an experiment from YAML: every mistake at once, or a checked config with all its defaults.

The layout is PaddleVideo's, whose files load unchanged; see `train.config.schema.experiment`
for every key, `train.config.yaml_file` for `_BASE_`, overrides and `${VAR}`.

    cfg = load_config("configs/pptsm_v2_8f.yaml", ["epochs=10", "MODEL.backbone.dropout_prob=0.1"])
"""

from __future__ import annotations

import copy
import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from infer.system.errors import ClipDuetError
from train.config.blocks import Blocks, dig
from train.config.checks import check_config, check_made_lists
from train.config.class_count import fill_class_count
from train.config.errors import (
    ConfigError,
    Location,
    Mistake,
    dotted,
    guessed_names,
    pydantic_mistakes,
)
from train.config.model_checks import check_model
from train.config.run_folder import BEST, RUN_CONFIG
from train.config.schema.before import ready_file
from train.config.schema.experiment import IGNORED, Config
from train.config.schema.model import ModelOnly
from train.config.schema.registered import without_plugins
from train.config.yaml_file import Document, apply_overrides, expand_environment, load_document
from train.plugins.error import PluginError
from train.plugins.load import load_plugins

__all__ = ["Config", "ConfigError", "load_config", "parse_model", "run_config"]

Checked = TypeVar("Checked", bound=BaseModel)


def load_config(
    path: str | Path,
    overrides: Sequence[str] = (),
    *,
    over: str | Path | None = None,
    trust: bool = False,
    plugins: Sequence[str] = (),
    stored: bool = False,
) -> Config:
    """Read a YAML config.

    Args:
        path: the file.
        overrides: `a.b.c=value` texts, applied in order on top of the file.
        over: a second file, whose settings go on top of the first's before the overrides do.
        trust: let checkpoints that the config or a command names hold more than arrays, dicts and
            numbers: Paddle reads them then, and runs what they ask for.
        plugins: modules to load besides those of MODEL.plugins.
        stored: the file is what a run has left, not what the user named: of its plugins only those
            in `plugins` are loaded, and blocks of others are taken as they are.

    Raises:
        ConfigError: all mistakes, each with its path, value, what is allowed and where it stands.
    """
    document = load_document(Path(path))
    if over is not None:
        document = load_document(Path(over), under=document, folder=Path(path).parent)
    if document.broken:
        raise ConfigError(str(path), document.mistakes)
    apply_overrides(document, overrides)
    if not document.data.get("output_dir"):
        document.data["output_dir"] = f"runs/{Path(path).stem}"
    before = _made_before(document.data, Path(path).parent)
    made = {name: file for name, file in before.items() if not os.environ.get(name)}
    expand_environment(document, {**os.environ, **made})
    raw = copy.deepcopy(document.data)
    ignored = tuple(_drop_ignored(raw))
    mistakes = [*document.mistakes, *fill_class_count(raw)]
    named = [] if stored else _plugins_of(raw)
    missing = [*_load(plugins, None), *_load(named, ("MODEL", "plugins"))]
    mistakes += missing
    # Names that a plugin would have registered are no mistakes besides.
    unknown = without_plugins() if missing or (stored and _plugins_of(raw)) else nullcontext()
    with unknown:
        config, found = _validate(Config, raw)
        mistakes += found
        blocks = Blocks(raw, config)
        mistakes += check_config(blocks, inference=document.data.get("INFERENCE"))
        mistakes += check_made_lists(blocks, made)
    if mistakes or config is None:
        raise ConfigError(str(path), _with_origins(mistakes, document))
    config._ignored = ignored
    config._repeated = tuple(document.repeated)
    config._source = str(path)
    config._trust = trust
    config._made = {file: f"${{{name}}}" for name, file in made.items()}
    return config


def before_path(output_dir: str, name: str, block: Any, *, folder: Path) -> Path:
    """The file that a variable of BEFORE names while the environment does not set it.

    Args:
        output_dir: of the run.
        name: the variable.
        block: as plain data.
        folder: that of the config.
    """
    ready = ready_file(block, folder)
    if ready is not None:
        return ready
    folder = Path(output_dir) / "before"
    if isinstance(block, Mapping) and "label" in block:
        # Lists are looked for below DATASET.root, so this one says where it is.
        return folder.absolute() / f"{name.lower()}.list"
    return folder / name.lower() / BEST


def parse_model(block: Mapping[str, Any]) -> dict[str, Any]:
    """A MODEL block alone, checked and with all defaults; `{"MODEL": {...}}` works as well.

    Raises:
        ConfigError: all mistakes.
    """
    raw = {"MODEL": block.get("MODEL", block)}
    raw = copy.deepcopy(raw if "MODEL" not in block else dict(block))
    config, mistakes = _validate(ModelOnly, raw)
    mistakes += check_model(Blocks(raw, config))
    if mistakes or config is None:
        raise ConfigError("MODEL", mistakes)
    return config.MODEL.model_dump()


def checkpoint_file(named: str | Path) -> Path:
    """The checkpoint that a command line names: a file, or the best one of a run's folder.

    Raises:
        ClipDuetError: there is none, or it is a config.
    """
    path = Path(named)
    if path.is_dir():
        if not (path / BEST).is_file():
            raise ClipDuetError(
                f"{path} is a folder without {BEST}; name a run's folder, or a checkpoint in it"
            )
        return path / BEST
    if path.suffix.lower() in (".yaml", ".yml"):
        raise ClipDuetError(
            f"{path} is a config and no checkpoint; name the run's folder or its {BEST}, and the "
            "config with -c"
        )
    if not path.is_file():
        raise ClipDuetError(f"there is no checkpoint {path}; a run leaves {BEST} in its folder")
    return path


def run_config(checkpoint: Path, *, of: str | None = None) -> Path:
    """The settings that a run leaves beside its checkpoints.

    Args:
        checkpoint: a file of the run.
        of: what the config is wanted for, if not for the checkpoint itself.

    Raises:
        ClipDuetError: there are none, or the checkpoint itself is not there.
    """
    if of is None and not checkpoint.is_file():
        raise ClipDuetError(f"there is no {checkpoint}; a run leaves {BEST} in its folder")
    config = checkpoint.with_name(RUN_CONFIG) if checkpoint.name else Path(RUN_CONFIG)
    if not config.is_file():
        raise ClipDuetError(f"there is no {config}; name the config of {of or checkpoint} with -c")
    return config


def _made_before(raw: Mapping[str, Any], folder: Path) -> dict[str, str]:
    """The variables of BEFORE, as far as the block is well-formed."""
    block = raw.get("BEFORE")
    home = Document({"output_dir": raw["output_dir"]})
    expand_environment(home)
    if not isinstance(block, Mapping) or not isinstance(home.data["output_dir"], str):
        return {}
    return {
        name: str(before_path(home.data["output_dir"], name, made, folder=folder))
        for name, made in block.items()
        if isinstance(name, str)
    }


def _plugins_of(raw: Mapping[str, Any]) -> list[str]:
    """MODEL.plugins, as far as it is well-formed."""
    names = dig(raw, "MODEL", "plugins")
    good = isinstance(names, list) and all(isinstance(name, str) for name in names)
    return list(names) if good else []


def _load(plugins: Sequence[str], where: Location | None) -> Iterator[Mistake]:
    """Load modules; `where` the config names them, or None for an option."""
    for index, name in enumerate(plugins):
        try:
            load_plugins([name])
        except PluginError as error:
            if where is None:
                raise PluginError(f"--plugins: {error}") from error
            yield Mistake((*where, index), str(error))


def _validate(model: type[Checked], raw: Any) -> tuple[Checked | None, list[Mistake]]:
    try:
        return model.model_validate(raw), []
    except ValidationError as error:
        mistakes = pydantic_mistakes(error, model=model, raw=raw)
        guesses = guessed_names(error, raw)
    if guesses:
        # A mistyped name hides what else is wrong in its block: look again with the likely one.
        guessed = copy.deepcopy(raw)
        for where, name in guesses.items():
            block = guessed
            for part in where[:-1]:
                block = block[part]
            block[where[-1]] = name
        mistakes += _validate(model, guessed)[1]
    return None, mistakes


def _with_origins(mistakes: Sequence[Mistake], document: Document) -> list[Mistake]:
    placed = [
        mistake
        if mistake.origin or not mistake.where
        else dataclasses.replace(mistake, origin=document.origin(mistake.where))
        for mistake in mistakes
    ]
    return list(dict.fromkeys(placed))


def _drop_ignored(raw: dict[str, Any]) -> Iterator[str]:
    """Take keys without meaning out of `raw`; yields their paths."""
    for pattern in IGNORED:
        for where, holder in list(_matches(raw, pattern)):
            del holder[pattern[-1]]
            yield dotted(where)


def _matches(
    here: Any, pattern: tuple[str, ...], where: Location = ()
) -> Iterator[tuple[Location, dict[str, Any]]]:
    head, rest = pattern[0], pattern[1:]
    if head == "*":
        items: list[tuple[str | int, Any]] = []
        if isinstance(here, dict):
            items = list(here.items())
        elif isinstance(here, list):
            items = list(enumerate(here))
        for key, value in items:
            yield from _matches(value, rest, (*where, key))
    elif isinstance(here, dict) and head in here:
        if rest:
            yield from _matches(here[head], rest, (*where, head))
        else:
            yield (*where, head), here
