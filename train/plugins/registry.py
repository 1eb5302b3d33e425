"""What configs can name: losses, augmentations and datasets, those of the repository and others.

Tables by name, and decorators that fill them where a function stands. Each part of the program
takes from them what it needs: `train.config.schema` which settings a block may have,
`train.distill.build_terms` and `train.data.augment` what is computed. What comes with the
repository is registered in the same tables by these modules.
"""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from train.plugins.call import called
from train.plugins.checked_loss import CheckedLoss, CheckedTerm
from train.plugins.checked_transform import CheckedTransform
from train.plugins.error import PluginError

Function = TypeVar("Function", bound=Callable[..., Any])

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
OF_EVERY_TERM = ("name", "model_name_pairs", "loss_weight", "ramp", "decay", "floor")
"""Keys of every block of MODEL.loss; no loss has settings of these names."""
OF_CROPS = ("target_size", "crop_size")
"""Settings that say the size of a clip: those of crops, which no registered function is."""


@dataclass(frozen=True, eq=False)
class LossSchema:
    """What a config may say about a loss, and what the loss needs.

    Attributes:
        settings: a model of the whole block; or its own settings by name, each with its type and
            its default (`...`: it has none).
        both_learn: both networks of a pair learn from it, not only the first.
        labels: it needs the clips' labels, whatever its settings are.
        layers: it looks into layers, which is done in training only.
    """

    settings: type | Mapping[str, tuple[Any, Any]]
    both_learn: bool = False
    labels: bool = False
    layers: bool = False


@dataclass(frozen=True, eq=False)
class StepSchema:
    """What a config may say about a transform.

    Attributes:
        settings: as those of `LossSchema`.
    """

    settings: type | Mapping[str, tuple[Any, Any]]


@dataclass(frozen=True)
class Response:
    """A loss of two networks' logits; `between`: it compares the clips of a batch."""

    short: str
    loss: Callable[..., Any]
    both_learn: bool = False
    labels: bool = False
    between: bool = False


LOSSES: dict[str, LossSchema] = {}
"""By the name that `MODEL.loss` uses."""

BUILDERS: dict[str, Response | Callable[..., Any]] = {}
"""By the same names: a loss of logits, or a function of `Sides` and settings that makes a term."""

STEPS: dict[str, StepSchema] = {}
"""By the name that an entry of a `transform` list has."""

TRANSFORMS: dict[str, Callable[..., Any]] = {}
"""By the same names: what makes a transform of frames from these settings."""

DATASETS: dict[str, Any] = {}
"""What `train.data.prepare` knows about a dataset, by the name that its command line uses."""

ORIGINS: dict[tuple[str, str], str] = {}
"""The module that registered a thing, by its kind (loss, augmentation, dataset) and name."""


def register(kind: str, name: str, module: str) -> None:
    """Note whose a name is; the caller then fills its tables.

    Args:
        kind: `loss`, `augmentation` or `dataset`.
        name: what configs, or the command line, will say.
        module: the Python module that it comes from.

    Raises:
        PluginError: the name is taken, or is none.
    """
    if not isinstance(name, str) or not NAME.fullmatch(name):
        what = "a name has letters, digits, _ and -, and begins with a letter"
        raise PluginError(f"{module} registers the {kind} {name!r}: {what}")
    if (kind, name) in ORIGINS:
        what = f"{module} registers the {kind} {name}, but that name is taken"
        raise PluginError(f"{what} by {ORIGINS[kind, name]}: choose another name")
    ORIGINS[kind, name] = module


def forget(kind: str, name: str) -> None:
    """Take a registered thing back, such as that of a module whose import failed."""
    tables: dict[str, tuple[dict[str, Any], ...]] = {
        "loss": (LOSSES, BUILDERS),
        "augmentation": (STEPS, TRANSFORMS),
        "dataset": (DATASETS,),
    }
    ORIGINS.pop((kind, name), None)
    for table in tables[kind]:
        table.pop(name, None)


def loss(
    name: str,
    *,
    short: str | None = None,
    both_learn: bool = False,
    labels: bool = False,
    between: bool = False,
) -> Callable[[Function], Function]:
    """Register a loss of two networks' logits under a name of `MODEL.loss`.

    The function takes the logits of the first network of the pair and of the second, float
    [N, classes] each, and returns a scalar, the mean over the batch. Its keyword-only arguments
    are the settings of its block: their types, with pydantic's limits if they are `Annotated`, and
    their defaults are checked as all settings are.

    Args:
        name: what the block's `name` will say.
        short: what history and progress call the term, after the names of the networks; None: the
            name.
        both_learn: gradients go into both networks; otherwise the second is a teacher, and the
            function detaches its logits.
        labels: the function takes the labels (`train.losses.Target`) as its third argument.
        between: it compares the clips of a batch: with several processes it gets those of all.

    Raises:
        PluginError: the name is taken, or an argument is not usable as a setting.
    """

    def add(function: Function) -> Function:
        settings = settings_of(function, positional=3 if labels else 2, reserved=OF_EVERY_TERM)
        register("loss", name, function.__module__)
        LOSSES[name] = LossSchema(settings, both_learn=both_learn, labels=labels)
        checked = CheckedLoss(called("loss", name, function), function)
        BUILDERS[name] = Response(short or name, checked, both_learn, labels, between)
        return function

    return add


def loss_of_layers(name: str, *, both_learn: bool = False) -> Callable[[Function], Function]:
    """Register a loss that looks into layers, or learns parameters of its own.

    The function takes the two networks (`train.distill.term_features.Sides`) and, keyword-only,
    the settings of its block; it returns a `train.distill.terms.Term`, or None where a layer is
    wrong, which it then adds to `sides.mistakes`.

    Args:
        name: what the block's `name` will say.
        both_learn: both networks learn from it, as the term's `learners` say then.

    Raises:
        PluginError: as `loss`.
    """

    def add(function: Function) -> Function:
        settings = settings_of(function, positional=1, reserved=OF_EVERY_TERM)
        register("loss", name, function.__module__)
        LOSSES[name] = LossSchema(settings, both_learn=both_learn, layers=True)
        BUILDERS[name] = CheckedTerm(called("loss", name, function), function)
        return function

    return add


def augmentation(name: str) -> Callable[[Function], Function]:
    """Register an augmentation under a name of `PIPELINE.train.transform`.

    The function takes frames uint8 [T, H, W, 3], their label and a `numpy.random.Generator`, and
    returns new frames of the same shape and type, and the label. It must not change what it was
    given, and draws random numbers from the generator only. Its keyword-only arguments are its
    settings, as those of `loss`.

    Args:
        name: the key of its entry in the list.

    Raises:
        PluginError: as `loss`.
    """

    def add(function: Function) -> Function:
        settings = settings_of(function, positional=3, reserved=OF_CROPS)
        register("augmentation", name, function.__module__)
        STEPS[name] = StepSchema(settings)
        what = called("augmentation", name, function)
        TRANSFORMS[name] = lambda **chosen: CheckedTransform(what, function, chosen)
        return function

    return add


def settings_of(
    function: Callable[..., Any], *, positional: int, reserved: tuple[str, ...] = ()
) -> dict[str, tuple[Any, Any]]:
    """The keyword-only arguments of a function: types and defaults by name.

    Args:
        function: what was decorated.
        positional: how many arguments come before them.
        reserved: names that they cannot have.

    Raises:
        PluginError: there are other arguments, an argument has no type, or a reserved name.
    """
    where = f"{function.__module__}.{getattr(function, '__name__', function)}"
    try:
        types = typing.get_type_hints(function, include_extras=True)
    except (NameError, TypeError) as error:
        raise PluginError(f"{where}: its types cannot be read: {error}") from error
    settings: dict[str, tuple[Any, Any]] = {}
    before = 0
    for argument in inspect.signature(function).parameters.values():
        if argument.kind in (argument.POSITIONAL_ONLY, argument.POSITIONAL_OR_KEYWORD):
            before += 1
            continue
        if argument.kind is not argument.KEYWORD_ONLY:
            raise PluginError(f"{where}: settings are named one by one, not by {argument}")
        if argument.name not in types:
            raise PluginError(f"{where}: the setting {argument.name} needs a type, such as float")
        if argument.name in reserved or argument.name.startswith(("_", "model_")):
            raise PluginError(f"{where}: a setting cannot be called {argument.name}")
        default = ... if argument.default is argument.empty else argument.default
        settings[argument.name] = (types[argument.name], default)
    if before != positional:
        what = f"takes {before} arguments before its settings, allowed: {positional}"
        raise PluginError(f"{where} {what}; settings stand after a * in the signature")
    return settings
