"""`python -m benchmarks.precisions`: what INT8 costs, by three ways of making it.

Takes the finished runs of a study, pairs of a baseline and a DML student. Of every network it makes
8-bit graphs by calibration alone, with layers spared for an accuracy goal, and by a fine-tune, each
with symmetric int8 and with uint8 activations, and compares their answers with those of the fp32
graph: on the validation list, which goal and fine-tune have seen, and on the test list, which
nothing has. Stopped at any moment, the same command goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.common import machine
from benchmarks.common.command import add_out, refuse, take_signals, too_small
from benchmarks.common.result_file import dump
from benchmarks.pages.markdown import markdown
from benchmarks.precisions.graphs import KINDS, SPLITS, Network, graphs, networks, spared
from benchmarks.precisions.pooled import METHODS, REFERENCE, pool
from benchmarks.precisions.sections import sections
from benchmarks.stats.options import add_resampling, bootstrap_of
from benchmarks.study.jobs import CONFIGS, SEEDS
from infer.bundle.bundle import sha256_of
from infer.command.runner import command, run_and_exit
from infer.system.files import write_text
from infer.system.log import logger
from train.config.options import add_override

if TYPE_CHECKING:
    from train.config.load import Config
    from train.data.dataset import ClipDataset
    from train.evaluation.evaluate import Evaluation

log = logger("benchmarks.precisions")

FORMAT, FORMAT_VERSION = "clipduet-precisions", 2
ANSWERS = "answers.json"
BATCH = 16

LEAST = {"seeds": 0, "goal": 0.0, "calibration_clips": 1, "threads": 1, "resamples": 100,
         "bootstrap_seed": 0}  # fmt: skip


@command(stopped="the same command goes on where it was", extra="export,report")
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 done, 2 wrong use or a step that failed, 130 interrupted."""
    options = _parser().parse_args(arguments)
    take_signals()
    result = run(options)
    write_text(options.out / "results.json", dump(result))
    found = sections(result)
    when = f"Measured {result['created']} on {result['conditions']['machine']['cpu']}"
    write_text(options.out / "report.md", markdown("What INT8 costs", when, found))
    for line in [*found[0].sentences, f"written: {options.out}/results.json, report.md"]:
        print(line)
    return 0


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
    add_out(parser, "reports/precisions")
    add("--goal", type=float, default=0.5, help="points that may be lost (default: %(default)s)")
    add("--qat", type=Path, default=Path("configs/motions_qat.yaml"),
        help="settings of the fine-tune (default: %(default)s)")  # fmt: skip
    add_override(parser)
    add("--calibration-clips", type=int, default=128, help="default: %(default)s")
    add("--threads", type=int, default=machine.cpu_count(), help="CPU threads (default: all)")
    add_resampling(parser)
    return parser


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Make, measure, pool; JSON-ready."""
    refuse(too_small(options, LEAST))
    wanted = networks(options)
    answers: dict[str, Any] = {}
    for number, network in enumerate(wanted, start=1):
        started = time.monotonic()
        files = graphs(network, options)
        answers[network.name] = _measure(network, files, options)
        log.info(
            f"{number}/{len(wanted)} {network.name}: {len(files)} graphs, "
            f"{time.monotonic() - started:.0f} s"
        )
    bootstrap = bootstrap_of(options)
    runs = [
        {"role": n.role, "name": n.name, "seed": n.seed,
         "checkpoint_sha256": sha256_of(n.checkpoint), **answers[n.name]}
        for n in wanted
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
    for kind in KINDS:
        file = spared(network, options.goal, kind).with_suffix(".json")
        record = json.loads(file.read_text(encoding="utf-8"))
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
    from export.int8.goal import score, temperature_of

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
    from train.data.splits import build_dataset

    cached = cfg.DATASET.model_copy(update={"cache": True})
    return build_dataset(cfg.model_copy(update={"DATASET": cached}), split)


def _evaluate(file: Path, dataset: ClipDataset, threads: int) -> Evaluation:
    """What an ONNX file answers in ONNX Runtime, as it runs by default."""
    import onnxruntime as ort

    from train.evaluation.evaluate import evaluate

    settings = ort.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.log_severity_level = 3
    session = ort.InferenceSession(str(file), settings, providers=["CPUExecutionProvider"])
    return evaluate(
        lambda clips: session.run(None, {"clip": clips})[0], dataset, batch_size=BATCH, workers=1
    )


if __name__ == "__main__":
    run_and_exit(main)
