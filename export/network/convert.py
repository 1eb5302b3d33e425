"""A fused network as a Paddle inference model and as one ONNX file, from pixels to logits.

Both take uint8 `clip` `[batch, T, H, W, 3]` RGB with any batch; normalisation and layout are
nodes of the graph. The ONNX file is checked and simplified, its nodes and weights bear the names
of the layers they came from, so that later steps can speak of `backbone.stem.0.conv`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import paddle

from export.network.captured_output import ConversionError, captured
from export.network.deploy import DeployNet
from export.network.graph_index import drop_unused
from infer.system.environment import variable

if TYPE_CHECKING:
    import onnx

INPUT, OUTPUT, BATCH = "clip", "logits", "batch"
OPSET = 17
"""Read by ONNX Runtime from 1.12, OpenVINO, and TensorRT from 8.6."""
PADDLE_STEM = "inference"
OFFSET = "pixels.offset"
"""What `export.network.deploy.CentredPixels` adds."""


def save_paddle(net: DeployNet, folder: Path) -> list[Path]:
    """Trace `net` and write a Paddle inference model; returns its program and weights file.

    Args:
        net: in evaluation mode.
        folder: made if need be; gets `inference.json` and `inference.pdiparams`.

    Raises:
        ConversionError: Paddle cannot trace or write it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    spec = paddle.static.InputSpec([None, *net.spec.clip_shape], "uint8", INPUT)
    for name, tensor in net.tensors().items():
        tensor.name = f"net.{name}"
    with captured("Saving the Paddle inference model"), paddle.no_grad(), _counting_from_zero():
        paddle.jit.save(net, str(folder / PADDLE_STEM), input_spec=[spec])
    weights = folder / f"{PADDLE_STEM}.pdiparams"
    programs = [folder / f"{PADDLE_STEM}{suffix}" for suffix in (".json", ".pdmodel")]
    found = [program for program in programs if program.is_file()]
    if not found or not weights.is_file():
        raise ConversionError(f"Paddle wrote no inference model to {folder}")
    return [found[0], weights]


@contextmanager
def _counting_from_zero() -> Iterator[None]:
    """Paddle numbers names by what the process has built and traced before; here it starts anew.

    Otherwise a second export within one process would write other names, and weights, which are
    stored in the order of their names, in another order.
    """
    from paddle.base import framework

    found = getattr(framework, "_name_struct", None)  # of the layers that operators come from
    with paddle.utils.unique_name.guard():
        try:
            if found is not None:
                framework._name_struct = type(found)()
            yield
        finally:
            if found is not None:
                framework._name_struct = found


def to_onnx(
    program: Path,
    weights: Path,
    target: Path,
    names: dict[str, str],
    *,
    metadata: Mapping[str, str] | None = None,
) -> onnx.ModelProto:
    """Convert a Paddle inference model to ONNX, check it, simplify it and write it.

    Args:
        program: `inference.json` of `save_paddle`.
        weights: `inference.pdiparams`.
        target: the file to write.
        names: see `export.network.deploy.DeployNet.tensor_names`.
        metadata: what the file says of itself, see `infer.bundle.onnx_metadata.onnx_metadata`.
            The files that are made of it say the same.

    Raises:
        ConversionError: a step failed; the message holds what the converter wrote.
    """
    with captured("Converting to ONNX"), _nothing_installed():
        import onnx
        import onnxslim
        import paddle2onnx

        raw = target.with_name(target.name + ".raw")
        try:
            paddle2onnx.export(
                str(program), str(weights), str(raw), opset_version=OPSET, enable_onnx_checker=True
            )
            model = onnx.load(str(raw))
        finally:
            raw.unlink(missing_ok=True)
        if program.suffix == ".json":
            _restore_slopes(model, json.loads(program.read_text(encoding="utf-8")))
        model = onnxslim.slim(model)
        _rename(model, names)
        _label_ends(model)
        _widen_offset(model)
        model.producer_name, model.graph.name = "ClipDuet", "clip to logits"
        onnx.helper.set_model_props(model, dict(metadata or {}))
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, str(target))
    return model


@contextmanager
def _nothing_installed() -> Iterator[None]:
    """Keep Polygraphy from pip-installing what it misses, which paddle2onnx turns on."""
    from polygraphy import config

    config.AUTOINSTALL_DEPS = False  # read from the environment before, and not again
    with variable("POLYGRAPHY_AUTOINSTALL_DEPS", "0"):
        yield


def _restore_slopes(model: onnx.ModelProto, program: dict[str, Any]) -> None:
    """Copy the slopes of leaky ReLUs from the Paddle program.

    paddle2onnx 2.1.0 reads that attribute, a double in the new program format, as a float: what
    it writes is whatever lay in memory, mostly zero. The network still runs, and is wrong.
    """
    ops = program["program"]["regions"][0]["blocks"][0]["ops"]
    slopes = [
        attribute["AT"]["D"]
        for op in ops
        if op["#"].endswith(".leaky_relu")
        for attribute in op["A"]
        if attribute["N"] == "negative_slope"
    ]
    nodes = [node for node in model.graph.node if node.op_type == "LeakyRelu"]
    if len(nodes) != len(slopes):
        raise ConversionError(
            f"the Paddle program has {len(slopes)} leaky ReLUs, the ONNX graph {len(nodes)}"
        )
    for node in nodes:
        # Values are named after the op and its place among its kind: p2o.pd_op.leaky_relu.3.0
        match = re.search(r"leaky_relu\.(\d+)\.\d+$", node.output[0])
        if match is None:
            raise ConversionError(f"leaky ReLU {node.name} has an unknown output {node.output[0]}")
        (alpha,) = (a for a in node.attribute if a.name == "alpha")
        alpha.f = slopes[int(match[1])]


def _rename(model: onnx.ModelProto, names: dict[str, str]) -> None:
    """Call weights by their keys, and the nodes that use them by their layers."""
    graph = model.graph
    weights = {i.name: names[i.name] for i in graph.initializer if i.name in names}
    counts: dict[str, int] = {}
    for node in graph.node:
        layers = [weights[name].rpartition(".")[0] for name in node.input if name in weights]
        name = layers[0] if layers else node.op_type
        count = counts[name] = counts.get(name, -1) + 1
        node.name = f"{name}.{count}" if count or not layers else name
    # A bias that was merged into its convolution has got another name, and equal biases, such as
    # those that are still zero, have become one tensor: each convolution gets its own again.
    tensors = {i.name: i for i in graph.initializer}
    biases = []
    for node in graph.node:
        if node.op_type == "Conv" and len(node.input) == 3:
            bias = type(tensors[node.input[2]])()
            bias.CopyFrom(tensors[node.input[2]])
            bias.name = node.input[2] = f"{node.name}.bias"
            biases.append(bias)
    graph.initializer.extend(biases)
    # Shapes in between were inferred under other names; consumers infer them again.
    drop_unused(graph)
    for initializer in graph.initializer:
        initializer.name = weights.get(initializer.name, initializer.name)
    for node in graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = weights.get(name, name)


def offset_by_row(offset: np.ndarray, width: int) -> np.ndarray:
    """What is taken off the pixels, as ONNX files hold it: for a whole row of a picture.

    Runtimes that keep pictures as `[H, W, 3]` then add runs of `3 W` numbers instead of three at a
    time, which took a fifth of a quantised network's time in ONNX Runtime.

    Args:
        offset: float32 `[1, 3, 1, 1]`.
        width: `W` of a picture.

    Returns:
        float32 `[1, 3, 1, W]`.
    """
    return np.ascontiguousarray(np.broadcast_to(offset, (1, 3, 1, width)))


def _widen_offset(model: onnx.ModelProto) -> None:
    from onnx import numpy_helper

    width = model.graph.input[0].type.tensor_type.shape.dim[3].dim_value
    for tensor in model.graph.initializer:
        if tensor.name == OFFSET:
            row = offset_by_row(numpy_helper.to_array(tensor), width)
            tensor.CopyFrom(numpy_helper.from_array(row, OFFSET))


def _label_ends(model: onnx.ModelProto) -> None:
    """Name input, output and their batch dimension; nothing else may be dynamic."""
    graph = model.graph
    if [i.name for i in graph.input] != [INPUT] or len(graph.output) != 1:
        ends = [i.name for i in graph.input], [o.name for o in graph.output]
        raise ConversionError(f"the graph's inputs and outputs are {ends}, not one of each")
    old = graph.output[0].name
    for node in graph.node:
        for ports in (node.input, node.output):
            for index, name in enumerate(ports):
                ports[index] = OUTPUT if name == old else name
    graph.output[0].name = OUTPUT
    for end in (graph.input[0], graph.output[0]):
        dims = end.type.tensor_type.shape.dim
        dims[0].Clear()
        dims[0].dim_param = BATCH
        fixed = [dim.dim_value for dim in dims[1:]]
        if not all(fixed):
            raise ConversionError(f"{end.name} has a dynamic dimension beside the batch: {fixed}")
