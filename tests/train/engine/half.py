"""Mixed precision without a GPU, for tests.

On a CPU Paddle turns ``auto_cast`` and ``decorate`` into nothing, and has hardly a kernel for half
precision. Here both are Paddle's own code, told that the device is a GPU; its lists say which
operator computes in which type, as its dispatch on a GPU does (`promoted`). Only the arithmetic is
another: an operator on half-precision tensors widens them, computes in float32 and
rounds what comes out, which is what a GPU does but for the order of its sums. Where the types of an
operator's tensors do not go together and no autocast is on, it is left to Paddle, and fails.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import paddle
import pytest
from paddle import Tensor, _C_ops
from paddle.base import core

HALVES = (paddle.float16, paddle.bfloat16)
FLOATS = (*HALVES, paddle.float32)
LEFT = {"cast", "assign", "full_like", "isfinite", "numel", "shape"}
"""Operators that CPUs have for half precision too, or that are told their type."""
NORMS = {"batch_norm"}
"""Their scale, shift and statistics stay float32 whatever the input is."""
LEGACY = {"mean": ("mean", "reduce_mean"), "sum": ("reduce_sum",), "linear": ("linear_v2",),
          "bilinear_interp": ("bilinear_interp_v2",), "cross_entropy_with_softmax":
          ("softmax_with_cross_entropy",), "p_norm": ("pnorm",)}  # fmt: skip
"""What Paddle's lists call an operator, where that is not its name."""
MASTERS = {"adamw_": (8, 18), "momentum_": (4, 9)}
"""Where a step is given the master weight, and told that there is one."""


class _Tracer(SimpleNamespace):
    """The part of Paddle's tracer that its mixed precision looks at and sets."""

    def _set_amp_op_list(self, allowed: set[str], blocked: set[str]) -> None:
        self.lists = allowed, blocked

    def _get_amp_op_list(self) -> tuple[set[str], set[str]]:
        return self.lists


def _tracer() -> _Tracer:
    place = SimpleNamespace(
        is_gpu_place=lambda: True, is_xpu_place=lambda: False, is_custom_place=lambda: False
    )
    return _Tracer(
        _expected_place=place, _amp_level=core.AmpLevel.O0, _amp_dtype="float32",
        _use_promote=True, lists=(set(), set()),
    )  # fmt: skip


def emulate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let mixed precision do on this CPU what it does on a GPU."""
    tracer = _tracer()
    # The package has a function of this module's name.
    casting = importlib.import_module("paddle.amp.auto_cast")
    monkeypatch.setattr(casting, "_dygraph_tracer", lambda: tracer)
    for kind in ("float16", "bfloat16"):
        monkeypatch.setattr(casting, f"_is_gpu_{kind}_supported", lambda: True)
    monkeypatch.setattr("train.engine.precision.on_gpu", lambda: True)
    # A GPU has no use for the kernels of a CPU.
    monkeypatch.setenv("CLIPDUET_CPU_KERNELS", "paddle")
    for name in dir(_C_ops):
        operator = getattr(_C_ops, name)
        if callable(operator) and not name.startswith("_") and name not in LEFT:
            if name in MASTERS:
                monkeypatch.setattr(_C_ops, name, _optimizer(name, operator))
            elif not name.endswith("_"):
                monkeypatch.setattr(_C_ops, name, _operator(name, operator, tracer))
    monkeypatch.setattr(Tensor, "argmax", _widened(Tensor.argmax))


def _operator(name: str, operator: Callable[..., Any], tracer: _Tracer) -> Callable[..., Any]:
    """The operator as a GPU runs it, autocast included."""
    names = LEGACY.get(name, (name,))

    def run(*arguments: Any, **settings: Any) -> Any:
        if tracer._amp_level != core.AmpLevel.O0:
            kind = promoted(names, tracer, list(_floats(arguments)))
            if name in NORMS:
                arguments = (_cast(arguments[0], kind), *arguments[1:])
            else:
                arguments = _cast(arguments, kind)
        kinds = {tensor.dtype for tensor in _floats(arguments[:1] if name in NORMS else arguments)}
        if not kinds & set(HALVES) or len(kinds) > 1:
            return operator(*arguments, **settings)
        (kind,) = kinds
        result = operator(*_cast(arguments, paddle.float32), **settings)
        if name in NORMS:
            return (_cast(result[0], kind), *result[1:])
        return _cast(result, kind)

    return run


def promoted(names: tuple[str, ...], tracer: _Tracer, tensors: list[Tensor]) -> Any:
    """The type in which an operator computes: paddle/fluid/eager/amp_utils.h, GetAmpDestDtype."""
    allowed, blocked = tracer.lists
    half = getattr(paddle, tracer._amp_dtype)
    if allowed & set(names):
        return half
    if blocked & set(names) or any(tensor.dtype == paddle.float32 for tensor in tensors):
        return paddle.float32
    return half


def _floats(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor) and value.dtype in FLOATS:
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _floats(item)


def _cast(value: Any, kind: Any) -> Any:
    """Floating-point tensors in another type; anything else as it is."""
    if isinstance(value, Tensor) and value.dtype in FLOATS and value.dtype != kind:
        return _C_ops.cast(value, kind)
    if isinstance(value, list | tuple):
        return type(value)(_cast(item, kind) for item in value)
    return value


def _widened(method: Callable[..., Any]) -> Callable[..., Any]:
    return lambda tensor, *arguments, **settings: method(
        _cast(tensor, paddle.float32), *arguments, **settings
    )


def _optimizer(name: str, step: Callable[..., Any]) -> Callable[..., Any]:
    """A step of the float32 master, from which the parameter is rounded."""
    master, multi_precision = MASTERS[name]

    def run(*arguments: Any) -> Any:
        parameter, gradient, *_ = arguments
        if parameter.dtype not in HALVES:
            return step(*arguments)
        wide = list(arguments)
        wide[:2] = arguments[master], gradient.astype("float32")
        wide[master], wide[multi_precision] = None, False
        result = step(*wide)
        paddle.assign(arguments[master].astype(parameter.dtype), parameter)
        return result

    return run
