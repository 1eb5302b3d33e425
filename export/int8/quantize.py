"""INT8 by post-training quantisation: calibrate once, quantise as often as you like.

Weights are int8, symmetric, one scale per output channel. Activations are 8 bits with one scale
per tensor, whose range comes from training clips (calibration): evaluation clips would leak into
the result. The pixels' normalisation, the squeeze-excitation and attention gates and the
classifier stay in float: together under one percent of the work, and where 8 bits hurt most. So
does the mean over the segments.

On an x86 CPU without VNNI, ONNX Runtime adds products of uint8 activations and int8 weights in
16 bits, which may saturate; `reduce_range` then keeps weights to 7 bits. CPUs with VNNI (Intel
from Cascade Lake, AMD from Zen 4) add in 32 bits and need no such care.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np

from export.int8.means import widen_means
from export.int8.pads import pad_bytes
from export.int8.placement import Activations, asked, gates
from export.int8.qdq import insert
from export.int8.ranges import Calibrator, Histogram, Range, collect
from export.network.captured_output import ConversionError
from export.network.graph_index import GraphIndex
from export.option_limits import refuse
from infer.system.errors import ClipDuetError

if TYPE_CHECKING:
    import onnx

KEEP_FLOAT: tuple[str, ...] = (
    r"pixels",
    r"\.se\.",
    r"\.mid_se\.",
    r"global_attention",
    r"(backbone|head)\.fc",
    r"backbone\.out",
)
"""Patterns (`re.search`) of node names that are not quantised."""

LOOSE = (
    *("Relu", "Clip", "HardSwish", "Sigmoid", "HardSigmoid"),
    *("Reshape", "GlobalAveragePool", "ReduceMean", "Cast", "Transpose"),
)
"""Operators without weights, which stay in float where all that is before or behind them does."""


@dataclass(frozen=True)
class Calibrated:
    """An fp32 graph and the values that its tensors take.

    Attributes:
        model: the graph; not to be changed.
        histograms: of every tensor that may get 8 bits.
        calibrator: how ranges follow from them; `dataclasses.replace` gives another.
        clips: how many were seen.
    """

    model: onnx.ModelProto
    histograms: Mapping[str, Histogram]
    calibrator: Calibrator
    clips: int

    @cached_property
    def ranges(self) -> dict[str, Range]:
        """What 8 bits should span, of every tensor that may get them."""
        return {name: seen.range(self.calibrator) for name, seen in self.histograms.items()}


def calibrate(
    fp32_path: str | Path,
    clips: Iterable[np.ndarray],
    *,
    calibrator: Calibrator = "percentile",
    threads: int | None = None,
) -> Calibrated:
    """Run clips through an fp32 file and remember what its tensors hold.

    Args:
        fp32_path: `model.fp32.onnx` of `export.network.convert.to_onnx`.
        clips: uint8 `[T, H, W, 3]` each, at least one.
        calibrator: see `export.int8.ranges`.
        threads: of ONNX Runtime; None: all cores.

    Raises:
        ClipDuetError: unknown calibrator, or no clips.
        ConversionError: nothing in the graph has 8 bits, or a tensor is not finite.
    """
    import onnx

    if calibrator not in get_args(Calibrator):
        raise ClipDuetError(
            f"calibrator is {calibrator!r}; allowed: {', '.join(get_args(Calibrator))}"
        )
    model = onnx.load(str(fp32_path))
    graph = GraphIndex.of(model.graph)
    nothing: frozenset[str] = frozenset()
    candidates: set[str] = set()
    for activations in get_args(Activations):
        candidates |= asked(graph, nothing, activations)
    tensors = [n for node in model.graph.node for n in node.output if n in candidates]
    if not tensors:
        raise ConversionError(
            f"nothing in {fp32_path} can have 8 bits: it has no convolution, average pooling or "
            "sum; leave int8 out (--no-int8)"
        )
    seen = 0

    def counted() -> Iterable[np.ndarray]:
        nonlocal seen
        for clip in clips:
            seen += 1
            yield clip

    histograms = collect(model, counted(), tensors, threads=threads)
    if not seen:
        raise ClipDuetError("there are no clips to calibrate on")
    return Calibrated(model, histograms, calibrator, seen)


def quantize(
    calibrated: Calibrated,
    *,
    activations: Activations = "int8",
    keep_float: Sequence[str] = KEEP_FLOAT,
    target: str | Path | None = None,
    reduce_range: bool = False,
) -> onnx.ModelProto:
    """The Q/DQ version of a calibrated graph; takes a fraction of a second.

    Args:
        calibrated: of `calibrate`; it stays as it is.
        activations: `int8`, symmetric, for every engine, and the only kind that TensorRT takes;
            or `uint8` with zero points, placed for ONNX Runtime's kernels
            (`export.int8.placement`).
        keep_float: names of nodes that compute with floats, or patterns of such names
            (`re.search`); a string that is a node's name means that node alone.
        target: the file to write; None: none.
        reduce_range: 7-bit weights, for x86 CPUs without VNNI.

    Raises:
        ClipDuetError: unknown activations.
    """
    import onnx

    if activations not in get_args(Activations):
        raise ClipDuetError(
            f"activations is {activations!r}; allowed: {', '.join(get_args(Activations))}"
        )
    model = onnx.ModelProto()
    model.CopyFrom(calibrated.model)
    widen_means(model)
    kept = frozenset(kept_in_float(model, keep_float))
    insert(model, calibrated.ranges, kept=kept, activations=activations, reduce_range=reduce_range)
    pad_bytes(model)
    onnx.checker.check_model(model, full_check=True)
    if target is not None:
        onnx.save(model, str(target))
    return model


def check_patterns(model: onnx.ModelProto, patterns: Sequence[str]) -> None:
    """Refuse a pattern that a user gave and that no node's name holds.

    Args:
        model: the graph to quantise.
        patterns: of `kept_in_float`; those of `KEEP_FLOAT` may find nothing.

    Raises:
        OptionError: names them, and the most similar names.
    """
    names = [node.name for node in model.graph.node]
    refuse(
        [
            f"--keep-float {pattern!r} is found in none of the {len(names)} nodes' names; "
            f"names are like {', '.join(_alike(pattern, names))}"
            for pattern in patterns
            if pattern not in KEEP_FLOAT and pattern not in names
            if not any(re.search(pattern, name) for name in names)
        ]
    )


def _alike(pattern: str, names: Sequence[str]) -> list[str]:
    return difflib.get_close_matches(pattern, names, n=3, cutoff=0.5) or list(names[:3])


def kept_in_float(model: onnx.ModelProto, patterns: Sequence[str]) -> list[str]:
    """Names of the nodes that a pattern names, and of those that only stand between such nodes.

    The sigmoid of a gate has no name of its own: a node without weights stays in float when all
    that it reads comes from nodes that do, or all that reads it does. Not for its readers' sake
    does the pooling in front of a gate, which averages bytes.
    """
    graph = model.graph
    names = {node.name for node in graph.node}
    kept = {pattern for pattern in patterns if pattern in names}
    wanted = [re.compile(pattern) for pattern in patterns if pattern not in names]
    kept |= {name for name in names if any(w.search(name) for w in wanted)}
    index = GraphIndex.of(graph)
    changed = True
    while changed:
        changed = False
        for node in graph.node:
            if node.name in kept or node.op_type not in LOOSE:
                continue
            sources = [index.made_by[name] for name in node.input if name in index.made_by]
            readers = [one for name in node.output for one in index.read_by.get(name, ())]
            for neighbours in (sources, [] if gates(index, node) else readers):
                if neighbours and all(n.name in kept for n in neighbours):
                    kept.add(node.name)
                    changed = True
    return [node.name for node in graph.node if node.name in kept]
