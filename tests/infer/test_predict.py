"""The command line, as a person or a script meets it."""

from __future__ import annotations

import csv
import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from infer.command import delivery
from infer.predict import main
from infer.system.hardware import cores
from tests.infer.predicting import ROOT, run, start
from tests.trees import tree


def test_from_anywhere_as_a_file(bundle, colour_clip, tmp_path):
    colour_clip("v/a.mp4", "green")
    status, out, err = run("--video", "v/a.mp4", "--bundle", "bundle", cwd=tmp_path)
    assert (status, err) == (0, "")
    header, line = out.splitlines()
    assert header.split() == ["video", "score", "seconds", "label"]
    assert line.startswith("v/a.mp4") and "green  (" in line


def test_the_default_bundle_is_that_of_the_current_folder(bundle, colour_clip, tmp_path):
    colour_clip("a.mp4", "green")
    (tmp_path / "bundles").mkdir()
    bundle.rename(tmp_path / "bundles" / "dml")
    status, out, err = run("--video", "a.mp4", cwd=tmp_path)
    assert (status, err) == (0, "") and "green  (" in out


def test_as_a_module(bundle, colour_clip):
    path = colour_clip("a.mp4", "blue")
    command = [sys.executable, "-m", "infer.predict", "--bundle", str(bundle), "--video", str(path)]
    out = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "blue  (" in out


def test_json_lines_of_many_inputs(bundle, colour_clip, tmp_path, capsys):
    colour_clip("v/a.mp4", "green")
    colour_clip("v/deep/b.MP4", "red")
    colour_clip("v/.hidden.mp4", "red")
    (tmp_path / "v" / "notes.txt").write_text("no video")
    c = colour_clip("c.avi", "blue")
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"nonsense" * 99)
    status = main(
        [
            *("--bundle", str(bundle), "--format", "json", "--top-k", "2", "--batch-size", "3"),
            *("--video", str(c), str(broken), str(tmp_path / "v")),
            *("--video", str(tmp_path / "missing.mp4"), str(tmp_path / "v" / "*.mp4")),
        ]
    )
    out, err = capsys.readouterr()
    records = [json.loads(line) for line in out.splitlines()]
    assert [Path(r["video"]).name for r in records] == [
        *("c.avi", "broken.mp4", "a.mp4", "b.MP4", "missing.mp4")
    ]
    assert [r.get("label") for r in records] == ["blue", None, "green", "red", None]
    for r in records:
        if "error" in r:
            assert set(r) == {"video", "error"}
        else:
            assert set(r) == {"video", "label", "index", "score", "topk", "seconds"}
            assert r["topk"][0] == {key: r[key] for key in ("label", "index", "score")}
            assert r["index"] == ["red", "green", "blue"].index(r["label"])
            assert len(r["topk"]) == 2 and r["score"] > 0.9 and r["seconds"] > 0
    assert status == 1
    assert "1 video was named" in err
    assert "2 of 5 inputs failed" in err


@pytest.mark.parametrize("batch", [1, 2])
def test_paddle_prints_nothing_between_the_json_lines(bundle_for, colour_clip, tmp_path, batch):
    """Its oneDNN writes about every mean to stdout, from C++, where Python cannot redirect it."""
    bundle = bundle_for("paddle")
    for colour in ("red", "green", "blue"):
        colour_clip(f"v/{colour}.mp4", colour)
    status, out, err = run(
        *("--bundle", bundle, "--backend", "paddle", "--video", "v", "--format", "json"),
        *("--batch-size", str(batch), "--threads", "1"),
        cwd=tmp_path,
    )
    assert status == 0, err
    records = [json.loads(line) for line in out.splitlines()]
    assert [record["label"] for record in records] == ["blue", "green", "red"]


def test_csv_to_a_file_that_appears_when_all_is_done(bundle, colour_clip, tmp_path, capsys):
    a = colour_clip("a, b.mp4", "red")
    target = tmp_path / "out.csv"
    target.write_text("[]\n")
    status = main(["--bundle", str(bundle), "--output", str(target), "--video", str(a), "no.mp4"])
    out, err = capsys.readouterr()
    assert (status, out) == (1, "")
    assert "error: no.mp4: no such file" in err
    first, second = csv.DictReader(target.open(newline=""))
    assert first["video"] == str(a) and first["label"] == "red" and first["error"] == ""
    assert json.loads(first["topk"])[0]["label"] == "red"
    assert second["error"] == "no such file" and second["label"] == ""
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_file()) == ["a, b.mp4", "out.csv"]


def test_a_run_that_fails_leaves_the_old_output(bundle, colour_clip, tmp_path, capsys):
    a = colour_clip("a.mp4", "red")
    target = tmp_path / "out.json"
    target.write_text("[]\n")
    args = ["--bundle", str(bundle), "--video", str(a), "--output", str(target)]
    assert main([*args, "--precision", "int8"]) == 2
    assert "it has: fp32" in capsys.readouterr().err
    assert target.read_text() == "[]\n"
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_file()) == ["a.mp4", "out.json"]


def test_the_output_may_not_be_one_of_the_videos(bundle, colour_clip, tmp_path, capsys):
    a = colour_clip("a.mp4", "red")
    before = a.read_bytes()
    (tmp_path / "link.json").symlink_to(a)
    for target in (a, tmp_path / "link.json"):
        args = ["--bundle", str(bundle), "--video", str(a), "--output", str(target)]
        assert main(args) == 2
        assert "one of the videos" in capsys.readouterr().err
    assert a.read_bytes() == before


def test_an_interpreter_without_the_packages_is_told(bundle, colour_clip, tmp_path, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['cv2'] = None\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    video = colour_clip("a.mp4", "blue")
    status, out, err = run("--video", video, "--bundle", bundle, cwd=tmp_path)
    assert (status, out) == (2, "")
    assert "cv2: pip install" in err and "Traceback" not in err


NO_LIBRARY = "libGL.so.1: cannot open shared object file: No such file or directory"


@pytest.mark.parametrize(
    ("package", "error"),
    [
        ("cv2", f"ImportError({NO_LIBRARY!r}, name='cv2')"),
        ("av", f"ImportError({NO_LIBRARY!r}, name='av._core')"),
        ("numpy", f"ImportError({NO_LIBRARY!r})"),  # NumPy's own error does not name it
    ],
)
def test_a_package_that_is_there_but_cannot_be_loaded_is_named(
    bundle, colour_clip, tmp_path, monkeypatch, package, error
):
    video = colour_clip("a.mp4", "blue")
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").write_text(f"raise {error}\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    status, _, err = run("--video", video, "--bundle", bundle, cwd=tmp_path)
    assert status == 2 and len(err.splitlines()) == 1
    assert f"has {package}, but cannot load it: {NO_LIBRARY}; `python -m infer.doctor`" in err
    command = [sys.executable, "-m", "infer.doctor"]
    doctor = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert doctor.stderr == "" and f"problem   {package} ImportError: libGL.so.1" in doctor.stdout


@pytest.mark.parametrize("name", ["bundle.json", "model.fp32.onnx", "deep/new.json"])
def test_the_output_may_not_lie_in_the_bundle(bundle, colour_clip, capsys, name):
    video = colour_clip("a.mp4", "blue")
    before = tree(bundle)
    output = str(bundle / name)
    assert main(["--bundle", str(bundle), "--video", str(video), "--output", output]) == 2
    assert "in the bundle" in capsys.readouterr().err
    assert before == tree(bundle)


@pytest.mark.parametrize("threads", [None, 1, 3])
def test_threads_are_those_of_the_network_and_of_decoding(
    bundle, colour_clip, monkeypatch, threads
):
    seen = {}

    def noting(name, function, option):
        def call(*args, **options):
            seen[name] = options[option]
            return function(*args, **options)

        return call

    for name, option in (("open_runtime", "threads"), ("predict_videos", "workers")):
        monkeypatch.setattr(delivery, name, noting(name, getattr(delivery, name), option))
    arguments = ["--bundle", str(bundle), "--video", str(colour_clip("a.mp4", "blue"))]
    assert main(arguments + (["--threads", str(threads)] if threads else [])) == 0
    decoding = threads or min(cores(), 8)
    assert seen == {"open_runtime": threads, "predict_videos": decoding}


def test_more_clips_of_a_video(bundle, colour_clip, capsys):
    a = colour_clip("a.mp4", "red", frames=30)
    args = ["--bundle", str(bundle), "--format", "json", "--video", str(a)]
    assert main([*args, "--num-clips", "6"]) == 0  # more than the bundle's max_batch of 4
    assert json.loads(capsys.readouterr().out)["label"] == "red"


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (["--video", "a.mp4", "--bundle", "nowhere"], "`make export`"),
        (
            ["--video", "a.mp4", "--backend", "tpu"],
            "'tpu'; allowed: ",
        ),
        (["--video", "a.mp4", "--output", "no/such/out.json"], "no/such"),
        (["--video", "a.mp4", "--output", "empty"], "is a folder"),
    ],
)
def test_wrong_use_is_one_clear_line(
    bundle, colour_clip, tmp_path, monkeypatch, capsys, args, reason
):
    colour_clip("a.mp4", "red")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    if "--bundle" not in args:
        args = [*args, "--bundle", str(bundle)]
    assert main(args) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert reason in err and len(err.splitlines()) == 1 and err.startswith("error: ")


@pytest.mark.parametrize(
    "args", [["--video"], ["--video", "a", "--top-k", "0"], ["--video", "a", "--threads", "x"]]
)
def test_wrong_options(args, capsys):
    with pytest.raises(SystemExit) as caught:
        main(args)
    assert caught.value.code == 2
    assert "error: " in capsys.readouterr().err


def test_nothing_to_classify_is_wrong_use(capsys):
    assert main([]) == 2
    assert "--video" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "meant"),
    [
        (["--video", "a", "--treads", "4"], "--treads: did you mean --threads?"),
        (["--vidoe=a", "--format", "csv"], "--vidoe: did you mean --video?"),
        (["--video", "a", "--thread", "0"], None),
        (["--video", "a", "--colour", "red"], None),
    ],
)
def test_an_option_that_is_not_there_is_told_with_the_one_that_was_meant(args, meant, capsys):
    with pytest.raises(SystemExit) as caught:
        main(args)
    said = capsys.readouterr().err
    assert caught.value.code == 2
    assert meant in said if meant else "did you mean" not in said


def test_a_closed_pipe_ends_it_quietly(bundle, colour_clip, tmp_path):
    a = colour_clip("v/0.mp4", "red")
    for k in range(1, 60):
        os.link(a, tmp_path / "v" / f"{k}.mp4")
    # realpath tells hard links apart: 60 videos
    process = start("--bundle", bundle, "--video", "v", "--format", "json", cwd=tmp_path)
    assert json.loads(process.stdout.readline())["label"] == "red"
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(60) == 141


def test_ctrl_c_ends_it_quietly(bundle, colour_clip, tmp_path):
    a = colour_clip("v/0.mp4", "red")
    for k in range(1, 2000):  # more lines than the pipe holds: it cannot finish first
        os.link(a, tmp_path / "v" / f"{k}.mp4")
    process = start("--bundle", bundle, "--video", "v", "--format", "json", cwd=tmp_path)
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "")
    assert len(out.splitlines()) < 1999


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("package", ["onnxruntime", "cv2"])
def test_a_signal_within_an_import_is_no_broken_package(
    bundle, colour_clip, tmp_path, monkeypatch, package, number, status
):
    """pybind11, and NumPy's C code, make an ImportError of whatever happens meanwhile."""
    video = colour_clip("a.mp4", "blue")
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").write_text(
        "import os\n"
        "try:\n"
        f"    os.kill(os.getpid(), {int(number)})\n"
        "except BaseException:\n"
        "    raise ImportError('initialization failed') from None\n"
        "raise ImportError('initialization failed')\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    for more in ((), ("--output", "out.json")):
        args = ("--video", video, "--bundle", bundle, "--backend", "onnxruntime", *more)
        assert run(*args, cwd=tmp_path) == (status, "", "")


def test_progress_is_for_terminals_only(bundle, colour_clip, tmp_path):
    for k in range(3):
        colour_clip(f"v/{k}.mp4", "red")
    args = ("--bundle", bundle, "--video", "v", "--format", "json")
    assert run(*args, cwd=tmp_path)[2] == ""
    ours, theirs = pty.openpty()
    process = start(*args, cwd=tmp_path, stderr=theirs)
    out, _ = process.communicate(timeout=60)
    os.close(theirs)
    shown = os.read(ours, 10000).decode()
    os.close(ours)
    assert "1/3" in shown and "2/3" in shown
    assert len(out.splitlines()) == 3
