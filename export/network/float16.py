"""fp16: the same graph with float16 weights and activations, in the graph and not by a flag.

What adds up many numbers stays in float32, between two casts: means over positions, channels and
segments (temporal attention's is over some 200,000 values; 65504 is the largest float16) and
softmax. So do the pixels until their mean is off. Input and output are those of the fp32 file:
uint8 pixels, float32 logits.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from export.network.captured_output import ConversionError
from export.network.graph_index import replace_nodes

if TYPE_CHECKING:
    import onnx

WIDE = ("GlobalAveragePool", "ReduceMean", "ReduceSum", "Softmax", "LogSoftmax")
"""Operators that compute in float32."""
WIDE_NODES = ("pixels",)
"""Nodes that do, by name."""
FOLLOW = ("Reshape", "Transpose", "Slice", "Flatten", "Squeeze", "Unsqueeze")
"""Operators that keep the type of what they move."""


def to_half(source: str | Path, target: str | Path) -> onnx.ModelProto:
    """Write the float16 version of an fp32 ONNX file.

    Args:
        source: `model.fp32.onnx` of `export.network.convert.to_onnx`.
        target: the file to write.

    Raises:
        ConversionError: a weight is beyond what float16 can hold (says which).
    """
    import onnx

    model = onnx.load(str(source))
    _HalfConverter(model.graph).run()
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(target))
    return model


class _HalfConverter:
    """Goes through a graph in its order and knows the type of every tensor so far."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        from onnx import TensorProto, numpy_helper

        self._graph = graph
        self._constants = {
            tensor.name: np.asarray(numpy_helper.to_array(tensor))
            for tensor in graph.initializer
            if tensor.data_type == TensorProto.FLOAT
        }
        self._types: dict[str, int] = {}  # of tensors of floats that nodes have made
        self._nodes: list[Any] = []
        self._made: set[str] = set()

    def run(self) -> None:
        from onnx import TensorProto

        (end,) = self._graph.output
        for node in self._graph.node:
            kind = self._kind(node)
            if kind is not None and node.op_type != "Cast":
                for place, name in enumerate(node.input):
                    node.input[place] = self._as(name, kind)
            if kind is not None:
                self._types.update(dict.fromkeys(node.output, kind))
            self._nodes.append(node)
        if self._types[end.name] == TensorProto.FLOAT16:
            last = self._nodes[-1]
            last.output[0] = f"{end.name}_half"
            self._cast(last.output[0], end.name, TensorProto.FLOAT)
        self._write()

    def _kind(self, node: Any) -> int | None:
        """The type that a node computes in; None: not in floats."""
        from onnx import TensorProto, helper

        if node.op_type == "Cast":
            to = helper.get_node_attr_value(node, "to")
            return TensorProto.FLOAT if to == TensorProto.FLOAT else None
        types = [self._types[name] for name in node.input if name in self._types]
        if not types:
            return None
        if node.op_type in FOLLOW:
            return types[0]
        wide = node.op_type in WIDE or node.name in WIDE_NODES
        return int(TensorProto.FLOAT if wide else TensorProto.FLOAT16)

    def _as(self, name: str, kind: int) -> str:
        """The name under which a tensor has a type; what is not of floats stays as it is."""
        from onnx import TensorProto

        short = "half" if kind == TensorProto.FLOAT16 else "float"
        if name in self._constants:
            return self._constant(name) if kind == TensorProto.FLOAT16 else name
        if self._types.get(name, kind) == kind:
            return name
        other = f"{name}_{short}"
        if other not in self._types:
            self._cast(name, other, kind)
        return other

    def _cast(self, name: str, target: str, kind: int) -> None:
        from onnx import helper

        self._nodes.append(helper.make_node("Cast", [name], [target], f"{target}_cast", to=kind))
        self._types[target] = kind

    def _constant(self, name: str) -> str:
        from onnx import numpy_helper

        half = f"{name}_half"
        if half in self._made:
            return half
        value = self._constants[name]
        with np.errstate(over="ignore"):
            rounded = value.astype(np.float16)
        if not np.isfinite(rounded).all():
            raise ConversionError(
                f"{name} holds {np.abs(value).max():.4g}, and float16 ends at 65504; "
                "export without it: --no-fp16"
            )
        self._graph.initializer.append(numpy_helper.from_array(rounded, half))
        self._made.add(half)
        return half

    def _write(self) -> None:
        replace_nodes(self._graph, self._nodes)
        # Where only one of the two is left it has the weight's own name.
        names = {tensor.name for tensor in self._graph.initializer}
        again = {f"{name}_half": name for name in self._constants if name not in names}
        for tensor in self._graph.initializer:
            tensor.name = again.get(tensor.name, tensor.name)
        for node in self._graph.node:
            for place, name in enumerate(node.input):
                node.input[place] = again.get(name, name)
