"""Let a few layers of a network learn and leave the others as they are, by their paths.

What fine-tuning at another resolution wants (FixRes, Touvron et al., 2019): the classifier and
the batch norms, `["backbone.fc", "*.bn"]`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from paddle import nn

from train.config.errors import ConfigError, Location, Mistake
from train.distill.taps import layers, unknown_layer


def freeze_others(
    networks: Mapping[str, nn.Sequential],
    patterns: Mapping[str, Sequence[str]],
    places: Mapping[str, Location],
) -> None:
    """Take the gradient from all parameters but those in layers that match a pattern.

    Args:
        networks: `Sequential(backbone, head)` by role.
        patterns: by role; a network without any keeps all of its gradients.
        places: the networks' blocks in the config, by role.

    Raises:
        ConfigError: patterns that no layer matches, with the nearest layers, and those of which
            all match layers without parameters; all at once.
    """
    mistakes = []
    for role, wanted in patterns.items():
        if not wanted:
            continue
        known, where = layers(networks[role]), (*places[role], "trainable")
        matching = {
            pattern: [path for path in known if fnmatchcase(path, pattern)] for pattern in wanted
        }
        for pattern, paths in matching.items():
            if not paths:
                text = unknown_layer(pattern, networks[role])
                mistakes.append(Mistake(where, f"{role} has {text}"))
        learning = {
            id(parameter)
            for paths in matching.values()
            for path in paths
            for parameter in known[path].parameters()
        }
        if not learning and all(matching.values()):
            found = ", ".join(path for paths in matching.values() for path in paths[:1])
            mistakes.append(Mistake(where, f"nothing learns: {found} has no parameters"))
        for parameter in networks[role].parameters():
            if id(parameter) not in learning:
                parameter.stop_gradient = True
    if mistakes:
        raise ConfigError("MODEL", mistakes)
