"""Answers on their way: one for every name, in every format, none lost by a stop."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import pty
import random
import signal
import time
from pathlib import Path

import pytest

from infer.command import delivery
from infer.system.files import lock_file
from tests.infer import predicting


@pytest.fixture
def stop_after(monkeypatch):
    """`stop_after(3)`: the next run is interrupted after three predictions."""

    def arrange(many):
        real = delivery.predict_videos

        def stopping(videos, *args, **options):
            for done, prediction in enumerate(real(videos, *args, **options)):
                if done == many:
                    monkeypatch.setattr(delivery, "predict_videos", real)
                    raise KeyboardInterrupt
                yield prediction

        monkeypatch.setattr(delivery, "predict_videos", stopping)

    return arrange


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def without_seconds(records):
    return [{k: v for k, v in one.items() if k != "seconds"} for one in records]


def test_every_name_that_is_given_has_its_answer_in_the_order_given(colour_clip, ask, tmp_path):
    colour_clip("v/a.mp4", "green")
    (tmp_path / "v" / "b.mp4").symlink_to("a.mp4")
    (tmp_path / "link.mp4").symlink_to("v/a.mp4")
    given = ["link.mp4", "none*.mp4", "v", "v/a.mp4", "https://some.where/a.mp4", "v/../link.mp4"]
    status, out, err = ask(*given, "--format", "json")
    records = [json.loads(line) for line in out.splitlines()]
    expected = ["link.mp4", "none*.mp4", "v/a.mp4", "v/b.mp4", given[4], given[5]]
    assert [record["video"] for record in records] == expected
    assert [record.get("label") for record in records] == [
        *("green", None, "green", "green", None, "green")
    ]
    assert status == 1 and "2 of 6 inputs failed" in err
    assert "1 video was named" in err
    ask(*given, "--output", "out.json")
    assert without_seconds(json.loads((tmp_path / "out.json").read_text())) == without_seconds(
        records
    )


def test_a_file_of_many_names_is_read_once(colour_clip, ask, tmp_path, monkeypatch):
    colour_clip("a.mp4", "green")
    for k in range(5):
        (tmp_path / f"{k}.mp4").symlink_to("a.mp4")
    read = []
    real = delivery.predict_videos
    monkeypatch.setattr(
        delivery,
        "predict_videos",
        lambda videos, *args, **options: read.extend(videos) or real(videos, *args, **options),
    )
    _, out, _ = ask(*(f"{k}.mp4" for k in range(5)), "--format", "json")
    assert len(out.splitlines()) == 5 and len(read) == 1


@pytest.mark.parametrize(
    "address", ["https://some.where/a b.mp4?x=[1]", "rtsp://camera:554/1", "s3://bucket/a.mp4"]
)
def test_an_address_is_told_as_one(ask, address):
    status, out, err = ask(address)
    assert status == 1 and "an address" in out and "download" in out and address in out
    assert err.splitlines() == ["1 of 1 inputs failed"]
    status, out, err = ask(address, "none*.mp4", "--output", "out.json")
    assert (status, out) == (1, "") and err.count(address) == err.count("none*.mp4") == 1


@pytest.mark.parametrize("asked", [(), ("--format", "json")])
def test_a_json_file_is_one_value(colour_clip, ask, tmp_path, asked):
    for colour in ("red", "green"):
        colour_clip(f"v/{colour}.mp4", colour)
    assert ask("v", "none.mp4", *asked, "--output", "out.json")[0] == 1
    records = json.loads((tmp_path / "out.json").read_text())
    assert [one.get("label") for one in records] == ["green", "red", None]
    assert [one.get("index") for one in records] == [1, 0, None]
    assert {one["index"] for one in records[0]["topk"]} == {0, 1, 2}
    assert names(tmp_path) == ["bundle", "out.json", "v"]


@pytest.mark.parametrize(
    "asked",
    [
        ("--output", "out.jsonl"),
        ("--output", "out.ndjson"),
        ("--format", "json", "--output", "out.jsonl"),
        ("--format", "jsonl", "--output", "out.json"),
        ("--format", "json", "--output", "out.txt"),
    ],
)
def test_other_files_and_the_screen_get_lines_of_json(colour_clip, ask, tmp_path, asked):
    for colour in ("red", "green"):
        colour_clip(f"v/{colour}.mp4", colour)
    assert ask("v", *asked)[0] == 0
    lines = (tmp_path / asked[-1]).read_text().splitlines()
    assert [json.loads(line)["label"] for line in lines] == ["green", "red"]
    on_screen = ask("v", "--format", "json")[1].splitlines()
    assert [json.loads(line)["index"] for line in on_screen] == [1, 0]


def test_csv_has_the_index_and_old_columns_stay_in_place(colour_clip, ask):
    colour_clip("a.mp4", "blue")
    _, out, _ = ask("a.mp4", "--format", "csv")
    head, row = csv.reader(io.StringIO(out))
    assert head[:7] == ["video", "label", "score", "topk", "seconds", "error", "warning"]
    assert dict(zip(head, row, strict=True))["index"] == "2"


def test_a_named_pipe_whose_reader_goes_ends_it_quietly(colour_clip, bundle, tmp_path):
    many(colour_clip, tmp_path, 60)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    process = start(bundle, tmp_path, output="pipe")
    with pipe.open() as reader:
        assert json.loads(reader.readline())["label"] == "red"
    assert process.communicate(timeout=60) == ("", "") and process.returncode == 141


def test_what_was_answered_before_a_stop_is_taken_up(colour_clip, ask, tmp_path, stop_after):
    for k in range(6):
        colour_clip(f"v/{k}.mp4", ("red", "green", "blue")[k % 3])
    (tmp_path / "v" / "broken.mp4").write_bytes(b"nonsense" * 99)
    (tmp_path / "out.json").write_text("old")
    asked = ("v/broken.mp4", "v", "--output", "out.json", "--overwrite")
    stop_after(4)
    assert ask(*asked)[0] == 130
    assert (tmp_path / "out.json").read_text() == "old"
    partial = tmp_path / "out.json.partial"
    kept = [json.loads(line) for line in partial.read_text().splitlines()[1:]]
    assert [Path(one["video"]).name for one in kept] == ["broken.mp4", "0.mp4", "1.mp4", "2.mp4"]
    with partial.open("ab") as file:
        file.write(b'{"video": "v/3.mp4", "key": "1')  # as `kill -9` or a full disk leaves it
    status, _, err = ask(*asked)
    assert status == 1 and "3 of 7 videos were answered" in err and "1 of 7 inputs" in err
    records = json.loads((tmp_path / "out.json").read_text())
    assert [Path(one["video"]).name for one in records] == ["broken.mp4"] + [
        f"{k}.mp4" for k in range(6)
    ]
    assert "error" in records[0]
    assert [one.get("index") for one in records[1:]] == [0, 1, 2] * 2
    assert [one["seconds"] for one in records[1:4]] == [round(o["seconds"], 4) for o in kept[1:]]
    assert not partial.exists()


def test_a_stop_before_the_first_answer_leaves_nothing(colour_clip, ask, tmp_path, stop_after):
    colour_clip("a.mp4", "red")
    stop_after(0)
    assert ask("a.mp4", "--output", "out.json")[0] == 130
    assert names(tmp_path) == ["a.mp4", "bundle"]


def test_only_answers_about_the_same_are_taken_up(colour_clip, ask, tmp_path, stop_after):
    for k in range(3):
        colour_clip(f"v/{k}.mp4", "red")
    asked = ("v", "--output", "out.jsonl", "--format", "jsonl")

    def stopped():
        stop_after(2)
        assert ask(*asked)[0] == 130

    stopped()
    before = (tmp_path / "out.jsonl.partial").read_bytes()
    status, _, err = ask(*asked, "--top-k", "1", "--resume")
    assert status == 2 and "--top-k" in err and "Traceback" not in err
    assert (tmp_path / "out.jsonl.partial").read_bytes() == before
    colour_clip("v/0.mp4", "blue")  # another file under the old name
    status, _, err = ask(*asked, "--resume")
    assert status == 0 and "1 of 3 videos were answered" in err
    labels = [json.loads(line)["label"] for line in (tmp_path / "out.jsonl").open()]
    assert labels == ["blue", "red", "red"]

    stopped()
    status, _, err = ask(*asked, "--top-k", "1")
    assert status == 0 and "--top-k" in err and "dropped" in err
    assert [len(json.loads(line)["topk"]) for line in (tmp_path / "out.jsonl").open()] == [1] * 3

    stopped()
    status, _, err = ask(*asked, "--no-resume")
    assert (status, err) == (0, "") and names(tmp_path) == ["bundle", "out.jsonl", "v"]


def test_another_bundle_is_not_taken_for_the_same(
    colour_clip, ask, tmp_path, stop_after, make_bundle
):
    for k in range(3):
        colour_clip(f"v/{k}.mp4", "red")
    stop_after(2)
    assert ask("v", "--output", "out.csv")[0] == 130
    make_bundle(max_batch=3)
    assert ask("v", "--output", "out.csv", "--resume")[0] == 2
    status, _, err = ask("v", "--output", "out.csv")
    assert status == 0 and "another bundle" in err


def test_a_file_that_is_no_partial_result_is_left_alone(colour_clip, ask, tmp_path):
    colour_clip("a.mp4", "red")
    (tmp_path / "out.json.partial").write_text('{"of": "the user"}\n')
    status, _, err = ask("a.mp4", "--output", "out.json")
    assert status == 2 and "out.json.partial" in err
    assert (tmp_path / "out.json.partial").read_text() == '{"of": "the user"}\n'
    assert not (tmp_path / "out.json").exists()


def test_two_runs_do_not_write_one_file(colour_clip, ask, tmp_path):
    colour_clip("a.mp4", "red")
    lock = lock_file(tmp_path / "out.json.partial", create=True)
    assert lock is not None
    try:
        status, _, err = ask("a.mp4", "--output", "out.json")
        assert status == 2 and "another process" in err
    finally:
        os.close(lock)
    assert ask("a.mp4", "--output", "out.json")[0] == 0


def test_a_full_disk_keeps_what_was_answered(colour_clip, ask, tmp_path, monkeypatch):
    for k in range(4):
        colour_clip(f"v/{k}.mp4", "red")
    real, written = os.pwrite, []

    def pwrite(file, data, place):
        written.append(place)
        if len(written) == 4:  # half of a line fits
            return real(file, data[: len(data) // 2], place)
        if len(written) == 5:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(file, data, place)

    monkeypatch.setattr(os, "pwrite", pwrite)
    status, _, err = ask("v", "--output", "out.json")
    assert status == 2 and "No space left on device" in err and "2 answers" in err
    status, _, err = ask("v", "--output", "out.json")
    assert status == 0 and "2 of 4 videos were answered" in err
    assert len(json.loads((tmp_path / "out.json").read_text())) == 4


@pytest.mark.parametrize("fits", [0, 20])
@pytest.mark.parametrize("before", ["nothing", "a dropped run"])
def test_a_disk_that_is_full_from_the_start_is_left_as_it_was(
    colour_clip, ask, tmp_path, monkeypatch, stop_after, fits, before
):
    for k in range(3):
        colour_clip(f"v/{k}.mp4", "red")
    asked = ("v", "--output", "out.json", *(("--no-resume",) if before != "nothing" else ()))
    if before != "nothing":
        stop_after(2)
        assert ask(*asked)[0] == 130
        assert "out.json.partial" in names(tmp_path)
    real = os.pwrite

    def pwrite(file, data, place):
        if place >= fits:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(file, data[:fits], place)

    monkeypatch.setattr(os, "pwrite", pwrite)
    status, _, err = ask(*asked)
    assert status == 2 and "No space left on device" in err
    assert names(tmp_path) == ["bundle", "v"]


def many(colour_clip, tmp_path, count):
    clip = colour_clip("v/0.mp4", "red")
    for k in range(1, count):
        os.link(clip, tmp_path / "v" / f"{k}.mp4")


def start(bundle, tmp_path, *, output="out.jsonl", **options):
    given = ["--bundle", bundle, "--video", "v", "--output", output]
    given += ["--format", "jsonl", "--threads", "1"]
    return predicting.start(*given, cwd=tmp_path, **options)


def wait_for(partial, lines, process):
    deadline = time.monotonic() + 120
    while not partial.is_file() or partial.read_bytes().count(b"\n") <= lines:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("number", "status"),
    [
        (signal.SIGINT, 130),
        (signal.SIGTERM, 143),
        (signal.SIGHUP, 129),
        (signal.SIGKILL, -signal.SIGKILL),
    ],
)
def test_a_signal_loses_no_answer(bundle, colour_clip, tmp_path, number, status):
    many(colour_clip, tmp_path, 500)
    partial = tmp_path / "out.jsonl.partial"
    process = start(bundle, tmp_path)
    wait_for(partial, 5, process)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == status and out == "" and "Traceback" not in err
    assert names(tmp_path) == ["bundle", "out.jsonl.partial", "v"]
    kept = partial.read_bytes().count(b"\n") - 1
    assert 5 <= kept < 500 and (number == signal.SIGKILL or f"keeps {kept} answers" in err)
    process = start(bundle, tmp_path)
    err = process.communicate(timeout=120)[1]
    assert process.returncode == 0 and f"{kept} of 500 videos were answered" in err
    records = [json.loads(line) for line in (tmp_path / "out.jsonl").open()]
    assert len({one["video"] for one in records}) == 500
    assert names(tmp_path) == ["bundle", "out.jsonl", "v"]


def test_what_was_reported_done_outlives_kills_at_random_moments(bundle, colour_clip, tmp_path):
    many(colour_clip, tmp_path, 300)
    reported = 0
    for _ in range(4):
        ours, theirs = pty.openpty()
        process = start(bundle, tmp_path, stderr=theirs)
        os.close(theirs)
        time.sleep(random.uniform(0.3, 1.5))
        process.kill()
        process.communicate()
        said = b""
        while True:
            try:
                said += os.read(ours, 1 << 16)
            except OSError:  # the other end is closed, and all of it is read
                break
        os.close(ours)
        # The bar counts the videos of this run: those that were left.
        bars = [part.split(b"/") for part in said.split(b"] ")[1:]]
        shown = [(int(done), int(total.split(b"\r")[0])) for done, total, *_ in bars]
        if shown:
            done, total = shown[-1]
            reported = max(reported, 300 - total + done)
        partial = tmp_path / "out.jsonl.partial"
        held = partial.read_bytes().count(b"\n") - 1 if partial.is_file() else 0
        assert held >= reported or (tmp_path / "out.jsonl").is_file()
    process = start(bundle, tmp_path)
    process.communicate(timeout=120)
    assert process.returncode == 0
    assert len({json.loads(line)["video"] for line in (tmp_path / "out.jsonl").open()}) == 300
    assert names(tmp_path) == ["bundle", "out.jsonl", "v"]
