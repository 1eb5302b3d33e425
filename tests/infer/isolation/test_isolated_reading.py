"""A video that ends, stops or fills the process that reads it costs nobody else anything."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest

from infer.clips.preprocess import load_clips
from infer.clips.spec import ClipSpec, PreprocessSpec, SamplingSpec
from infer.isolation.messages import ConnectionLost, receive, send
from infer.isolation.reading import IsolatedReading
from infer.pipeline.predictions import predict_videos
from infer.predict import main
from infer.system.errors import BackendError, ClipDuetError, VideoError
from tests.infer.predicting import COMMAND, ROOT
from tests.tiny_bundle import CLASSES, SPEC

# Takes PyAV's place in every process that is started: what happens is in the file's name.
BROKEN_DECODER = """
import os, signal, time
import av

real = av.open
poisoned = False

def opened(file, *args, **options):
    global poisoned
    name = os.path.basename(str(file))
    if "segv" in name or poisoned:
        os.kill(os.getpid(), signal.SIGSEGV)
    if "abort" in name:
        os.write(2, b"free(): invalid pointer\\n")
        os.abort()
    if "exit" in name:
        os._exit(3)
    if "hang" in name:
        open(str(file).removeprefix("file:") + ".began", "w").close()
        time.sleep(1000)
    if "eat" in name:
        bytearray(8 << 30)
    if "dial" in name:
        import socket
        port = int(open(str(file).removeprefix("file:") + ".port").read())
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5)
        except OSError:
            pass
        else:
            os._exit(7)
    if "chatty" in name:
        for _ in range(4):
            try:
                os.write(2, bytes(20 << 20))
            except OSError:
                pass
        if os.fstat(2).st_size > 20 << 20:
            os._exit(7)
    if "raise" in name:
        raise KeyError("a bug")
    if "mistake" in name:
        from infer.system.errors import BackendError
        raise BackendError("needs Pillow")
    poisoned = "poison" in name
    return real(file, *args, **options)

av.open = opened
"""


@pytest.fixture
def broken_decoder(tmp_path, monkeypatch):
    folder = tmp_path / "path"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(BROKEN_DECODER)
    monkeypatch.setenv("PYTHONPATH", str(folder))


def brightest(clips):
    return clips.mean((1, 2, 3)).astype(np.float32)


def children() -> set[psutil.Process]:
    return set(psutil.Process().children())


def test_what_is_read_is_the_same_to_the_bit(tmp_path, colour_clip, write_clip):
    noise = np.random.default_rng(0).integers(0, 255, (20, 48, 64, 3), dtype=np.uint8)
    good = write_clip(tmp_path / "a b%\u00e4.mp4", noise)
    cut = tmp_path / "cut.mkv"
    write_clip(cut, noise)
    os.truncate(cut, cut.stat().st_size // 2)
    frames = tmp_path / "frames"
    frames.mkdir()
    for number in (1, 2, 3):
        cv2.imwrite(str(frames / f"{number}.png"), noise[number])
    none = tmp_path / "none.mp4"
    none.write_bytes(b"nothing")
    spec = ClipSpec(
        SamplingSpec(num_seg=4, views=2),
        PreprocessSpec(short_size=32, fixed_ratio=False, crop=32, crops=3),
    )
    with IsolatedReading(2) as reading:
        for path, options in ((good, {}), (cut, {}), (frames, {"suffix": "{}.png", "frames": 3})):
            clips, info = reading.load(path, spec, **options)
            known, about = load_clips(path, spec, **options)
            assert np.array_equal(clips, known) and info == about
        assert reading.load(cut, spec)[1].lost
        for path in (none, tmp_path / "missing.mp4"):
            with pytest.raises(VideoError) as isolated:
                reading.load(path, spec)
            with pytest.raises(VideoError) as known_error:
                load_clips(path, spec)
            assert str(isolated.value) == str(known_error.value)


def namespaces_are_allowed() -> bool:
    code = "import ctypes, sys; sys.exit(ctypes.CDLL(None).unshare(0x50000000) != 0)"
    return subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_process_that_reads_has_no_network(broken_decoder, colour_clip):
    if not namespaces_are_allowed():
        pytest.skip("this system does not let a process leave the network")
    clip = colour_clip("dial.mp4", "red")
    with socket.create_server(("127.0.0.1", 0)) as listener, IsolatedReading(1) as reading:
        Path(f"{clip}.port").write_text(str(listener.getsockname()[1]))
        reading.load(clip, SPEC)


def test_what_a_decoder_says_does_not_fill_the_disk(broken_decoder, colour_clip):
    clip = colour_clip("chatty.mp4", "red")
    with IsolatedReading(1) as reading:
        assert reading.load(clip, SPEC)[1].frames


def test_what_is_no_fault_of_the_video_stays_what_it_is(broken_decoder, colour_clip):
    clip = colour_clip("mistake.mp4", "red")
    with IsolatedReading(1) as reading, pytest.raises(BackendError, match="needs Pillow"):
        reading.load(clip, SPEC)


@pytest.mark.parametrize("workers", [1, 3])
def test_a_crash_is_one_error_and_the_others_are_answered(broken_decoder, colour_clip, workers):
    names = ["a", "segv", "b", "abort", "exit", "raise", "c", "eat", "d"]
    videos = [colour_clip(f"{name}.mp4", CLASSES[len(name) % 3]) for name in names]
    before = children()
    with IsolatedReading(workers, memory=1 << 30) as reading:
        answers = predict_videos(
            videos, brightest, SPEC, CLASSES, workers=workers, load=reading.load
        )
        found = {answer.video.stem: answer for answer in answers}
    assert list(found) == names
    assert {n: one.topk[0].label for n, one in found.items() if one.topk} == dict.fromkeys(
        "abcd", "green"
    )
    assert "SIGSEGV" in found["segv"].error
    assert "SIGABRT" in found["abort"].error and "invalid pointer" in found["abort"].error
    assert "status 3" in found["exit"].error
    assert "KeyError" in found["raise"].error
    assert "1,024 MiB" in found["eat"].error and "--read-memory" in found["eat"].error
    assert children() == before


def test_a_video_that_hangs_is_given_up(broken_decoder, colour_clip):
    hangs, good = colour_clip("hang.mp4", "red"), colour_clip("good.mp4", "red")
    with IsolatedReading(1, seconds=5) as reading:
        with pytest.raises(VideoError, match="5 seconds"):
            reading.load(hangs, SPEC)
        assert np.array_equal(reading.load(good, SPEC)[0], load_clips(good, SPEC)[0])


def test_a_process_that_is_stopped_or_killed_is_replaced(colour_clip):
    good = colour_clip("good.mp4", "red")
    before = children()
    with IsolatedReading(1, seconds=5) as reading:
        reading.load(good, SPEC)
        (worker,) = children() - before
        worker.kill()
        reading.load(good, SPEC)
        (second,) = children() - before
        assert second != worker
        second.suspend()
        with pytest.raises(VideoError, match="--read-timeout"):
            reading.load(good, SPEC)
        reading.load(good, SPEC)
    assert children() == before


def test_a_process_that_is_killed_before_it_begins_is_replaced(colour_clip):
    good = colour_clip("good.mp4", "red")
    before = children()
    with IsolatedReading(1) as reading:
        (worker,) = children() - before
        worker.kill()
        reading.load(good, SPEC)
        assert worker not in children()


def test_a_process_that_is_killed_before_its_first_video_is_replaced(colour_clip):
    good = colour_clip("good.mp4", "red")
    before = children()
    with IsolatedReading(1) as reading:
        (worker,) = children() - before
        # It waits for a video: one thread listens, the other sleeps after it has limited itself.
        while worker.num_threads() < 2 or worker.rlimit(psutil.RLIMIT_AS)[0] < 0:
            time.sleep(0.01)
        while worker.status() != psutil.STATUS_SLEEPING:
            time.sleep(0.01)
        worker.kill()
        # Its end can be seen once the last of its threads is gone, which may be after the first.
        tasks = Path(f"/proc/{worker.pid}/task")
        while worker.status() != psutil.STATUS_ZOMBIE or len(list(tasks.iterdir())) > 1:
            time.sleep(0.01)
        reading.load(good, SPEC)
        assert worker not in children()


def test_what_a_video_leaves_behind_is_not_the_next_ones_fault(broken_decoder, colour_clip):
    poison, good = colour_clip("poison.mp4", "red"), colour_clip("good.mp4", "red")
    with IsolatedReading(1) as reading:
        reading.load(good, SPEC)
        with pytest.raises(VideoError, match="SIGSEGV"):  # its own second opening
            reading.load(poison, SPEC)
        reading.load(good, SPEC)


def test_frames_for_which_there_is_no_memory(tmp_path, write_clip):
    """FFmpeg is refused memory: that is said, and not taken for damage."""
    large = write_clip(tmp_path / "a.mp4", np.zeros((2, 3072, 4096, 3), np.uint8))
    small = write_clip(tmp_path / "b.mp4", np.zeros((2, 64, 64, 3), np.uint8))
    with IsolatedReading(1, memory=32 << 20) as reading:
        with pytest.raises(VideoError, match="32 MiB of memory"):
            reading.load(large, SPEC)
        reading.load(small, SPEC)
    with IsolatedReading(1) as reading:
        reading.load(large, SPEC)


def test_processes_that_do_not_start_are_told(monkeypatch, colour_clip):
    good = colour_clip("good.mp4", "red")
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    with IsolatedReading(1) as reading, pytest.raises(ClipDuetError, match="status 1"):
        reading.load(good, SPEC)
    monkeypatch.setattr(sys, "executable", "/nothing/there")
    with pytest.raises(ClipDuetError, match="cannot be started"):
        IsolatedReading(1)


def test_closed_while_videos_are_read(broken_decoder, colour_clip):
    hangs = colour_clip("hang.mp4", "red")
    before = children()
    reading = IsolatedReading(2)
    answers = predict_videos([hangs] * 2, brightest, SPEC, CLASSES, workers=2, load=reading.load)
    wait_for(Path(f"{hangs}.began"))
    reading.close()
    errors = [str(answer.error) for answer in answers]
    assert len(errors) == 2 and all("stopped" in error for error in errors)
    assert children() == before
    with pytest.raises(VideoError, match="stopped"):
        reading.load(hangs, SPEC)


def wait_for(file: Path) -> None:
    until = time.monotonic() + 60
    while not file.exists():
        assert time.monotonic() < until, f"no {file}"
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)],
)
def test_a_command_that_ends_leaves_no_process(
    broken_decoder, make_bundle, colour_clip, tmp_path, number, status
):
    bundle, hangs = make_bundle(), colour_clip("hang.mp4", "red")
    options = ["--bundle", bundle, "--video", hangs, "--isolate", "--threads", "2"]
    process = subprocess.Popen(
        [*COMMAND, *map(str, options)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_for(Path(f"{hangs}.began"))
    workers = psutil.Process(process.pid).children(recursive=True)
    assert len(workers) == 1  # there is one video
    os.killpg(process.pid, number)  # as a terminal does
    _, err = process.communicate(timeout=60)
    assert process.returncode == status and "Traceback" not in err
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert alive == []


def test_predict_with_and_without_processes(make_bundle, colour_clip, tmp_path, capsys):
    bundle = make_bundle()
    for name in ("a", "b", "c"):
        colour_clip(f"v/{name}.mp4", "green")
    (tmp_path / "v" / "none.mp4").write_text("nothing")
    options = ["--bundle", str(bundle), "--video", str(tmp_path / "v"), "--format", "json"]

    def records(*more):
        assert main([*options, *more]) == 1
        out = capsys.readouterr().out
        return [{**json.loads(line), "seconds": None} for line in out.splitlines()]

    without = records("--max-frames", "6")
    assert records("--max-frames", "6", "--isolate", "--read-memory", "1024") == without
    assert all(
        "--max-frames" in one["error"] for one in records("--max-frames", "5", "--isolate")[:3]
    )


@pytest.mark.parametrize("option", ["--read-timeout", "--read-memory"])
def test_options_of_isolation_need_it(option, colour_clip, make_bundle, capsys):
    clip = str(colour_clip("a.mp4", "red"))
    assert main(["--bundle", str(make_bundle()), "--video", clip, option, "5"]) == 2
    assert f"{option} needs --isolate" in capsys.readouterr().err


def test_a_process_that_reads_loads_no_network():
    code = (
        "import sys, infer.isolation.worker\n"
        "print([m for m in ('paddle', 'onnxruntime', 'openvino', 'yaml') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\0\0\5{}",
        b"\xff\xff\xff\xff{}",
        b"\0\0\0\2[]",
        b"\0\0\0\3nul",
        b"\0\0\0\4\xff\xfe\0{",
    ],
)
def test_messages_that_make_no_sense(data):
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            theirs.sendall(data)
        with pytest.raises(ConnectionLost):
            receive(ours)


def test_a_message_that_does_not_come_in_time():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        with pytest.raises(TimeoutError):
            receive(ours, time.monotonic())
        send(theirs, {"a": 1})
        assert receive(ours, time.monotonic() - 10) == {"a": 1}  # it was there
