"""What an ONNX file says beside its graph, read without the package that wrote it."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from infer.bundle.onnx_file import MESSAGES, OnnxProblem, read_onnx_file

NAMES = {
    "ModelProto": "model",
    "TrainingInfoProto": "training",
    "FunctionProto": "function",
    "GraphProto": "graph",
    "NodeProto": "node",
    "AttributeProto": "attribute",
    "SparseTensorProto": "sparse tensor",
    "TensorProto": "tensor",
}


def test_every_way_to_a_tensor_is_known():
    """Against the definition that the package `onnx` brings."""

    def leads(message):
        return {
            field.number: NAMES[field.message_type.name]
            for field in message.fields
            if field.message_type is not None and field.message_type.name in NAMES
        }

    seen, waiting = {}, [onnx.ModelProto.DESCRIPTOR]
    while waiting:
        message = waiting.pop()
        if message.name in seen:
            continue
        seen[message.name] = leads(message)
        waiting += [field.message_type for field in message.fields if field.message_type]
    reach = {name for name, fields in seen.items() if fields} - set(NAMES)
    assert reach == set(), "messages that hold tensors and are not walked"
    assert set(NAMES) <= set(seen)
    for name, own in NAMES.items():
        known = {number: kind for number, kind in MESSAGES[own].items() if kind in MESSAGES}
        assert known == seen[name], name
    model, tensor = onnx.ModelProto.DESCRIPTOR, onnx.TensorProto.DESCRIPTOR
    assert MESSAGES["model"][model.fields_by_name["metadata_props"].number] == "metadata"
    assert MESSAGES["tensor"][tensor.fields_by_name["external_data"].number] == "external data"


def outside(name, location, *, used=True):
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[3, 3])
    if used:
        tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("length", "36"), ("offset", "0")):
        tensor.external_data.add(key=key, value=value)
    return tensor


def graph_of(nodes=(), tensors=(), sparse=()):
    return helper.make_graph(list(nodes), "g", [], [], list(tensors), sparse_initializer=sparse)


def model_of(graph, **settings):
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], **settings)


def constant(name):
    return helper.make_node("Constant", [], [name], value=outside(name, f"{name}.bin"))


def sparse(name):
    indices = numpy_helper.from_array(np.arange(3), "i")
    return helper.make_sparse_tensor(outside(name, f"{name}.bin"), indices, [9])


def test_weights_in_other_files_are_found_wherever_they_are(tmp_path):
    branch = graph_of([constant("in a branch")], [outside("of a branch", "of a branch.bin")])
    several = helper.make_node("Odd", [], ["y"], several=[branch, graph_of([constant("deep")])])
    many = helper.make_node("Odd", [], ["z"], tensors=[outside("t", "in a list.bin")])
    model = model_of(
        graph_of(
            [
                constant("a"),
                several,
                many,
                helper.make_node("Odd", [], ["s"], one=sparse("sparse")),
            ],
            [outside("b", "b.bin"), outside("b again", "b.bin"), outside("c", "x/c", used=False)],
            [sparse("sparse initialiser")],
        ),
        functions=[
            helper.make_function(
                "d", "f", [], ["q"], [constant("in a function")], [helper.make_opsetid("", 17)]
            )
        ],
    )
    model.training_info.add(algorithm=graph_of([constant("in training")]))
    onnx.save(model, str(tmp_path / "model.onnx"))
    found = read_onnx_file(tmp_path / "model.onnx").external
    assert len(found) == len(set(found))
    assert set(found) == {
        *("in a branch.bin", "of a branch.bin", "deep.bin", "in a list.bin", "a.bin", "sparse.bin"),
        *("b.bin", "x/c", "sparse initialiser.bin", "in a function.bin", "in training.bin"),
    }


def test_metadata(tmp_path):
    said = {"a": "1", "empty": "", "ünïcode": '["ß"]', "long": "x" * 70_000}
    model = model_of(graph_of(tensors=[numpy_helper.from_array(np.ones((300, 300)), "w")]))
    helper.set_model_props(model, said)
    onnx.save(model, str(tmp_path / "model.onnx"))
    found = read_onnx_file(tmp_path / "model.onnx")
    assert found.metadata == said and found.external == ()


def test_a_key_that_says_two_things(tmp_path):
    model = model_of(graph_of())
    for value in ("1", "2"):
        model.metadata_props.add(key="a", value=value)
    onnx.save(model, str(tmp_path / "model.onnx"))
    with pytest.raises(OnnxProblem, match="twice"):
        read_onnx_file(tmp_path / "model.onnx")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        b"<?xml version='1.0'?><net/>",
        b"x" * 100,
        bytes.fromhex("08083a"),  # cut off before a length
        bytes.fromhex("08083a7f00"),  # a length beyond the end
        bytes.fromhex("0808"),  # no graph
        bytes.fromhex("3a00ffffffffff0101"),  # a tag of more than 32 bits
        bytes.fromhex("3a00") + b"\xff" * 11,  # a number without an end
        bytes.fromhex("3a02") + b"\x2b\x2c",  # a group, which ONNX has none of
        bytes.fromhex("7204") + b"\x0a\x02\xff\xff" + b"\x3a\x00",  # no UTF-8
    ],
)
def test_what_is_no_onnx_file(tmp_path, data):
    (tmp_path / "model.onnx").write_bytes(data)
    with pytest.raises(OnnxProblem):
        read_onnx_file(tmp_path / "model.onnx")


@given(cut=st.integers(0, 2000), flips=st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 7))))
def test_damage_is_a_problem_or_is_read(tmp_path_factory, cut, flips):
    model = model_of(graph_of([constant("a")], [outside("b", "b.bin")]))
    data = bytearray(model.SerializeToString())
    for place, bit in flips:
        data[place % len(data)] ^= 1 << bit
    path = tmp_path_factory.mktemp("damaged") / "model.onnx"
    path.write_bytes(data[: max(len(data) - cut, 0)] if cut < len(data) else data)
    try:
        found = read_onnx_file(path)
    except OnnxProblem:
        return
    assert all(isinstance(name, str) for name in found.external)
