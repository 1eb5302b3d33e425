"""Two bundles in every deployment: what each answers, and how long each takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from benchmarks import machine
from benchmarks.accuracy import Cell
from benchmarks.errors import BenchmarkError
from benchmarks.latency import summarise, time_in_turns, time_stages
from infer.bundle import Bundle
from infer.errors import ClipDuetError, VideoError
from infer.preprocess import center_crop, load_clips, scale_frames
from infer.runtimes import BACKENDS, Clips, Logits, Runtime, artifact_keys, open_runtime
from infer.sampling import sample_indices
from infer.spec import ClipSpec
from infer.video import read_video
from train.data.dataset import ClipDataset
from train.data.lists import Sample
from train.evaluate import Evaluation, evaluate

MODELS = ("baseline", "student")
RATIO_CELL = Cell("onnxruntime", "fp32")
CACHE_BYTES = 2**30  # decoded clips are kept between cells when they fit in this
BATCH = 8
STAGE_CLIPS = 100


@dataclass(frozen=True)
class Timing:
    """How networks are timed.

    batch_sizes: clips a call. seconds: about how long a batch size takes, all cells together.
    """

    batch_sizes: Sequence[int]
    seconds: float
    repetitions: int
    seed: int


def artifact_key(bundle: Bundle, cell: Cell) -> str | None:
    """Which artefact of a bundle the cell runs; None: the bundle lacks it."""
    if cell.backend not in BACKENDS:
        raise BenchmarkError(
            f"cell {cell.key} names an unknown runtime; allowed: {', '.join(BACKENDS)}"
        )
    keys = artifact_keys(cell.backend, cell.precision)
    return next((key for key in keys if key in bundle.artifacts), None)


def check_bundles(bundles: Mapping[str, Bundle], cells: Sequence[Cell]) -> None:
    """Two models are comparable when they answer the same question in the same deployments.

    Raises:
        BenchmarkError: different classes, or a cell that a bundle has no file for.
    """
    baseline, student = (bundles[name] for name in MODELS)
    if baseline.classes != student.classes:
        raise BenchmarkError(
            f"{baseline.root} and {student.root} have different classes "
            f"({len(baseline.classes)} and {len(student.classes)}, or other names or order); a "
            "gain between them would mean nothing"
        )
    for bundle in (baseline, student):
        lacking = [cell.key for cell in cells if artifact_key(bundle, cell) is None]
        if lacking:
            raise BenchmarkError(
                f"bundle {bundle.root} has no file for {', '.join(lacking)} (it has: "
                f"{', '.join(sorted(bundle.artifacts))}); export it again, or choose with --cells"
            )


def shared_datasets(
    bundles: Mapping[str, Bundle], samples: Sequence[Sample], suffix: str
) -> dict[str, ClipDataset]:
    """One dataset for both models where they see the same pixels, so that clips decode once."""
    made: dict[ClipSpec, ClipDataset] = {}
    for bundle in bundles.values():
        spec = bundle.spec
        size = int(np.prod(spec.clip_shape)) * spec.sampling.views * len(samples)
        if spec not in made:
            made[spec] = ClipDataset(
                samples, spec, train=False, suffix=suffix, cache=size <= CACHE_BYTES
            )
    return {name: made[bundle.spec] for name, bundle in bundles.items()}


def answer_all(
    bundles: Mapping[str, Bundle],
    cells: Sequence[Cell],
    datasets: Mapping[str, ClipDataset],
    *,
    threads: int,
    workers: int,
) -> dict[str, dict[str, Evaluation]]:
    """What every model answers to every listed clip, by model and cell.

    Raises:
        BenchmarkError: a cell that cannot run or returns nonsense, by name.
    """
    answers: dict[str, dict[str, Evaluation]] = {name: {} for name in bundles}
    with tqdm(total=len(bundles) * len(cells), desc="accuracy", disable=None) as bar:
        for name, bundle in bundles.items():
            for cell in cells:
                bar.set_postfix_str(f"{name} {cell.key}")
                try:
                    with open_cell(bundle, cell, threads) as runtime:
                        answers[name][cell.key] = evaluate(
                            runtime.run, datasets[name], batch_size=BATCH, workers=workers
                        )
                except ClipDuetError as error:
                    raise BenchmarkError(f"{name} in {cell.key}: {error}") from error
                bar.update()
    return answers


def time_all(
    bundles: Mapping[str, Bundle],
    cells: Sequence[Cell],
    datasets: Mapping[str, ClipDataset],
    timing: Timing,
    *,
    threads: int,
) -> dict[str, Any]:
    """Latency of every network at every batch size, and of reading and preprocessing once."""
    largest = max(timing.batch_sizes)
    clips = {name: _some_clips(dataset, largest) for name, dataset in datasets.items()}
    network: list[dict[str, Any]] = []
    with ExitStack() as stack:
        runtimes = {
            (name, cell.key): stack.enter_context(open_cell(bundle, cell, threads))
            for name, bundle in bundles.items()
            for cell in cells
        }
        before = machine.cpu_times()
        for batch in timing.batch_sizes:
            calls = {
                f"{name} {key}": _call(runtime, clips[name][:batch])
                for (name, key), runtime in runtimes.items()
            }
            with tqdm(total=100, desc=f"latency, batch {batch}", unit="%", disable=None) as bar:
                timings = time_in_turns(
                    calls,
                    budget=timing.seconds,
                    repetitions=timing.repetitions,
                    seed=timing.seed,
                    progress=lambda share, bar=bar: bar.update(int(100 * share) - bar.n),  # type: ignore[misc]
                )
            for name, key in runtimes:
                same_model = timings.get(f"{name} {RATIO_CELL.key}")
                row = summarise(timings[f"{name} {key}"], batch=batch, reference=same_model)
                network.append({"model": name, "cell": key, **row})
        others = machine.cores_of_others(before, machine.cpu_times())
    return {
        "cores_of_others": others,
        "network": network,
        "ratio_to": RATIO_CELL.key if RATIO_CELL in cells else None,
        "stages": time_before_network(datasets["student"]),
    }


def time_before_network(dataset: ClipDataset) -> dict[str, Any] | None:
    """Reading (decoding the sampled frames) and preprocessing, in one thread, a video at a time.

    None where the list holds frame folders, or nothing that can be read.
    """
    spec = dataset.spec
    chosen = np.linspace(0, len(dataset) - 1, min(len(dataset), STAGE_CLIPS)).astype(int)
    paths = []
    for sample in (dataset.samples[index] for index in sorted(set(chosen.tolist()))):
        if sample.frames is not None:
            return None
        try:
            expected = load_clips(sample.path, spec)[0]
            timed = _preprocess(_read(sample.path, spec), spec)
        except VideoError:
            continue
        # What is timed must be what deployment does.
        if not np.array_equal(expected, timed):
            raise BenchmarkError(f"{sample.path}: the timed pixels are not those of deployment")
        paths.append(sample.path)
    if not paths:
        return None
    stages: list[tuple[str, Callable[[Any], Any]]] = [
        ("read", lambda path: _read(path, spec)),
        ("preprocess", lambda read: _preprocess(read, spec)),
    ]
    return {
        name: summarise(timings, batch=1) for name, timings in time_stages(stages, paths).items()
    }


def open_cell(bundle: Bundle, cell: Cell, threads: int) -> Runtime:
    """Open the runtime of a cell."""
    return open_runtime(bundle, backend=cell.backend, precision=cell.precision, threads=threads)


def _call(runtime: Runtime, batch: Clips) -> Callable[[], Logits]:
    return lambda: runtime.run(batch)


def _some_clips(dataset: ClipDataset, count: int) -> Clips:
    """uint8 [count, T, H, W, 3] from all over the list, repeated when it is shorter."""
    found: list[Clips] = []
    for index in np.linspace(0, len(dataset) - 1, min(len(dataset), 4 * count)).astype(int):
        try:
            found.append(dataset.read(int(index), rng=None)[0][0])
        except VideoError:
            continue
    if not found:
        raise BenchmarkError("no clip of the list can be read; there is nothing to time")
    spread = np.linspace(0, len(found) - 1, min(count, len(found))).astype(int)
    return np.stack([found[spread[place % len(spread)]] for place in range(count)])


def _read(path: Path, spec: ClipSpec) -> tuple[Clips, npt.NDArray[np.int64]]:
    """Every sampled frame once, in full size, and which of them each view takes."""
    views: list[list[int]] = []

    def pick(frames: int) -> list[int]:
        views[:] = sample_indices(frames, spec.sampling, rng=None)
        return sorted({index for view in views for index in view})

    frames, _ = read_video(path, pick)
    unique = sorted({index for view in views for index in view})
    return frames, np.searchsorted(unique, np.asarray(views))


def _preprocess(read: tuple[Clips, npt.NDArray[np.int64]], spec: ClipSpec) -> Clips:
    frames, views = read
    scaled = scale_frames(frames, spec.preprocess)[views]
    return np.ascontiguousarray(center_crop(scaled, spec.preprocess.crop))
