"""The 8-bit graphs of a study's networks: made every way, found again by what they are made of."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.common import machine
from benchmarks.common.errors import BenchmarkError
from benchmarks.common.result_file import dump
from benchmarks.deployments.answer_cache import code_sha256, digest
from benchmarks.precisions.pooled import REFERENCE, ROLES, SPLITS
from benchmarks.study.jobs import run_export
from benchmarks.training.runs import check_environment
from export.qat.trained import KINDS, RESULT, load_trained
from infer.bundle.bundle import BUNDLE_JSON, Bundle
from infer.system.files import sha256_of, write_text
from infer.system.log import logger, silenced
from train.config.networks import blocks_of

if TYPE_CHECKING:
    from train.config.load import Config

log = logger(__name__)


@dataclass(frozen=True)
class StudyRun:
    """One finished run, and where its 8-bit graphs lie.

    Attributes:
        role: `baseline` or `student`.
        name: of the run's folder, `dml-11`.
        seed: of the run.
        config: its YAML file.
        cfg: what is in it, overrides applied.
        checkpoint: its best weights.
        made_of: SHA-256 of all that is made here is made of, but the goal.
        folder: for everything that is made here; its name begins `made_of`.
        clips: fingerprint of each list.
        fine_tunes: by name, which is that of their folder too, the file of their settings.
    """

    role: str
    name: str
    seed: int
    config: Path
    cfg: Config
    checkpoint: Path
    made_of: str
    folder: Path
    clips: dict[str, str]
    fine_tunes: dict[str, Path]


def networks(options: argparse.Namespace, configs: Sequence[tuple[str, Path]]) -> list[StudyRun]:
    """Every run that is wanted, with what is wrong told before anything is made."""
    from export.qat.settings import check_settings
    from train.config.load import load_config

    wanted = [
        (role, seed, path, options.runs / f"{name}-{seed}" / "best.pdparams")
        for seed in options.seeds
        for role, (name, path) in zip(ROLES, configs, strict=True)
    ]
    missing = [str(checkpoint) for *_, checkpoint in wanted if not checkpoint.is_file()]
    if missing:
        raise BenchmarkError(
            f"these runs are not there: {', '.join(missing)}; make them with `make study`, or "
            "choose --seeds and --runs"
        )
    found = []
    for role, seed, path, checkpoint in wanted:
        changes = [f"seed={seed}", *options.override]
        cfg = load_config(path, changes)
        check_environment(cfg.BEFORE)
        run, clips = checkpoint.parent.name, _fingerprints(cfg)
        files = {"qat": options.qat, "mutual": options.mutual}
        if len(blocks_of(cfg.model)) == 1:
            del files["mutual"]
        tunes = [load_config(path, changes, over=file) for file in files.values()]
        for tune in tunes:
            check_settings(tune)
        made_of = _made_of(cfg, tunes, checkpoint, clips, options)
        folder = options.work / f"{run}-{made_of[:12]}"
        found.append(
            StudyRun(role, run, seed, path, cfg, checkpoint, made_of, folder, clips, files)
        )
    return found


def _fingerprints(cfg: Config) -> dict[str, str]:
    """What each list holds: its text alone would be the same for clips that were made anew."""
    from train.data.fingerprint import fingerprint
    from train.data.splits import build_dataset

    splits: tuple[Any, ...] = ("train", *SPLITS)
    return {split: fingerprint(build_dataset(cfg, split).samples) for split in splits}


def _made_of(
    cfg: Config,
    tunes: Sequence[Config],
    checkpoint: Path,
    clips: dict[str, str],
    options: argparse.Namespace,
) -> str:
    """SHA-256 of all that the graphs of a network and their answers depend on, but the goal."""
    host = machine.machine()
    parts = [
        host["cpu"], host["cpu_features"],
        sha256_of(checkpoint), cfg.sha256(), clips, [tune.sha256() for tune in tunes],
        options.calibration_clips, options.threads, code_sha256(), machine.package_versions(),
    ]  # fmt: skip
    return digest(parts)


def graphs(network: StudyRun, options: argparse.Namespace) -> dict[str, Path]:
    """Every graph of a network by method, made where it is not there yet."""
    bundle = Bundle.load(_bundle(network, options))
    files = {
        REFERENCE: bundle.artifact("onnx.fp32").paths[0],
        "ptq.int8": bundle.artifact("onnx.int8").paths[0],
        "ptq.uint8": bundle.artifact("onnx.int8.x86").paths[0],
    }
    files |= _goal_graphs(network, files[REFERENCE], options)
    for name, settings in network.fine_tunes.items():
        files |= _fine_tuned(network, name, settings, options)
    return files


def _bundle(network: StudyRun, options: argparse.Namespace) -> Path:
    folder = network.folder / "bundle"
    if not (folder / BUNDLE_JSON).is_file():
        clips = str(options.calibration_clips)
        _command(network, ["export", "--out", str(folder), "--calibration-clips", clips], options)
    return folder


def _fine_tuned(
    network: StudyRun, name: str, settings: Path, options: argparse.Namespace
) -> dict[str, Path]:
    """Graphs of a fine-tune; one that was stopped goes on."""
    folder, done = network.folder / name, set[str]()
    if (folder / RESULT).is_file():
        done = set(json.loads((folder / RESULT).read_text(encoding="utf-8"))["trained"])
    if done < set(KINDS):
        log.info(f"{network.name}: fine-tune by {settings}")
        words = ["export.qat", "--qat", str(settings), "--out", str(folder), "--resume"]
        _command(network, words, options)
    record = load_trained(folder, checkpoint_sha256=sha256_of(network.checkpoint))
    return {f"{name}.{kind}": one["path"] for kind, one in record["trained"].items()}


def _command(network: StudyRun, words: Sequence[str], options: argparse.Namespace) -> None:
    run_export(
        *words,
        label=network.name,
        checkpoint=network.checkpoint,
        config=network.config,
        changes=(f"seed={network.seed}", *options.override),
        environment={"OMP_NUM_THREADS": str(options.threads)},
    )


def _goal_graphs(network: StudyRun, fp32: Path, options: argparse.Namespace) -> dict[str, Path]:
    """Graphs with layers in float until the goal holds, by the code of an export."""
    from export.clips import selection
    from export.int8.defaults import MOST, Goal
    from export.int8.files import Int8, write_int8
    from export.int8.goal import GoalError
    from export.int8.quantize import KEEP_FLOAT, calibrate

    how = Int8(KEEP_FLOAT, False, Goal(options.goal), MOST, options.threads)
    targets = {kind: goal_graph(network, options.goal, kind) for kind in KINDS}
    records = {kind: target.with_suffix(".json") for kind, target in targets.items()}
    lacking = [kind for kind in KINDS if not records[kind].is_file()]
    if lacking:
        calibration = selection.calibration(network.cfg, count=options.calibration_clips)
        checks = selection.verification(network.cfg, count=0, parity=1)
        calibrated = calibrate(fp32, calibration.clips, threads=options.threads)
    for kind in lacking:
        try:
            with silenced("export.int8"):
                found = write_int8(
                    calibrated, targets[kind], how, activations=kind, calibration=calibration,
                    dataset=checks.dataset,
                )  # fmt: skip
        except GoalError as error:
            targets[kind].unlink(missing_ok=True)
            found = {"missed": str(error).splitlines()[0]}
        write_text(records[kind], dump(found))
    return {f"goal.{kind}": target for kind, target in targets.items() if target.is_file()}


def goal_graph(network: StudyRun, goal: float, kind: str) -> Path:
    """Where a graph with layers in float lies; what was found lies beside it, as JSON."""
    return network.folder / f"goal-{goal:g}.{kind}.onnx"
