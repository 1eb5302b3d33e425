"""From class folders to the report of a gate, by the commands that are told, without a config."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

import av
import numpy as np
import pytest

from benchmarks.gain import main as gain
from export.__main__ import main as export
from tests.train.init.clip_classes import CLASSES
from train.__main__ import main as train
from train.init.__main__ import main

WARMUP = "OPTIMIZER.learning_rate.warmup_epochs=0"
SHORT = ["max_steps=1", WARMUP, "DATASET.num_workers=0"]
TOLD = ("train", "train", "export", "export", "benchmarks.gain")


def commands(text: str) -> list[list[str]]:
    """The commands to go on with, as words after `python -m`."""
    lines = text.split("go on with:\n")[1].split("\n\n")[0].splitlines()
    words = [shlex.split(line) for line in lines]
    assert all(each[:2] == ["python", "-m"] for each in words)
    assert tuple(each[2] for each in words) == TOLD
    return [each[3:] for each in words]


def follow(told: Sequence[Sequence[str]], *, exports: Sequence[str], gate: Sequence[str]) -> Path:
    """Run what is told, with one step a training; the folder of the report."""
    options = [word for text in SHORT for word in ("-o", text)]
    teacher = ["-o", f"BEFORE.TEACHER.override={json.dumps(SHORT)}"]
    alone, pair, first, second, compared = told
    assert train([*alone, *options]) == 0
    assert train([*pair, *options, *teacher]) == 0
    assert export([*first, *exports]) == 0 and export([*second, *exports]) == 0
    # After one step a network may well answer one class alone: the gate says so, and goes on.
    assert gain([*compared, "--no-latency", "--tell-only", *gate]) == 0
    return Path(compared[compared.index("--report") + 1])


def test_from_folders_to_a_report(clips: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # A path may hold anything, what a config reads as a variable too.
    clips = clips.rename("${HOME}s of mïne")
    out = Path("my ${ÿ} \U0001f3be")
    assert main(["--clips", str(clips), "--out", str(out)]) == 0
    told = commands(capsys.readouterr().out)
    report = follow(
        told,
        exports=["--no-int8", "--no-fp16"],
        gate=["--cells", "paddle:fp32,onnxruntime:fp32", "--resamples", "200"],
    )
    result = json.loads((report / "results.json").read_text(encoding="utf-8"))
    assert result["data"]["listed"] == 3 and result["data"]["classes"] == list(CLASSES)
    assert (report / "index.html").is_file() and (report / "report.md").is_file()


def small(file: Path) -> np.ndarray:
    """Every third frame of a video, 48 pixels high."""
    with av.open(str(file)) as video:
        frames = list(video.decode(video=0))[::3]
        return np.stack(
            [frame.reformat(84, 48, "rgb24").to_ndarray(format="rgb24") for frame in frames]
        )


def test_from_folders_of_real_clips_to_a_report(
    shared: Path,
    tmp_path: Path,
    write_clip: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Real clips, scaled down and with every third frame, so that the networks are small."""
    source = shared / "data" / "tennis"
    if not source.is_dir():
        pytest.skip(f"no clips of tennis at {source}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TEACHER", raising=False)
    names = sorted(folder.name for folder in source.iterdir() if folder.is_dir())
    for name in names:
        for file in sorted((source / name).glob("*.mp4"))[:4]:
            write_clip(Path("tennis", name, file.name), small(file), fps=10)
    assert main(["--clips", "tennis"]) == 0
    report = follow(commands(capsys.readouterr().out), exports=[], gate=["--resamples", "200"])
    result = json.loads((report / "results.json").read_text(encoding="utf-8"))
    assert len(names) == 7 and result["data"]["classes"] == names
    assert result["data"]["listed"] == 7
    # Without VNNI, sums of networks that have hardly learnt may saturate in ONNX Runtime: refused.
    assert "openvino:int8" in [cell["cell"] for cell in result["cells"]]
