"""Engines beside a bundle: which one may run here, and what is said about the others."""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, replace
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infer import doctor
from infer.bundle.bundle import Bundle
from infer.bundle.engines import (
    Machine,
    Profile,
    Stamp,
    choose_engine,
    engine_mismatches,
    engine_path,
    onnx_sha256,
    read_engine,
    read_stamp,
    stamp_path,
)
from infer.runtimes.open import open_runtime
from infer.runtimes.status import Status
from infer.system.errors import BackendError, BundleError

HERE = Machine("11.4.0.106", "NVIDIA H100 80GB HBM3", "9.0")
PLAN = b"a plan"


@pytest.fixture
def bundle(make_bundle):
    return Bundle.load(make_bundle())


def stamp_of(bundle, plan=PLAN, machine=HERE, profile=(1, 2, 4), **changes):
    stamp = Stamp(
        engine_bytes=len(plan),
        engine_sha256=sha256(plan).hexdigest(),
        onnx_file="model.fp32.onnx",
        onnx_sha256=onnx_sha256(bundle, "fp32"),
        precision="fp32",
        machine=machine,
        profile=Profile(*profile),
        options={"tf32": False},
        build_seconds=1.5,
        parity={},
    )
    return replace(stamp, **changes)


def put(bundle, stamp=None, name=None, **changes):
    stamp = stamp or stamp_of(bundle, **changes)
    path = engine_path(bundle, "fp32", stamp.machine, stamp.profile)
    path = path.with_name(name) if name else path
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(PLAN)
    stamp_path(path).write_text(stamp.to_json())
    return path


def pick(bundle, **wanted):
    return choose_engine(bundle, precision="fp32", machine=HERE, **wanted)[0]


def test_a_stamp_comes_back_as_it_was_written(bundle):
    stamp = stamp_of(bundle, parity={"share": 1e-6})
    assert read_stamp(put(bundle, stamp)) == stamp


def test_the_name_says_what_an_engine_is_for(bundle):
    path = engine_path(bundle, "fp16", HERE, Profile(1, 8, 32))
    assert path.parent == bundle.root / "engines"
    assert path.name == "fp16-b1-8-32-nvidia-h100-80gb-hbm3-sm90-trt11.4.0.106.engine"


@given(
    st.sampled_from(["tensorrt", "gpu", "compute_capability"]),
    st.text("abc0.", min_size=1, max_size=4),
)
def test_engines_of_different_machines_or_batches_never_share_a_name(field, other):
    bundle = Bundle(Path(), "", (), None, "", "", 1, {}, {})  # only its folder counts
    profile = Profile(1, 2, 4)
    name = engine_path(bundle, "fp32", HERE, profile)
    assert name != engine_path(bundle, "fp16", HERE, profile)
    assert name != engine_path(bundle, "fp32", HERE, Profile(1, 4, 4))
    if field == "tensorrt":
        assert name != engine_path(bundle, "fp32", replace(HERE, tensorrt=other), profile)


@given(st.integers(-2, 9), st.integers(-2, 9), st.integers(-2, 9))
def test_a_profile_is_three_ascending_batches_from_one(low, tuned, most):
    if 1 <= low <= tuned <= most:
        assert str(Profile(low, tuned, most)) == f"{low}-{tuned}-{most}"
    else:
        with pytest.raises(BackendError, match="allowed: 1 <= min-batch <= opt-batch"):
            Profile(low, tuned, most)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"machine": replace(HERE, tensorrt="10.3.0")},
            "TensorRT: built for 10.3.0, here 11.4.0.106",
        ),
        ({"machine": replace(HERE, gpu="Orin")}, "NVIDIA H100"),
        (
            {"machine": replace(HERE, compute_capability="8.7")},
            "compute capability: ",
        ),
        ({"onnx_sha256": "ab" * 32}, "model.fp32.onnx: "),
        ({"precision": "fp16"}, "precision: "),
    ],
)
def test_an_engine_that_differs_is_not_run_and_the_message_says_how(bundle, changes, said):
    path = put(bundle, **changes)
    with pytest.raises(BackendError) as error:
        pick(bundle)
    assert path.name in str(error.value) and said in str(error.value)
    command = f"python -m export.tensorrt --bundle {bundle.root} --precision fp32"
    assert command in str(error.value)


def test_the_command_keeps_the_batches_of_the_engine_it_replaces(bundle):
    put(bundle, machine=replace(HERE, tensorrt="10.3.0"), profile=(2, 3, 7))
    with pytest.raises(BackendError, match=r"--min-batch 2 --opt-batch 3 --max-batch 7$"):
        pick(bundle)


def test_everything_that_differs_is_said_at_once(bundle):
    other = Machine("10.3.0", "NVIDIA L4", "8.9")
    stamp = stamp_of(bundle, machine=other, profile=(2, 2, 2))
    assert len(engine_mismatches(stamp, onnx_sha256="0" * 64, machine=HERE, max_batch=1)) == 5
    assert engine_mismatches(stamp, onnx_sha256=stamp.onnx_sha256, machine=other, max_batch=2) == []


def test_no_engine_at_all(bundle):
    with pytest.raises(BackendError, match="none\nBuild one"):
        pick(bundle)


def test_a_precision_that_the_bundle_lacks(bundle):
    with pytest.raises(BackendError, match=r"it has: onnx.fp32"):
        choose_engine(bundle, precision="int8", machine=HERE)


def test_of_several_that_fit_the_batch_decides(bundle):
    small, large = put(bundle, profile=(1, 2, 4)), put(bundle, profile=(1, 8, 16))
    put(bundle, machine=replace(HERE, tensorrt="10.3.0"), profile=(1, 8, 8))
    assert pick(bundle) == large
    picked = [pick(bundle, max_batch=n) for n in (1, 4, 5, 16, 17)]
    assert picked == [small, small, large, large, large]


def test_an_engine_that_takes_no_batch_as_small_as_wanted(bundle):
    put(bundle, profile=(4, 4, 8))
    assert pick(bundle, max_batch=4)
    with pytest.raises(BackendError, match="at least 4, wanted 3") as error:
        pick(bundle, max_batch=3)
    assert str(error.value).endswith("--min-batch 1 --opt-batch 3 --max-batch 3")


def broken(change):
    def text(stamp):
        data = json.loads(stamp.to_json())
        change(data)
        return json.dumps(data)

    return text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (lambda stamp: "{", "cannot be read"),
        (lambda stamp: "[1]", "stamp of version 1"),
        (lambda stamp: json.dumps(asdict(stamp)), "stamp of version 1"),
        (broken(lambda d: d.pop("precision")), "precision is missing"),
        (broken(lambda d: d.update(engine_bytes="7")), "engine_bytes is '7'"),
        (broken(lambda d: d["machine"].update(gpu=3)), "machine.gpu is 3"),
        (broken(lambda d: d.update(more=1)), "more is unknown"),
        (broken(lambda d: d["profile"].update(opt_batch=9)), "allowed: 1 <= min-batch"),
    ],
)
def test_a_damaged_stamp_is_named_and_its_engine_not_run(bundle, text, said):
    path = put(bundle)
    stamp_path(path).write_text(text(stamp_of(bundle)))
    with pytest.raises(BundleError, match=said):
        read_stamp(path)
    with pytest.raises(BackendError) as error:
        pick(bundle)
    assert said in str(error.value)


def test_an_engine_without_a_stamp_was_not_built_here(bundle):
    path = put(bundle)
    stamp_path(path).unlink()
    with pytest.raises(BackendError, match=f"{path.name} has no stamp"):
        pick(bundle)


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        (b"a pla", "has 5 bytes instead of 6"),
        (b"", "has 0 bytes instead of 6"),
        (b"a plaN", "SHA-256"),
    ],
)
def test_a_cut_off_or_changed_engine_is_not_loaded(bundle, plan, said):
    path = put(bundle)
    assert read_engine(path, read_stamp(path)) == PLAN
    path.write_bytes(plan)
    with pytest.raises(BundleError, match=said):
        read_engine(path, read_stamp(path))


def test_an_engine_that_cannot_be_read(bundle):
    path = put(bundle)
    path.unlink()
    with pytest.raises(BundleError, match="No such file"):
        read_engine(path, stamp_of(bundle))


@pytest.fixture
def only_tensorrt(monkeypatch):
    """As if that ran here, and nothing else."""
    runs = [Status("tensorrt", True, "", HERE.tensorrt)]
    monkeypatch.setattr(doctor, "statuses", lambda **settings: runs)


def test_an_engine_that_is_a_pipe_is_not_waited_for(bundle):
    path = put(bundle)
    stamp = read_stamp(path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(BundleError, match="not a regular file"):
        read_engine(path, stamp)


def test_doctor_wants_an_engine_where_only_tensorrt_runs(bundle, only_tensorrt, capsys):
    folder = bundle.root / "engines"
    folder.mkdir()
    for name in (".lock", "timing-sm90-trt11.4.0.106.cache"):
        (folder / name).write_bytes(b"")
    command = ["--bundle", str(bundle.root)]
    assert doctor.main(command) == 1
    said = capsys.readouterr().out
    assert re.search(r"^ *tensorrt +nothing: ", said, re.MULTILINE)
    assert re.search(r"engines: .*python -m export\.tensorrt", said)
    put(bundle, onnx_sha256="0" * 64)
    assert doctor.main(command) == 1
    path = put(bundle)
    capsys.readouterr()
    assert doctor.main([*command, "--format", "json"]) == 0
    told = json.loads(capsys.readouterr().out)["bundle"]
    assert told["runs"] == {"tensorrt": {"fp32": "onnx.fp32"}} and told["engines"] == [path.name]


def test_auto_takes_no_lock_for_an_engine(bundle, monkeypatch, caplog):
    (bundle.root / "engines").mkdir()
    (bundle.root / "engines" / ".lock").write_bytes(b"")
    monkeypatch.setattr("infer.runtimes.auto.find_spec", lambda package: package)
    caplog.set_level("INFO", "clipduet")
    with open_runtime(bundle, backend="auto", threads=1) as opened:
        assert opened.backend == "onnxruntime"
    assert "not tensorrt: the bundle has no engine" in caplog.messages[0]
