"""A bundle.json that is damaged, edited or made to do harm: an error that says so, or no change."""

from __future__ import annotations

import contextlib
import json
import os

import pytest

from infer import predict
from infer.bundle.bundle import Bundle, write_bundle_json
from infer.bundle.manifest import CHECKSUM
from infer.system.errors import BundleError
from tests.changed_json import EVIL, NEVER, changed, contents, places, put, resealed, without

DEEP = "[" * 100_000 + "]" * 100_000


def used(bundle):
    """All that anything reads of a bundle."""
    raw = {key: value for key, value in bundle.raw.items() if key in KNOWN}
    return bundle.name, bundle.classes, bundle.spec, dict(bundle.artifacts), raw


KNOWN = ("name", "model", "classes", "spec", "input", "output", "max_batch", "artifacts", "origin")


def test_one_flipped_bit_is_found_or_changes_nothing(make_bundle):
    """Two of the eight bits of each byte: all take four times as long, and no other ones pass."""
    folder = make_bundle()
    file = folder / "bundle.json"
    data, whole = file.read_bytes(), used(Bundle.load(folder))
    harmless = 0
    for place in range(len(data)):
        for bit in (place % 8, (place + 3) % 8):
            flipped = bytearray(data)
            flipped[place] ^= 1 << bit
            file.write_bytes(flipped)
            try:
                assert used(Bundle.load(folder)) == whole, (place, bit, chr(flipped[place]))
                harmless += 1
            except BundleError:
                pass
    assert harmless <= 2 * len(CHECKSUM)  # the checksum's own name


@pytest.mark.parametrize("name", EVIL)
def test_every_field_changed_to_something_else(make_bundle, name):
    folder = make_bundle()
    data, value = contents(folder), EVIL[name]
    refused = 0
    for place in places(data):
        other = changed(data, place, value)
        if other == data:
            continue
        if place != (CHECKSUM,):
            put(folder, other)
            with pytest.raises(BundleError, match=r"bundle\.json"):
                Bundle.load(folder)
            refused += 1
        put(folder, resealed(other))
        if name in NEVER and place != (CHECKSUM,):
            with pytest.raises(BundleError, match=r"bundle\.json"):
                Bundle.load(folder)
            continue
        # Where the value is allowed there it is loaded; nothing else may come out.
        with contextlib.suppress(BundleError):
            Bundle.load(folder)
    assert refused > 20


def test_every_field_left_out(make_bundle):
    folder = make_bundle()
    data = contents(folder)
    for place in places(data):
        if place == (CHECKSUM,):
            continue
        put(folder, without(data, place))
        with pytest.raises(BundleError, match=r"bundle\.json"):
            Bundle.load(folder)


@pytest.mark.parametrize(
    ("place", "value", "reason"),
    [
        (("format_version",), True, "format_version"),
        (("format_version",), 1.0, "format_version"),
        (("max_batch",), 10**30, "max_batch"),
        (("spec", "sampling"), None, "spec.sampling"),
        (("spec", "preprocess"), None, "spec.preprocess"),
        (("name",), "a\0b", "NUL"),
        (("classes", 0), "\ud800", "surrogate"),
        (("artifacts", "onnx.fp32", "files", 0, "file"), "a\0.onnx", "NUL"),
        (("artifacts", "onnx.fp32", "files", 0, "file"), ".", "inside the bundle"),
        (("artifacts", "onnx.fp32", "files", 0, "bytes"), True, "bytes"),
        (("artifacts", "onnx.fp32", "parity"), [1], "parity"),
        (("input", "shape"), ["batch", 4.0, 32, 32, 3], "input.shape"),
        (("model", "class_num"), 4, "class_num"),
        (("model", "num_seg"), 8, "num_seg"),
        (("origin",), None, "origin"),
    ],
)
def test_wrong_even_if_the_checksum_fits(make_bundle, colour_clip, capsys, place, value, reason):
    folder = make_bundle()
    put(folder, resealed(changed(contents(folder), place, value)))
    with pytest.raises(BundleError, match=reason):
        Bundle.load(folder)
    clip = colour_clip("a.mp4", "red")
    assert predict.main(["--bundle", str(folder), "--video", str(clip)]) == 2
    shown = capsys.readouterr()
    assert reason.split(".")[-1] in shown.err and "Traceback" not in shown.err and not shown.out


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (DEEP, "nested"),
        ('{"a": ' * 100_000 + "1" + "}" * 100_000, "nested"),
        ('{"format_version": 1, "format_version": 1}', "twice"),
        ('{"format_version": NaN}', "NaN"),
        ('{"format_version": -Infinity}', "Infinity"),
        ('{"format_version": ' + "1" * 5000 + "}", "cannot be read"),
        (b"\xff\xfe{}", "cannot be read"),
        (b"", "cannot be read"),
        (b"\0" * 4096, "cannot be read"),
        (json.dumps(["\ud800" * 1000] * 1000), "not a mapping"),
    ],
)
def test_what_is_no_json(tmp_path, capsys, text, reason):
    content = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    (tmp_path / "bundle.json").write_bytes(content)
    with pytest.raises(BundleError, match=reason):
        Bundle.load(tmp_path)
    assert predict.main(["--bundle", str(tmp_path), "--video", str(tmp_path)]) in (1, 2)
    assert "Traceback" not in capsys.readouterr().err


def test_what_is_no_file_is_not_waited_for(tmp_path, capsys):
    os.mkfifo(tmp_path / "bundle.json")
    with pytest.raises(BundleError, match="not a regular file"):
        Bundle.load(tmp_path)
    assert predict.main(["--bundle", str(tmp_path), "--video", str(tmp_path)]) == 2
    assert "not a regular file" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["pipe", "endless"])
def test_an_artifact_that_is_no_file_is_not_waited_for(make_bundle, kind):
    folder = make_bundle()
    file = folder / "model.fp32.onnx"
    file.unlink()
    if kind == "pipe":
        os.mkfifo(file)
    else:
        file.symlink_to("/dev/zero")
    data = contents(folder)
    data["artifacts"]["onnx.fp32"]["files"][0]["bytes"] = 0  # what both seem to have
    put(folder, resealed(data))
    with pytest.raises(BundleError, match=r"not a regular file"):
        Bundle.load(folder).artifact("onnx.fp32")


def test_a_file_that_would_fill_memory_is_not_read(tmp_path):
    with (tmp_path / "bundle.json").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(BundleError, match="larger than"):
        Bundle.load(tmp_path)


def test_classes_in_another_order(make_bundle):
    folder = make_bundle()
    data = contents(folder)
    data["classes"].reverse()
    put(folder, data)
    with pytest.raises(BundleError, match="changed after export"):
        Bundle.load(folder)


def test_a_bundle_from_before_there_was_a_checksum(make_bundle):
    folder = make_bundle()
    data, whole = contents(folder), used(Bundle.load(folder))
    del data[CHECKSUM]
    put(folder, data)
    assert used(Bundle.load(folder)) == whole


def test_the_layout_of_the_file_does_not_count(make_bundle):
    folder = make_bundle()
    data, whole = contents(folder), used(Bundle.load(folder))
    text = json.dumps(dict(reversed(list(data.items()))), indent=7)
    (folder / "bundle.json").write_text(text)
    assert used(Bundle.load(folder)) == whole


def test_what_cannot_be_read_again_is_not_written(make_bundle):
    folder = make_bundle()
    before = (folder / "bundle.json").read_bytes()
    for value in (float("nan"), "\ud800", EVIL["100 levels"]):
        with pytest.raises(BundleError):
            write_bundle_json(folder, {**contents(folder), "origin": {"a": value}})
    assert (folder / "bundle.json").read_bytes() == before
