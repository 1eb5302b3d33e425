"""`python -m benchmarks.pixels -c CONFIG`: how far this project's pixels are from PaddleVideo's.

PaddleVideo shrinks frames with Pillow's bilinear filter, which the resize `pil` repeats to the
bit; the default here is OpenCV's area averaging, which is faster. Everything else, frame numbers,
sizes, crop and normalisation, is the same, so the difference between the two is the filter's alone.

Both are applied to the same decoded frames of every clip of the validation list (or of --split):
the pixels are compared, and with --checkpoint the logits and answers of the trained network too.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.common import machine
from benchmarks.common.command import add_out, carry_out, measuring
from benchmarks.common.errors import BenchmarkError
from benchmarks.common.result_file import header
from export.option_limits import CLIPS_OR_ALL
from infer.clips.decode import Frames, read_video
from infer.clips.frames_folder import read_frames_folder
from infer.clips.pixel_aspect import pixel_aspect
from infer.clips.preprocess import crop_frames, scale_frames
from infer.clips.sampling import sample_indices
from infer.clips.spec import ClipSpec
from infer.clips.time_stamps import times_for
from infer.command.parser import Parser
from infer.command.runner import run_and_exit
from infer.system.errors import VideoError
from infer.system.terminal import can_redraw
from train.config.list_format import FRAME_SUFFIX
from train.config.load import Config, load_config
from train.config.options import add_override, add_trust
from train.data.lists import Sample

REFERENCE = "pil"
OTHERS = ("area", "bilinear")
LEVELS = 256


@measuring
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 done, 1 some clips could not be read, 2 wrong use."""
    parser = Parser(
        prog="python -m benchmarks.pixels",
        description="Compare the pixels of this project's resize filters with PaddleVideo's.",
    )
    add = parser.add_argument
    add("-c", "--config", required=True, help="the experiment: lists, pipeline, network")
    add_override(parser)
    add("--checkpoint", type=Path, help="weights: compare logits and answers too")
    add("--split", choices=("valid", "test"), default="valid", help="default: %(default)s")
    add("--count", type=int, default=0, help="clips, evenly over the list; 0 (default): all")
    add_trust(parser)
    add_out(parser)
    options = parser.parse_args(arguments)
    result = carry_out(compare_filters, options, allowed={"count": CLIPS_OR_ALL})
    print(summary_lines(result))
    return 1 if result["failed"] else 0


def compare_filters(options: argparse.Namespace) -> dict[str, Any]:
    """Compare every filter with Pillow's; JSON-ready."""
    from train.data.splits import build_dataset

    cfg = load_config(options.config, options.override, trust=options.trust)
    spec = cfg.specs[options.split]
    samples = list(build_dataset(cfg, options.split).samples)
    files = cfg.lists[options.split]
    suffix = (files and files.suffix) or FRAME_SUFFIX
    if 0 < options.count < len(samples):
        places = np.linspace(0, len(samples) - 1, options.count).round().astype(int)
        samples = [samples[place] for place in places]
    network = _Network(cfg, options.checkpoint) if options.checkpoint else None
    # How many values of all pixels differ by how much.
    counts = {name: np.zeros(LEVELS, np.int64) for name in OTHERS}
    answers: dict[str, list[np.ndarray]] = {name: [] for name in (REFERENCE, *OTHERS)}
    labels, failed, sizes = [], [], set()
    for sample in tqdm(samples, desc="clips", unit="clip", disable=not can_redraw(sys.stderr)):
        try:
            clips, size = _clips(sample, spec, suffix)
        except VideoError as error:
            failed.append(f"{sample.path.name}: {error.reason}")
            continue
        sizes.add(size)
        labels.append(sample.label)
        for name in OTHERS:
            difference = np.abs(clips[name].astype(np.int16) - clips[REFERENCE])
            counts[name] += np.bincount(difference.ravel(), minlength=LEVELS)
        if network is not None:
            for name, found in clips.items():
                answers[name].append(network.logits(found))
    if not labels:
        raise BenchmarkError(f"no clip of the {options.split} list can be read: {failed[0]}")
    result: dict[str, Any] = {
        **header("clipduet-pixels", 1),
        "config": Path(options.config).name,
        "config_sha256": cfg.sha256(),
        "machine": machine.machine(),
        "pillow": _pillow_version(),
        "reference": REFERENCE,
        "clips": len(labels),
        "failed": failed,
        "frame_sizes": sorted(f"{width}x{height}" for width, height in sizes),
        "preprocess": spec.to_dict()["preprocess"],
        "pixels": {name: _gap(one) for name, one in counts.items()},
    }
    if network is not None:
        result["network"] = _compare(answers, np.array(labels))
    return result


def summary_lines(result: dict[str, Any]) -> str:
    """The result as lines of text."""
    shown = ", ".join(result["frame_sizes"][:4]) + " ..." * (len(result["frame_sizes"]) > 4)
    lines = [
        f"{result['clips']} clips, {len(result['failed'])} more could not be read; frames of "
        f"{shown} pixels; difference from {result['reference']} in grey levels of 255:"
    ]
    lines += [
        f"  {name:<9} mean {gap['mean']:.3f}, 99 % of pixels within {gap['p99']}, largest "
        f"{gap['largest']}"
        for name, gap in result["pixels"].items()
    ]
    for name, found in result.get("network", {}).items():
        line = f"  {name:<9} top-1 {found['top1']:.4f}"
        if name != result["reference"]:
            line += (
                f", same answer {found['same_answer']:.4f}; logits differ by "
                f"{found['mean_difference']:.4f} on average, by {found['largest_difference']:.4f} "
                f"at most (largest logit {found['largest_logit']:.2f})"
            )
        lines.append(line)
    return "\n".join(lines)


def _gap(counts: np.ndarray) -> dict[str, Any]:
    """What is told of absolute differences of pixels, counted by their size."""
    total = int(counts.sum())
    share = np.cumsum(counts) / total
    return {
        "mean": float((counts * np.arange(LEVELS)).sum() / total),
        "p99": int(np.searchsorted(share, 0.99)),
        "largest": int(np.flatnonzero(counts)[-1]),
        "equal": float(share[0]),
    }


class _Network:
    """The trained student as a function of clips."""

    def __init__(self, cfg: Config, checkpoint: Path) -> None:
        from export.network.strip import strip
        from train.checkpoints.checkpoint import load_file, model_weights
        from train.models.pixels import PixelInput

        weights = model_weights(load_file(checkpoint, trust=cfg.trust), source=checkpoint)
        self._network = strip(weights, cfg.model, source=checkpoint).network
        preprocess = cfg.specs["valid"].preprocess
        self._pixels = PixelInput(preprocess.mean, preprocess.std)

    def logits(self, clips: Frames) -> np.ndarray:
        """The mean over a video's clips: uint8 [clips, T, H, W, 3] to float32 [classes]."""
        import paddle

        with paddle.no_grad():
            logits: np.ndarray = self._network(self._pixels(paddle.to_tensor(clips))).numpy()
        return logits.mean(axis=0)


def _clips(
    sample: Sample, spec: ClipSpec, suffix: str
) -> tuple[dict[str, Frames], tuple[int, int]]:
    """The clips of one sample by filter, uint8 [clips, T, H, W, 3], and (width, height)."""

    def pick(count: int) -> list[int]:
        times = times_for(sample.path, count, spec.sampling)
        clips = sample_indices(count, spec.sampling, times=times)
        return [index for clip in clips for index in clip]

    if sample.frames is None:
        frames, info = read_video(sample.path, pick)
    else:
        frames, info = read_frames_folder(sample.path, pick, suffix=suffix, frames=sample.frames)
    found = {}
    aspect = pixel_aspect(sample.path, spec.preprocess)
    for name in (REFERENCE, *OTHERS):
        preprocess = dataclasses.replace(spec.preprocess, resize=name)
        scaled = scale_frames(frames, preprocess, aspect=aspect)
        views = scaled.reshape(-1, spec.sampling.length, *scaled.shape[1:])
        found[name] = crop_frames(views, preprocess)
    return found, (info.width, info.height)


def _compare(answers: dict[str, list[np.ndarray]], labels: np.ndarray) -> dict[str, Any]:
    """Top-1 by filter, and how far logits are from those of Pillow's pixels."""
    logits = {name: np.stack(rows) for name, rows in answers.items()}
    reference = logits[REFERENCE]
    found: dict[str, Any] = {}
    for name, rows in logits.items():
        found[name] = {"top1": float((rows.argmax(axis=1) == labels).mean())}
        if name != REFERENCE:
            difference = np.abs(rows - reference)
            found[name] |= {
                "same_answer": float((rows.argmax(axis=1) == reference.argmax(axis=1)).mean()),
                "mean_difference": float(difference.mean()),
                "largest_difference": float(difference.max()),
                "largest_logit": float(np.abs(reference).max()),
            }
    return found


def _pillow_version() -> str:
    try:
        import PIL
    except ImportError:
        raise BenchmarkError("Pillow is needed to compare with: pip install '.[pil]'") from None
    return str(PIL.__version__)


if __name__ == "__main__":
    run_and_exit(main)
