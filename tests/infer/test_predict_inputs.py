"""Inputs of predict: folders, links, names, files that cannot be read, damaged videos."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from infer.predict import main
from tests.infer.predicting import run


def test_an_empty_folder_beside_a_video_does_not_stop_it(bundle, colour_clip, tmp_path, capsys):
    a = colour_clip("a.mp4", "red")
    (tmp_path / "empty").mkdir()
    status = main(["--bundle", str(bundle), "--video", str(tmp_path / "empty"), str(a)])
    out, err = capsys.readouterr()
    assert status == 1
    assert "red  (" in out and "no videos" in out
    assert "no videos" not in err


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("none.mp4", "no such file"),
        ("none*.mp4", "no file"),
        ("empty", "no videos"),
        ("", "an empty name"),
        ("~none.mp4", "no such file"),
        ("~nobody-of-that-name/a.mp4", "no such file"),
        ("a" * 300 + ".mp4", "File name too long"),
        ("a.mp4/b.mp4", "no such file"),
    ],
)
def test_a_name_without_a_video_is_one_failed_input(
    bundle, colour_clip, tmp_path, monkeypatch, capsys, name, reason
):
    colour_clip("a.mp4", "red")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    command = ["--bundle", str(bundle), "--format", "json", "--video"]
    assert main([*command, name]) == 1
    alone = capsys.readouterr()
    assert reason in alone.out + alone.err and "1 of 1 inputs failed" in alone.err
    assert main([*command, name, "a.mp4"]) == 1
    beside = capsys.readouterr()
    assert reason in beside.out + beside.err and "1 of 2 inputs failed" in beside.err
    assert json.loads(beside.out.splitlines()[-1])["label"] == "red"


CIRCLES = {
    "the output": ["--output", "one"],
    "the output's folder": ["--output", "one/out.json"],
    "answers so far": ["--output", "out.json"],
    "the bundle": ["--bundle", "one"],
    "the bundle's folder": ["--bundle", "one/bundle"],
    "labels": ["--labels", "one"],
    "a folder that is searched": ["--video", "one/*.mp4", "a.mp4"],
}


@pytest.mark.parametrize("args", CIRCLES.values(), ids=CIRCLES)
def test_a_circle_of_links_is_one_clear_line(
    bundle, colour_clip, tmp_path, monkeypatch, capsys, args
):
    colour_clip("a.mp4", "red")
    for name, to in (("one", "two"), ("two", "one"), ("out.json.partial", "out.json.partial")):
        (tmp_path / name).symlink_to(to)
    before = {path.name for path in tmp_path.iterdir()}
    monkeypatch.chdir(tmp_path)
    searched = args[0] == "--video"
    args = [*([] if "--bundle" in args else ["--bundle", str(bundle)]), *args]
    assert main(args if searched else ["--video", "a.mp4", *args]) == (1 if searched else 2)
    out, err = capsys.readouterr()
    told = [line for line in (out + err).splitlines() if "error: " in line]
    assert len(told) == 1 and "link" in told[0]
    assert {path.name for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("more", [[], ["--isolate"]])
def test_a_circle_of_links_given_as_a_video_is_called_one(
    bundle, colour_clip, tmp_path, monkeypatch, capsys, more
):
    colour_clip("v/a.mp4", "red")
    (tmp_path / "v" / "one.mp4").symlink_to("two.mp4")
    (tmp_path / "v" / "two.mp4").symlink_to("one.mp4")
    monkeypatch.chdir(tmp_path)
    args = ["--bundle", str(bundle), "--format", "json", "--video", "v", "v/one.mp4/x.mp4"]
    assert main([*args, *more]) == 1
    label, *errors = map(json.loads, capsys.readouterr().out.splitlines())
    assert label["label"] == "red" and len(errors) == 3
    assert all("circle" in one["error"] for one in errors)


def test_a_file_may_begin_with_a_tilde(bundle, colour_clip, tmp_path, monkeypatch, capsys):
    colour_clip("here/~clip.mp4", "green")
    colour_clip("here/b.mp4", "green").rename(tmp_path / "here" / "~")
    colour_clip("home/blue.mp4", "blue")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "here")
    videos = ["~clip.mp4", "./~", "~/blue.mp4"]
    assert main(["--bundle", str(bundle), "--format", "json", "--video", *videos]) == 0
    labels = [json.loads(line)["label"] for line in capsys.readouterr().out.splitlines()]
    assert labels == ["green", "green", "blue"]


def test_a_file_that_may_not_be_looked_at_is_one_failed_input(
    bundle, colour_clip, tmp_path, monkeypatch, capsys
):
    """As in a folder that only others may enter; root, whom tests may run as, enters any."""
    video, other = colour_clip("mine/a.mp4", "red"), colour_clip("b.mp4", "blue")
    real = os.stat

    def stat(path, *args, **options):
        if isinstance(path, (str, Path)) and Path(path) == video:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *args, **options)

    monkeypatch.setattr(os, "stat", stat)
    command = ["--bundle", str(bundle), "--format", "json", "--video", str(video), str(other)]
    assert main(command) == 1
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert "Permission denied" in first["error"] and second["label"] == "blue"


def test_names_that_could_break_a_terminal_or_a_line(bundle, colour_clip, tmp_path, capsys):
    (tmp_path / "v").mkdir()
    (tmp_path / "v" / "a\n\x1b[31m.mp4").write_bytes(colour_clip("v/a.mp4", "red").read_bytes())
    raw = os.fsencode(tmp_path) + b"/v/\xff.mp4"
    Path(os.fsdecode(raw)).write_bytes((tmp_path / "v" / "a.mp4").read_bytes())
    args = ["--bundle", str(bundle), "--video", str(tmp_path / "v")]
    assert main(args) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out and len(out.splitlines()) == 4
    status, out, err = run(*args, "--format", "json", cwd=tmp_path)
    assert (status, err) == (0, "")
    names = {json.loads(line)["video"] for line in out.splitlines()}
    assert os.fsdecode(raw) in names and len(names) == 3


def test_damage_is_said(bundle, shared, capsys):
    clip = shared / "clips" / "decord_corrupted.mp4"
    assert main(["--bundle", str(bundle), "--video", str(clip), "--format", "json"]) == 0
    out, err = capsys.readouterr()
    assert "damaged in places" in json.loads(out)["warning"] and err == ""


def test_every_real_clip_has_an_answer_or_one_clear_error(bundle, shared, capsys):
    clips = shared / "clips"
    manifest = json.loads((clips / "manifest.json").read_text())
    small = [n for n, known in manifest.items() if (known["display"] or [0])[0] < 700]
    names = [str(clips / n) for n in small]
    status = main(["--bundle", str(bundle), "--format", "json", "--video", *names])
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [r["video"] for r in records] == names
    for name, r in zip(small, records, strict=True):
        assert ("error" in r) == (manifest[name]["frames"] == 0), r
    assert status == 1
