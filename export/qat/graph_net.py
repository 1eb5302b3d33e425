"""A quantised ONNX graph as a network that learns.

Not a second description of where rounding happens, which could differ from the first: the Q/DQ
graph itself is run with Paddle's operators, node by node. Its Q/DQ pairs round with a gradient,
its weights and biases are float parameters, filled from the fp32 graph that it was made of. What
was learned goes back into the same nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import paddle
from onnx import numpy_helper
from paddle import Tensor, nn

from export.int8.placement import MOVES
from export.network.captured_output import ConversionError
from export.network.convert import INPUT, OUTPUT
from export.qat.fake_quant import round_activation, round_bias, round_weight
from export.qat.graph_ops import OPERATORS
from export.verify.origin import QUANTIZED

LEARNING = (".weight", ".bias")
"""Endings of the names of tensors that learn; offsets and other constants stay as they are."""

Step = tuple[float, int, str]
"""Scale, zero point and type of a rounded activation."""

MOST_BIAS = 2**31 - 1

TINY = 1e-12
"""A channel of zeros has a step, too."""


class GraphNet(nn.Layer):
    """A Q/DQ graph. Input: uint8 `[N, T, H, W, 3]` RGB. Output: logits float32 `[N, classes]`.

    Args:
        model: of `export.int8.quantize.quantize`; the graph of an fp32 file works as well.
        floats: the fp32 graph's tensors by name; rounded tensors of `model` are looked up there.
        step_rate: how many times faster than the rest the logarithms of the steps learn.

    Raises:
        ConversionError: a node that there is no differentiable counterpart of.
    """

    def __init__(
        self, model: onnx.ModelProto, floats: Mapping[str, np.ndarray], *, step_rate: float = 1.0
    ) -> None:
        super().__init__()
        self._model = model
        self._arrays = {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}
        made_by = {name: node for node in model.graph.node for name in node.output}
        self._rounding = {
            node.name
            for node in model.graph.node
            if node.op_type == "DequantizeLinear" and _from_floats(made_by, node.input[0])
        }
        self._attributes = {
            node.name: {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            for node in model.graph.node
        }
        self._done = _already_rounded(model, self._rounding, self._step)
        self._learned: dict[str, Tensor] = {}
        self._log_steps: dict[Step, Tensor] = {}
        self._constants: dict[str, Any] = {}
        self._weights: dict[str, _Weight] = {}
        self._biases = {
            bias.input[0]: _Bias(bias.input[1], *(made_by[name] for name in node.input[:2]))
            for node in model.graph.node
            if node.op_type == "Conv" and len(node.input) > 2
            if (bias := made_by.get(node.input[2])) is not None
        }
        for name, array in self._arrays.items():
            if not name.endswith(QUANTIZED):
                self._take(name, array)
        for node in model.graph.node:
            if node.name in self._rounding:
                self._take_step(node, step_rate)
            elif node.op_type == "DequantizeLinear" and node.input[0] in self._arrays:
                self._take_rounded(node, floats)
            elif node.op_type not in (*OPERATORS, "QuantizeLinear", "DequantizeLinear"):
                raise ConversionError(
                    f"node {node.name} is a {node.op_type}, which training cannot run; it knows "
                    f"{', '.join(sorted(OPERATORS))}"
                )

    def forward(self, clips: Tensor) -> Tensor:
        """Clips uint8 `[N, T, H, W, 3]` to logits float32 `[N, classes]`."""
        values: dict[str, Any] = {**self._constants, **self._learned, INPUT: clips}
        for node in self._model.graph.node:
            if node.op_type == "QuantizeLinear":
                # Rounds together with the node that makes floats of it again.
                values[node.output[0]] = values[node.input[0]]
            elif node.op_type == "DequantizeLinear":
                values[node.output[0]] = self._dequantized(node, values)
            else:
                inputs = [values[name] for name in node.input if name]
                values[node.output[0]] = self._computed(node, inputs)
        return values[OUTPUT]

    def to_onnx(self) -> onnx.ModelProto:
        """The graph with what was learned in it, rounded once more and for good."""
        new: dict[str, np.ndarray] = {n: t.numpy() for n, t in self._learned.items()}
        model = onnx.ModelProto()
        model.CopyFrom(self._model)
        for node in model.graph.node:
            if node.name in self._rounding:
                new[node.input[1]] = np.exp(self._log_steps[self._step(node)].numpy())
            elif node.op_type == "DequantizeLinear" and node.input[0] in self._weights:
                weight, value = self._weights[node.input[0]], new[source_tensor(node.input[0])]
                step = weight.step(paddle.to_tensor(value)).numpy()
                new[node.input[0]], new[node.input[1]] = np.rint(value / step), step
        for source, bias in self._biases.items():
            step = new[bias.pair.input[1]].astype(np.float64) * new[bias.weight.input[1]]
            rounded = np.rint(new[source_tensor(source)] / step.reshape(-1))
            new[source], new[bias.scale] = np.clip(rounded, -MOST_BIAS, MOST_BIAS), step
        for initializer in model.graph.initializer:
            if initializer.name in new:
                old = self._arrays[initializer.name]
                value = new[initializer.name].astype(old.dtype).reshape(old.shape)
                initializer.CopyFrom(numpy_helper.from_array(value, initializer.name))
        onnx.checker.check_model(model, full_check=True)
        return model

    def _take(self, name: str, value: np.ndarray) -> None:
        """A tensor becomes a parameter, a constant, or an array where it says shapes."""
        if value.dtype != np.float32:
            self._constants[name] = value
        elif name.endswith(LEARNING):
            self._learned[name] = self._parameter(name, value)
        else:
            self._constants[name] = paddle.to_tensor(value)

    def _parameter(self, name: str, value: np.ndarray) -> Tensor:
        parameter = self.create_parameter(
            list(value.shape), default_initializer=nn.initializer.Assign(value)
        )
        # A dot in a name would mean a layer.
        self.add_parameter(name.replace(".", "/"), parameter)
        return parameter

    def _take_rounded(self, node: onnx.NodeProto, floats: Mapping[str, np.ndarray]) -> None:
        """A rounded tensor learns from its floats on; a constant stays what it was rounded to."""
        source, scale = node.input[:2]
        key, rounded = source_tensor(source), self._arrays[source]
        if not key.endswith(LEARNING):
            zero = self._arrays[node.input[2]].astype(np.float32)
            value = (rounded.astype(np.float32) - zero) * self._arrays[scale]
            self._constants[key] = paddle.to_tensor(value)
            return
        if key not in floats:
            raise ConversionError(f"{source} is the rounding of no tensor of the fp32 graph")
        self._learned[key] = self._parameter(key, floats[key].astype(np.float32))
        if rounded.dtype != np.int32:
            step = self._arrays[scale]
            axis = self._attributes[node.name].get("axis", 1) if step.size > 1 else None
            self._weights[source] = _Weight.of(floats[key], rounded, step, axis)

    def _take_step(self, node: onnx.NodeProto, step_rate: float) -> None:
        key = self._step(node)
        if key not in self._log_steps:
            name = f"{node.input[1]}/log"
            step = self._parameter(name, np.log(np.array([key[0]], np.float32)))
            step.optimize_attr["learning_rate"] = step_rate
            self._log_steps[key] = step

    def _step(self, node: onnx.NodeProto) -> Step:
        """What a pair rounds to.

        Pairs that do the same, such as before and after a move of values, must go on doing the
        same: engines merge them.
        """
        scale, zero = (self._arrays[name] for name in node.input[1:3])
        return float(scale.item()), int(zero.item()), str(zero.dtype)

    def _dequantized(self, node: onnx.NodeProto, values: Mapping[str, Any]) -> Tensor:
        source = node.input[0]
        if node.name in self._done:
            return values[source]
        if node.name in self._rounding:
            key = self._step(node)
            info = np.iinfo(key[2])
            return round_activation(
                values[source],
                self._log_steps[key],
                low=int(info.min) - key[1],
                high=int(info.max) - key[1],
            )
        if source in self._weights:
            tensor, weight = values[source_tensor(source)], self._weights[source]
            return round_weight(tensor, weight.step(tensor))
        if source in self._biases:
            bias = self._biases[source]
            weight_key = bias.weight.input[0]
            with paddle.no_grad():
                step = self._log_steps[self._step(bias.pair)].exp()
                own = self._weights[weight_key].step(values[source_tensor(weight_key)]).flatten()
            return round_bias(values[source_tensor(source)], step * own)
        if source in self._arrays:
            return values[source_tensor(source)]
        # Integers from outside, such as the pixels.
        scale, zero = (float(self._arrays[name].item()) for name in node.input[1:3])
        return (values[source].astype("float32") - zero) * scale

    def _computed(self, node: onnx.NodeProto, inputs: list[Any]) -> Tensor:
        try:
            return OPERATORS[node.op_type](inputs, self._attributes[node.name])
        except NotImplementedError as error:
            text = f"node {node.name} ({node.op_type}) {error}, which training cannot run"
            raise ConversionError(text) from error


@dataclass(frozen=True)
class _Weight:
    """How a weight is rounded: symmetric, by its largest value.

    Attributes:
        levels: the largest integer.
        axis: of the output channels, each of which has its own step; None: one for all.
        least: the smallest step of each, for broadcasting. Where weights are tiny and the bias is
            not, the quantiser takes larger steps, so that the bias fits into 32 bits.
    """

    levels: int
    axis: int | None
    least: Tensor

    @classmethod
    def of(
        cls, value: np.ndarray, rounded: np.ndarray, step: np.ndarray, axis: int | None
    ) -> _Weight:
        levels = int(np.abs(rounded.astype(np.int32)).max()) or 127
        shape = [step.size if i == axis else 1 for i in range(value.ndim)]
        others = tuple(i for i in range(value.ndim) if i != axis)
        own = np.abs(value).max(axis=others, keepdims=True) / levels
        found = step.reshape(shape)
        least = np.where(found > 1.01 * own, found, TINY).astype(np.float32)
        return cls(levels, axis, paddle.to_tensor(least))

    @paddle.no_grad()
    def step(self, value: Tensor) -> Tensor:
        others = [i for i in range(value.ndim) if i != self.axis]
        largest = value.abs().amax(axis=others, keepdim=True)
        return paddle.maximum(largest / self.levels, self.least)


@dataclass(frozen=True)
class _Bias:
    """A bias of 32 bits: it counts in steps of its convolution's input times steps of its weight.

    Attributes:
        scale: name of its steps.
        pair: node behind which the input is.
        weight: node behind which the weight is.
    """

    scale: str
    pair: onnx.NodeProto
    weight: onnx.NodeProto


def _already_rounded(
    model: onnx.ModelProto, rounding: Set[str], step_of: Callable[[onnx.NodeProto], Step]
) -> set[str]:
    """Names of the pairs behind a move of values that the same step has rounded before."""
    steps: dict[str, Step] = {}
    done = set()
    constants = {tensor.name for tensor in model.graph.initializer}
    for node in model.graph.node:
        output = node.output[0]
        if node.name in rounding:
            steps[output] = step_of(node)
            if steps.get(node.input[0]) == steps[output]:
                done.add(node.name)
        elif node.op_type in (*MOVES, "QuantizeLinear"):
            found = {steps.get(name) for name in node.input if name not in constants}
            if len(found) == 1 and (step := found.pop()) is not None:
                steps[output] = step
    return done


def _from_floats(made_by: Mapping[str, onnx.NodeProto], name: str) -> bool:
    """Whether bytes are rounded from floats, with or without a pad of the bytes."""
    node = made_by.get(name)
    while node is not None and node.op_type == "Pad":
        node = made_by.get(node.input[0])
    return node is not None and node.op_type == "QuantizeLinear"


def source_tensor(name: str) -> str:
    """The tensor that a rounded one was made of."""
    return name.removesuffix(QUANTIZED)
