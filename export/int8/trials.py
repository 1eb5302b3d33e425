"""Quantised networks with some layers in float, each made and compared with the fp32 one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx

from export.int8.goal import Score, score, temperature_of
from export.int8.placement import Activations, asked
from export.int8.quantize import KEEP_FLOAT, Calibrated, kept_in_float, quantize
from export.network.convert import INPUT
from export.network.graph_index import GraphIndex
from export.network.sessions import cpu_session
from train.evaluation.evaluate import Evaluation, ListedClips, evaluate

BATCH = 16

SUMS = ("Add", "Mul", "AveragePool", "LeakyRelu")
"""Operators without weights that compute with bytes; what only moves bytes goes with others."""


class Trials:
    """Makes quantised networks with some layers in float, and compares them with the fp32 one.

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
        """Names of the nodes that are rounded where nothing more stays in float, in their order."""
        model = self._calibrated.model
        graph = GraphIndex.of(model.graph)

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
        session = cpu_session(model, threads=self._threads)

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


def _size(dims: Any) -> int:
    return int(np.prod([int(dim) for dim in dims], dtype=np.int64))
