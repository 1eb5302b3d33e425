"""`python -m benchmarks`: is the gain still there after deployment, and what does it cost to run.

Both bundles answer the same listed clips in every cell; the answers are compared; only when the
fp32 cells agree are the networks timed, all in one run, in turns.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from benchmarks import machine, stats, words
from benchmarks.accuracy import (
    DEFAULT_CELLS,
    Answers,
    Cell,
    agreement,
    answers_of,
    check_parity,
    compare_cells,
    largest_difference,
)
from benchmarks.errors import BenchmarkError
from benchmarks.latency import Timings, summarise, time_in_turns, time_stages
from benchmarks.results import FORMAT, FORMAT_VERSION, dump, write_text
from infer.bundle import Bundle
from infer.errors import ClipDuetError, VideoError
from infer.preprocess import center_crop, load_clips, scale_frames
from infer.runtimes import Runtime, open_runtime
from infer.sampling import sample_indices
from infer.spec import ClipSpec
from infer.video import read_video
from train.data.dataset import ClipDataset
from train.data.lists import FORMATS, Sample, read_list
from train.evaluate import evaluate

MODELS = ("baseline", "student")
RATIO_CELL = Cell("onnxruntime", "fp32")
CACHE_BYTES = 2**30  # decoded clips are kept between cells when they fit in this
STAGE_CLIPS = 100

Logits = npt.NDArray[np.float32]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 done, 2 wrong use or a comparison that cannot be made."""
    options = _parser().parse_args(arguments)
    try:
        results = run(options)
        write_text(options.out, dump(results))
    except (ClipDuetError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    reference = results["reference"]
    for row in results["cells"]:
        print(words.gain_sentence(row["cell"], row["gain"]))
        if row["cell"] != reference:
            print(words.left_sentence(row, reference))
    print(f"written: {options.out}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Compare a baseline bundle with a student bundle in every deployment.",
    )
    add = parser.add_argument
    add("--baseline", type=Path, required=True, help="bundle of the baseline")
    add("--student", type=Path, required=True, help="bundle of the DML student")
    add("--data", type=Path, required=True, help="list of labelled test clips")
    add("--root", type=Path, default=None, help="folder that the list's paths start from")
    add("--format", choices=FORMATS, default="VideoDataset", help="format of the list")
    add("--suffix", default="", help="name pattern of the frames of a frame-folder list")
    add("--out", type=Path, required=True, help="result file (JSON)")
    add(
        "--cells",
        nargs="+",
        default=[cell.key for cell in DEFAULT_CELLS],
        metavar="RUNTIME:PRECISION",
        help="deployments to compare; the first fp32 one is the reference (default: %(default)s)",
    )
    add("--batch-sizes", nargs="+", type=int, default=[1, 8], help="batch sizes that are timed")
    add("--threads", type=int, default=machine.cpu_count(), help="threads of each runtime")
    add("--workers", type=int, default=2, help="threads that decode")
    add("--seconds", type=float, default=60.0, help="about how long a batch size is timed")
    add("--repetitions", type=int, default=5, help="repetitions whose spread is reported")
    add("--seed", type=int, default=0, help="seed of the resampling and the order of timing")
    add("--resamples", type=int, default=stats.RESAMPLES, help="bootstrap resamples")
    add("--no-latency", action="store_true", help="compare answers only, time nothing")
    return parser


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Everything the command does but the writing; returns the result as JSON-ready values."""
    started, load_before = time.perf_counter(), machine.load_average()
    cells = _cells(options.cells)
    _check_numbers(options)
    bundles = {name: Bundle.load(getattr(options, name)) for name in MODELS}
    _check_bundles(bundles, cells)
    classes = list(bundles["student"].classes)
    samples = read_list(
        options.data, root=options.root, format=options.format, num_classes=len(classes),
        suffix=options.suffix,
    )  # fmt: skip
    datasets = _datasets(bundles, samples, options.suffix)
    reference = next((cell for cell in cells if cell.precision == "fp32"), cells[0])
    logits, labels, failed = _answer_all(bundles, cells, datasets, options)
    paths = [_shown(sample.path, options.root) for sample in samples]
    for name in MODELS:
        for cell in cells:
            whole = logits[name][reference.key]
            check_parity(name, cell, whole, logits[name][cell.key], paths,
                         reference_key=reference.key)  # fmt: skip
    answers = {
        name: {cell.key: answers_of(logits[name][cell.key], labels) for cell in cells}
        for name in MODELS
    }
    bootstrap: stats.Bootstrap = {
        "resamples": options.resamples, "seed": options.seed, "level": stats.LEVEL,
    }  # fmt: skip
    rows = compare_cells(labels, len(classes), answers, reference=reference.key, **bootstrap)
    for row in rows:
        for name in MODELS:
            _complete(row[name], bundles[name], Cell.parse(row["cell"]), answers[name],
                      logits[name], reference.key)  # fmt: skip
    latency = None
    if not options.no_latency:
        latency = _time_all(bundles, cells, datasets["student"], samples, options)
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "created": machine.now(),
        "command": machine.command_line(),
        "seconds": round(time.perf_counter() - started, 1),
        "conditions": {
            "machine": machine.machine(),
            "load_before": load_before,
            "load_after": machine.load_average(),
            "threads": options.threads,
            "timing_seconds": options.seconds,
            "repetitions": options.repetitions,
            "batch_sizes": options.batch_sizes,
            **bootstrap,
        },
        "bundles": {name: _bundle_record(bundles[name], getattr(options, name)) for name in MODELS},
        "data": {
            "list": str(options.data),
            "sha256": hashlib.sha256(options.data.read_bytes()).hexdigest(),
            "root": str(options.root) if options.root is not None else None,
            "listed": len(samples),
            "decoded": len(samples) - len(failed),
            "failed": [
                {"path": _shown(Path(path), options.root), "error": reason}
                for path, reason in failed
            ],
            "classes": classes,
            "clip_shape": list(bundles["student"].spec.clip_shape),
            "labels": [int(label) for label in labels],
        },
        "reference": reference.key,
        "cells": rows,
        "latency": latency,
    }


def _cells(texts: Sequence[str]) -> list[Cell]:
    cells = [Cell.parse(text) for text in texts]
    double = sorted({cell.key for cell in cells if cells.count(cell) > 1})
    if double:
        raise BenchmarkError(f"--cells names {', '.join(double)} more than once")
    return cells


def _check_numbers(options: argparse.Namespace) -> None:
    least = {"threads": 1, "workers": 0, "repetitions": 1, "resamples": 100, "seed": 0}
    wrong = [
        f"--{name} {getattr(options, name)} (allowed: {low} or more)"
        for name, low in least.items()
        if getattr(options, name) < low
    ]
    wrong += [f"--batch-sizes {n} (allowed: 1 or more)" for n in options.batch_sizes if n < 1]
    if not options.seconds > 0:
        wrong.append(f"--seconds {options.seconds} (allowed: above 0)")
    if wrong:
        raise BenchmarkError("cannot work with " + "; ".join(wrong))


def _artifact_key(cell: Cell) -> str:
    return f"{'paddle' if cell.backend == 'paddle' else 'onnx'}.{cell.precision}"


def _check_bundles(bundles: Mapping[str, Bundle], cells: Sequence[Cell]) -> None:
    """Two models are comparable when they answer the same question and have the same cells."""
    baseline, student = (bundles[name] for name in MODELS)
    if list(baseline.classes) != list(student.classes):
        raise BenchmarkError(
            f"the bundles have different classes ({len(baseline.classes)} and "
            f"{len(student.classes)}); a gain between them would mean nothing"
        )
    for name in MODELS:
        have = set(bundles[name].artifacts)
        lacking = [cell.key for cell in cells if _artifact_key(cell) not in have]
        if lacking:
            raise BenchmarkError(
                f"bundle {bundles[name].path} has no file for {', '.join(lacking)} (it has: "
                f"{', '.join(sorted(have))}); export it again, or choose with --cells"
            )


def _datasets(
    bundles: Mapping[str, Bundle], samples: Sequence[Sample], suffix: str
) -> dict[str, ClipDataset]:
    """One dataset for both models where they see the same pixels, so that clips decode once."""
    made: dict[ClipSpec, ClipDataset] = {}
    for name in MODELS:
        spec = bundles[name].spec
        size = int(np.prod(spec.clip_shape)) * spec.sampling.views * len(samples)
        if spec not in made:
            made[spec] = ClipDataset(
                samples, spec, train=False, suffix=suffix, cache=size <= CACHE_BYTES
            )
    return {name: made[bundles[name].spec] for name in MODELS}


def _answer_all(
    bundles: Mapping[str, Bundle],
    cells: Sequence[Cell],
    datasets: Mapping[str, ClipDataset],
    options: argparse.Namespace,
) -> tuple[dict[str, dict[str, Logits]], npt.NDArray[np.int64], list[tuple[str, str]]]:
    """Logits [clips, classes] by model and cell, the labels, and the clips that failed."""
    logits: dict[str, dict[str, Logits]] = {name: {} for name in MODELS}
    labels = np.zeros(0, np.int64)
    failed: list[tuple[str, str]] = []
    with tqdm(total=len(MODELS) * len(cells), desc="accuracy", disable=None) as bar:
        for name in MODELS:
            for cell in cells:
                bar.set_postfix_str(f"{name} {cell.key}")
                try:
                    with _open(bundles[name], cell, options.threads) as runtime:
                        seen = evaluate(
                            runtime.run, datasets[name], batch_size=min(8, runtime.max_batch),
                            workers=options.workers,
                        )  # fmt: skip
                except ClipDuetError as error:
                    raise BenchmarkError(f"{name} in {cell.key}: {error}") from error
                logits[name][cell.key] = seen.logits
                labels = seen.labels
                failed = list(seen.failed)
                bar.update()
    return logits, labels, failed


def _open(bundle: Bundle, cell: Cell, threads: int) -> Runtime:
    return open_runtime(bundle, backend=cell.backend, precision=cell.precision, threads=threads)


def _complete(
    part: dict[str, Any],
    bundle: Bundle,
    cell: Cell,
    answers: Mapping[str, Answers],
    logits: Mapping[str, Logits],
    reference: str,
) -> None:
    """Add to a model's figures in a cell what only the logits and the files can tell."""
    gap, _ = largest_difference(logits[reference], logits[cell.key])
    scale = float(np.nanmax(np.abs(logits[reference]), initial=0.0))
    same = agreement(answers[reference], answers[cell.key])
    part["agreement"] = None if np.isnan(same) else same
    part["max_logit_difference"] = None if np.isnan(gap) else gap
    part["max_logit"] = scale
    part["bytes"] = sum(file.bytes for file in bundle.artifact(_artifact_key(cell)).files)
    part["predictions"] = answers[cell.key].predictions.tolist()
    part["ranks"] = answers[cell.key].ranks.tolist()


def _bundle_record(bundle: Bundle, path: Path) -> dict[str, Any]:
    return {
        "path": str(path),
        "name": bundle.name,
        "model": dict(bundle.model),
        "origin": dict(bundle.origin),
        "spec": bundle.spec.to_dict(),
    }


def _time_all(
    bundles: Mapping[str, Bundle],
    cells: Sequence[Cell],
    dataset: ClipDataset,
    samples: Sequence[Sample],
    options: argparse.Namespace,
) -> dict[str, Any]:
    """Latency of every network at every batch size, and of reading and preprocessing once."""
    clips = _some_clips(dataset, max(options.batch_sizes))
    network: list[dict[str, Any]] = []
    with ExitStack() as stack:
        runtimes = {
            (name, cell.key): stack.enter_context(_open(bundles[name], cell, options.threads))
            for name in MODELS
            for cell in cells
        }
        for batch in options.batch_sizes:
            calls = {
                f"{name} {key}": _call(runtime.run, np.ascontiguousarray(clips[:batch]))
                for (name, key), runtime in runtimes.items()
            }
            with tqdm(total=100, desc=f"latency, batch {batch}", unit="%", disable=None) as bar:
                timings = time_in_turns(
                    calls, budget=options.seconds, repetitions=options.repetitions,
                    seed=options.seed, progress=lambda share: _advance(bar, share),
                )  # fmt: skip
            for name, key in runtimes:
                same_model: Timings | None = timings.get(f"{name} {RATIO_CELL.key}")
                row = summarise(timings[f"{name} {key}"], batch=batch, reference=same_model)
                network.append({"model": name, "cell": key, **row})
    return {
        "network": network,
        "ratio_to": RATIO_CELL.key if RATIO_CELL in cells else None,
        "stages": _time_stages(dataset, samples) if options.format == "VideoDataset" else None,
    }


def _call(run: Callable[[npt.NDArray[np.uint8]], Logits], batch: Any) -> Callable[[], object]:
    return lambda: run(batch)


def _advance(bar: Any, share: float) -> None:
    bar.update(int(100 * share) - bar.n)


def _some_clips(dataset: ClipDataset, count: int) -> npt.NDArray[np.uint8]:
    """`count` clips from all over the list, repeated when it is shorter."""
    found: list[npt.NDArray[np.uint8]] = []
    for index in np.linspace(0, len(dataset) - 1, min(len(dataset), 4 * count)).astype(int):
        try:
            found.append(dataset.read(int(index), rng=None)[0][0])
        except VideoError:
            continue
    if not found:
        raise BenchmarkError("no clip of the list can be read; there is nothing to time")
    spread = np.linspace(0, len(found) - 1, min(count, len(found))).astype(int)
    return np.stack([found[spread[place % len(spread)]] for place in range(count)])


def _time_stages(dataset: ClipDataset, samples: Sequence[Sample]) -> dict[str, Any] | None:
    """Reading (decode the sampled frames) and preprocessing, a sample a video, one thread each."""
    spec = dataset.spec
    chosen = np.linspace(0, len(samples) - 1, min(len(samples), STAGE_CLIPS)).astype(int)
    paths = []
    for index in sorted(set(chosen.tolist())):
        try:
            expected = load_clips(samples[index].path, spec)[0]
            # What is timed must be what deployment does.
            if not np.array_equal(expected, _preprocess(_read(samples[index].path, spec), spec)):
                raise BenchmarkError(f"{samples[index].path}: timed pixels differ from deployment")
            paths.append(samples[index].path)
        except VideoError:
            continue
    if not paths:
        return None
    stages: list[tuple[str, Callable[[Any], Any]]] = [
        ("read", lambda path: _read(path, spec)),
        ("preprocess", lambda frames: _preprocess(frames, spec)),
    ]
    return {
        name: summarise(timings, batch=1) for name, timings in time_stages(stages, paths).items()
    }


def _read(path: Path, spec: ClipSpec) -> npt.NDArray[np.uint8]:
    def pick(frames: int) -> list[int]:
        return [i for view in sample_indices(frames, spec.sampling, rng=None) for i in view]

    return read_video(path, pick)[0]


def _preprocess(frames: npt.NDArray[np.uint8], spec: ClipSpec) -> npt.NDArray[np.uint8]:
    scaled = scale_frames(frames, spec.preprocess)
    cropped = center_crop(scaled, spec.preprocess.crop)
    return cropped.reshape(spec.sampling.views, -1, *cropped.shape[1:])


def _shown(path: Path, root: Path | None) -> str:
    try:
        return str(path.relative_to(root)) if root is not None else str(path)
    except ValueError:
        return str(path)


if __name__ == "__main__":
    sys.exit(main())
