"""Who makes and who reads the tensors of a graph; other nodes in place of its own."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import onnx


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

    def array(self, name: str) -> np.ndarray:
        """A constant's value."""
        from onnx import numpy_helper

        return np.asarray(numpy_helper.to_array(self.constants[name]))


def drop_unused(graph: onnx.GraphProto) -> None:
    """Remove constants that no node reads, and what was known of shapes."""
    used = {name for node in graph.node for name in node.input}
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in used]:
        graph.initializer.remove(tensor)
    del graph.value_info[:]


def replace_nodes(graph: onnx.GraphProto, nodes: Iterable[Any]) -> None:
    """Let a graph consist of some nodes, in their order, and of the constants that they read."""
    copies = [copy.deepcopy(node) for node in nodes]  # some may be the graph's own, which go now
    del graph.node[:]
    graph.node.extend(copies)
    drop_unused(graph)
