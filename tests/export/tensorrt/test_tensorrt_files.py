"""Files of engines: caches, full disks, several writers, builds that are stopped."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from onnx import helper

from export.tensorrt import build as engine_build
from export.tensorrt import files as engine_files
from infer.bundle.engines import read_engine, read_stamp
from tests.export.tensorrt.builds import NEWEST, build, engines, graph, write_bundle


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
