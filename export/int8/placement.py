"""Where 8 bits begin and end in an fp32 graph.

A tensor is rounded where a node that computes with 8 bits reads it, and every other reader then
reads the rounded values too, so that its producer may write bytes.

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
from typing import Any, Literal

from export.int8.ranges import Range
from export.network.graph_index import GraphIndex

Activations = Literal["uint8", "int8"]

FUSED = ("Relu", "Clip")
"""Activation functions that runtimes make part of a convolution of bytes: limits of its output."""

MOVES = ("Reshape", "Pad", "Slice", "Concat", "Transpose", "MaxPool")
"""Operators whose outputs are values of their inputs, or 0: both have the same scale."""


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
        return [node.input[0], *([node.output[0]] if every and gates(graph, node) else [])]
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


def gates(graph: GraphIndex, node: Any) -> bool:
    """Whether a node is the pooling in front of a gate: a convolution reads it.

    With few bytes behind it, ONNX Runtime averages bytes, and does not make floats of a whole
    tensor that a gate reads nothing of but its means.
    """
    readers = graph.read_by.get(node.output[0], ())
    return node.op_type == "GlobalAveragePool" and any(r.op_type == "Conv" for r in readers)


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
    node = graph.made_by.get(name)
    if node is None or node.op_type != "Reshape" or node.input[1] not in graph.constants:
        return False
    shape = graph.array(node.input[1]).tolist()
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
