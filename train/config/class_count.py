"""A class count is said once: networks that leave it out get that of DATASET.classes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from train.config.blocks import dig
from train.config.class_file import ClassFileError, read_class_names
from train.config.errors import Location, Mistake, dotted

_BACKBONE, _HEAD = ("backbone", "class_num"), ("head", "num_classes")
_PARTS = {
    "PPTSM_v2": _BACKBONE,
    "PPTSM_MobileNetV2": _BACKBONE,
    "PPTSM_MobileNetV3": _BACKBONE,
    "ppTSMHead": _HEAD,
}
"""By the name of a part that says how wide the logits are: which part, and its key."""

_DEFAULT = 400


def fill_class_count(raw: Any) -> list[Mistake]:
    """Set the class counts that networks leave out, in place, to the number of DATASET.classes.

    Args:
        raw: a config as it is written, its variables replaced.

    Returns:
        What is wrong: networks that say another number than a list of names has, and networks that
        leave it out where the file of class names cannot be read.
    """
    places = list(_places(dig(raw, "MODEL")))
    for block, where in places:
        if block.get(where[-1], "") in (None, ""):
            block.pop(where[-1], None)
    left_out = [(block, where) for block, where in places if where[-1] not in block]
    classes, root = dig(raw, "DATASET", "classes"), dig(raw, "DATASET", "root")
    names: list[Any] = classes if isinstance(classes, list) else []
    source, file = "DATASET.classes", None
    if isinstance(classes, str) and classes:
        file = Path(root if isinstance(root, str) else "") / classes
        try:
            names = read_class_names(file)
        except ClassFileError as error:
            # Networks that say their numbers need the file when its names are asked for.
            what = (
                f"is left out, so it follows from DATASET.classes, but {error}; write that file, "
                "or set DATASET.root or DATASET.classes"
            )
            return _told_once(places, left_out, what)
    if not names:
        # The other network has the default of PaddleVideo.
        left_out = [(block, where) for block, where in left_out if where[-1] == "num_classes"]
        what = "is missing: set it, or DATASET.classes, from which it follows"
        return _told_once(places, left_out, what)
    for block, where in left_out:
        block[where[-1]] = len(names)
    # A file is compared when its names are asked for, with what else a run needs.
    return [] if file is not None else wrong_counts(dig(raw, "MODEL"), len(names), source)


def wrong_counts(model: Any, classes: int, source: str) -> list[Mistake]:
    """The networks of a MODEL block that say another number than there are names.

    Args:
        model: as plain data.
        classes: how many names there are.
        source: where they stand.
    """
    wrong = []
    for block, where in _places(model):
        said = block.get(where[-1])
        number = int(said) if isinstance(said, str) and said.isdecimal() else said
        if isinstance(number, int) and number != classes:
            what = f"is {number}, but {source} names {classes} classes"
            told = f"{what}: leave {dotted(where[-2:])} out, or set it to {classes}"
            wrong.append(Mistake(where, told))
    return wrong


def _told_once(
    places: list[tuple[dict[Any, Any], Location]],
    left_out: list[tuple[dict[Any, Any], Location]],
    what: str,
) -> list[Mistake]:
    """The mistakes of what is left out; a number is put there, so that nothing more is told."""
    said = [block[where[-1]] for block, where in places if where[-1] in block]
    for block, where in left_out:
        block[where[-1]] = said[0] if said else _DEFAULT
    return [Mistake(where, what) for _, where in left_out]


def _places(model: Any) -> Iterator[tuple[dict[Any, Any], Location]]:
    """The blocks that say how many classes a network has, and where that key stands."""
    models = dig(model, "models")
    networks: list[tuple[Any, Location]] = [(model, ("MODEL",))]
    if isinstance(models, list):
        networks = [
            (network, ("MODEL", "models", index, role))
            for index, entry in enumerate(models)
            if isinstance(entry, Mapping)
            for role, network in entry.items()
        ]
    for network, where in networks:
        for part, key in (_BACKBONE, _HEAD):
            block = dig(network, part)
            if isinstance(block, dict) and _PARTS.get(str(block.get("name"))) == (part, key):
                yield block, (*where, part, key)
