"""Bundles: strict to read, strict to write, and never run when altered."""

from __future__ import annotations

import errno
import json
import os
import resource
from pathlib import Path

import pytest

from infer.bundle.bundle import Bundle, write_bundle_json
from infer.runtimes import common
from infer.runtimes.registry import BACKENDS
from infer.system.errors import AlteredError, BackendUnavailable, BundleError


def contents(folder):
    return json.loads((folder / "bundle.json").read_text())


def test_what_is_written_is_read(make_bundle):
    folder = make_bundle()
    bundle = Bundle.load(folder)
    assert bundle.classes == ("red", "green", "blue")
    assert bundle.spec.clip_shape == (4, 32, 32, 3)
    assert (bundle.input_name, bundle.output_name, bundle.max_batch) == ("clip", "logits", 4)
    assert bundle.model["num_seg"] == 4
    artifact = bundle.artifact("onnx.fp32")
    assert artifact.paths == [folder / "model.fp32.onnx"]
    assert artifact.bytes == (folder / "model.fp32.onnx").stat().st_size
    before = (folder / "bundle.json").read_bytes()
    write_bundle_json(folder, contents(folder))
    assert (folder / "bundle.json").read_bytes() == before


def test_all_mistakes_at_once_and_nothing_is_written(make_bundle):
    folder = make_bundle()
    data = contents(folder)
    before = sorted(folder.iterdir()), (folder / "bundle.json").read_bytes()
    del data["name"]
    data["classes"] = ["a", "b", "a"]
    data["max_batch"] = 0
    data["input"]["shape"] = ["batch", 8, 32, 32, 3]
    data["spec"]["sampling"]["views"] = "two"
    entry = data["artifacts"]["onnx.fp32"]
    entry["files"][0] = {"file": "../model.onnx", "bytes": -1, "sha256": "abc"}
    data["artifacts"]["onnx.int8"] = {"format": "onnx", "precision": "fp32", "files": []}
    with pytest.raises(BundleError) as caught:
        write_bundle_json(folder, data)
    for part in (
        "name is missing",
        "names twice: a",
        "max_batch is 0",
        "spec.sampling.views is 'two'",
        "files[0].file is '../model.onnx'",
        "files[0].bytes is -1",
        "files[0].sha256 is 'abc'",
        "artifacts.onnx.int8 holds onnx.fp32",
        "artifacts.onnx.int8.files ",
    ):
        assert part in str(caught.value)
    assert (sorted(folder.iterdir()), (folder / "bundle.json").read_bytes()) == before


def test_shapes_must_fit_the_spec_and_the_classes(make_bundle):
    folder = make_bundle()
    data = contents(folder)
    data["input"]["shape"] = ["batch", 8, 32, 32, 3]
    data["output"]["shape"] = ["batch", 4]
    (folder / "bundle.json").write_text(json.dumps(data))
    with pytest.raises(BundleError) as caught:
        Bundle.load(folder)
    assert "must be ['batch', 4, 32, 32, 3]" in str(caught.value)
    assert "must be ['batch', 3]" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "cannot be read"),
        ("[]", "not a mapping"),
        ('{"format_version": 99}', "format_version is 99, this program reads 1"),
        ("{}", "format_version is None"),
    ],
)
def test_no_bundle_json_at_all(tmp_path, text, reason):
    (tmp_path / "bundle.json").write_text(text)
    with pytest.raises(BundleError, match=reason):
        Bundle.load(tmp_path)


def test_no_bundle(tmp_path):
    with pytest.raises(BundleError, match=r"has no bundle\.json"):
        Bundle.load(tmp_path)
    with pytest.raises(BundleError, match="is not there"):
        Bundle.load(tmp_path / "nothing")


def test_altered_and_missing_files_are_not_used(make_bundle):
    folder = make_bundle()
    bundle = Bundle.load(folder)
    model = folder / "model.fp32.onnx"
    data = bytearray(model.read_bytes())
    data[len(data) // 2] ^= 1
    model.write_bytes(data)
    with pytest.raises(BundleError, match="changed after export"):
        bundle.artifact("onnx.fp32")
    model.write_bytes(data[:-1])
    with pytest.raises(BundleError, match=f"has {len(data) - 1} bytes instead of {len(data)}"):
        bundle.artifact("onnx.fp32")
    model.unlink()
    with pytest.raises(AlteredError, match="is missing"):
        bundle.artifact("onnx.fp32")
    with pytest.raises(BundleError, match=r"no artefact onnx\.int8; it has: onnx\.fp32"):
        bundle.artifact("onnx.int8")


def test_too_many_open_files_is_no_altered_bundle(make_bundle):
    folder = make_bundle()
    bundle = Bundle.load(folder)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        with pytest.raises(BundleError) as of_artifact:
            bundle.artifact("onnx.fp32")
        with pytest.raises(BundleError) as of_json:
            Bundle.load(folder)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    for error in (of_artifact.value, of_json.value):
        assert not isinstance(error, AlteredError)
        assert "Too many open files" in str(error) and "ulimit -n" in str(error)
        assert "export" not in str(error)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ENOMEM, errno.ENFILE])
def test_a_file_that_cannot_be_read_is_not_called_altered(make_bundle, monkeypatch, number):
    bundle = Bundle.load(make_bundle())

    def refused(path, *args, **options):
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(BundleError, match=os.strerror(number)) as caught:
        bundle.artifact("onnx.fp32")
    assert not isinstance(caught.value, AlteredError)


@pytest.mark.parametrize(
    ("error", "exhausted"),
    [
        (OSError(errno.EMFILE, os.strerror(errno.EMFILE)), True),
        (ImportError("libx.so: cannot open shared object file: Too many open files"), True),
        (MemoryError(), True),
        (ImportError("libx.so: cannot open shared object file: No such file or directory"), False),
    ],
)
def test_installing_it_again_is_no_remedy_for_a_process_without_files_or_memory(
    monkeypatch, error, exhausted
):
    def broken(name):
        raise error

    monkeypatch.setattr(common.importlib, "import_module", broken)
    with pytest.raises(BackendUnavailable) as caught:
        common.load_package(BACKENDS["onnxruntime"], "onnxruntime", ())
    assert bool(caught.value.remedy) != exhausted and "cannot be imported" in caught.value.reason
