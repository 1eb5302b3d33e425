"""ONNX Runtime on the CPU, for what an export looks at on its way; infer/ runs finished bundles."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from infer.system.hardware import threads_of

if TYPE_CHECKING:
    import onnx


def cpu_session(
    model: onnx.ModelProto | Path, *, threads: int | None = None, exact: bool = False
) -> Any:
    """A session whose warnings, about graphs that are not optimised yet, are not shown.

    Args:
        model: a graph, or its file.
        threads: None: all cores that this process may use.
        exact: node by node, as the graph is written; kernels of several nodes round otherwise.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads_of(threads) or 0
    if exact:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    content = str(model) if isinstance(model, Path) else model.SerializeToString()
    return ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
