"""Defaults of the search for layers to keep in float, for command lines: nothing is loaded."""

from __future__ import annotations

MOST = 0.25
"""Largest share of the multiply-adds to keep in float: with more, INT8 is hardly worth its name."""
