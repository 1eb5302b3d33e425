"""How far each layer of an 8-bit graph is from the same layer of the fp32 graph, on clips.

Both files run node by node, as they are written, with the outputs of the layers watched. Compared
is what the next layer reads: after an activation function that belongs to the layer, and after its
own rounding. The error of a layer holds that of all layers before it; what its own rounding adds
is the second figure. These are the two comparisons of ONNX Runtime's `qdq_loss_debug`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from export.int8.placement import FUSED, MOVES
from export.network.graph_index import GraphIndex
from export.network.watched import groups, watch
from infer.system.errors import ClipDuetError

if TYPE_CHECKING:
    import onnx

QUANTIZE, DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"

ACTIVATIONS = (*FUSED, "LeakyRelu", "HardSwish")
"""Operators that belong to the layer before them where nothing else reads that."""

KINDS = {
    "Add": "sum",
    "Mul": "product",
    "AveragePool": "average pooling",
    "GlobalAveragePool": "average pooling",
    "ReduceMean": "mean",
    "MatMul": "linear",
    "Gemm": "linear",
    "LeakyRelu": "activation",
    "HardSwish": "activation",
    "HardSigmoid": "activation",
}
"""What other operators than convolutions are called."""


@dataclass(frozen=True)
class LayerError:
    """The error of one layer; 0.1 is an SQNR of 20 dB, see `sqnr`.

    Attributes:
        layer: the node's name.
        kind: what it computes, such as "depthwise convolution 3x3".
        error: norm of the difference of its outputs in both graphs, relative to the norm of the
            fp32 one, over all clips; infinite where only the fp32 output is 0.
        rounding: the same for the output before and after its own rounding to 8 bits, both in the
            8-bit graph; None where it is not rounded by itself.
    """

    layer: str
    kind: str
    error: float
    rounding: float | None


def sqnr(error: float) -> float:
    """Signal-to-quantisation-noise ratio in dB of a relative error; infinite without an error."""
    return -20 * math.log10(error) if error else math.inf


def layer_errors(
    fp32: str | Path, int8: str | Path, clips: Sequence[np.ndarray], *, threads: int | None = None
) -> list[LayerError]:
    """Compare the layers of two ONNX files of one network.

    Layers are what computes with values that were rounded to 8 bits: what only moves such values is
    left out.

    Args:
        fp32: the file of floats.
        int8: the file with QuantizeLinear and DequantizeLinear, made from the other: tensors have
            the same names.
        clips: uint8 `[T, H, W, 3]` each, at least one.
        threads: of ONNX Runtime; None: all cores.

    Returns:
        A row a layer, the largest error first.

    Raises:
        ClipDuetError: no layer has 8 bits, or the files are not of one network.
    """
    import onnx

    models = [onnx.load(str(path)) for path in (fp32, int8)]
    whole = GraphIndex.of(models[0].graph)
    layers = _layers(GraphIndex.of(models[1].graph))
    if not layers:
        raise ClipDuetError(f"{Path(int8).name} has no layer that computes with 8 bits")
    ends = [end for one in layers for end in (one.node.output[0], one.output)]
    unknown = [end for end in ends if end not in whole.made_by]
    if unknown:
        raise ClipDuetError(
            f"{Path(int8).name} is not made from {Path(fp32).name}: that has no tensor "
            f"{unknown[0]!r}"
        )
    sums = {one: np.zeros(4) for one in layers}
    together = [set(names) for names in groups(models[0], [one.output for one in layers])]
    # Shape inference may not know the size of a tensor: those come in a run of their own.
    together.append({one.output for one in layers}.difference(*together))
    for names in together:
        own = [one for one in layers if one.output in names]
        if own:
            _add_sums(models, own, clips, sums, threads)
    found = [
        LayerError(
            one.node.name or one.output,
            _kind(whole, whole.made_by[one.node.output[0]]),
            _relative(sums[one][0], sums[one][1]),
            None if one.rounded is None else _relative(sums[one][2], sums[one][3]),
        )
        for one in layers
    ]
    return sorted(found, key=lambda one: -one.error)


@dataclass(frozen=True, eq=False)
class _Layer:
    """A node, the tensor that it ends in, and that tensor after its rounding."""

    node: Any
    output: str
    rounded: str | None


def _layers(graph: GraphIndex) -> list[_Layer]:
    """The layers of an 8-bit graph in its order."""
    found = []
    for node in graph.nodes:
        if node.op_type in (QUANTIZE, DEQUANTIZE, *MOVES):
            continue
        makers = [graph.made_by[name] for name in node.input if name in graph.made_by]
        if not any(maker.op_type == DEQUANTIZE for maker in makers):
            continue
        output = node.output[0]
        while (after := _activation(graph, output)) is not None:
            output = after.output[0]
        found.append(_Layer(node, output, _rounded(graph, output)))
    return found


def _activation(graph: GraphIndex, name: str) -> Any | None:
    """The activation function that is the only reader of a tensor."""
    readers = graph.read_by.get(name, ())
    alone = len(readers) == 1 and readers[0].op_type in ACTIVATIONS
    return readers[0] if alone else None


def _rounded(graph: GraphIndex, name: str) -> str | None:
    """A tensor after QuantizeLinear and DequantizeLinear, where it has them."""
    for quantize in graph.read_by.get(name, ()):
        if quantize.op_type == QUANTIZE:
            for after in graph.read_by.get(quantize.output[0], ()):
                if after.op_type == DEQUANTIZE:
                    return str(after.output[0])
    return None


def _add_sums(
    models: Sequence[onnx.ModelProto],
    layers: Sequence[_Layer],
    clips: Sequence[np.ndarray],
    sums: dict[_Layer, np.ndarray],
    threads: int | None,
) -> None:
    """Add the squares of differences and of values: of both graphs, and of the rounding."""
    names = [one.output for one in layers]
    rounded = [one.rounded for one in layers if one.rounded is not None]
    float_run = watch(models[0], names, threads=threads, exact=True)
    byte_run = watch(models[1], [*names, *rounded], threads=threads, exact=True)
    for clip in clips:
        whole = dict(zip(names, float_run(clip), strict=True))
        own = dict(zip([*names, *rounded], byte_run(clip), strict=True))
        for one in layers:
            before, reads = own[one.output], own[one.rounded or one.output]
            sums[one] += [
                *(_squares(reads, whole[one.output])),
                *(_squares(reads, before) if one.rounded else (0, 0)),
            ]


def _squares(found: np.ndarray, reference: np.ndarray) -> tuple[float, float]:
    """Sums of the squares of the difference and of the reference."""
    exact = reference.astype(np.float64)
    difference = found.astype(np.float64) - exact
    return float(np.square(difference).sum()), float(np.square(exact).sum())


def _relative(difference: float, reference: float) -> float:
    if not difference:
        return 0.0
    error = math.sqrt(difference / reference) if reference else math.inf
    return error if math.isfinite(error) else math.inf


def _kind(graph: GraphIndex, node: Any) -> str:
    """What a node of the fp32 graph is called."""
    if node.op_type != "Conv" or node.input[1] not in graph.constants:
        return KINDS.get(node.op_type, str(node.op_type))
    _, inputs, *size = graph.constants[node.input[1]].dims
    group = next((one.i for one in node.attribute if one.name == "group"), 1)
    extent = "x".join(map(str, size))
    if group > 1:
        return f"{'depthwise' if inputs == 1 else 'grouped'} convolution {extent}"
    return "pointwise convolution" if {*size} == {1} else f"convolution {extent}"
