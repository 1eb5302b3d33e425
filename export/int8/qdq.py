"""Put QuantizeLinear and DequantizeLinear into an fp32 graph: where 8 bits begin and end.

A tensor is rounded where a node that computes with 8 bits reads it, and every other reader then
reads the rounded values too, so that its producer may write bytes. Weights of convolutions are
int8, symmetric, one scale per output channel.

Two styles, for activations of `int8` and of `uint8`:

- `int8`: symmetric, every zero point 0, few pairs: in front of convolutions, behind the
  activation function of the one before, and around what moves values. TensorRT takes nothing else,
  and fuses convolution, residual and activation between two pairs. Biases stay floats.
- `uint8`: with zero points, and pairs around every sum, product, join, pool and leaky ReLU.
  ONNX Runtime has 8-bit kernels for these, and only takes one where all of its ends are bytes.
  Behind a ReLU all 256 steps are spent on what is above zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from export.int8.ranges import Range

if TYPE_CHECKING:
    import onnx

Activations = Literal["uint8", "int8"]

FUSED = ("Relu", "Clip")
"""Activation functions that runtimes make part of a convolution of bytes: limits of its output."""

MOVES = ("Reshape", "Pad", "Slice", "Concat", "Transpose", "MaxPool")
"""Operators whose outputs are values of their inputs, or 0: both have the same scale."""


@dataclass(frozen=True)
class GraphIndex:
    """Who makes and who reads the tensors of a graph."""

    nodes: tuple[Any, ...]
    constants: Mapping[str, Any]
    made_by: Mapping[str, Any]
    read_by: Mapping[str, tuple[Any, ...]]

    @classmethod
    def of(cls, graph: onnx.GraphProto) -> GraphIndex:
        """Look up which node makes and which nodes read each tensor."""
        read_by: dict[str, tuple[Any, ...]] = {}
        for node in graph.node:
            for name in dict.fromkeys(node.input):
                read_by[name] = (*read_by.get(name, ()), node)
        return cls(
            nodes=tuple(graph.node),
            constants={tensor.name: tensor for tensor in graph.initializer},
            made_by={name: node for node in graph.node for name in node.output},
            read_by=read_by,
        )

    def sources(self, node: Any) -> list[str]:
        """The values that a moving node moves."""
        names = node.input if node.op_type == "Concat" else node.input[:1]
        return [name for name in names if name not in self.constants]


def asked(graph: GraphIndex, kept: Set[str], activations: Activations) -> set[str]:
    """Every tensor that has 8 bits, constants among them, but not weights.

    Args:
        graph: of fp32 tensors.
        kept: names of nodes that compute with floats.
        activations: see above.
    """
    found: set[str] = set()
    for node in graph.nodes:
        if node.name not in kept:
            found.update(_asks(graph, node, kept, activations))
    # What is moved has the bytes that it has afterwards.
    for node in reversed(graph.nodes):
        made = found & set(node.output)
        moves = node.op_type in MOVES and node.name not in kept
        # The pair of such a tensor stands in front of the reshape, see `placed`.
        if made and (moves or (activations == "uint8" and any(_single(graph, n) for n in made))):
            found.update(graph.sources(node))
    return found


def _asks(graph: GraphIndex, node: Any, kept: Set[str], activations: Activations) -> list[str]:
    """The inputs that a node wants as bytes, and the output if it must be."""
    every = activations == "uint8"
    if node.op_type == "Conv":
        return [node.input[0], *([_result(graph, node)] if every else [])]
    if node.op_type == "AveragePool" or (node.op_type == "GlobalAveragePool" and every):
        return [node.input[0]]
    if node.op_type == "LeakyRelu" and every:
        source = graph.made_by[node.input[0]]
        return [] if source.name in kept else [node.input[0]]
    if node.op_type in ("Add", "Mul") and every:
        return list(node.input)
    made = {name: graph.made_by[name] for name in node.input if name in graph.made_by}
    if node.op_type == "Mul":
        return [name for name, maker in made.items() if maker.name not in kept]
    if node.op_type == "Add":
        # A convolution in front of a sum is fused with it and needs no rounding in between.
        return [name for name, maker in made.items() if maker.op_type != "Conv"]
    return []


def _result(graph: GraphIndex, conv: Any) -> str:
    """What a convolution writes: its output, or that of a ReLU or ReLU6 fused with it."""
    readers = graph.read_by.get(conv.output[0], ())
    fused = len(readers) == 1 and readers[0].op_type in FUSED
    return str((readers[0] if fused else conv).output[0])


def placed(
    graph: GraphIndex, tensors: Set[str], kept: Set[str], activations: Activations
) -> set[str]:
    """Those of `asked` that get a pair: with `int8` none amid what only moves values.

    None has a tensor that a reshape makes with one value in each row of its first axis, such as
    the weights of frames: OpenCV 5.0 makes zeros of it. Its source has the pair.
    """
    if activations == "uint8":
        return {name for name in tensors if not _single(graph, name)}

    def moves(node: Any) -> bool:
        return node.op_type in MOVES and node.name not in kept

    return {
        name
        for name in tensors
        if not moves(graph.made_by[name])
        or not all(moves(reader) for reader in graph.read_by.get(name, ()))
    }


def _single(graph: GraphIndex, name: str) -> bool:
    """Whether a tensor is a reshape of others to one value in each row of its first axis."""
    from onnx import numpy_helper

    node = graph.made_by.get(name)
    if node is None or node.op_type != "Reshape" or node.input[1] not in graph.constants:
        return False
    shape = numpy_helper.to_array(graph.constants[node.input[1]]).tolist()
    return node.input[0] not in graph.constants and set(shape[1:]) == {1}


def shared(
    graph: GraphIndex, tensors: Set[str], kept: Set[str], ranges: Mapping[str, Range]
) -> dict[str, Range]:
    """The range of each tensor, the same before and after a move."""
    group = {name: name for name in tensors}

    def root(name: str) -> str:
        while group[name] != name:
            name = group[name]
        return name

    for node in graph.nodes:
        if node.op_type in MOVES and node.name not in kept:
            ends = [n for n in (*graph.sources(node), *node.output) if n in tensors]
            for name in ends[1:]:
                group[root(name)] = root(ends[0])
    widest: dict[str, Range] = {}
    for name in tensors:
        low, high = ranges[name]
        seen = widest.get(root(name), (0.0, 0.0))  # zero is always a value: padding
        widest[root(name)] = min(seen[0], low), max(seen[1], high)
    return {name: widest[root(name)] for name in tensors}


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
        activations: see above.
        reduce_range: weights of 7 bits.
    """
    graph = GraphIndex.of(model.graph)
    tensors = asked(graph, kept, activations)
    values = {name for name in tensors if name not in graph.constants}
    common = shared(graph, values, kept, ranges)
    pairs = placed(graph, values, kept, activations)
    writer = _Writer(model.graph, graph, activations)
    for name in sorted(tensors - values):
        constant = writer.array(name)
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

    def array(self, name: str) -> np.ndarray:
        from onnx import numpy_helper

        return np.asarray(numpy_helper.to_array(self._graph.constants[name]))

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
        value = self.array(name)
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
        value = self.array(name).astype(np.float64)
        most = np.abs(value.reshape(len(value), -1)).max(axis=1)
        scale = np.maximum(most / (2 ** (bits - 1) - 1), TINY**2)
        if len(node.input) > 2:
            # The bias in steps of both scales has to fit into the 32 bits that products sum up in.
            bias = self.array(node.input[2]).astype(np.float64)
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
        copies = [type(node).FromString(node.SerializeToString()) for node in nodes]
        del self._target.node[:]
        self._target.node.extend(copies)
        used = {name for node in nodes for name in node.input}
        for tensor in [t for t in self._target.initializer if t.name not in used]:
            self._target.initializer.remove(tensor)
        del self._target.value_info[:]
