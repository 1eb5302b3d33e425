"""`python -m benchmarks`: is the gain still there after deployment, and what does it cost to run.

Both bundles answer the same listed clips in every cell; the answers are compared; only when the
fp32 cells agree are the networks timed, all in one run, in turns.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

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
from benchmarks.controls import time_controls
from benchmarks.deployments import (
    MODELS,
    Timing,
    answer_all,
    check_bundles,
    shared_datasets,
    time_all,
)
from benchmarks.errors import BenchmarkError
from benchmarks.results import FORMAT, FORMAT_VERSION, dump, write_text
from infer.bundle import Bundle
from infer.errors import ClipDuetError
from infer.runtimes import find_artifact
from train.data.lists import FORMATS, read_list
from train.evaluate import Evaluation


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
    add("--suffix", default="", help="file suffix or name pattern of frames, as in the config")
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
    add("--seconds", type=float, default=30.0, help="about how long a batch size is timed")
    add("--repetitions", type=int, default=5, help="repetitions whose spread is reported")
    add("--seed", type=int, default=0, help="seed of the resampling and the order of timing")
    add("--resamples", type=int, default=stats.RESAMPLES, help="bootstrap resamples")
    add("--no-latency", action="store_true", help="compare answers only, time nothing")
    return parser


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Everything the command does but the writing; returns the result as JSON-ready values."""
    started, load_before = time.perf_counter(), machine.load_average()
    _check_numbers(options)
    cells = _cells(options.cells)
    bundles = {name: Bundle.load(getattr(options, name)) for name in MODELS}
    check_bundles(bundles, cells)
    classes = list(bundles["student"].classes)
    samples = read_list(
        options.data,
        root=options.root,
        format=options.format,
        num_classes=len(classes),
        suffix=options.suffix,
    )
    datasets = shared_datasets(bundles, samples, options.suffix)
    seen = answer_all(bundles, cells, datasets, threads=options.threads, workers=options.workers)
    reference = next((cell for cell in cells if cell.precision == "fp32"), cells[0]).key
    labels = seen["student"][reference].labels
    paths = [_shown(path, options.root) for path in seen["student"][reference].paths]
    for name in MODELS:
        whole = seen[name][reference].logits
        for cell in cells:
            logits = seen[name][cell.key].logits
            check_parity(name, cell, whole, logits, paths, reference_key=reference)
    controls = time_controls(
        bundles,
        Cell.parse(reference),
        datasets,
        threads=options.threads,
        workers=options.workers,
        seed=options.seed,
    )
    bootstrap: stats.Bootstrap = {
        "resamples": options.resamples,
        "seed": options.seed,
        "level": stats.LEVEL,
    }
    rows = _rows(bundles, cells, seen, reference, bootstrap)
    latency = None
    if not options.no_latency:
        timing = Timing(options.batch_sizes, options.seconds, options.repetitions, options.seed)
        latency = time_all(bundles, cells, datasets, timing, threads=options.threads)
    failed = seen["student"][reference].failed
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
        "bundles": {name: _bundle_record(bundles[name]) for name in MODELS},
        "data": {
            "list": str(options.data),
            "sha256": hashlib.sha256(options.data.read_bytes()).hexdigest(),
            "root": str(options.root) if options.root is not None else None,
            "listed": len(samples),
            "decoded": len(samples) - len(failed),
            "failed": [
                {"path": _shown(path, options.root), "error": reason} for path, reason in failed
            ],
            "classes": classes,
            "clip_shape": list(bundles["student"].spec.clip_shape),
            "labels": labels.tolist(),
        },
        "reference": reference,
        "cells": rows,
        "controls": controls,
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


def _rows(
    bundles: Mapping[str, Bundle],
    cells: Sequence[Cell],
    seen: Mapping[str, Mapping[str, Evaluation]],
    reference: str,
    bootstrap: stats.Bootstrap,
) -> list[dict[str, Any]]:
    """The result of every cell: the comparison, and what only logits and files can tell."""
    labels = seen["student"][reference].labels
    answers: dict[str, dict[str, Answers]] = {
        name: {key: answers_of(value.logits, labels) for key, value in seen[name].items()}
        for name in MODELS
    }
    rows = compare_cells(
        labels, len(bundles["student"].classes), answers, reference=reference, **bootstrap
    )
    for row, cell in zip(rows, cells, strict=True):
        for name in MODELS:
            whole, own = seen[name][reference].logits, seen[name][cell.key].logits
            given = answers[name][cell.key]
            gap, _ = largest_difference(whole, own)
            row[name] |= {
                "agreement": _known(agreement(answers[name][reference], given)),
                "max_logit_difference": _known(gap),
                "max_logit": _known(float(np.abs(whole[~np.isnan(whole)]).max(initial=0.0))),
                "bytes": find_artifact(bundles[name], cell.backend, cell.precision).bytes,
                "predictions": given.predictions.tolist(),
                "ranks": given.ranks.tolist(),
            }
    return rows


def _known(value: float) -> float | None:
    """JSON has no NaN; where no clip could be read there is no figure."""
    return None if np.isnan(value) else value


def _bundle_record(bundle: Bundle) -> dict[str, Any]:
    origin = dict(bundle.raw.get("origin", {}))
    origin.setdefault("created", bundle.raw.get("created"))
    return {
        "path": str(bundle.root),
        "name": bundle.name,
        "model": dict(bundle.model),
        "origin": origin,
        "spec": bundle.spec.to_dict(),
        "files": {
            key: {file.file: file.sha256 for file in artifact.files}
            for key, artifact in bundle.artifacts.items()
        },
    }


def _shown(path: str, root: Path | None) -> str:
    try:
        return str(Path(path).relative_to(root)) if root is not None else path
    except ValueError:
        return path


if __name__ == "__main__":
    sys.exit(main())
