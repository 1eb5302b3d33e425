"""Load the modules that a config or a command names, and say which file each came from.

They are looked for as `import` looks, on Python's path and nowhere else: a config cannot name a
file. What it can name is what whoever runs the command has put there.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path

from infer.system.log import logger
from train.paddle_import import importing_paddle
from train.plugins.error import PluginError, place_of
from train.plugins.registry import ORIGINS, forget

log = logger(__name__)

_LOADED: set[str] = set()


def load_plugins(names: Sequence[str]) -> None:
    """Import modules, each once, so that what they register can be named.

    Args:
        names: as `import` takes them, `my_losses` or `package.module`.

    Raises:
        PluginError: a module is not there, cannot be imported, registers nothing, or a name that
            is taken; what it had registered by then is taken back.
    """
    for name in names:
        if name not in _LOADED:
            _load(name)
            _LOADED.add(name)


def _load(name: str) -> None:
    before = set(ORIGINS)
    try:
        with importing_paddle():  # as a module with a loss does
            file = _found(name).origin
            importlib.import_module(name)
    except (Exception, SystemExit) as error:  # whatever a module of others does
        for kind, registered in set(ORIGINS) - before:
            forget(kind, registered)
        if isinstance(error, PluginError):
            raise
        what = f"the plugin {name} cannot be imported: {type(error).__name__}: {error}"
        raise PluginError(f"{what} ({place_of(error)})") from error
    new = [key for key, origin in ORIGINS.items() if _is_of(origin, name) or key not in before]
    if not new:
        what = f"the plugin {name} ({file}) registers nothing"
        raise PluginError(f"{what}: put @loss(NAME) or @augmentation(NAME) before its functions")
    log.info(f"plugin {name} from {file}: " + ", ".join(f"{kind} {own}" for kind, own in new))


def _found(name: str) -> ModuleSpec:
    """Where a module is; nothing of it has run, but packages around it have."""
    # Looking for `my_losses.py` as a module would run `my_losses`, and find no `py` in it.
    if name.endswith(".py") or not all(part.isidentifier() for part in name.split(".")):
        what = f"{name!r} is no name of a module"
        raise PluginError(f"{what}; plugins are named as import does: my_losses for my_losses.py")
    if name.partition(".")[0] in sys.stdlib_module_names:
        raise PluginError(f"{name} is a module of Python itself, not a plugin; rename yours")
    importlib.invalidate_caches()  # a file that was written since the last look
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError as error:
        if not _is_of(name, str(error.name)):
            raise
        spec = None  # a package around it is not there
    if spec is None:
        raise PluginError(
            f"there is no module {name}; looked in {_path()} and in the installed packages. Put "
            "its folder into PYTHONPATH, or start the command in that folder"
        )
    if not spec.has_location:
        raise PluginError(f"{name} is a folder without __init__.py, not a module")
    return spec


def _path() -> str:
    """The folders of Python's path that are the user's."""
    own = {Path(folder).resolve() for folder in (sys.prefix, sys.base_prefix)}
    folders = list(dict.fromkeys(Path(folder).resolve() for folder in sys.path))
    users = [str(f) for f in folders if f.is_dir() and own.isdisjoint((f, *f.parents))]
    return ", ".join(users) or "no folder of yours"


def _is_of(module: str, plugin: str) -> bool:
    return module == plugin or module.startswith(f"{plugin}.")
