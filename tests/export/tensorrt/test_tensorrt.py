"""``python -m export.tensorrt``, with TensorRT and a GPU that are not real: what is asked of the
builder in each version, what is written and when, and what is said when it goes wrong."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from onnx import helper

from infer.bundle.bundle import Bundle, describe_file
from infer.bundle.engines import read_engine, read_stamp, stamp_path
from infer.runtimes.tensorrt.runtime import TensorRTRuntime
from tests import fake_tensorrt
from tests.export.tensorrt.builds import NEWEST, SPEC, build, engines, graph, write_bundle


@pytest.mark.parametrize("version", fake_tensorrt.VERSIONS)
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_precision_is_in_the_graph_and_a_flag_only_for_8_6(bundle, host, version, precision):
    trt = host(version)
    assert build(bundle, "--precision", precision, "--max-batch", "3", "--workspace", "64") == 0
    (asked,) = trt.built
    assert asked["workspace"] == 64 << 20
    if version == "8.6.0":
        flags = {"fp32": set(), "fp16": {"FP16"}, "int8": {"INT8"}}[precision]
        assert asked["network"] == {"EXPLICIT_BATCH"}
        assert asked["flags"] == {*flags, "OBEY_PRECISION_CONSTRAINTS"}
        assert asked["float32"] == ["ReduceMean"]
    else:
        assert asked["network"] == {"STRONGLY_TYPED"}
        assert asked["flags"] == set() and asked["float32"] == []
    with TensorRTRuntime(Bundle.load(bundle), precision=precision) as runtime:
        clips = np.full((5, *SPEC.clip_shape), 100, np.uint8)
        assert np.allclose(runtime.run(clips), 5.0)
    assert trt.cuda.held() == {}


def test_the_stamp_says_what_it_was_built_from_and_for(bundle, host, capsys):
    host()
    options = ["--min-batch", "2", "--opt-batch", "4", "--max-batch", "6", "--tf32"]
    assert build(bundle, *options) == 0
    (path,) = (bundle / "engines").glob("*.engine")
    assert path.name == f"fp16-b2-4-6-fake-gpu-0-sm90-trt{NEWEST}.engine"
    stamp = read_stamp(path)
    assert read_engine(path, stamp) == path.read_bytes()
    assert stamp.onnx_sha256 == describe_file(bundle, "model.onnx")["sha256"]
    assert (stamp.machine.tensorrt, stamp.machine.gpu) == (NEWEST, "Fake GPU 0")
    assert stamp.options == {"workspace_mib": None, "tf32": True}
    assert path.stat().st_mode & 0o777 == stamp_path(path).stat().st_mode & 0o777 == 0o644
    assert stamp.parity["clips"] == 7 and stamp.parity["share"] == 0.0
    said = capsys.readouterr().out
    assert "model.onnx for Fake GPU 0" in said and f"done      {path}" in said


def test_defaults_come_from_the_bundle(bundle, host):
    trt = host()
    assert build(bundle) == 0
    assert [p.name for p in (bundle / "engines").glob("fp16-b1-8-12-*.engine")]
    assert trt.built[0]["flags"] == set()  # TF32 too is off


def test_what_is_there_is_not_built_again(bundle, host, capsys):
    trt = host()
    assert build(bundle) == build(bundle) == 0
    assert len(trt.built) == 1 and "is there already" in capsys.readouterr().out
    assert build(bundle, "--force") == 0 and len(trt.built) == 2
    assert build(bundle, "--tf32") == 0 and len(trt.built) == 3
    (path,) = (bundle / "engines").glob("*.engine")
    path.write_bytes(b"damaged")
    assert build(bundle, "--tf32") == 0 and len(trt.built) == 4
    write_bundle(bundle, graph([helper.make_node("Identity", ["pixels"], ["unused"])]))
    assert build(bundle, "--tf32") == 0 and len(trt.built) == 5
    assert len(list((bundle / "engines").glob("*.engine"))) == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--precision", "int4"], "no onnx.int4"),
        (["--min-batch", "9", "--opt-batch", "8"], "9-8-12 (fewest-tuned for-most); allowed: 1 <="),
        (["--max-batch", "0"], "max-batch is 0; allowed: 1 to 65536"),
        (["--workspace", "0"], "workspace is 0; allowed: 1 to 1048576 (MiB)"),
        (["--device", "2"], "device is 2; there is 0: Fake GPU 0"),
    ],
)
def test_wrong_use(bundle, host, capsys, options, said):
    host()
    assert build(bundle, *options) == 2
    assert said in capsys.readouterr().err


def test_an_onnx_file_that_was_changed_is_not_built(bundle, host, capsys):
    host()
    with (bundle / "model.onnx").open("ab") as file:
        file.write(b" ")
    assert build(bundle) == 2
    assert "cannot be trusted" in capsys.readouterr().err


def test_without_tensorrt_it_says_so_and_imports_no_paddle(bundle):
    code = (
        "import sys\n"
        "for name in ('tensorrt', 'pycuda', 'paddle', 'onnx', 'pydantic'):\n"
        "    sys.modules[name] = None\n"
        "from export.tensorrt.__main__ import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    run = [sys.executable, "-c", code, "--bundle", str(bundle)]
    done = subprocess.run(run, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and done.stdout == ""
    assert "tensorrt " in done.stderr
    assert "pip install '.[gpu]'" in done.stderr and "Traceback" not in done.stderr
    assert not (bundle / "engines").exists()


@pytest.mark.parametrize("version", ["8.6.0", NEWEST])
def test_the_parser_s_errors_name_their_nodes(tmp_path, host, capsys, version):
    host(version)
    model = graph([helper.make_node("Unknown", ["pixels"], ["x"], "odd one", domain="other")])
    model.opset_import.append(helper.make_opsetid("other", 1))
    bundle = write_bundle(tmp_path / "bundle", model)
    assert build(bundle) == 1
    said = capsys.readouterr().err
    assert "odd one (Unknown)" in said
    assert engines(bundle) == {}


def test_a_build_that_fails_says_why_and_leaves_the_earlier_engine(bundle, host, capsys):
    trt = host()
    assert build(bundle) == 0
    before = engines(bundle)
    trt.fail_build = "Could not find any implementation for node fc"
    assert build(bundle, "--force") == 1
    assert trt.fail_build in capsys.readouterr().err
    assert engines(bundle) == before


@pytest.mark.parametrize(
    ("tamper", "said"),
    [
        (lambda logits: logits[::-1].copy(), "computes something else"),
        (lambda logits: logits * 1.2, "computes something else"),
        (lambda logits: logits * np.nan, "not finite"),
    ],
)
def test_an_engine_that_computes_something_else_is_not_written(bundle, host, capsys, tamper, said):
    trt = host()
    trt.tamper = tamper
    assert build(bundle) == 1
    assert said in capsys.readouterr().err
    assert [name for name in engines(bundle) if "engine" in name] == []
    assert trt.cuda.held() == {}
