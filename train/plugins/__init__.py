"""Losses and augmentations by name: what a module of your own registers, and where it is kept.

    from train.plugins import augmentation, loss

A config names the module in `MODEL.plugins`; see docs/adding.md. A dataset's reader is registered
by `train.data.prepare.sources.dataset`.
"""

from train.plugins.error import PluginError
from train.plugins.registry import augmentation, loss, loss_of_layers

__all__ = ["PluginError", "augmentation", "loss", "loss_of_layers"]
