"""A further version of all models of a repository, from a bundle that was trained again.

A server that looks for changes, or is told to load a model again, serves the new version as soon as
it is ready; until then, and where it does not load, it serves the one before.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from export.assemble.folder import OutputError
from export.triton.config import RepositoryModel, Serving
from export.triton.models import FILES, repository_models
from export.triton.video import VIDEOS, keys_of_version, write_version
from infer.bundle.bundle import BUNDLE_JSON, Bundle
from infer.system.errors import BackendError, BundleError, os_reason
from infer.system.files import replacing
from infer.system.log import logger

log = logger("export.triton")


def add_version(bundle: Bundle, out: Path, *, engines: Sequence[str] | None = None) -> None:
    """Add a bundle to a repository; the config.pbtxt files stay as they are.

    Args:
        bundle: with the classes and the preprocessing of the repository; its name does not matter.
        out: the repository.
        engines: as of `write_repository`.

    Raises:
        OutputError: no repository, or it cannot be written.
        BackendError: the bundle does not fit, or lacks a file that a model needs.
        BundleError: a file is damaged.
    """
    try:
        served = Bundle.load(out / "client")
    except BundleError as error:
        raise OutputError(f"{out} is no repository of this command: {error}") from None
    _check_equal(served, bundle)
    folders = sorted(path.parent for path in out.glob("models/*/config.pbtxt"))
    videos = sorted(path.parent for path in out.glob(f"{VIDEOS}/*/config.pbtxt"))
    has_engines = any(out.glob(f"models/*/*/{FILES['tensorrt']}"))
    named = replace(bundle, name=served.name)
    offered = repository_models(named, Serving(), engines=engines if has_engines else [])
    fitting = {model.name: model for model in offered}
    for folder in folders:
        _check_offered(folder, fitting.get(folder.name), bundle)
    every = [*folders, *videos]
    number = 1 + max(max(_versions(folder), default=0) for folder in every)
    partials = {folder: folder / f".{number}.partial" for folder in every}
    try:
        try:
            for folder in folders:
                partials[folder].mkdir()
                model = fitting[folder.name]
                shutil.copyfile(model.file, partials[folder] / FILES[model.backend])
            for folder in videos:
                keys = keys_of_version(folder / str(max(_versions(folder))))
                write_version(partials[folder], bundle, keys)
            # Networks first: one that a model of videos asks for is there before it.
            for folder, partial in partials.items():
                os.rename(partial, folder / str(number))
                log.info(f"version {number:<4} {folder.name}")
        finally:
            for partial in partials.values():
                shutil.rmtree(partial, ignore_errors=True)
        with replacing(out / "client" / BUNDLE_JSON) as file:
            shutil.copyfile(bundle.root / BUNDLE_JSON, file)
    except OSError as error:
        raise OutputError(f"{out} cannot be written: {os_reason(error)}") from None


def _check_equal(served: Bundle, bundle: Bundle) -> None:
    names = ("classes", "spec", "input_name", "output_name", "max_batch")
    other = [name for name in names if getattr(served, name) != getattr(bundle, name)]
    if other:
        raise BackendError(
            f"{bundle.root} differs from the repository in {', '.join(other)}: write a new one"
        )


def _check_offered(folder: Path, model: RepositoryModel | None, bundle: Bundle) -> None:
    if model is None:
        raise BackendError(f"{bundle.root} has nothing for the model {folder.name}")
    text = (folder / "config.pbtxt").read_text("utf-8")
    found = re.search(r"^max_batch_size: (\d+)$", text, re.MULTILINE)
    if found and int(found[1]) > model.max_batch:
        raise BackendError(
            f"{folder.name} takes batches of {found[1]}, the file for it only of {model.max_batch}"
        )


def _versions(folder: Path) -> list[int]:
    return [int(path.name) for path in folder.iterdir() if path.name.isdecimal()]
