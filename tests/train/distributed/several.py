"""Trainings one after another in one team: to start its processes takes longer than they do.

`several.py FILE`, started by the launcher: FILE is a JSON list of the arguments of each training.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from train.__main__ import main

for arguments in json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")):
    status = main(arguments)
    if status:
        raise SystemExit(status)
