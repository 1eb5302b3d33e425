"""`python -m benchmarks.precisions`: what INT8 costs, by four ways of making it.

Takes the finished runs of a study, pairs of a baseline and a DML student. Of every network it makes
8-bit graphs by calibration alone, with layers in float for an accuracy goal, by a fine-tune on its
own answers, and, of a network that has a partner, by a fine-tune with that one. Each with symmetric
int8 and with uint8 activations. Their answers are compared with those of the fp32 graph: on the
validation list, which goal and fine-tunes have seen, and on the test list, which nothing has.
Stopped at any moment, the same command goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import EXTRA
from benchmarks.common import machine
from benchmarks.common.command import RESAMPLES, add_out, take_signals
from benchmarks.common.result_file import dump, header
from benchmarks.deployments.answer_cache import AnswerCache
from benchmarks.precisions.graphs import StudyRun, goal_graph, graphs, networks
from benchmarks.precisions.pooled import (
    METHODS,
    MUTUAL,
    NO_PARTNER,
    REFERENCE,
    SPLITS,
    pool_methods,
)
from benchmarks.precisions.report import FORMAT, FORMAT_VERSION, REPORT, write_report
from benchmarks.stats.options import add_resampling, bootstrap_of
from benchmarks.study.jobs import add_pair, named_configs
from export import option_limits as limits
from export.qat.trained import KINDS, RESULT
from infer.command.parser import Parser
from infer.command.runner import command, run_and_exit
from infer.system.files import sha256_of, write_text
from infer.system.log import logger

if TYPE_CHECKING:
    from train.config.schema.common import Split
    from train.data.dataset import ClipDataset
    from train.evaluation.evaluate import Evaluation

log = logger("benchmarks.precisions")

ANSWERS = "answers"
BATCH = 16

NUMBERS = {"seeds": limits.SEED, "goal": limits.POINTS, "calibration_clips": limits.CLIPS,
           "threads": limits.THREADS, "resamples": RESAMPLES,
           "bootstrap_seed": limits.SEED}  # fmt: skip


@command(stopped="the same command goes on where it was", extra=EXTRA)
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 done, 1 an export or a fine-tune failed, 2 wrong use."""
    options = _parser().parse_args(arguments)
    take_signals()
    result = run(options)
    write_text(options.out / "results.json", dump(result))
    for line in write_report(result, options.out):
        print(line)
    print(f"written: {options.out}/results.json, {REPORT}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m benchmarks.precisions",
        description="Compare ways of making INT8 over the finished runs of a study.",
    )
    add = parser.add_argument
    add_pair(parser)
    add("--runs", type=Path, default=Path("runs/study"), help="the study's (default: %(default)s)")
    add("--work", type=Path, default=Path("runs/precisions"), help="default: %(default)s")
    add_out(parser, "reports/precisions")
    add("--goal", type=float, default=0.5, help="points that may be lost (default: %(default)s)")
    add("--qat", type=Path, default=Path("configs/motions_qat.yaml"),
        help="settings of the fine-tune (default: %(default)s)")  # fmt: skip
    add("--mutual", type=Path, default=Path("configs/motions_qat_mutual.yaml"), help="settings of "
        "the fine-tune of networks that have a partner (default: %(default)s)")  # fmt: skip
    add("--calibration-clips", type=int, default=128, help="default: %(default)s")
    add("--threads", type=int, default=machine.cpu_count(), help="CPU threads (default: all)")
    add_resampling(parser)
    return parser


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Make, measure, pool; JSON-ready."""
    configs, wrong = named_configs(options)
    wrong += limits.number_problems(vars(options), NUMBERS)
    limits.refuse(wrong + limits.folder_problems("out", options.out))
    wanted = networks(options, configs)
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
        **header(FORMAT, FORMAT_VERSION),
        "conditions": {
            "machine": machine.machine(),
            "threads": options.threads,
            "goal": options.goal,
            "calibration_clips": options.calibration_clips,
            **{
                name: {"file": str(file), "sha256": sha256_of(file)}
                for name, file in (("qat", options.qat), ("mutual", options.mutual))
            },
            "configs": list(options.configs),
            "overrides": options.override,
            **bootstrap,
        },
        "seeds": options.seeds,
        "pooled": pool_methods(runs, seeds=options.seeds, bootstrap=bootstrap),
        "runs": runs,
    }


def _measure(
    network: StudyRun, files: dict[str, Path], options: argparse.Namespace
) -> dict[str, Any]:
    """What every graph answers to both lists; a second call runs nothing twice."""
    methods: dict[str, Any] = {
        method: {"sha256": sha256_of(files[method])} for method in METHODS if method in files
    }
    labels = {}
    for split in SPLITS:
        seen = _answers(network, files, split, options.threads)
        labels[split] = seen[REFERENCE].labels.tolist()
        for method, found in methods.items():
            found[split] = _figures(seen[REFERENCE], seen[method])
    searches = {}
    for kind in KINDS:
        file = goal_graph(network, options.goal, kind).with_suffix(".json")
        record = json.loads(file.read_text(encoding="utf-8"))
        searches[f"goal.{kind}"] = record.get("search", {"missed": record.get("missed")})
    return {
        "clips": network.clips,
        "labels": labels,
        "methods": methods,
        "skipped": {} if "mutual" in network.fine_tunes else dict.fromkeys(MUTUAL, NO_PARTNER),
        "searches": searches,
        "tuning": _tuning(network, "qat"),
        "mutual_tuning": _tuning(network, "mutual") if "mutual" in network.fine_tunes else {},
    }


def _tuning(network: StudyRun, name: str) -> dict[str, Any]:
    """What is known of a fine-tune, by kind of activations."""
    record = json.loads((network.folder / name / RESULT).read_text(encoding="utf-8"))
    return {
        kind: {key: one[key] for key in ("epochs", "steps", "seconds", "optimizer")}
        for kind, one in record["trained"].items()
    }


def _answers(
    network: StudyRun, files: dict[str, Path], split: Split, threads: int
) -> dict[str, Evaluation]:
    """What every graph answers to a list, by method."""
    from train.data.splits import build_dataset

    dataset = build_dataset(network.cfg, split, cache=True)
    common = {"made_of": network.made_of, "split": split}
    cache = AnswerCache(network.folder / ANSWERS, dataset.samples, common)
    return {
        method: cache.answered(
            {"sha256": sha256_of(file)}, partial(_evaluate, file, dataset, threads)
        )
        for method, file in files.items()
    }


def _figures(reference: Evaluation, seen: Evaluation) -> dict[str, Any]:
    """How a graph does, beside the fp32 graph."""
    from export.int8.goal import score, temperature_of

    found = score(reference, seen, temperature=temperature_of(reference))
    return {
        "top1": seen.top1,
        "failed": len(seen.failed),
        "score": _finite(found.to_dict()),
        "predictions": seen.predictions.tolist(),
    }


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    """JSON has no infinity, which a ratio to no difference at all is."""
    return {k: v if np.isfinite(v) else None for k, v in values.items()}


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
