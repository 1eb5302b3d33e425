"""The error of plugins."""

from infer.system.errors import ClipDuetError


class PluginError(ClipDuetError):
    """A plugin cannot be loaded, or registers something that cannot be used."""
