"""Predictions from the network to where the user wants them: a stream as they come, or a file."""

from __future__ import annotations

import contextlib
import os
import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import cv2

from ..bundle.bundle import BUNDLE_JSON, Bundle
from ..clips.spec import ClipSpec
from ..pipeline.predictions import Prediction, predict_videos
from ..runtimes.base import Clips, Logits, Runtime
from ..runtimes.open import open_runtime
from ..runtimes.registry import backend_packages
from ..system.files import replacing, sha256_of
from ..system.hardware import MOST_DECODERS, cores
from ..system.log import logger
from ..system.terminal import ProgressLine, counted
from .inputs import Inputs, Row
from .journal import Journal, video_key
from .labels import Labels
from .output import stream, writer
from .pictures import Pictures
from .reading_options import limits_of, reader
from .score_options import goal_threshold, is_calibrated, temperature_for
from .target import Target, checked_path

log = logger(__name__)

PACKAGES = ("numpy", "opencv-python-headless", "av", *backend_packages())
"""What pixels and answers depend on."""


def to_stream(
    args: Namespace, target: Target, bundle: Bundle, inputs: Inputs, labels: Labels | None
) -> int:
    """Write every answer as soon as it is there; returns how many inputs failed."""
    least = goal_threshold(args, bundle)
    pictures = _pictures(args, bundle, inputs, labels)
    pictures.check(inputs.videos)
    owed = Counter(row.video for row in inputs.rows)
    known: dict[int, Prediction] = {}
    failed = 0
    with (
        _answers(args, bundle, inputs.videos, inputs.frames) as answers,
        stream(target.named) as out,
        writer(target.form, out, [row.name for row in inputs.rows], labels, least=least) as write,
    ):
        elsewhere = out is not sys.stdout
        for row in inputs.rows:
            prediction = _problem(row)
            if row.video is not None:
                if row.video not in known:
                    known[row.video] = next(answers)
                    pictures.save(inputs.videos[row.video], known[row.video])
                prediction = replace(known[row.video], video=Path(row.name))
                owed[row.video] -= 1
                if not owed[row.video]:
                    del known[row.video]
                _tell(prediction, elsewhere, elsewhere or target.form == "table")
            write(row.name, prediction)
            out.flush()
            failed += prediction.error is not None
            if labels is not None:
                labels.count(prediction)
    return failed


def to_file(
    args: Namespace, target: Target, bundle: Bundle, inputs: Inputs, labels: Labels | None
) -> int:
    """Keep every answer beside the file, then write that whole; returns how many inputs failed."""

    def where() -> Path:
        return checked_path(target, videos=inputs.videos, bundle=bundle.root)

    least = goal_threshold(args, bundle)
    pictures = _pictures(args, bundle, inputs, labels)
    # From before they are read: one that changes meanwhile is another one next time.
    keys = [video_key(video, inputs.frames.get(video)) for video in inputs.videos]
    journal = Journal(where(), _about(args, bundle), resume=args.resume)
    keep = True
    try:
        if journal.differs:
            other = " and ".join(journal.differs)
            log.info(f"note: {journal.path} was of a run with another {other} and is dropped")
        left = [place for place, key in enumerate(keys) if key not in journal]
        pictures.check(inputs.videos[place] for place in left)
        if len(left) < len(keys):
            done = len(keys) - len(left)
            log.info(f"note: {done} of {len(keys)} videos were answered by a run that was stopped")
        with _answers(args, bundle, [inputs.videos[k] for k in left], inputs.frames) as answers:
            for place, prediction in zip(left, answers, strict=True):
                journal.add(keys[place], prediction)
                pictures.save(inputs.videos[place], prediction)
                _tell(prediction, True, True)
        for place in sorted({*range(len(keys))} - {*left}):
            pictures.save(inputs.videos[place], journal.get(keys[place]), missing=True)
        # Links on the way may have been changed meanwhile.
        failed = _write(where(), target.form, inputs, keys, journal, labels, least)
        keep = False
    except BaseException:
        if journal.answers:
            path, many = journal.path, counted(journal.answers, "answer")
            log.warning(f"stopped: {path} keeps {many}, and the same command goes on from there")
        raise
    finally:
        journal.close(keep=keep)
    return failed


def _write(
    target: Path,
    form: str,
    inputs: Inputs,
    keys: Sequence[str],
    journal: Journal,
    labels: Labels | None,
    least: float | None,
) -> int:
    failed = 0
    with (
        replacing(target) as path,
        path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as out,
    ):
        names = [row.name for row in inputs.rows]
        with writer(form, out, names, labels, least=least) as write:
            for row in inputs.rows:
                prediction = _problem(row)
                if row.video is not None:
                    prediction = replace(journal.get(keys[row.video]), video=Path(row.name))
                write(row.name, prediction)
                failed += prediction.error is not None
                if labels is not None:
                    labels.count(prediction)
        out.flush()
        os.fsync(out.fileno())
    return failed


def _pictures(args: Namespace, bundle: Bundle, inputs: Inputs, labels: Labels | None) -> Pictures:
    return Pictures(args, inputs, _spec(args, bundle), labels, bundle=bundle.root)


def _problem(row: Row) -> Prediction:
    """The answer for a name without a video."""
    return Prediction(Path(row.name), (), 0.0, row.problem)


def _tell(prediction: Prediction, errors: bool, warnings: bool) -> None:
    if prediction.error is not None:
        if errors:
            log.error(f"{prediction.video}: {prediction.error}")
    elif prediction.warning and warnings:
        log.warning(f"warning: {prediction.video}: {prediction.warning}")


@contextlib.contextmanager
def _answers(
    args: Namespace, bundle: Bundle, videos: Sequence[Path], frames: Mapping[Path, int]
) -> Iterator[Iterator[Prediction]]:
    """One prediction for each video, in order, with a progress line between them."""
    if not videos:
        yield iter(())
        return
    cv2.setNumThreads(1)  # videos are decoded side by side already
    spec = _spec(args, bundle)
    runtimes: list[Runtime] = []

    def run(clips: Clips) -> Logits:
        return runtimes[0].run(clips)

    workers = min(args.threads or cores(), MOST_DECODERS)
    read_at_once = min(workers, len(videos))
    threads = workers // read_at_once
    with contextlib.ExitStack() as opened:
        answers = predict_videos(
            videos,
            run,
            spec,
            bundle.classes,
            batch_size=args.batch_size,
            workers=workers,
            k=args.top_k,
            load=opened.enter_context(reader(args, read_at_once, frames, threads=threads)),
            temperature=temperature_for(args, bundle),
        )
        # The first videos are being decoded by now; the network loads meanwhile.
        together = min(args.batch_size, len(videos)) * spec.clips
        runtimes.append(
            open_runtime(
                bundle,
                backend=args.backend,
                precision=args.precision,
                threads=args.threads,
                max_batch=args.max_batch,
                device=args.device,
                # Decoding shares the cores.
                spinning=False,
                warm_up=(together,) if args.warm_up else (),
                expected_clips=len(videos) * spec.clips,
            )
        )
        opened.enter_context(runtimes[0])
        line = ProgressLine()
        try:
            yield _with_progress(answers, len(videos), line)
        finally:
            line.clear()


def _with_progress(
    answers: Iterator[Prediction], total: int, line: ProgressLine
) -> Iterator[Prediction]:
    for done, prediction in enumerate(answers, 1):
        line.clear()
        yield prediction
        line.draw(done, total)


def _spec(args: Namespace, bundle: Bundle) -> ClipSpec:
    return bundle.spec.with_views(args.num_clips)


def _about(args: Namespace, bundle: Bundle) -> dict[str, Any]:
    """What a prediction depends on beside its video, by names for people."""
    versions = {}
    for name in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            versions[name] = version(name)
    # Only where it is asked for: what earlier versions left is taken up too.
    scores = {"kind of scores (--calibrated)": "calibrated"} if is_calibrated(args) else {}
    return {
        **scores,
        # It has the checksums of the other files.
        "bundle": sha256_of(bundle.root / BUNDLE_JSON),
        "backend": args.backend,
        "precision": args.precision,
        "number of answers (--top-k)": args.top_k,
        "number of clips": _spec(args, bundle).sampling.views,
        "limit of videos": asdict(limits_of(args)),
        "set of package versions": versions,
    }
