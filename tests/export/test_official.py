"""From an official checkpoint and PaddleVideo's own YAML to a bundle that answers as it does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.__main__ import main
from infer.bundle.bundle import Bundle
from infer.clips.decode import read_video
from infer.clips.preprocess import load_clips
from infer.clips.sampling import sample_indices
from infer.runtimes.open import open_runtime

NAME = "v2/pptsm_lcnet_k400_8frames_uniform_dml_distillation.yaml"


def test_a_bundle_answers_as_paddlevideo_does(
    paddlevideo: Path,
    run_paddlevideo: Callable[[list[dict[str, Any]]], None],
    write_clip: Callable[..., Path],
    tmp_path: Path,
) -> None:
    pytest.importorskip("PIL")
    config = paddlevideo / "configs/recognition/pptsm" / NAME
    rng = np.random.default_rng(0)
    names = ["a.mp4", "b.mp4"]
    for number, name in enumerate(names):
        texture = rng.integers(0, 256, (270, 480, 3), dtype=np.uint8)
        write_clip(tmp_path / name, np.stack([np.roll(texture, 9 * t, number) for t in range(9)]))
    (tmp_path / "all.list").write_text("".join(f"{name} 7\n" for name in names))
    checkpoint, there = tmp_path / "official.pdparams", tmp_path / "there"
    job = {"config": str(config), "split": "valid"}
    np.save(tmp_path / "noise.npy", rng.normal(0, 1, (1, 8, 3, 32, 32)).astype(np.float32))
    made_up = {"clips": f"{tmp_path}/noise.npy", "logits": f"{there}.npy", "save": str(checkpoint)}
    run_paddlevideo([job | made_up | {"kind": "network"}])
    overrides = [
        f"DATASET.root={tmp_path}",
        f"DATASET.classes={paddlevideo.resolve()}/data/k400/Kinetics-400_label_list.txt",
        "PIPELINE.valid.transform.Scale.resize=pil",
    ]
    for split in ("train", "valid", "test"):
        overrides += [
            f"DATASET.{split}={{format: VideoDataset, file_path: all.list}}",
            f"PIPELINE.{split}.decode.name=VideoDecoder",
        ]
    command = ["--checkpoint", str(checkpoint), "-c", str(config), "--out", f"{tmp_path}/bundle"]
    command += [part for override in overrides for part in ("--override", override)]
    assert main([*command, "--no-int8", "--max-batch", "2", "--threads", "1"]) == 0
    bundle = Bundle.load(tmp_path / "bundle")
    assert bundle.classes[:2] == ("abseiling", "air_drumming") and len(bundle.classes) == 400

    decoded = {name: decode(tmp_path / name, bundle) for name in names}
    np.savez(tmp_path / "frames.npz", **decoded)
    pixels = {"kind": "pixels", "frames": f"{tmp_path}/frames.npz", "pixels": f"{there}.npz"}
    run_paddlevideo([job | pixels])
    theirs = np.load(f"{there}.npz")
    np.save(tmp_path / "clips.npy", np.stack([theirs[name] for name in names]))
    files = {"clips": f"{tmp_path}/clips.npy", "weights": str(checkpoint), "logits": f"{there}.npy"}
    run_paddlevideo([job | files | {"kind": "network"}])

    clips = np.concatenate([load_clips(tmp_path / name, bundle.spec)[0] for name in names])
    with open_runtime(bundle, threads=1) as runtime:
        logits = runtime.run(clips)
    expected = np.load(f"{there}.npy")
    assert np.abs(logits - expected).max() < 1e-4 * np.abs(expected).max()


def decode(path: Path, bundle: Bundle) -> np.ndarray:
    """The sampled frames as they come out of the file, uint8 [T, H, W, 3]."""
    frames, _ = read_video(path, lambda count: sample_indices(count, bundle.spec.sampling)[0])
    return frames
