"""What Paddle, NumPy and Python write as data is read as Paddle reads it."""

from __future__ import annotations

import pickle
import re
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.train.checkpoints.contents import WEIGHT, layer
from train.checkpoints.checkpoint import load_file

MADE_UP = re.compile(r"(generated_tensor|eager_tmp)_\d+")
"""Paddle numbers tensors that have no name, or an empty one: at each reading anew."""


def same_name(a: str, b: str) -> bool:
    found = MADE_UP.fullmatch(a), MADE_UP.fullmatch(b)
    return a == b or (None not in found and found[0][1] == found[1][1])  # type: ignore[index]


def equal(a: Any, b: Any) -> bool:
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(equal, a, b))
    if isinstance(a, paddle.Tensor):
        return same_name(a.name, b.name) and a.dtype == b.dtype and equal(a.numpy(), b.numpy())
    if isinstance(a, (np.ndarray, np.generic)):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    return bool(a == b)


def dense(values: np.ndarray) -> Any:
    tensor = paddle.base.core.DenseTensor()
    tensor.set(values, paddle.CPUPlace())
    return tensor


CONTENTS: dict[str, Callable[[], Any]] = {
    "state dict": lambda: layer().state_dict(),
    "latest": lambda: {"format": 1, "model": dict(layer().state_dict()), "average": None,
                       "progress": {"history": [{"top1": 0.5, 3: "x"}], "skipped": ["a\udc80"],
                                    "big": 1 << 127, "pair": (1, 2.5), "state": True}},
    "optimiser": lambda: {"LR_Scheduler": {"last_epoch": 3, "last_lr": 0.1},
                          "w": layer()[0].weight},
    "dense": lambda: {"w": dense(WEIGHT), "n": [dense(WEIGHT)]},
    "scalars": lambda: {"a": np.float64(2.5), "b": np.bool_(True), "c": np.int32(-1)},
    "nested": lambda: OrderedDict(a=[layer()[0].weight, {"b": (1, "x", None)}]),
    "one tensor": lambda: layer()[0].weight,
    "types": lambda: {name: paddle.ones([2, 1, 3]).astype(name) for name in
                      ("bool", "int8", "uint8", "int64", "float16", "bfloat16", "float64",
                       "complex64")},
    "empty": lambda: {"w": paddle.zeros([0, 4])},
}  # fmt: skip


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize("kind", CONTENTS)
def test_what_paddle_writes_is_read_as_paddle_reads_it(
    kind: str, protocol: int, tmp_path: Path
) -> None:
    file = tmp_path / "any.pdparams"
    paddle.save(CONTENTS[kind](), str(file), protocol=protocol)
    assert equal(load_file(file), paddle.load(str(file)))


PLAIN: dict[str, Any] = {
    "of Paddle 1.8": {"conv.weight": WEIGHT, "bn": WEIGHT[0], "StructuredToParameterName@@":
                      {"conv.weight": "conv2d_0.w_0", "bn": "bn_0.w_0"}},
    "table of some": {"a": WEIGHT, "b": WEIGHT, "StructuredToParameterName@@": {"a": "x"}},
    "static": {"conv2d_0.w_0": WEIGHT, "lr": np.float32(1), "step": 3},
    "cut up": {"small": WEIGHT, "big@@.0": WEIGHT.ravel()[:8], "big@@.1": WEIGHT.ravel()[8:],
               "UnpackBigParamInfor@@": {"big": {"OriginShape": (2, 6),
                                                 "slices": ["big@@.0", "big@@.1"]}},
               "StructuredToParameterName@@": {"small": "s", "big": "b"}},
    "Fortran's order": {"w": np.asfortranarray(WEIGHT), "t": WEIGHT.T,
                        "z": np.float32(3).reshape(())},
    "shared": {"a": WEIGHT, "b": WEIGHT},
    "a pair among arrays": {"a": ("name", WEIGHT), "b": WEIGHT},
}  # fmt: skip


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("kind", PLAIN)
def test_pickled_arrays_are_read_as_paddle_reads_them(
    kind: str, protocol: int, tmp_path: Path
) -> None:
    file = tmp_path / "any.pdparams"
    file.write_bytes(pickle.dumps(PLAIN[kind], protocol=protocol))
    assert equal(load_file(file), paddle.load(str(file)))


def test_arrays_of_numpy_1_and_of_python_2_are_read(tmp_path: Path) -> None:
    data = pickle.dumps({"w": WEIGHT, "s": np.float64(3)}, protocol=2)
    assert b"numpy._core" in data
    file = tmp_path / "old.pdparams"
    file.write_bytes(data.replace(b"numpy._core.", b"numpy.core."))
    assert equal(load_file(file), paddle.load(str(file)))
    # cPickle of Python 2: byte strings (U) for keys and numbers, 'b' for the code.
    raw = np.array([1.0, 2.0], "<f4").tobytes()
    python_2 = (
        b"\x80\x02}U\x01wcnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b"
        b"\x87R(K\x01K\x02\x85cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff"
        b"\xffJ\xff\xff\xff\xffK\x00tb\x89U\x08" + raw + b"tbs."
    )
    file.write_bytes(python_2)
    assert equal(load_file(file), paddle.load(str(file)))
    assert load_file(file)["w"].tolist() == [1.0, 2.0]
    ordered = b"\x80\x02ccollections\nOrderedDict\n]]U\x01aK\x01eaa\x85R."
    file.write_bytes(ordered.replace(b"]]U\x01aK\x01eaa", b"](](U\x01aK\x01ee"))
    assert load_file(file) == pickle.loads(file.read_bytes()) == OrderedDict(a=1)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
    | hnp.arrays(st.sampled_from([np.float32, np.int64, np.bool_]), hnp.array_shapes(min_side=0)),
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner, inner)
    | st.dictionaries(st.text("abc._1", min_size=1, max_size=5), inner, max_size=3),
    max_leaves=12,
)  # fmt: skip


@example(content={"": ("", np.zeros(0, np.float32))}, protocol=2)
@given(content=st.dictionaries(st.text("abc._1"), values, max_size=4), protocol=st.integers(2, 5))
def test_any_plain_data_is_read_as_paddle_reads_it(
    tmp_path_factory: pytest.TempPathFactory, content: Any, protocol: int
) -> None:
    file = tmp_path_factory.getbasetemp() / "drawn.pdparams"
    file.write_bytes(pickle.dumps(content, protocol=protocol))
    assert equal(load_file(file), paddle.load(str(file)))
