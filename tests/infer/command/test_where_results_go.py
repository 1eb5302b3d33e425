"""Where the results of predict go: streams, files, and what was there before."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from infer.command import delivery
from tests.infer.predicting import COMMAND


@pytest.mark.parametrize("mode", ["w", "a"])
@pytest.mark.parametrize("named", ["/dev/stdout", "/dev/fd/1", "same.csv"])
def test_the_file_behind_standard_output_is_not_exchanged(
    bundle, colour_clip, tmp_path, mode, named
):
    video, target = colour_clip("red.mp4", "red"), tmp_path / "same.csv"
    target.write_text("before\n")
    command = [*COMMAND, "--bundle", bundle, "--video", video, "--format", "csv", "--output", named]
    with target.open(mode) as file:
        file.write("first\n")
        file.flush()
        done = subprocess.run(command, cwd=tmp_path, stdout=file, check=False)
        file.write("last\n")
    assert done.returncode == 0
    lines = target.read_text().splitlines()
    assert lines[: 1 + (mode == "a")] == ["before", "first"][mode == "w" :]
    assert lines[-1] == "last" and any("red.mp4" in line for line in lines[1:-1])


@pytest.mark.parametrize("through_link", [False, True])
def test_a_file_that_is_open_elsewhere_is_not_exchanged(
    bundle, colour_clip, tmp_path, through_link
):
    video, target = colour_clip("red.mp4", "red"), tmp_path / "other.csv"
    with target.open("w") as file:
        number = file.fileno()
        named = f"/dev/fd/{number}"
        if through_link:
            (tmp_path / "link.csv").symlink_to(named)
            named = "link.csv"
        command = [*COMMAND, "--bundle", bundle, "--video", video, "--output", named]
        done = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, pass_fds=[number], check=False
        )
    assert done.returncode == 2 and "other.csv" in done.stderr
    assert target.read_text() == ""


def test_a_file_in_shared_memory_is_written_again_like_any_other(colour_clip, ask):
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        pytest.skip("there is no /dev/shm to write to")
    colour_clip("red.mp4", "red")
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        for _ in range(2):
            status, _, err = ask("red.mp4", "--output", f"{folder}/x.json")
            assert (status, err) == (0, "")
            assert json.loads(Path(folder, "x.json").read_text())[0]["label"] == "red"


def test_a_device_that_is_full_is_named(colour_clip, ask):
    colour_clip("red.mp4", "red")
    status, _, err = ask("red.mp4", "--format", "json", "--output", "/dev/full")
    assert status == 2 and "/dev/full" in err and "No space left" in err


@pytest.mark.parametrize("form", ["table", "json", "jsonl", "csv"])
@pytest.mark.parametrize("labelled", [False, True])
def test_results_are_replaced_by_others_of_whatever_form(
    colour_clip, ask, tmp_path, form, labelled
):
    colour_clip("a.mp4", "red")
    (tmp_path / "true.list").write_text("a.mp4 0\n")
    more = ["--labels", "true.list"] if labelled else []
    for name in ("out.json", "out.txt"):
        for videos in (["a.mp4"], ["none.mp4", "a.mp4"]):
            status, _, err = ask(*videos, *more, "--format", form, "--output", name)
            assert status == len(videos) - 1, err
        status, _, err = ask("a.mp4", "--output", name)
        assert status == 0, err


@pytest.mark.parametrize(
    "content", ["notes\n", '[{"video": "a.mp4", "label": "red"}]\n', "video,label\n", "\0\0ftyp"]
)
def test_a_file_that_holds_no_results_is_only_replaced_where_that_is_asked(
    colour_clip, ask, tmp_path, content
):
    colour_clip("a.mp4", "red")
    (tmp_path / "out.json").write_text(content)
    status, _, err = ask("a.mp4", "--output", "out.json")
    assert status == 2 and "out.json" in err and "--overwrite" in err
    assert (tmp_path / "out.json").read_text() == content
    assert sorted(os.listdir(tmp_path)) == ["a.mp4", "bundle", "out.json"]
    assert ask("a.mp4", "--output", "out.json", "--overwrite")[0] == 0
    assert json.loads((tmp_path / "out.json").read_text())[0]["label"] == "red"


def test_an_empty_file_is_replaced(colour_clip, ask, tmp_path):
    colour_clip("a.mp4", "red")
    (tmp_path / "out.csv").touch()
    assert ask("a.mp4", "--output", "out.csv")[0] == 0
    assert (tmp_path / "out.csv").stat().st_size


def test_results_go_where_the_output_leads_to_at_the_end(colour_clip, ask, tmp_path, monkeypatch):
    for k in range(2):
        colour_clip(f"v/{k}.mp4", "red")
    (tmp_path / "old.json").write_text("[]\n")
    link = tmp_path / "out.json"
    link.symlink_to("old.json")
    real = delivery.predict_videos

    def change(videos, *args, **options):
        yield from real(videos, *args, **options)
        link.unlink()
        link.symlink_to(leads_to)

    monkeypatch.setattr(delivery, "predict_videos", change)
    leads_to = "v/1.mp4"
    status, _, err = ask("v", "--output", "out.json")
    assert status == 2 and "one of the videos" in err and "2 answers" in err
    link.unlink()
    link.symlink_to("old.json")
    colour_clip("v/2.mp4", "green")
    leads_to = "new.json"
    status, _, err = ask("v", "--output", "out.json")
    assert status == 0 and "2 of 3 videos were answered" in err
    assert (tmp_path / "old.json").read_text() == "[]\n" and link.is_symlink()
    found = json.loads((tmp_path / "new.json").read_text())
    assert [one["label"] for one in found] == ["red", "red", "green"]
