"""``python -m export.sensitivity``: which layers 8 bits hurt, and which to keep in float.

Works on a bundle's fp32 ONNX file. Ranges come from training clips, the comparison from validation
clips; the test list is not touched. Nothing in the bundle changes: ``python -m export
--int8-goal`` runs the same search and ships what it finds.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from export.convert import INPUT
from export.goal import Goal, Score, score, temperature_of
from export.qdq import Activations, Graph, asked
from export.quantize import KEEP_FLOAT, Calibrated, calibrate, kept_in_float, quantize
from export.spare import Search, rank, search, table
from infer.errors import ClipDuetError
from infer.files import write_text
from train.evaluate import Evaluation, ListedClips, evaluate

if TYPE_CHECKING:
    from train.config import Config

Say = Callable[[str], None]

MOST = 0.25
"""Largest share of the multiply-adds to keep in float: with more, INT8 is hardly worth its name."""

BATCH = 16

SUMS = ("Add", "Mul", "AveragePool", "LeakyRelu")
"""Operators without weights that compute with bytes; what only moves bytes goes with others."""


class Trials:
    """Makes quantised networks with some layers spared, and compares them with the fp32 one.

    Args:
        calibrated: the fp32 graph and its ranges.
        dataset: labelled clips that neither the ranges nor the test see.
        activations: kind of Q/DQ graph.
        keep_float: what stays in float anyhow.
        reduce_range: 7-bit weights.
        threads: of ONNX Runtime; None: all cores.
    """

    def __init__(
        self,
        calibrated: Calibrated,
        dataset: ListedClips,
        *,
        activations: Activations,
        keep_float: Sequence[str] = KEEP_FLOAT,
        reduce_range: bool = False,
        threads: int | None = None,
    ) -> None:
        self._calibrated, self._dataset, self._threads = calibrated, dataset, threads
        self._activations, self._reduce_range = activations, reduce_range
        self._keep_float = tuple(keep_float)
        self._known: dict[frozenset[str], Score] = {}
        self._reference: Evaluation | None = None

    @property
    def reference(self) -> Evaluation:
        """The fp32 network on all clips."""
        if self._reference is None:
            self._reference = self._answers(self._calibrated.model)
            self._temperature = temperature_of(self._reference)
        return self._reference

    @property
    def layers(self) -> list[str]:
        """Names of the nodes that are rounded where nothing more is spared, in their order."""
        model = self._calibrated.model
        graph = Graph.of(model.graph)

        def rounded(extra: Sequence[str]) -> set[str]:
            kept = frozenset(kept_in_float(model, [*self._keep_float, *extra]))
            return asked(graph, kept, self._activations)

        kept, every = set(kept_in_float(model, self._keep_float)), rounded([])
        return [
            node.name
            for node in model.graph.node
            if node.name not in kept
            and (node.op_type == "Conv" or (node.op_type in SUMS and rounded([node.name]) != every))
        ]

    def __call__(self, spared: frozenset[str]) -> Score:
        """The score with some layers more in float; the same set is measured once."""
        if spared not in self._known:
            model = quantize(
                self._calibrated,
                activations=self._activations,
                keep_float=[*self._keep_float, *sorted(spared)],
                reduce_range=self._reduce_range,
            )
            reference = self.reference
            self._known[spared] = score(
                reference, self._answers(model), temperature=self._temperature
            )
        return self._known[spared]

    def _answers(self, model: onnx.ModelProto) -> Evaluation:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = self._threads or 0
        options.log_severity_level = 3
        session = ort.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

        def run(clips: np.ndarray) -> np.ndarray:
            logits: np.ndarray = session.run(None, {INPUT: clips})[0]
            return logits

        return evaluate(run, self._dataset, batch_size=BATCH, workers=1)


def work_of(model: onnx.ModelProto) -> dict[str, float]:
    """Share of the network's multiply-adds, by convolution and matrix product."""
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    fixed.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    inferred = onnx.shape_inference.infer_shapes(fixed)
    values = [*inferred.graph.value_info, *inferred.graph.output]
    sizes = {v.name: _size(d.dim_value for d in v.type.tensor_type.shape.dim) for v in values}
    weights = {tensor.name: tensor.dims for tensor in model.graph.initializer}
    counts = {}
    for node in model.graph.node:
        if node.op_type not in ("Conv", "MatMul") or node.input[1] not in weights:
            continue
        dims = weights[node.input[1]]
        # Each output is a sum over the weights of one filter, or of one column.
        terms = _size(dims[1:]) if node.op_type == "Conv" else dims[0]
        counts[node.name] = float(terms * sizes.get(node.output[0], 0))
    total = sum(counts.values()) or 1.0
    return {name: count / total for name, count in counts.items()}


def spare(
    trials: Trials, work: Mapping[str, float], goal: Goal, *, most: float, say: Say
) -> Search:
    """:func:`export.spare.search` over the layers of ``trials``."""
    return search(trials.layers, work, trials, goal, most=most, say=say)


def _size(dims: Any) -> int:
    return int(np.prod([int(dim) for dim in dims], dtype=np.int64))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m export.sensitivity",
        description="Rank the layers of a bundle's network by what 8 bits do to them, and find the "
        "fewest to keep in float so that an accuracy goal holds.",
    )
    add = parser.add_argument
    add("--bundle", required=True, help="folder that `python -m export` made")
    add("-c", "--config", help="config with training and validation lists (default: config.yaml "
        "beside the checkpoint that the bundle was made of)")  # fmt: skip
    add("--override", action="append", default=[], metavar="A.B=VALUE",
        help="change a setting of the config; may be given several times")  # fmt: skip
    add("--activations", choices=("int8", "uint8"), default="int8",
        help="symmetric int8 for every engine, or uint8 for x86 CPUs (default: int8)")  # fmt: skip
    add("--calibrator", choices=("minmax", "entropy", "percentile"), default="percentile",
        help="how ranges follow from the values seen (default: percentile)")  # fmt: skip
    add("--calibration-clips", type=int, default=128, help="training clips that set the ranges "
        "(default: 128)")  # fmt: skip
    add("--clips", type=int, default=0, help="clips of the validation list to compare on; 0 takes "
        "all (default: 0)")  # fmt: skip
    add("--goal", type=float, default=0.5, metavar="POINTS",
        help="largest allowed loss of top-1 against fp32 (default: 0.5)")  # fmt: skip
    add("--least", type=float, metavar="PERCENT", help="least top-1 (default: any)")
    add("--most", type=float, default=MOST, metavar="SHARE", help="largest share of the "
        f"multiply-adds to keep in float (default: {MOST})")  # fmt: skip
    add("--no-ranking", action="store_true", help="search only")
    add("--threads", type=int, help="CPU threads (default: all cores)")
    add("--out", type=Path, help="result file (JSON)")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        0 the goal holds, 1 it cannot be reached within ``--most``, 2 wrong use, 130 interrupted.
    """
    options = parser().parse_args(arguments)
    warnings.filterwarnings("ignore", message="No ccache found")
    try:
        result = run(options, say=lambda line: print(line, flush=True))
        if options.out:
            write_text(options.out, json.dumps(result, indent=1) + "\n")
    except ClipDuetError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130
    return 0 if result["reached"] else 1


def run(options: argparse.Namespace, *, say: Say) -> dict[str, Any]:
    """Rank and search; JSON-ready."""
    from export import data
    from infer.bundle import Bundle
    from train.config import load_config, run_config

    for name, least in (("calibration_clips", 1), ("clips", 0), ("most", 0.0)):
        if getattr(options, name) < least:
            flag = name.replace("_", "-")
            raise ClipDuetError(f"--{flag} is {getattr(options, name)}; allowed: from {least}")
    bundle = Bundle.load(options.bundle)
    file = bundle.artifact("onnx.fp32").paths[0]
    recorded = bundle.raw.get("origin", {}).get("checkpoint", {}).get("file", "")
    config = options.config or run_config(Path(recorded), of="the bundle's run")
    cfg = load_config(config, options.override)
    _check_pixels(cfg, bundle)
    checks = data.verification(cfg, count=options.clips, parity=1)
    calibration = data.calibration(cfg, count=options.calibration_clips, say=say)
    calibrated = calibrate(
        file, calibration.clips, calibrator=options.calibrator, threads=options.threads
    )
    trials = Trials(
        calibrated, checks.dataset, activations=options.activations, threads=options.threads
    )
    work = work_of(calibrated.model)
    goal = Goal(options.goal, options.least)
    started = time.monotonic()
    say(f"fp32      top-1 {trials.reference.top1:.4f} on {len(checks.dataset)} validation clips")
    every = trials(frozenset())
    say(f"{options.activations:<9} {every}")
    effects = []
    if not options.no_ranking:
        effects = rank(trials.layers, work, trials, say)
        for line in table(effects, every):
            say(line)
    found = spare(trials, work, goal, most=options.most, say=say)
    _say_result(found, say)
    return {
        "format": "clipduet-sensitivity",
        "format_version": 1,
        "bundle": bundle.name,
        "model_sha256": bundle.artifact("onnx.fp32").files[0].sha256,
        "activations": options.activations,
        "calibrator": options.calibrator,
        "calibration": calibration.to_dict(),
        "validation_list": checks.list_file,
        "fp32_top1": trials.reference.top1,
        "ranking": [effect.to_dict() for effect in effects],
        "search": found.to_dict(),
        "reached": found.found,
        "seconds": round(time.monotonic() - started, 1),
    }


def _say_result(found: Search, say: Say) -> None:
    goal = found.goal
    if not found.layers and found.found:
        say(f"the goal of {goal.loss:g} points holds with every layer rounded")
    elif found.found:
        say(
            f"the goal of {goal.loss:g} points holds with {len(found.layers)} layers in float, "
            f"{found.work:.1%} of the multiply-adds: {', '.join(found.layers)}\n"
            f"  {found.after}\n"
            f"  to ship it: python -m export ... --int8-goal {goal.loss:g}"
        )
    else:
        say(
            f"the goal of {goal.loss:g} points is out of reach with at most {found.most:.0%} of "
            f"the multiply-adds in float: {found.after}\n"
            "  quantisation-aware training is next: make qat, or python -m export.qat"
        )


def _check_pixels(cfg: Config, bundle: Any) -> None:
    from train.config import clip_spec

    if clip_spec(cfg) != bundle.spec:
        raise ClipDuetError(
            f"{cfg.source} prepares clips in another way than {bundle.root} was exported with; "
            "give the config of its run"
        )


if __name__ == "__main__":
    sys.exit(main())
