"""What reads videos: the versions that may, the pixels they give, what a bundle says of them."""

from __future__ import annotations

import configparser
import json
import re

import av
import numpy as np
import pytest

from infer import doctor, predict
from infer.bundle.bundle import Bundle, write_bundle_json
from infer.clips.decode import read_video
from infer.containers.decoder import LIBRARIES, installed
from infer.libraries.versions import OLDEST, is_older
from infer.runtimes.registry import oldest_packages
from infer.runtimes.status import Status
from infer.system.errors import BundleError, ClipDuetError

COLOURS = [(200, 30, 30), (30, 200, 30), (30, 30, 200)]
MATRICES = {"bt709": (0.2126, 0.0722, 1), "bt601": (0.299, 0.114, 5)}
"""Shares of red and blue in the luma, and the number that a stream bears for them."""


def write_tagged(path, colour, matrix):
    """Ten frames of one colour, stored by a matrix that the stream names; the limited range."""
    red, blue, tag = MATRICES[matrix]
    r, g, b = np.array(colour) / 255
    luma = red * r + (1 - red - blue) * g + blue * b
    planes = (
        16 + 219 * luma,
        128 + 224 * (b - luma) / (2 * (1 - blue)),
        128 + 224 * (r - luma) / (2 * (1 - red)),
    )
    pixels = np.concatenate(
        [np.full(64 * 64 // (4 if k else 1), round(v), np.uint8) for k, v in enumerate(planes)]
    ).reshape(96, 64)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "1"})
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = tag
        context.color_range = 1
        for _ in range(10):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="yuv420p")))
        container.mux(stream.encode())


@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize("colour", COLOURS)
def test_the_matrix_that_a_stream_names_is_followed(tmp_path, matrix, colour):
    """PyAV before 17 takes BT.601 for all: red is then (184, 11, 31)."""
    write_tagged(tmp_path / "a.mp4", colour, matrix)
    frames, _ = read_video(tmp_path / "a.mp4", lambda n: [0, n - 1])
    assert np.abs(frames.astype(int) - colour).max() <= 3


def test_the_clip_that_was_read_in_wrong_colours(shared):
    frames, _ = read_video(shared / "faults" / "red709.mp4", lambda n: [0, n - 1])
    assert np.abs(frames.astype(int) - (200, 30, 30)).max() <= 3


# --- which versions may be installed ------------------------------------------------------------


def floors(root):
    """The least version of each package that any of setup.cfg's lists asks for."""
    parser = configparser.ConfigParser()
    parser.read(root / "setup.cfg", encoding="utf-8")
    lists = [parser["options"]["install_requires"], *parser["options.extras_require"].values()]
    return dict(re.findall(r"^([\w-]+)>=([\d.]+)", "\n".join(lists), re.MULTILINE))


def test_setup_asks_for_what_was_tested(root):
    asked, oldest = floors(root), {**OLDEST, **oldest_packages()}
    assert {"av", "onnxruntime", "openvino", "paddlepaddle"} <= set(oldest)
    assert {name: asked.get(name) for name in oldest} == oldest
    pins = re.findall(r"^([\w-]+)==([\d.]+)", (root / "constraints.txt").read_text(), re.MULTILINE)
    assert set(oldest) <= {name for name, _ in pins}
    assert [pin for pin in pins if pin[0] in oldest and is_older(pin[1], oldest[pin[0]])] == []


@pytest.mark.parametrize(
    ("version", "than", "older"),
    [
        ("17.0.1", "17.1.0", True),
        ("17.1", "17.1.0", False),
        ("9.2.0", "17.1.0", True),
        ("18.0.0rc1", "17.1.0", False),
        ("4.9.0.80", "4.10", True),
        ("", "1.0", False),
        ("git", "1.0", False),
    ],
)
def test_versions_are_compared_by_number(version, than, older):
    assert is_older(version, than) is older


def test_a_pyav_that_reads_wrong_is_refused(make_bundle, colour_clip, monkeypatch, capsys):
    bundle, clip = make_bundle(), colour_clip("a.mp4", "red")
    monkeypatch.setattr(av, "__version__", "17.0.1")
    with pytest.raises(ClipDuetError, match=r"PyAV 17\.0\.1 .* 17\.1\.0"):
        read_video(clip, lambda n: [0])
    assert predict.main(["--bundle", str(bundle), "--video", str(clip), "--format", "json"]) == 2
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err.count("PyAV 17.0.1") == 1 and "pip install" in shown.err


# --- what a bundle says -------------------------------------------------------------------------


def recorded(folder, decoder):
    """The bundle with another record of the decoder; None: without one."""
    data = json.loads((folder / "bundle.json").read_text())
    data["origin"] = {} if decoder is None else {"decoder": decoder}
    write_bundle_json(folder, data)


def with_major(name, step):
    here = installed()
    first, _, rest = here[name].partition(".")
    return {**here, name: f"{int(first) + step}.{rest}"}


def with_patch(name):
    here = installed()
    return {**here, name: f"{here[name]}9"}


@pytest.mark.parametrize(
    ("decoder", "told"),
    [
        (None, False),
        (installed(), False),
        ({}, False),
        ({"libavcodec": "strange", "libnew": "1.0"}, True),
        *[(with_patch(name), False) for name in LIBRARIES],
        *[(with_major(name, step), True) for name in LIBRARIES for step in (-1, 1)],
        (with_major("av", 1), False),
        (with_major("opencv", -1), False),
    ],
)
def test_a_differing_ffmpeg_is_told_once(make_bundle, colour_clip, capsys, decoder, told):
    folder, clips = make_bundle(), [str(colour_clip(f"{k}.mp4", "red")) for k in range(3)]
    recorded(folder, decoder)
    command = ["--bundle", str(folder), "--format", "json"]
    assert predict.main([*command, "--video", *clips]) == 0
    shown = capsys.readouterr()
    assert len(shown.out.splitlines()) == 3
    assert shown.err.count("warning") == int(told)


@pytest.mark.parametrize("decoder", [None, [], {"av": 18}, {"av": ""}])
def test_a_record_that_is_none_is_an_error(make_bundle, decoder):
    folder = make_bundle()
    data = json.loads((folder / "bundle.json").read_text())
    with pytest.raises(BundleError, match=r"origin\.decoder"):
        write_bundle_json(folder, {**data, "origin": {"decoder": decoder}})
    assert Bundle.load(folder).decoder == {}


@pytest.fixture
def onnxruntime_runs(monkeypatch):
    """Backends are not tried: that takes long, and is another test's."""
    runs = [Status("onnxruntime", True, "", "1.0")]
    monkeypatch.setattr(doctor, "statuses", lambda **settings: runs)


@pytest.mark.parametrize("known", [True, False])
def test_the_doctor_shows_what_reads_here_and_what_read_at_export(
    make_bundle, onnxruntime_runs, known
):
    folder, other = make_bundle(), with_major("libswscale", -1) if known else None
    recorded(folder, other)
    report = doctor.examine(folder)
    text = "\n".join(doctor.report_lines(report))
    assert report["decoder"]["installed"] == installed()
    assert report["decoder"]["oldest"]["av"] == OLDEST["av"] and report["decoder"]["reads"]
    assert report["bundle"]["decoder"]["recorded"] == (other or {})
    assert len(report["bundle"]["decoder"]["differs"]) == int(known)
    for version in (installed()["libswscale"], OLDEST["av"]):
        assert version in text
    assert (other["libswscale"] if other else "not recorded") in text


def test_the_doctor_names_what_was_left_out_at_export(make_bundle, onnxruntime_runs):
    folder = make_bundle()
    assert "left out" not in "\n".join(doctor.report_lines(doctor.examine(folder)))
    data = json.loads((folder / "bundle.json").read_text())
    reasons = {"onnx.fp16": "too far\nfrom \x1bfp32", "onnx.int8": "below the goal"}
    write_bundle_json(folder, {**data, "left_out": reasons})
    report = doctor.examine(folder)
    assert report["bundle"]["left_out"] == reasons
    told = [line for line in doctor.report_lines(report) if "left out at export" in line]
    assert len(told) == 2 and "onnx.fp16: too far from" in told[0] and "below the" in told[1]


def test_the_doctor_names_what_is_too_old(onnxruntime_runs, tmp_path, capsys, monkeypatch):
    """NumPy by what is installed; PyAV in the processes that ask, where it comes first."""
    packages = {**doctor._packages(), "numpy": "1.26.4"}
    monkeypatch.setattr(doctor, "_packages", lambda: packages)
    assert doctor.main([]) == 0
    assert "numpy 1.26.4 is older than 2.0.0" in capsys.readouterr().out
    (tmp_path / "av.py").write_text("__version__ = '16.1.0'\nlibrary_versions = {}\n")
    monkeypatch.setattr("infer.system.subprocess_call.ROOT", tmp_path)
    assert doctor.main([]) == 1
    assert "PyAV 16.1.0" in capsys.readouterr().out
