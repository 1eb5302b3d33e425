"""The bundle that `--bundle` names, and whether this machine reads videos as it needs."""

from __future__ import annotations

import os
from pathlib import Path

from ..bundle.bundle import Bundle
from ..bundle.moved_aside import moved_note
from ..containers.decoder import check_decoder, decoder_warning, installed
from ..libraries.install import in_checkout
from ..system.errors import BundleError
from ..system.log import logger

log = logger(__name__)

DEFAULT_BUNDLE = Path("bundles", "dml")
"""Of the current folder, else of the checkout; an installed package has none beside it."""
_ROOT = Path(__file__).resolve().parents[2]


def load_bundle(named: str | None) -> Bundle:
    """The bundle of that folder, or the default one.

    Raises:
        BundleError: there is none, or a damaged one.
    """
    folder = Path(named) if named else DEFAULT_BUNDLE
    if not named and not folder.exists() and (_ROOT / folder).exists():
        folder = _ROOT / folder
    try:
        os.lstat(folder / "bundle.json")
        there = True  # and if it is no file, what it is instead is the message
    except (FileNotFoundError, NotADirectoryError):
        there = False
    if not there and not moved_note(folder):
        what = "--bundle names the folder of one, with bundle.json in it"
        if in_checkout():
            what = (
                "`make export` makes one from a trained checkpoint (`make demo` does everything "
                "from the start), --bundle names another"
            )
        raise BundleError(f"no bundle in {folder}: {what}")
    return Bundle.load(folder)


def about_decoder(bundle: Bundle) -> None:
    """Refuse a decoder that reads wrong, before any video; tell of one that may differ."""
    here = installed()
    check_decoder(here["av"])
    warning = decoder_warning(bundle.decoder, here)
    if warning:
        log.warning(warning)
