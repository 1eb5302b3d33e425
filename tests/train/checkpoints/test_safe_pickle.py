"""A checkpoint is data: what is more than that, larger than its bytes or broken is refused."""

from __future__ import annotations

import contextlib
import io
import pickle
import re
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.train.checkpoints.contents import WEIGHT
from train.checkpoints.checkpoint import CheckpointError, load_file, load_latest, model_weights


class Call:
    """Pickles as a call of a function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self._reduced = (function, arguments)

    def __reduce__(self) -> Any:
        return self._reduced


class Stated:
    """Pickles as an instance that gets a state."""

    def __setstate__(self, state: Any) -> None:
        Path(state["path"]).touch()

    def __getstate__(self) -> Any:
        return {"path": PATH}


PATH = "/nowhere"


def short(text: bytes) -> bytes:
    return b"\x8c" + bytes([len(text)]) + text


def payloads(victim: Path) -> dict[str, bytes]:
    """Pickles that would make a file ``victim``, or are made to be refused, by what they do."""
    touch = f"open({str(victim)!r}, 'w')"
    path = str(victim)

    def dumped(value: Any, protocol: int = 4) -> bytes:
        return pickle.dumps({"w": WEIGHT, "x": value}, protocol=protocol)

    evil = io.BytesIO()
    pickler = pickle.Pickler(evil, 4)
    pickler.persistent_id = lambda value: touch if value is WEIGHT else None  # type: ignore[method-assign]
    pickler.dump({"w": WEIGHT})
    inner = pickle.dumps(Call(exec, touch))
    objects = np.array([Call(exec, touch)], dtype=object)
    text = touch.encode()
    return {
        "os.system": dumped(Call(__import__("os").system, f"touch {path}")),
        "exec": dumped(Call(exec, touch)),
        "exec of protocol 0": dumped(Call(exec, touch), 0),
        "exec of protocol 2": dumped(Call(exec, touch), 2),
        "eval": dumped(Call(eval, touch)),
        "eval of data": dumped(Call(eval, "data", {"data": 1, "__builtins__": {}})),
        "a file": dumped(Call(open, path, "w")),
        "a path": dumped(Call(Path.touch, Path(path))),
        "a pickle in it": dumped(Call(pickle.loads, inner)),
        "objects in an array": dumped(objects),
        "a type of objects": dumped(np.dtype("f4,O")),
        "numpy.load": dumped(Call(np.load, path, None, True)),
        "a file of numbers": dumped(Call(np.memmap, path, "f4", "w+", 0, (4,))),
        "getattr": dumped(Call(getattr, WEIGHT, "tofile")),
        "a state": dumped(Stated()),
        "a layer": dumped(Call(paddle.nn.Linear, 2, 2)),
        "a function's code": b"\x80\x02cbuiltins\neval\n}X\x08\x00\x00\x00__code__Nsb.",
        "a state of a dict": b"\x80\x04}}" + short(b"a") + b"K\x01sb.",
        "a subclass of an array": b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n"
        b"cnumpy\nmemmap\nK\x00\x85C\x01b\x87R.",
        "an object type": b"\x80\x02cnumpy\ndtype\nX\x02\x00\x00\x00O8K\x00K\x01\x87R.",
        "a class": dumped(np.ndarray),
        "_codecs.decode": b"\x80\x02c_codecs\ndecode\n" + short(text) + short(b"rot13") + b"\x86R.",
        "another codec": b"\x80\x02c_codecs\nencode\n" + short(text) + short(b"rot13") + b"\x86R.",
        "bytes as a call": b"\x80\x02cbuiltins\nbytes\nJ\xff\xff\xff\x7f\x85R.",
        "a new object": b"\x80\x02cos\nsystem\n" + short(b"touch " + path.encode()) + b"\x85\x81.",
        "inst": b"(S'touch " + path.encode() + b"'\nios\nsystem\n.",
        "obj": b"(cos\nsystem\nS'touch " + path.encode() + b"'\no.",
        "a persistent id": evil.getvalue(),
        "an extension": b"\x80\x02\x82\x01.",
        "a buffer": b"\x80\x05\x97.",
        "dotted names": b"\x80\x04" + short(b"builtins") + short(b"eval.__call__") + b"\x93"
        + short(text) + b"\x85R.",
    }  # fmt: skip


@pytest.mark.parametrize("kind", payloads(Path(PATH)))
def test_what_would_run_is_refused_by_name(kind: str, tmp_path: Path, monkeypatch: Any) -> None:
    victim = tmp_path / "victim"
    monkeypatch.setitem(globals(), "PATH", str(victim))
    file = tmp_path / "stranger.pdparams"
    file.write_bytes(payloads(victim)[kind])
    with pytest.raises(CheckpointError) as caught:
        load_file(file)
    assert not victim.exists()
    message = str(caught.value)
    assert str(file) in message and "\n" not in message
    names = {"os.system": "posix.system", "exec": "exec", "a path": "pathlib",
             "a layer": "Linear", "a pickle in it": "_pickle.loads", "a state": "Stated",
             "getattr": "getattr"}  # fmt: skip
    assert names.get(kind, "") in message
    if kind in names:
        assert "--trust" in message


@pytest.mark.parametrize("kind", ["exec", "a state", "a file"])
def test_the_payloads_do_what_they_say(kind: str, tmp_path: Path, monkeypatch: Any) -> None:
    victim = tmp_path / "victim"
    monkeypatch.setitem(globals(), "PATH", str(victim))
    file = tmp_path / "trusted.pdparams"
    file.write_bytes(payloads(victim)[kind])
    # An open file is no data, and Paddle says so after it was opened.
    with contextlib.suppress(CheckpointError):
        load_file(file, trust=True)
    assert victim.exists()


def array(shape: bytes, data: bytes) -> bytes:
    return (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R(K\x01" + shape
        + b"cnumpy\ndtype\nX\x02\x00\x00\x00f4K\x00K\x01\x87R(K\x03X\x01\x00\x00\x00<NNNJ\xff\xff"
        b"\xff\xffJ\xff\xff\xff\xffK\x00tb\x89" + data + b"tb"
    )  # fmt: skip


BOMBS = {
    "bytes beyond the end": b"\x80\x04\x8e" + (1 << 40).to_bytes(8, "little") + b"x.",
    "a text beyond the end": b"\x80\x04X\xff\xff\xff\x7fx.",
    "a long number": b"\x80\x02\x8b\xff\xff\xff\x7f\x01.",
    "digits": b"L" + b"9" * 100_000 + b"L\n.",
    "a large array": b"\x80\x04" + array(b"J\xff\xff\xff\x7f\x85", b"C\x04abcd") + b".",
    "a large empty array": b"\x80\x04cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n"
    b"J\xff\xff\xff\x7f\x85C\x01d\x87R.",
    "a negative shape": b"\x80\x04" + array(b"J\xff\xff\xff\xff\x85", b"C\x04abcd") + b".",
    "lists that multiply": b"\x80\x04]" + b"".join(
        b"q" + bytes([i]) + b"0"[:0] + b"](" + (b"h" + bytes([i])) * 10 + b"e" for i in range(30)
    ) + b".",
    "an array many times": b"\x80\x04("
    + array(b"M\x00\x04\x85", b"B\x00\x10\x00\x00" + bytes(4096))
    + b"q\x00" + b"h\x00" * 1000 + b"t.",
    "a list in itself": b"\x80\x04]q\x00h\x00a.",
    "deep lists": b"\x80\x04" + b"]" * 100_000 + b"a" * 99_999 + b".",
    "deep marks": b"(" * 100_000 + b".",
    "keys of one hash": b"\x80\x04}(" + b"".join(
        b"\x8a\x0a" + (i * ((1 << 61) - 1)).to_bytes(10, "little", signed=True) + b"N"
        for i in range(5000)
    ) + b"u.",
    "a list as a key": b"\x80\x04}]Ns.",
    "an odd number of keys": b"\x80\x04}(NNNu.",
    "nothing on the stack": b"\x80\x040.",
    "a reduce of nothing": b"\x80\x04R.",
    "too much on the stack": b"\x80\x04NN.",
    "a tuple of nothing": b"\x80\x04N\x87.",
    "an unknown opcode": b"\x80\x04\xf0.",
    "a key of control characters": b"\x80\x04}" + short(b"\x1b[2J") + b"Ns.",
    "names of what is not there": pickle.dumps({"StructuredToParameterName@@": {"a": "b"}}),
    "a table that is none": pickle.dumps({"w": WEIGHT, "StructuredToParameterName@@": 3}),
    "parts of another size": pickle.dumps({"a": WEIGHT, "UnpackBigParamInfor@@": {
        "w": {"OriginShape": (1 << 40,), "slices": ["a"]}}}),
    "parts many times": pickle.dumps({"a": WEIGHT, "UnpackBigParamInfor@@": {
        "w": {"OriginShape": (-1,), "slices": ["a"] * 1000}}}),
    "more after the end": pickle.dumps({"w": WEIGHT}) + b"N.",
    "zeros": bytes(5000),
    "a model of Paddle": b"\n\x12\x08\x00\x10\xff",
}  # fmt: skip


@pytest.mark.parametrize("kind", BOMBS)
def test_what_is_larger_than_its_bytes_or_broken_is_refused(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "bomb.pdparams"
    file.write_bytes(BOMBS[kind])
    with pytest.raises(CheckpointError, match=r"bomb\.pdparams is not"):
        load_file(file)


INTERNAL = re.compile(
    r"_\w+\(\)|lambda|positional|unpack|opcode|stack|STOP|attribute '|<unknown>|\('|str_digits"
)


"""What Python says to programmers."""


@pytest.mark.parametrize("kind", [*payloads(Path(PATH)), *BOMBS, "cut off"])
def test_messages_are_for_people(kind: str, tmp_path: Path) -> None:
    cut = pickle.dumps({"w": WEIGHT})[:-20]
    file = tmp_path / "any.pdparams"
    file.write_bytes((payloads(tmp_path / "victim") | BOMBS | {"cut off": cut})[kind])
    with pytest.raises(CheckpointError) as caught:
        load_file(file)
    assert not INTERNAL.search(str(caught.value)), str(caught.value)


FOREIGN = {
    "Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 3\n",
    "HTML page": b"<!DOCTYPE html><html><body>404</body></html>",
    "PNG": b"\x89PNG\r\n\x1a\n" + bytes(40),
    "gzip": b"\x1f\x8b\x08" + bytes(40),
    "text file": b"MODEL:\n  framework: Recognizer2D\n",
    "HDF5": b"\x89HDF\r\n\x1a\n" + bytes(20),
    "zeros": bytes(5000),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_file_that_is_something_else_is_called_so(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "any.pdparams"
    file.write_bytes(FOREIGN[kind])
    with pytest.raises(CheckpointError, match=rf"not a readable checkpoint: it is .*{kind}"):
        load_file(file)


@pytest.mark.parametrize("content", [{"format": 1}, {"format": 1, "model": [WEIGHT]}, [WEIGHT], 3])
def test_a_file_without_weights_is_told(content: Any, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="holds no weights"):
        model_weights(content, source=tmp_path / "any.ckpt")


@pytest.mark.parametrize("lacking", ["model", "optimizer", "progress"])
def test_a_run_whose_checkpoint_lacks_a_part_is_not_continued(lacking: str, tmp_path: Path) -> None:
    whole = {"format": 1, "model": {"w": WEIGHT}, "optimizer": {}, "progress": {}}
    del whole[lacking]
    (tmp_path / "latest.ckpt").write_bytes(pickle.dumps(whole))
    nothing: Any = None
    with pytest.raises(CheckpointError, match=rf"latest\.ckpt lacks {lacking}"):
        load_latest(tmp_path, nothing, nothing)


@pytest.mark.parametrize(
    "claim", [b"\x95" + (1 << 62).to_bytes(8, "little") + b"N.", b"Nr\xff\xff\xff\xffq\x00."]
)
def test_a_large_claim_without_meaning_takes_no_memory(claim: bytes, tmp_path: Path) -> None:
    file = tmp_path / "claim.pdparams"
    file.write_bytes(b"\x80\x04" + claim)
    assert load_file(file) is None


@given(cut=st.floats(0, 1, exclude_max=True))
def test_a_file_that_was_cut_off_is_refused(
    tmp_path_factory: pytest.TempPathFactory, cut: float
) -> None:
    whole = pickle.dumps({"w": WEIGHT, "n": 3}, protocol=4)
    file = tmp_path_factory.getbasetemp() / "cut.pdparams"
    file.write_bytes(whole[: int(cut * len(whole))])
    with pytest.raises(CheckpointError, match=r"cut\.pdparams"):
        load_file(file)


def content_or_error(file: Path) -> Any:
    """What a file holds, or the error that refuses it."""
    try:
        return load_file(file)
    except CheckpointError as error:
        return error


def is_plain(value: Any) -> bool:
    """Whether a value is data all through, and nothing that only stands for some."""
    if isinstance(value, dict):
        return type(value) in (dict, OrderedDict) and is_plain([*value.keys(), *value.values()])
    if isinstance(value, (list, tuple, set)):
        return type(value) in (list, tuple, set) and all(map(is_plain, value))
    if isinstance(value, (np.ndarray, np.generic)):
        return not isinstance(value, np.memmap) and not value.dtype.hasobject
    return isinstance(
        value, (type(None), bool, int, float, complex, str, bytes, bytearray, paddle.Tensor)
    )


@given(data=st.data())
def test_no_change_of_a_file_makes_anything_but_data_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    changed = bytearray(
        pickle.dumps({"w": WEIGHT, "n": [3, "x"]}, protocol=data.draw(st.integers(2, 5)))
    )
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    file = tmp_path_factory.getbasetemp() / "changed.pdparams"
    file.write_bytes(changed)
    found = content_or_error(file)
    if isinstance(found, CheckpointError):
        assert "changed.pdparams is not" in str(found) and "\n" not in str(found)
    else:
        assert is_plain(found), repr(found)
