"""Put QuantizeLinear and DequantizeLinear into an fp32 graph, where `export.int8.placement` says.

Weights of convolutions are int8, symmetric, one scale per output channel.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import TYPE_CHECKING, Any

import numpy as np

from export.int8.placement import Activations, asked, placed, shared
from export.int8.ranges import Range
from export.network.graph_index import GraphIndex, replace_nodes

if TYPE_CHECKING:
    import onnx


def insert(
    model: onnx.ModelProto,
    ranges: Mapping[str, Range],
    *,
    kept: Set[str],
    activations: Activations,
    reduce_range: bool,
) -> None:
    """Quantise a model in place.

    Args:
        model: fp32.
        ranges: least and largest value of every tensor that `asked` names.
        kept: names of nodes that compute with floats.
        activations: see `export.int8.placement`.
        reduce_range: weights of 7 bits.
    """
    graph = GraphIndex.of(model.graph)
    tensors = asked(graph, kept, activations)
    values = {name for name in tensors if name not in graph.constants}
    common = shared(graph, values, kept, ranges)
    pairs = placed(graph, values, kept, activations)
    writer = _Writer(model.graph, graph, activations)
    for name in sorted(tensors - values):
        constant = graph.array(name)
        writer.constant(name, *scale_of((constant.min(), constant.max()), activations))
    scales = {name: scale_of(common[name], activations) for name in values}
    for node in graph.nodes:
        if node.op_type == "Conv" and node.name not in kept:
            writer.weights(node, scales[node.input[0]][0], bits=7 if reduce_range else 8)
    # In the graph's order: that of a set is another in every process, and so would the file be.
    ordered = [*(end.name for end in model.graph.input), *graph.made_by]
    writer.activations({name: scales[name] for name in ordered if name in pairs})


def scale_of(found: Range, activations: Activations) -> tuple[np.float32, int]:
    """Scale and zero point of 8 bits that express a range, and zero exactly."""
    low, high = min(float(found[0]), 0.0), max(float(found[1]), 0.0)
    if activations == "int8":
        return np.float32(max(-low, high, TINY) / 127), 0
    scale = np.float32(max(high - low, TINY) / 255)
    return scale, int(np.clip(np.rint(-low / scale), 0, 255))


TINY = 1e-6
"""The least range: a tensor that is always 0 has a scale, too."""


class _Writer:
    """Adds nodes and initialisers to a graph; readers are pointed to them."""

    def __init__(
        self, target: onnx.GraphProto, graph: GraphIndex, activations: Activations
    ) -> None:
        self._target = target
        self._graph = graph
        self._type = np.dtype(activations)
        self._before: list[Any] = []  # of constants

    def _add(self, name: str, value: np.ndarray) -> str:
        from onnx import numpy_helper

        self._target.initializer.append(numpy_helper.from_array(value, name))
        return name

    def _dequantize(self, name: str, ends: list[str], **attributes: int) -> Any:
        from onnx import helper

        return helper.make_node(
            "DequantizeLinear", ends, [f"{name}_dequantized"], f"{name}_dequantize", **attributes
        )

    def _replace(self, name: str, readers: tuple[Any, ...]) -> None:
        for reader in readers:
            for place, source in enumerate(reader.input):
                if source == name:
                    reader.input[place] = f"{name}_dequantized"

    def constant(self, name: str, scale: np.float32, zero: int) -> None:
        """A constant as bytes."""
        value = self._graph.array(name)
        info = np.iinfo(self._type)
        rounded = np.clip(np.rint(value / scale) + zero, info.min, info.max)
        ends = [
            self._add(f"{name}_quantized", rounded.astype(self._type)),
            self._add(f"{name}_scale", np.asarray(scale, np.float32)),
            self._add(f"{name}_zero_point", np.asarray(zero, self._type)),
        ]
        self._before.append(self._dequantize(name, ends))
        self._replace(name, self._graph.read_by[name])

    def weights(self, node: Any, source_scale: np.float32, *, bits: int) -> None:
        """Weights of a convolution, one scale per output channel; its bias for `uint8`."""
        name = node.input[1]
        value = self._graph.array(name).astype(np.float64)
        most = np.abs(value.reshape(len(value), -1)).max(axis=1)
        scale = np.maximum(most / (2 ** (bits - 1) - 1), TINY**2)
        if len(node.input) > 2:
            # The bias in steps of both scales has to fit into the 32 bits that products sum up in.
            bias = self._graph.array(node.input[2]).astype(np.float64)
            scale = np.maximum(scale, np.abs(bias) / (float(source_scale) * 2.0**30))
        scale = scale.astype(np.float32)
        rounded = np.rint(value / scale.reshape(-1, *[1] * (value.ndim - 1)))
        self._channels(name, rounded.astype(np.int8), scale, node)
        if len(node.input) > 2 and self._type == np.uint8:
            step = (source_scale * scale).astype(np.float32)
            self._channels(node.input[2], np.rint(bias / step).astype(np.int32), step, node)

    def _channels(self, name: str, rounded: np.ndarray, scale: np.ndarray, node: Any) -> None:
        ends = [
            self._add(f"{name}_quantized", rounded),
            self._add(f"{name}_scale", scale),
            self._add(f"{name}_zero_point", np.zeros(len(scale), rounded.dtype)),
        ]
        self._before.append(self._dequantize(name, ends, axis=0))
        self._replace(name, (node,))

    def activations(self, scales: Mapping[str, tuple[np.float32, int]]) -> None:
        """Pairs behind tensors; then everything that was added is put into its place."""
        from onnx import helper

        after: dict[str, list[Any]] = {}
        for name, (scale, zero) in scales.items():
            ends = [
                self._add(f"{name}_scale", np.asarray(scale, np.float32)),
                self._add(f"{name}_zero_point", np.asarray(zero, self._type)),
            ]
            rounded = f"{name}_quantized"
            quantize = helper.make_node(
                "QuantizeLinear", [name, *ends], [rounded], f"{name}_quantize"
            )
            after[name] = [quantize, self._dequantize(name, [rounded, *ends])]
            self._replace(name, self._graph.read_by.get(name, ()))
        nodes = list(self._before)
        for node in self._graph.nodes:
            nodes.append(node)
            for name in node.output:
                nodes += after.get(name, [])
        replace_nodes(self._target, nodes)
