"""A Triton model repository: what is in it, and that Triton's own schema takes its config."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from infer.bundle.bundle import Bundle
from tests.export.triton.repositories import CLASSES, add_engine, write, write_bundle
from tests.trees import tree


@pytest.fixture(scope="module")
def triton_schema():
    """`triton_schema(file)`: read a config.pbtxt as Triton does, by its own schema."""
    spec = importlib.util.find_spec("tritonclient")
    if spec is None or spec.origin is None:
        pytest.skip("tritonclient, which has Triton's schema, is not installed")
    file = Path(spec.origin).parent / "grpc" / "model_config_pb2.py"
    # By its path: the package around it wants gRPC.
    spec = importlib.util.spec_from_file_location("model_config_pb2", file)
    schema = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(schema)
    from google.protobuf import text_format

    def triton_schema(path):
        return text_format.Parse(path.read_text("utf-8"), schema.ModelConfig()), schema

    return triton_schema


def test_the_repository_has_what_triton_looks_for(bundle, tmp_path, capsys):
    plan = add_engine(bundle)
    assert write(bundle, tmp_path / "repo") == 0
    files = sorted(str(p.relative_to(tmp_path / "repo")) for p in (tmp_path / "repo").rglob("*.*"))
    assert files == [
        "client/bundle.json",
        "client/client.py",
        "client/video_client.py",
        *(
            f"models/my_colours_{model}/{file}"
            for model, weights in (
                ("onnx_fp16", "onnx"),
                ("onnx_fp32", "onnx"),
                ("tensorrt_fp16", "plan"),
            )
            for file in (f"1/model.{weights}", "config.pbtxt", "labels.txt")
        ),
        "videos/my_colours_video/1/bundle/bundle.json",
        "videos/my_colours_video/1/bundle/model.fp32.onnx",
        "videos/my_colours_video/1/model.py",
        "videos/my_colours_video/1/warmup.mp4",
        "videos/my_colours_video/config.pbtxt",
        "videos/my_colours_video/labels.txt",
    ]
    models = tmp_path / "repo" / "models"
    fp16 = (bundle / "model.fp16.onnx").read_bytes()
    assert (models / "my_colours_onnx_fp16" / "1" / "model.onnx").read_bytes() == fp16
    assert (models / "my_colours_tensorrt_fp16/1/model.plan").read_bytes() == plan.read_bytes()
    labels = (models / "my_colours_onnx_fp32" / "labels.txt").read_text("utf-8")
    assert labels.splitlines() == CLASSES
    said = capsys.readouterr().out
    assert "NVIDIA L4, TensorRT 11.4.0.106" in said
    assert f"tritonserver --model-repository {models}" in said


def test_triton_s_schema_takes_the_config(bundle, tmp_path, triton_schema):
    add_engine(bundle)
    options = ["--kind", "cpu", "--instances", "2", "--delay", "500"]
    assert write(bundle, tmp_path / "repo", *options) == 0
    for name, backend, batch, preferred, kind in (
        ("my_colours_onnx_fp32", "onnxruntime", 16, 8, "KIND_CPU"),
        ("my_colours_tensorrt_fp16", "tensorrt", 8, 4, "KIND_GPU"),
    ):
        config, schema = triton_schema(tmp_path / "repo" / "models" / name / "config.pbtxt")
        assert (config.name, config.backend, config.max_batch_size) == (name, backend, batch)
        (clip,), (logits,) = config.input, config.output
        assert (clip.name, clip.data_type) == ("clip", schema.DataType.Value("TYPE_UINT8"))
        assert (logits.name, logits.data_type) == ("logits", schema.DataType.Value("TYPE_FP32"))
        assert (list(clip.dims), list(logits.dims)) == ([2, 32, 32, 3], [3])
        assert logits.label_filename == "labels.txt"
        assert list(config.dynamic_batching.preferred_batch_size) == [preferred]
        assert config.dynamic_batching.max_queue_delay_microseconds == 500
        (group,) = config.instance_group
        assert (group.count, group.Kind.Name(group.kind)) == (2, kind)
        assert [sample.batch_size for sample in config.model_warmup] == [1, batch]
        for sample in config.model_warmup:
            assert list(sample.inputs["clip"].dims) == [2, 32, 32, 3]
            assert sample.inputs["clip"].random_data
            assert sample.inputs["clip"].data_type == clip.data_type


@pytest.mark.parametrize(
    ("network", "asked"),
    [("own", ""), ("onnx", "my_colours_onnx_fp32"), ("tensorrt", "my_colours_tensorrt_fp32")],
)
def test_the_model_for_video_files(bundle, tmp_path, triton_schema, network, asked):
    add_engine(bundle, precision="fp32")
    options = ["--network", network, "--instances", "2", "--delay", "500", "--kind", "gpu"]
    assert write(bundle, tmp_path / "repo", *options) == 0
    (model,) = (tmp_path / "repo" / "videos").iterdir()
    config, schema = triton_schema(model / "config.pbtxt")
    assert (config.name, config.backend, config.max_batch_size) == (model.name, "python", 8)
    (video,), (scores, label) = config.input, config.output
    kinds = [schema.DataType.Name(one.data_type) for one in (video, scores, label)]
    assert kinds == ["TYPE_STRING", "TYPE_FP32", "TYPE_STRING"]
    assert [list(one.dims) for one in (video, scores, label)] == [[1], [3], [1]]
    assert scores.label_filename == "labels.txt"
    assert config.dynamic_batching.max_queue_delay_microseconds == 500
    assert config.version_policy.latest.num_versions == 1
    (group,) = config.instance_group
    assert (group.count, group.Kind.Name(group.kind)) == (2, "KIND_CPU")
    assert config.parameters["network"].string_value == asked
    files = {path.name for path in (model / "1" / "bundle").iterdir()}
    assert files == {"bundle.json"} | (set() if asked else {"model.fp32.onnx"})


def test_a_further_version(bundle, tmp_path, capsys):
    repo = tmp_path / "repo"
    assert write(bundle, repo, "--precision", "fp16") == 0
    config = (repo / "videos" / "my_colours_video" / "config.pbtxt").read_text()
    other = write_bundle(tmp_path / "other", name="another name")
    assert write(other, repo, "--add-version") == 0
    for model, file in (("models/my_colours_onnx_fp16", "model.onnx"),
                        ("videos/my_colours_video", "bundle/model.fp16.onnx")):  # fmt: skip
        assert {path.name for path in (repo / model).iterdir() if path.name.isdecimal()} == {
            "1", "2"
        }  # fmt: skip
        assert (repo / model / "2" / file).read_bytes() == (other / "model.fp16.onnx").read_bytes()
    assert (repo / "videos" / "my_colours_video" / "config.pbtxt").read_text() == config
    assert Bundle.load(repo / "client").name == "another name"
    before = tree(repo)
    renamed = write_bundle(tmp_path / "renamed", classes=("a", "b", "c"))
    assert write(renamed, repo, "--add-version") == 2 and "classes" in capsys.readouterr().err
    less = write_bundle(tmp_path / "less", keys=("onnx.fp32",))
    assert write(less, repo, "--add-version") == 2
    assert "my_colours_onnx_fp16" in capsys.readouterr().err
    assert write(other, repo, "--add-version", "--delay", "5", "--overwrite") == 2
    said = capsys.readouterr().err
    assert "--delay" in said and "--overwrite" in said and "--network" not in said
    (other / "model.fp16.onnx").write_bytes(b"damage")
    assert write(other, repo, "--add-version") == 2
    assert write(other, tmp_path / "nowhere", "--add-version") == 2
    assert tree(repo) == before


@pytest.mark.parametrize("keys", [("onnx.int8", "onnx.int8.x86"), ("onnx.int8.x86",)])
def test_int8_for_x86_is_a_model_of_its_own_on_the_cpu(tmp_path, triton_schema, keys):
    bundle = write_bundle(tmp_path / "bundle", keys=("onnx.fp32", *keys))
    options = ["--precision", "int8", "--kind", "gpu"]
    assert write(bundle, tmp_path / "repo", *options) == 0
    models = tmp_path / "repo" / "models"
    names = {f"my_colours_{key.replace('.', '_')}": key for key in keys}
    assert {path.name for path in models.iterdir()} == set(names)
    for name, key in names.items():
        served = (models / name / "1" / "model.onnx").read_bytes()
        assert served == (bundle / f"model.{key.removeprefix('onnx.')}.onnx").read_bytes()
        config, _ = triton_schema(models / name / "config.pbtxt")
        (group,) = config.instance_group
        kind = "KIND_CPU" if key.endswith("x86") else "KIND_GPU"
        assert (config.name, group.Kind.Name(group.kind)) == (name, kind)


def test_an_engine_of_a_file_that_the_bundle_no_longer_has_is_left_out(tmp_path, capsys):
    keys = ("onnx.fp32", "onnx.int8", "onnx.int8.x86")
    bundle = write_bundle(tmp_path / "bundle", keys=keys)
    add_engine(bundle, precision="int8")
    write_bundle(bundle, keys=("onnx.fp32", "onnx.int8.x86"))
    assert write(bundle, tmp_path / "repo") == 0
    assert "another model.int8.onnx" in capsys.readouterr().out


def test_one_precision_alone(bundle, tmp_path, capsys):
    add_engine(bundle)
    assert write(bundle, tmp_path / "repo", "--precision", "fp32") == 0
    assert [p.name for p in (tmp_path / "repo" / "models").iterdir()] == ["my_colours_onnx_fp32"]
    assert "left out" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("engine", "said"),
    [
        ({"sha": "0" * 64}, "another model.fp16.onnx"),
        ({"profile": (2, 4, 8)}, "no fewer than 2 clips"),
    ],
)
def test_an_engine_that_cannot_be_served_is_left_out_or_an_error_if_named(
    bundle, tmp_path, capsys, engine, said
):
    path = add_engine(bundle, **engine)
    assert write(bundle, tmp_path / "repo") == 0
    assert said in capsys.readouterr().out
    assert not list((tmp_path / "repo").rglob("*.plan"))
    assert write(bundle, tmp_path / "named", "--engine", str(path)) == 2
    assert said in capsys.readouterr().err and not (tmp_path / "named").exists()


def test_of_several_engines_one_is_named(bundle, tmp_path, capsys):
    first, _ = add_engine(bundle), add_engine(bundle, gpu="NVIDIA H100")
    assert write(bundle, tmp_path / "repo") == 2
    assert "several fp16 engines" in capsys.readouterr().err
    assert write(bundle, tmp_path / "repo", "--engine", str(first)) == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--precision", "int8"], "it has: onnx.fp32"),
        (["--instances", "0"], "instances is 0; allowed: 1 to 1024"),
        (["--delay", "-1"], "delay is -1; allowed: 0 to 60000000"),
        (["--engine", "nowhere.engine"], "nowhere.engine has"),
    ],
)
def test_wrong_use(bundle, tmp_path, capsys, options, said):
    assert write(bundle, tmp_path / "repo", *options) == 2
    assert said in capsys.readouterr().err and not (tmp_path / "repo").exists()


def test_a_repository_is_replaced_on_demand(bundle, tmp_path, capsys):
    repo = tmp_path / "repo"
    assert write(bundle, repo, "--precision", "fp32") == 0
    (repo / "models" / "old").mkdir()
    assert write(bundle, repo) == 2 and "--overwrite" in capsys.readouterr().err
    assert write(bundle, repo, "--overwrite") == 0
    assert not (repo / "models" / "old").exists() and any((repo / "models").iterdir())
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "notes").write_text("kept")
    assert write(bundle, mine, "--overwrite") == 2
    assert (mine / "notes").read_text() == "kept"


# Ends before a number of renames, as a process does that is killed there, on a file system that
# cannot exchange two names.
KILLED = """
import os, sys
from export.assemble import folder
from export.triton import __main__ as triton

replace, left = os.replace, int(sys.argv[1])

def counted(*names):
    global left
    if left == 0:
        os._exit(9)
    left -= 1
    replace(*names)

os.replace = counted
folder.exchange = lambda one, other: False
triton.main(sys.argv[2:])
"""


@pytest.mark.parametrize("renames", [0, 1])
def test_a_kill_never_loses_the_repository_that_was_to_be_replaced(
    bundle, tmp_path, capsys, root, renames
):
    repo = tmp_path / "repo"
    assert write(bundle, repo) == 0
    (repo / "models" / "old").mkdir()
    before = tree(repo)
    options = ["--bundle", str(bundle), "--out", str(repo), "--overwrite"]
    command = [sys.executable, "-c", KILLED, str(renames), *options]
    assert subprocess.run(command, cwd=root, check=False).returncode == 9
    # What was moved aside is put back by the next call, and not replaced unasked.
    assert write(bundle, repo) == 2 and "--overwrite" in capsys.readouterr().err
    assert tree(repo) == before and (repo / "models" / "old").is_dir()
    assert write(bundle, repo, "--overwrite") == 0 and not (repo / "models" / "old").exists()
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_damage_and_folders_in_use(bundle, tmp_path, capsys):
    (tmp_path / "repo").mkdir()
    (tmp_path / "repo" / "mine").write_text("")
    assert write(bundle, tmp_path / "repo") == 2
    assert "in use" in capsys.readouterr().err
    assert write(bundle, tmp_path / "repo" / "mine" / "below") == 2
    assert "File exists" in capsys.readouterr().err
    add_engine(bundle).write_bytes(b"a plaN")
    assert write(bundle, tmp_path / "other") == 2
    assert "changed" in capsys.readouterr().err
    lines = write_bundle(tmp_path / "lines", classes=("a\nb", "c", "d"))
    assert write(lines, tmp_path / "other") == 2
    assert "line break" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []
