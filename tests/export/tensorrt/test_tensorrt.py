"""``python -m export.tensorrt``, with TensorRT and a GPU that are not real: what is asked of the
builder in each version, what is written and when, and what is said when it goes wrong."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.tensorrt import __main__ as command
from export.tensorrt import build as engine_build
from export.tensorrt import files as engine_files
from export.tensorrt.graph import for_tensorrt
from infer.bundle.bundle import Bundle, describe_file, write_bundle_json
from infer.bundle.engines import read_engine, read_stamp, stamp_path
from infer.clips.spec import ClipSpec, PreprocessSpec, SamplingSpec
from infer.runtimes.tensorrt.runtime import TensorRTRuntime
from tests import fake_tensorrt
from tests.fake_cuda import FakeCuda

NEWEST = fake_tensorrt.VERSIONS[-1]
SPEC = ClipSpec(SamplingSpec(num_seg=2), PreprocessSpec(short_size=8, fixed_ratio=False, crop=8))


def graph(extra=None):
    """uint8 [batch, T, H, W, 3] -> frames first, cast last, as our exporter does -> logits."""
    weights = np.eye(3, dtype=np.float32) * 0.05
    nodes = [
        helper.make_node("Reshape", ["clip", "frames"], ["flat"], "flatten"),
        helper.make_node("Transpose", ["flat"], ["planes"], "planes", perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["planes"], ["pixels"], "cast", to=TensorProto.FLOAT),
        *(extra or []),
        helper.make_node("Reshape", ["pixels", "clips"], ["apart"], "apart"),
        helper.make_node("ReduceMean", ["apart"], ["means"], "mean", axes=[1, 3, 4], keepdims=0),
        helper.make_node("Gemm", ["means", "weights"], ["logits"], "fc"),
    ]
    ends = [
        helper.make_tensor_value_info("clip", TensorProto.UINT8, ["batch", *SPEC.clip_shape]),
        helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3]),
    ]
    constants = [
        numpy_helper.from_array(weights, "weights"),
        numpy_helper.from_array(np.array([-1, 8, 8, 3]), "frames"),
        numpy_helper.from_array(np.array([-1, 2, 3, 8, 8]), "clips"),
    ]
    made = helper.make_graph(nodes, "means", ends[:1], ends[1:], constants)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def write_bundle(folder, model=None):
    """A bundle whose every precision is the same file."""
    folder.mkdir(exist_ok=True)
    onnx.save(model or graph(), str(folder / "model.onnx"))
    file = describe_file(folder, "model.onnx")
    data = {
        "format_version": 1,
        "name": "means",
        "model": {},
        "classes": ["red", "green", "blue"],
        "spec": SPEC.to_dict(),
        "input": {"name": "clip", "dtype": "uint8", "shape": ["batch", *SPEC.clip_shape]},
        "output": {"name": "logits", "dtype": "float32", "shape": ["batch", 3]},
        "max_batch": 12,
        "artifacts": {
            f"onnx.{precision}": {"format": "onnx", "precision": precision, "files": [file]}
            for precision in ("fp32", "fp16", "int8")
        },
        "origin": {},
    }
    write_bundle_json(folder, data)
    return folder


@pytest.fixture
def bundle(tmp_path):
    return write_bundle(tmp_path / "bundle")


@pytest.fixture
def host(monkeypatch):
    """`host(version) -> tensorrt`: a machine with that version and a GPU."""

    def make(version=NEWEST, **options):
        cuda = FakeCuda(**options).install(monkeypatch)
        trt = fake_tensorrt.install(monkeypatch, cuda, version)
        trt.cuda = cuda
        return trt

    return make


def build(bundle, *options):
    return command.main(["--bundle", str(bundle), *options])


def engines(bundle):
    """Everything in the folder but the locks: name -> content."""
    return {
        path.name: path.read_bytes()
        for path in sorted((bundle / "engines").iterdir())
        if not path.name.endswith("lock")
    }


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


def test_the_timing_cache_grows_and_a_damaged_one_is_written_anew(bundle, host, capsys):
    host()
    assert build(bundle) == build(bundle, "--precision", "fp32") == 0
    (cache,) = (bundle / "engines").glob("*.cache")
    assert cache.name == f"timing-sm9.0-trt{NEWEST}.cache"
    assert json.loads(cache.read_text()) == ["means 1", "means 2"]
    cache.write_text("{")
    assert build(bundle, "--force") == 0
    assert "damaged" in capsys.readouterr().out
    assert json.loads(cache.read_text()) == ["means 3"]


def test_what_another_process_timed_meanwhile_is_kept(tmp_path, bundle, host, monkeypatch):
    host()
    cache = tmp_path / "shared.cache"
    real = engine_build._read_cache

    def read(config, path):
        found = real(config, path)
        cache.write_text(json.dumps(["from elsewhere"]))
        return found

    monkeypatch.setattr(engine_build, "_read_cache", read)
    assert build(bundle, "--timing-cache", str(cache)) == 0
    assert json.loads(cache.read_text()) == ["from elsewhere", "means 1"]


def test_a_timing_cache_that_cannot_be_kept_costs_no_engine(tmp_path, bundle, host, capsys):
    host()
    (tmp_path / "file").write_text("")
    assert build(bundle, "--timing-cache", str(tmp_path / "file" / "x.cache")) == 0
    assert "cache     not kept" in capsys.readouterr().out
    assert len(list((bundle / "engines").glob("*.engine"))) == 1


def test_a_disk_that_is_full_leaves_the_earlier_engine(bundle, host, capsys):
    host()
    assert build(bundle) == 0
    before = engines(bundle)
    # A real failure in the middle of a write: no file may grow beyond half of the engine.
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = max(map(len, before.values())) // 2
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limit[1]))
    try:
        code = build(bundle, "--force")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert code == 1
    assert "File too large" in capsys.readouterr().err
    kept = engines(bundle)
    assert {n: c for n, c in kept.items() if ".cache" not in n} == {
        n: c for n, c in before.items() if ".cache" not in n
    }


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_folder_that_takes_nothing(bundle, host, capsys, monkeypatch, code):
    host()
    assert build(bundle) == 0
    before = engines(bundle)

    def refuse(*args, **kwargs):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("infer.system.files.lock_file", refuse)
    assert build(bundle, "--force") == 1
    assert f"cannot be written: {os.strerror(code)}" in capsys.readouterr().err
    assert engines(bundle) == before


def test_who_reads_an_engine_while_it_is_replaced_reads_a_whole_one(bundle, host):
    host()
    assert build(bundle) == 0
    (path,) = (bundle / "engines").glob("*.engine")
    before = path.read_bytes()
    with path.open("rb") as reader:
        write_bundle(bundle, graph([helper.make_node("Identity", ["pixels"], ["unused"])]))
        assert build(bundle) == 0
        assert reader.read() == before != path.read_bytes()


def test_a_file_where_the_folder_should_be(bundle, host, capsys):
    host()
    (bundle / "engines").write_text("")
    assert build(bundle) == 1
    assert "File exists" in capsys.readouterr().err


def test_files_that_belong_together_are_written_together(tmp_path):
    first, second = tmp_path / "a", tmp_path / "a" / "b"
    first.write_bytes(b"old")
    with pytest.raises(engine_files.EngineError, match=r"b cannot be written: .*; what was there"):
        engine_files.write_all({first: b"new", second: b"new"})
    assert first.read_bytes() == b"old" and [p.name for p in tmp_path.iterdir()] == ["a"]


SCRIPT = """
import sys
sys.path[:0] = {paths}
from tests.fake_cuda import FakeCuda
import pytest
from tests import fake_tensorrt
patch = pytest.MonkeyPatch()
trt = fake_tensorrt.install(patch, FakeCuda().install(patch), {version!r})
trt.steps, trt.step_seconds = {steps}, 0.05
from export.tensorrt import __main__ as command
from export.tensorrt import build
build.SAY_EVERY = 0.0
sys.exit(command.main({arguments!r}))
"""


def start(bundle, *options, steps=6):
    """The command in a process of its own."""
    root = Path(__file__).resolve().parents[3]
    paths = [str(root)]
    arguments = ["--bundle", str(bundle), *options]
    code = SCRIPT.format(paths=paths, version=NEWEST, steps=steps, arguments=arguments)
    run = [sys.executable, "-u", "-c", code]
    return subprocess.Popen(run, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_processes_at_once_lose_nothing(bundle):
    same = [start(bundle), start(bundle), start(bundle, "--precision", "fp32")]
    said = [process.communicate(timeout=120) for process in same]
    assert [process.returncode for process in same] == [0, 0, 0], said
    assert sum("is there already" in out for out, _ in said) == 1
    for path in (bundle / "engines").glob("*.engine"):
        read_engine(path, read_stamp(path))
    assert len(list((bundle / "engines").glob("*.engine"))) == 2
    assert not list((bundle / "engines").glob(".*.engine*"))


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stopped_build_ends_at_its_next_step(bundle, sign):
    process = start(bundle, steps=100_000)
    for line in process.stdout:
        if "Building: 2 of 100000" in line:
            break
    process.send_signal(sign)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 128 + sign and error.startswith("\nstopped; ")
    assert not list((bundle / "engines").glob("*.engine"))


# --- the graph that TensorRT gets -------------------------------------------------------------


def logits_of(model, clips):
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(model, options).run(None, {"clip": clips})[0]


def test_our_graphs_become_ones_that_tensorrt_takes_and_stay_what_they_were(exported):
    bundle = Bundle.load(exported("attention").folder)
    rng = np.random.default_rng(0)
    clips = rng.integers(0, 256, (3, *bundle.spec.clip_shape), dtype=np.uint8)
    files = [a.paths[0] for a in bundle.artifacts.values() if a.format == "onnx"]
    for path in (file for file in files if "x86" not in file.name):
        ready = for_tensorrt(path)
        model = onnx.load_from_string(ready.model)
        onnx.checker.check_model(model, full_check=True)
        kinds = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph.value_info
        types = {value.type.tensor_type.elem_type for value in kinds}
        assert not types & {TensorProto.UINT8, TensorProto.INT32}
        assert len(ready.nodes) == len(model.graph.node)
        assert np.array_equal(logits_of(ready.model, clips), logits_of(str(path), clips))


def test_activations_that_are_not_symmetric_int8_are_refused(exported):
    bundle = Bundle.load(exported("attention").folder)
    with pytest.raises(engine_files.EngineError, match="are not int8 with a zero point of 0"):
        for_tensorrt(bundle.root / "model.int8.x86.onnx")


def test_arithmetic_on_uint8_is_refused(tmp_path):
    model = graph()
    model.graph.node[1].op_type = "Relu"
    del model.graph.node[1].attribute[:]
    onnx.save(model, str(tmp_path / "x.onnx"))
    with pytest.raises(engine_files.EngineError, match=r"planes \(Relu\) computes with uint8"):
        for_tensorrt(tmp_path / "x.onnx")
