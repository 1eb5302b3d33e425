"""`python -m benchmarks.precisions`: what INT8 costs, by three ways of making it.

Takes the finished runs of a study, pairs of a baseline and a DML student. Of every network it makes
8-bit graphs by calibration alone, with layers spared for an accuracy goal, and by a fine-tune, each
with symmetric int8 and with uint8 activations, and compares their answers with those of the fp32
graph: on the validation list, which goal and fine-tune have seen, and on the test list, which
nothing has. Stopped at any moment, the same command goes on where it was.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import machine, stats
from benchmarks.command import carry_through
from benchmarks.errors import BenchmarkError
from benchmarks.precisions_pool import METHODS, REFERENCE, ROLES, pool
from benchmarks.precisions_report import sections
from benchmarks.report_markdown import markdown
from benchmarks.results import dump
from benchmarks.study_measure import code_sha256
from infer.bundle import BUNDLE_JSON, Bundle, sha256_of
from infer.files import write_text

if TYPE_CHECKING:
    from train.config import Config
    from train.data.dataset import ClipDataset
    from train.evaluate import Evaluation

FORMAT, FORMAT_VERSION = "clipduet-precisions", 2
CONFIGS = ("baseline=configs/motions_baseline.yaml", "dml=configs/motions_dml.yaml")
SEEDS = (11, 12, 13, 14, 15)
SPLITS = ("valid", "test")
ANSWERS = "answers.json"
BATCH = 16


@dataclass(frozen=True)
class Network:
    """One finished run, and where its 8-bit graphs lie.

    Attributes:
        role: ``baseline`` or ``student``.
        name: of the run's folder, ``dml-11``.
        seed: of the run.
        config: its YAML file.
        cfg: what is in it, overrides applied.
        checkpoint: its best weights.
        folder: for everything that is made here; its name says what that is made of.
        clips: fingerprint of each list.
    """

    role: str
    name: str
    seed: int
    config: Path
    cfg: Config
    checkpoint: Path
    folder: Path
    clips: dict[str, str]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 done, 2 wrong use or a step that failed, 130 interrupted."""
    options = _parser().parse_args(arguments)
    return carry_through(_run_and_write, options, goes_on="where it was")


def _run_and_write(options: argparse.Namespace) -> list[str]:
    result = run(options)
    write_text(options.out / "results.json", dump(result))
    found = sections(result)
    when = f"Measured {result['created']} on {result['conditions']['machine']['cpu']}"
    write_text(options.out / "report.md", markdown("What INT8 costs", when, found))
    return [*found[0].sentences, f"written: {options.out}/results.json, report.md"]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.precisions",
        description="Compare ways of making INT8 over the finished runs of a study.",
    )
    add = parser.add_argument
    add("--configs", nargs=2, default=list(CONFIGS), metavar="NAME=CONFIG",
        help="the baseline's config and the pair's (default: %(default)s)")  # fmt: skip
    add("--seeds", nargs="+", type=int, default=list(SEEDS), help="default: %(default)s")
    add("--runs", type=Path, default=Path("runs/study"), help="the study's (default: %(default)s)")
    add("--work", type=Path, default=Path("runs/precisions"), help="default: %(default)s")
    add("--out", type=Path, default=Path("reports/precisions"), help="default: %(default)s")
    add("--goal", type=float, default=0.5, help="points that may be lost (default: %(default)s)")
    add("--qat", type=Path, default=Path("configs/motions_qat.yaml"),
        help="settings of the fine-tune (default: %(default)s)")  # fmt: skip
    add("-o", "--override", action="append", default=[], metavar="A.B=VALUE",
        help="change a setting of both configs")  # fmt: skip
    add("--calibration-clips", type=int, default=128, help="default: %(default)s")
    add("--threads", type=int, default=machine.cpu_count(), help="CPU threads (default: all)")
    add("--resamples", type=int, default=stats.RESAMPLES, help="bootstrap resamples")
    add("--bootstrap-seed", type=int, default=0, help="seed of the resampling")
    return parser


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Make, measure, pool; JSON-ready."""
    networks = _networks(options)
    answers: dict[str, Any] = {}
    for number, network in enumerate(networks, start=1):
        started = time.monotonic()
        files = _files(network, options)
        answers[network.name] = _measure(network, files, options)
        _say(
            f"{number}/{len(networks)} {network.name}: {len(files)} graphs, "
            f"{time.monotonic() - started:.0f} s"
        )
    bootstrap: stats.Bootstrap = {
        "resamples": options.resamples, "seed": options.bootstrap_seed, "level": stats.LEVEL,
    }  # fmt: skip
    runs = [
        {"role": n.role, "name": n.name, "seed": n.seed,
         "checkpoint_sha256": sha256_of(n.checkpoint), **answers[n.name]}
        for n in networks
    ]  # fmt: skip
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "created": machine.now(),
        "command": machine.command_line(),
        "conditions": {
            "machine": machine.machine(),
            "threads": options.threads,
            "goal": options.goal,
            "calibration_clips": options.calibration_clips,
            "qat": {"file": str(options.qat), "sha256": sha256_of(options.qat)},
            "configs": list(options.configs),
            "overrides": options.override,
            **bootstrap,
        },
        "seeds": options.seeds,
        "pooled": pool(runs, seeds=options.seeds, bootstrap=bootstrap),
        "runs": runs,
    }


def _networks(options: argparse.Namespace) -> list[Network]:
    """Every run that is wanted, with what is wrong told before anything is made."""
    from train.config import load_config

    pairs = [text.partition("=")[::2] for text in options.configs]
    if not all(name and path for name, path in pairs):
        raise BenchmarkError(f"--configs {' '.join(options.configs)} (allowed: NAME=CONFIG twice)")
    wanted = [
        (role, seed, Path(path), options.runs / f"{name}-{seed}" / "best.pdparams")
        for seed in options.seeds
        for role, (name, path) in zip(ROLES, pairs, strict=True)
    ]
    missing = [str(checkpoint) for *_, checkpoint in wanted if not checkpoint.is_file()]
    if missing:
        raise BenchmarkError(
            f"these runs are not there: {', '.join(missing)}; make them with `make study`, or "
            "choose --seeds and --runs"
        )
    found = []
    for role, seed, path, checkpoint in wanted:
        cfg = load_config(path, [f"seed={seed}", *options.override])
        run, clips = checkpoint.parent.name, _fingerprints(cfg)
        made_of = _made_of(cfg, checkpoint, clips, options)
        folder = options.work / f"{run}-{made_of[:12]}"
        found.append(Network(role, run, seed, path, cfg, checkpoint, folder, clips))
    return found


def _fingerprints(cfg: Config) -> dict[str, str]:
    """What each list holds: its text alone would be the same for clips that were made anew."""
    from train.identity import fingerprint
    from train.splits import build_dataset

    splits: tuple[Any, ...] = ("train", *SPLITS)
    return {split: fingerprint(build_dataset(cfg, split).samples) for split in splits}


def _made_of(
    cfg: Config, checkpoint: Path, clips: dict[str, str], options: argparse.Namespace
) -> str:
    """SHA-256 of all that the graphs of a network and their answers depend on, but the goal."""
    parts = [
        sha256_of(checkpoint), cfg.sha256(), clips, sha256_of(options.qat),
        options.calibration_clips, options.threads, code_sha256(), machine.package_versions(),
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _files(network: Network, options: argparse.Namespace) -> dict[str, Path]:
    """Every graph of a network by method, made where it is not there yet."""
    bundle = Bundle.load(_bundle(network, options))
    files = {
        REFERENCE: bundle.artifact("onnx.fp32").paths[0],
        "ptq.int8": bundle.artifact("onnx.int8").paths[0],
        "ptq.uint8": bundle.artifact("onnx.int8.x86").paths[0],
    }
    files |= _spared(network, files[REFERENCE], options)
    folder = network.folder / "qat"
    if not (folder / "qat.json").is_file():
        _say(f"{network.name}: fine-tune")
        _command(
            network,
            ["export.qat", "--qat", str(options.qat), "-o", str(folder), "--resume"],
            options,
        )
    from export.qat import load_trained

    record = load_trained(folder, checkpoint_sha256=sha256_of(network.checkpoint))
    return files | {f"qat.{kind}": one["path"] for kind, one in record["trained"].items()}


def _bundle(network: Network, options: argparse.Namespace) -> Path:
    folder = network.folder / "bundle"
    if not (folder / BUNDLE_JSON).is_file():
        clips = str(options.calibration_clips)
        _command(network, ["export", "-o", str(folder), "--calibration-clips", clips], options)
    return folder


def _command(network: Network, words: Sequence[str], options: argparse.Namespace) -> None:
    changes = [f"seed={network.seed}", *options.override]
    command = [
        sys.executable, "-m", *words, "--checkpoint", str(network.checkpoint),
        "-c", str(network.config), *(p for change in changes for p in ("--override", change)),
    ]  # fmt: skip
    variables = {**os.environ, "OMP_NUM_THREADS": str(options.threads)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=variables)
    if done.returncode:
        raise BenchmarkError(
            f"{network.name}: {' '.join(command[1:])} failed:\n"
            f"{(done.stderr or done.stdout)[-4000:].strip()}"
        )


def _spared(network: Network, fp32: Path, options: argparse.Namespace) -> dict[str, Path]:
    """Graphs with layers spared until the goal holds, by the code of an export."""
    from export import data
    from export.goal import Goal, GoalError
    from export.int8_files import Int8, write_int8
    from export.quantize import KEEP_FLOAT, calibrate
    from export.sensitivity import MOST

    how = Int8(KEEP_FLOAT, False, Goal(options.goal), MOST, options.threads)
    stamp = f"{options.goal}\n"
    made: dict[str, Path] = {}
    calibrated = calibration = checks = None
    for kind in ("int8", "uint8"):
        target = network.folder / f"goal.{kind}.onnx"
        record = target.with_suffix(".json")
        if record.is_file() and json.loads(record.read_text())["stamp"] == stamp:
            if target.is_file():
                made[f"goal.{kind}"] = target
            continue
        if calibrated is None or calibration is None or checks is None:
            calibration = data.calibration(network.cfg, count=options.calibration_clips, say=_say)
            checks = data.verification(network.cfg, count=0, parity=1)
            calibrated = calibrate(fp32, calibration.clips, threads=options.threads)
        try:
            found = write_int8(
                calibrated, target, how, activations=kind, calibration=calibration,
                dataset=checks.dataset, say=lambda line: None,
            )  # fmt: skip
            made[f"goal.{kind}"] = target
        except GoalError as error:
            target.unlink(missing_ok=True)
            found = {"missed": str(error).splitlines()[0]}
        write_text(record, dump({"stamp": stamp, **found}))
    return made


def _measure(
    network: Network, files: dict[str, Path], options: argparse.Namespace
) -> dict[str, Any]:
    """Answers of every graph on both lists; kept, so that a second call runs nothing twice."""
    store = network.folder / ANSWERS
    kept: dict[str, Any] = {}
    if store.is_file():
        kept = json.loads(store.read_text(encoding="utf-8"))
    wanted = {method: sha256_of(file) for method, file in files.items()}
    if any(kept.get(method, {}).get("sha256") != sha for method, sha in wanted.items()):
        kept = _answers(network, files, wanted, options)
        write_text(store, dump(kept))
    searches = {}
    for kind in ("int8", "uint8"):
        record = json.loads((network.folder / f"goal.{kind}.json").read_text(encoding="utf-8"))
        searches[f"goal.{kind}"] = record.get("search", {"missed": record.get("missed")})
    tuning = json.loads((network.folder / "qat" / "qat.json").read_text(encoding="utf-8"))
    return {
        "clips": network.clips,
        "labels": kept["labels"],
        "methods": {method: kept[method] for method in METHODS if method in files},
        "searches": searches,
        "tuning": {
            kind: {key: one[key] for key in ("epochs", "steps", "seconds", "optimizer")}
            for kind, one in tuning["trained"].items()
        },
    }


def _answers(
    network: Network,
    files: dict[str, Path],
    wanted: dict[str, str],
    options: argparse.Namespace,
) -> dict[str, Any]:
    from export.goal import score, temperature_of

    found: dict[str, Any] = {method: {"sha256": sha} for method, sha in wanted.items()}
    found["labels"] = {}
    for split in SPLITS:
        dataset = _dataset(network.cfg, split)
        reference = _evaluate(files[REFERENCE], dataset, options.threads)
        temperature = temperature_of(reference)
        found["labels"][split] = reference.labels.tolist()
        for method, file in files.items():
            seen = _evaluate(file, dataset, options.threads) if method != REFERENCE else reference
            found[method][split] = {
                "top1": seen.top1,
                "failed": len(seen.failed),
                "score": _finite(score(reference, seen, temperature=temperature).to_dict()),
                "predictions": seen.predictions.tolist(),
            }
    return found


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    """JSON has no infinity, which a ratio to no difference at all is."""
    return {k: v if np.isfinite(v) else None for k, v in values.items()}


def _dataset(cfg: Config, split: Any) -> ClipDataset:
    from train.splits import build_dataset

    cached = cfg.DATASET.model_copy(update={"cache": True})
    return build_dataset(cfg.model_copy(update={"DATASET": cached}), split)


def _evaluate(file: Path, dataset: ClipDataset, threads: int) -> Evaluation:
    """What an ONNX file answers in ONNX Runtime, as it runs by default."""
    import onnxruntime as ort

    from train.evaluate import evaluate

    settings = ort.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.log_severity_level = 3
    session = ort.InferenceSession(str(file), settings, providers=["CPUExecutionProvider"])
    return evaluate(
        lambda clips: session.run(None, {"clip": clips})[0], dataset, batch_size=BATCH, workers=1
    )


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
