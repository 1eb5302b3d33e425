"""Names of the files in a run's folder, for those who do not read them."""

from __future__ import annotations

RUN_CONFIG = "config.yaml"
"""The run's settings, overrides included."""
LATEST, BEST, BEST_RECORD = "latest.ckpt", "best.pdparams", "best.json"
