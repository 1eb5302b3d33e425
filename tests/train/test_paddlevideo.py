"""What PaddleVideo's users have works here: their files, and their checkpoints both ways."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import paddle
import pytest

from export.network.strip import strip
from infer.clips.preprocess import crop_frames, scale_frames
from train.checkpoints.checkpoint import load_file, model_weights
from train.checkpoints.pretrained import load_weights
from train.config.load import Config, load_config
from train.data.splits import training_datasets
from train.distill.build_recognizer import build_recognizer
from train.engine.loop import train
from train.models.pixels import PixelInput

CONFIGS = {
    "v2/pptsm_lcnet_k400_8frames_uniform": 8,
    "v2/pptsm_lcnet_k400_16frames_uniform": 16,
    "v2/pptsm_lcnet_k400_8frames_uniform_dml_distillation": 8,
    "v2/pptsm_lcnet_k400_16frames_uniform_dml_distillation": 16,
    "pptsm_k400_frames_uniform": 8,
    "pptsm_k400_videos_uniform": 8,
    "pptsm_k400_frames_dense": 8,
    "pptsm_k400_frames_dense_r101": 8,
    "pptsm_mv2_k400_videos_uniform": 8,
    "pptsm_mv3_k400_frames_uniform": 8,
}

TINY = [
    "DATASET.batch_size=2",
    "DATASET.num_workers=0",
    "OPTIMIZER.learning_rate.warmup_epochs=0",
    "epochs=1",
    *[f"PIPELINE.{split}.transform.Scale.short_size=40" for split in ("train", "valid", "test")],
    "PIPELINE.train.transform.MultiScaleCrop.target_size=40",
    "PIPELINE.train.transform.RandomCrop.target_size=32",
    "PIPELINE.valid.transform.CenterCrop.target_size=32",
    "INFERENCE.target_size=32",
]


CLASSIFIERS = {"LCNet": "fc", "MobileNetV3": "fc", "MobileNetV2": "out"}
"""Of the networks that end in logits, by their file of weights."""


def yaml_of(paddlevideo: Path, name: str) -> Path:
    return paddlevideo / "configs/recognition/pptsm" / f"{name}.yaml"


# --- configs -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory, write_clip: Callable[..., Path]) -> Path:
    """Two clips, as files and as folders of frames."""
    root = tmp_path_factory.mktemp("clips")
    rng = np.random.default_rng(0)
    for index in range(2):
        texture = rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)
        frames = np.stack([np.roll(texture, t, axis=index) for t in range(20)])
        write_clip(root / f"{index}.mp4", frames)
        (root / str(index)).mkdir()
        for number, frame in enumerate(frames, start=1):
            cv2.imwrite(str(root / str(index) / f"img_{number:05}.jpg"), frame)
    return root


def lay_out(cfg: Config, clips: Path) -> None:
    """The lists and folders that a config names, in the current folder."""
    for listed in (cfg.DATASET.train, cfg.DATASET.valid):
        videos = listed.format == "VideoDataset"
        prefix = Path(listed.data_prefix)
        prefix.parent.mkdir(parents=True, exist_ok=True)
        if listed.data_prefix and not prefix.exists():
            prefix.symlink_to(clips)
        where = "" if listed.data_prefix else f"{clips}/"
        ending = ".mp4" if videos else " 20"
        file = Path(listed.file_path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{where}0{ending} 3\n{where}1{ending} 399\n")


def save(state: dict[str, Any], path: Path) -> Path:
    paddle.save(
        {key: paddle.to_tensor(np.asarray(value)) for key, value in state.items()}, str(path)
    )
    return path


def imagenet(backbone: paddle.nn.Layer, path: Path) -> Path:
    """A file as PaddleClas 2.0 made it: this backbone's entries, a classifier for 1000 classes."""
    state = dict(backbone.state_dict())
    # The ResNets here end before their classifier.
    fc = "fc" if "fc.weight" in state else "out"
    features = state[f"{fc}.weight"].shape[0] if f"{fc}.weight" in state else 2048
    state[f"{fc}.weight"], state[f"{fc}.bias"] = paddle.ones([features, 1000]), paddle.ones([1000])
    return save(state, path)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_config_as_it_stands_trains_a_step(
    paddlevideo: Path,
    clips: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    file = yaml_of(paddlevideo, name)
    assert load_config(file).specs["valid"].clip_shape == (CONFIGS[name], 224, 224, 3)
    crop = "GroupFullResSample.crop_size" if "dense" in name else "CenterCrop.target_size"
    cfg = load_config(file, [*TINY, f"PIPELINE.test.transform.{crop}=32", "output_dir=run"])
    lay_out(cfg, clips)
    seeded = build_recognizer(cfg.model, seed=7)
    blocks = [b for entry in cfg.model.get("models", []) for b in entry.items()]
    for role, block in blocks or [("Student", cfg.model)]:
        imagenet(seeded.networks[role][0], Path(block["backbone"]["pretrained"]))
    said: list[str] = []
    train_set, valid_set = training_datasets(cfg)
    progress = train(cfg, train_set=train_set, valid_set=valid_set, reporter=Notes(said))
    assert (progress.epoch, progress.step) == (1, 1) and not progress.skipped
    assert np.isfinite(progress.history[0]["train.loss"])
    said = [line for line in said if line.split(":")[0] in seeded.roles]
    assert [line.split(":")[0] for line in said] == seeded.roles
    for line in said:
        mobile = next((fc for net, fc in CLASSIFIERS.items() if net in line), None)
        left_out = f"{mobile}.weight [1280, 1000], not [1280, 400]" if mobile else "out.weight"
        assert left_out in line
    found = model_weights(load_file(tmp_path / "run/best.pdparams"), source=tmp_path)
    assert found.keys() == seeded.state_dict().keys()


class Notes:
    """A reporter that keeps what it is told."""

    def __init__(self, said: list[str]) -> None:
        self.note = said.append

    def step(self, *figures: object) -> None: ...

    def epoch(self, *figures: object) -> None: ...


# --- checkpoints ---------------------------------------------------------------------------------

CHECKPOINTS = [
    "v2/pptsm_lcnet_k400_8frames_uniform",
    "v2/pptsm_lcnet_k400_16frames_uniform_dml_distillation",
    "pptsm_k400_frames_uniform",
    "pptsm_k400_frames_dense_r101",
    "pptsm_mv2_k400_videos_uniform",
    "pptsm_mv3_k400_frames_uniform",
]


def test_checkpoints_go_both_ways(
    paddlevideo: Path, run_paddlevideo: Callable[[list[dict[str, Any]]], None], tmp_path: Path
) -> None:
    """PaddleVideo's weights give PaddleVideo's logits here, and ours give ours there."""
    jobs, ours = [], {}
    for name in CHECKPOINTS:
        stem = tmp_path / name.replace("/", "_")
        config = yaml_of(paddlevideo, name)
        cfg = load_config(config)
        clips = np.random.default_rng(0).normal(0, 1, (2, CONFIGS[name], 3, 32, 32))
        np.save(f"{stem}.npy", clips.astype(np.float32))
        own = build_recognizer(cfg.model, seed=1)
        own.eval()
        save(own.state_dict(), Path(f"{stem}_ours.pdparams"))
        ours[stem] = (cfg, clips.astype(np.float32), own)
        job = {"kind": "network", "config": str(config), "clips": f"{stem}.npy"}
        jobs.append(job | {"save": f"{stem}.pdparams", "logits": f"{stem}_theirs_there.npy"})
        weights = {"weights": f"{stem}_ours.pdparams", "logits": f"{stem}_ours_there.npy"}
        jobs.append(job | weights)
    run_paddlevideo(jobs)
    for stem, (cfg, clips, own) in ours.items():
        frames = paddle.to_tensor(clips.reshape(-1, 3, 32, 32))
        theirs = Path(f"{stem}.pdparams")
        files = [theirs] + [Path(f"{stem}_student.pdparams")] * (len(own.roles) > 1)
        for file in files:
            network = strip(read(file), cfg.model, source=file).network
            same(network(frames), np.load(f"{stem}_theirs_there.npy"))
            recognizer = build_recognizer(cfg.model, seed=2)
            load_weights(recognizer, file)
            recognizer.eval()
            same(recognizer.student(frames), np.load(f"{stem}_theirs_there.npy"))
        same(own.student(frames), np.load(f"{stem}_ours_there.npy"))


def read(file: Path) -> dict[str, Any]:
    return model_weights(load_file(file), source=file)


def same(found: paddle.Tensor, expected: np.ndarray) -> None:
    assert np.abs(found.numpy() - expected).max() < 1e-5 * np.abs(expected).max()


# --- pixels --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("v2/pptsm_lcnet_k400_8frames_uniform", "valid"),
        ("pptsm_k400_frames_dense", "test"),  # three crops
    ],
)
def test_pixels_are_paddlevideos(
    paddlevideo: Path,
    run_paddlevideo: Callable[[list[dict[str, Any]]], None],
    tmp_path: Path,
    name: str,
    split: Literal["valid", "test"],
) -> None:
    """With `resize: pil` to the bit; with the default, wherever nothing has to be resized."""
    pytest.importorskip("PIL")
    config = yaml_of(paddlevideo, name)
    rng = np.random.default_rng(0)
    fitting = [(340, 256), (256, 400)]
    frames = {
        f"{width}x{height}": rng.integers(0, 256, (2, height, width, 3), dtype=np.uint8)
        for width, height in [(480, 270), (270, 480), (100, 75), (90, 90), (641, 359), *fitting]
    }
    np.savez(tmp_path / "frames.npz", **frames)
    job = {"kind": "pixels", "config": str(config), "split": split}
    files = {"frames": f"{tmp_path}/frames.npz", "pixels": f"{tmp_path}/pixels.npz"}
    run_paddlevideo([job | files])
    theirs = np.load(tmp_path / "pixels.npz")
    for size, given in frames.items():
        for resize in ("pil", "area"):
            cfg = load_config(config, [f"PIPELINE.{split}.transform.Scale.resize={resize}"])
            spec = cfg.specs[split].preprocess
            clips = crop_frames(scale_frames(given, spec)[None], spec)
            clip = clips.reshape(-1, *clips.shape[2:])
            mean, std = np.float32(spec.mean), np.float32(spec.std)
            exactly = ((clip.astype(np.float32) / 255.0 - mean) / std).transpose(0, 3, 1, 2)
            same_pixels = np.array_equal(exactly, theirs[size])
            assert same_pixels == (resize == "pil" or size in {f"{w}x{h}" for w, h in fitting})
            if same_pixels:
                inputs = PixelInput(spec.mean, spec.std)(paddle.to_tensor(clip[None]))
                assert np.abs(inputs.numpy() - theirs[size]).max() < 1e-6
