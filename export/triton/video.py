"""The model of the repository that takes the bytes of video files.

    REPO/videos/NAME_video/          config.pbtxt, labels.txt
    REPO/videos/NAME_video/1/        model.py, bundle/, warmup.mp4

It lies in a folder of its own, which is a model repository too: a server that has Python and
ClipDuet serves it, and one that has not takes only REPO/models.
"""

from __future__ import annotations

import io
import shutil
from collections.abc import Collection, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from export.triton.config import (
    RepositoryModel,
    Serving,
    VideoModel,
    video_config_text,
    write_labels,
)
from export.triton.models import model_name
from infer.bundle.bundle import BUNDLE_JSON, Bundle
from infer.system.errors import BackendError

VIDEOS = "videos"
OWN, ONNX, TENSORRT = "own", "onnx", "tensorrt"
NETWORKS = (OWN, ONNX, TENSORRT)
"""What runs the network: the model itself, or a model of the repository, by its backend."""
BACKENDS = {ONNX: "onnxruntime", TENSORRT: "tensorrt"}
MOST_VIDEOS = 8
"""Of a batch: the first of them is answered with the last."""
LIMITS = {
    "read_timeout": 30,
    "read_memory": 1024,
    "max_bytes": 256 << 20,
    "max_pixels": 4096 * 2304,
    "max_frames": 100_000,
    "max_seconds": 600,
}
"""Of each video, as those of `clipduet serve`; seconds, MiB, bytes."""


def video_model(
    bundle: Bundle,
    models: Sequence[RepositoryModel],
    *,
    network: str = OWN,
    precisions: Sequence[str],
    serving: Serving,
) -> VideoModel:
    """What is to be written.

    Args:
        bundle: what is served.
        models: of the repository beside it.
        network: of `NETWORKS`.
        precisions: what may be; fp32 is taken if it is among them, else the first.
        serving: instances and delay; it runs on the CPU.

    Raises:
        BackendError: no such model among them.
    """
    asked = ""
    precision = "fp32" if "fp32" in precisions else precisions[0]
    if network != OWN:
        fitting = [
            one for one in models
            if one.backend == BACKENDS[network] and one.name.endswith(f"_{network}_{precision}")
        ]  # fmt: skip
        if not fitting:
            there = ", ".join(one.name for one in models)
            raise BackendError(
                f"no {network} model in {precision} for --network; there is: {there}"
            )
        asked = fitting[0].name
    name = model_name(bundle, "video")
    return VideoModel(name, asked, precision, min(MOST_VIDEOS, bundle.max_batch), serving)


def write_video_model(folder: Path, model: VideoModel, bundle: Bundle) -> None:
    """Write its folder, with version 1."""
    keys = {
        key for key, one in bundle.artifacts.items()
        if one.format == "onnx" and one.precision == model.precision and not model.network
    }  # fmt: skip
    write_version(folder / "1", bundle, keys)
    settings: dict[str, Any] = {
        "network": model.network,
        "backend": "onnxruntime",
        "precision": model.precision,
        "threads": 0,
        "workers": 0,
        **LIMITS,
    }
    write_labels(folder, bundle)
    (folder / "config.pbtxt").write_text(video_config_text(model, bundle, settings), "utf-8")


def write_version(folder: Path, bundle: Bundle, keys: Collection[str]) -> None:
    """Write the folder of a version: code, a video to warm up, the bundle with those artefacts.

    Raises:
        BackendError: the bundle lacks one of them.
        BundleError: a file is damaged.
    """
    (folder / "bundle").mkdir(parents=True)
    shutil.copyfile(Path(__file__).with_name("video_model.py"), folder / "model.py")
    (folder / "warmup.mp4").write_bytes(_small_video())
    shutil.copyfile(bundle.root / BUNDLE_JSON, folder / "bundle" / BUNDLE_JSON)
    for key in sorted(keys):
        artifact = bundle.artifact(key)
        copies = replace(artifact, root=folder / "bundle")
        for source, copy in zip(artifact.paths, copies.paths, strict=True):
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, copy)


def keys_of_version(folder: Path) -> set[str]:
    """The artefacts of a version that was written."""
    bundle = Bundle.load(folder / "bundle")
    return {
        key for key, one in bundle.artifacts.items() if all(path.is_file() for path in one.paths)
    }


def _small_video() -> bytes:
    """An MP4 file of 16 frames."""
    import av

    file = io.BytesIO()
    noise = np.random.default_rng(0)
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=Fraction(8))
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.thread_count = 1
        for _ in range(16):
            pixels = noise.integers(0, 256, (64, 96, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return file.getvalue()
