"""A tiny UCF101, and runs of `train.data.prepare` on it."""

from __future__ import annotations

import json
from pathlib import Path

from train.data.prepare.__main__ import main

CLASSES = ("ApplyEyeMakeup", "HandstandPushups")


def ucf_annotations(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"{i} {name}\n" for i, name in enumerate(CLASSES, 1)]
    (folder / "classInd.txt").write_text("".join(lines))
    for number in (1, 2, 3):
        for part in ("train", "test"):
            videos = [f"{name}/v_{part}_{number}.avi" for name in CLASSES]
            (folder / f"{part}list{number:02d}.txt").write_text("\n".join(videos) + "\n")
    return folder


def run(root: Path, *options: str, name: str = "ucf101", status: int = 0) -> dict[str, dict]:
    assert main([name, "--root", str(root), "--workers", "1", *options]) == status
    report: dict[str, dict] = json.loads((root / "lists/report.json").read_text())
    return report
