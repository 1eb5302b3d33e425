"""Frames and what is known of a file are the same whether all is decoded or what is needed."""

from __future__ import annotations

from dataclasses import replace

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infer.clips import needed as needed_module
from infer.clips.decode import each_frame, read_video
from infer.containers import proven
from infer.containers.h264 import packet_headers
from infer.containers.proven import Packets
from tests.infer.clips.choices import PICKS, read_or_why, uniform
from tests.infer.clips.made import EVERY, LESS, named, picture_packets


@pytest.mark.parametrize("made", EVERY, ids=lambda made: f"{made.codec}-{made.name}")
def test_frames_are_those_of_full_decoding(clip, made):
    path, every, known = clip(made)
    assert known.decoded is None and known.frames == len(every) == 30 and not known.damaged
    assert known.full_decoding == "asked for"
    for name, pick in PICKS.items():
        frames, info = read_video(path, pick)
        assert np.array_equal(frames, every[list(pick(30))]), name
        assert info == known, name
        assert (info.decoded is not None) == made.less == (not info.full_decoding), name
    if made.less:
        few = read_video(path, PICKS["first"])[1].decoded
        assert few == 1 if made.codec == "libx264" else few < 30
        assert read_video(path, range)[1].decoded == 30


@settings(max_examples=60)
@given(st.data())
def test_any_choice_of_frames(clip, data):
    made = data.draw(st.sampled_from(LESS), label="file")
    path, every, known = clip(made)
    wanted = data.draw(st.lists(st.integers(0, 29), min_size=1, max_size=12), label="frames")
    frames, info = read_video(path, lambda n: wanted)
    assert np.array_equal(frames, every[wanted]) and info == known
    assert info.decoded is not None and len({0, *wanted}) <= info.decoded <= 30


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("vlc.mp4", "CAVLC"),
        ("fields.mp4", "fields"),
        ("a.ts", "container mpegts"),
        ("silent.mkv", "reordered"),
        ("silent_pieces.mp4", "reordered"),
        ("b.mpg", "codec mpeg2video"),
        ("vp9.webm", "codec vp9"),
        ("fields.avi", "fields"),
        ("parts.mp4", "rare kind"),
        ("old.avi", "encoder"),
        ("nameless.avi", "encoder"),
    ],
)
def test_why_all_frames_were_decoded_is_told(clip, name, why):
    path, _, _ = clip(named(name))
    assert why in read_video(path, lambda n: [0])[1].full_decoding
    assert each_frame(path, lambda frame: None).full_decoding == "asked for"


def test_b_frames_that_nobody_asked_for_are_not_decoded(clip):
    path, _, _ = clip(named("flat.mp4"))
    packets = picture_packets(path)
    referred = sum(bytes(packet)[4] & 0x60 > 0 for packet in packets)
    assert 10 < referred < 20
    last = max(packets, key=lambda packet: packet.pts)
    _, info = read_video(path, lambda n: [n - 1])
    # The first packet begins with a text of the encoder, not with its picture.
    assert info.decoded == 1 + referred + (bytes(last)[4] & 0x60 == 0)


@pytest.mark.parametrize(("name", "decoded"), [("packed.avi", 11), ("b.avi", 5)])
def test_b_frames_of_mpeg4_that_nobody_asked_for_are_not_decoded(clip, name, decoded):
    """But a picture with another behind it in its packet always is."""
    path, every, known = clip(named(name))
    frames, info = read_video(path, lambda n: [n - 1])
    assert np.array_equal(frames[0], every[-1]) and info == known
    assert info.decoded == decoded


@pytest.mark.parametrize("name", ["vp8.webm", "vp9.webm", "av1.mkv", "pictures.avi"])
def test_a_file_is_read_once_where_everything_is_decoded(clip, monkeypatch, name):
    path, every, known = clip(named(name))
    opened = []
    real = av.open
    monkeypatch.setattr(av, "open", lambda *args, **kw: opened.append(args) or real(*args, **kw))
    frames, info = read_video(path, uniform(6))
    assert np.array_equal(frames, every[list(uniform(6)(30))]) and info == known
    assert info.decoded is None and len(opened) == 1


def test_groups_that_nobody_asked_for_are_not_decoded(clip):
    path, every, known = clip(named("closed.mp4"))
    packets = picture_packets(path)
    last = max(packets, key=lambda packet: packet.pts)
    begin = max(k for k, packet in enumerate(packets) if packet.is_keyframe)
    group = packets[begin : packets.index(last) + 1]
    assert 20 < begin < 28
    frames, info = read_video(path, lambda n: [n - 1])
    assert np.array_equal(frames[0], every[-1]) and info == known
    needed = {packet.pts for packet in group if bytes(packet)[4] & 0x60} | {last.pts}
    assert info.decoded == 1 + len(needed)  # and the first one


def test_the_file_is_opened_once(clip, monkeypatch):
    path, _, _ = clip(named("long.mp4"))
    opened = []
    real = av.open
    monkeypatch.setattr(av, "open", lambda *args, **kw: opened.append(args) or real(*args, **kw))
    read_video(path, uniform(6))
    assert len(opened) == 1


@pytest.mark.parametrize("held", [0, 2000])
@pytest.mark.parametrize("made", LESS, ids=lambda made: f"{made.codec}-{made.name}")
def test_packets_that_are_not_kept_are_read_again(clip, monkeypatch, made, held):
    path, every, known = clip(made)
    picked = {name: read_video(path, pick)[1].decoded for name, pick in PICKS.items()}
    monkeypatch.setattr(proven, "_HELD", held)
    opened = []
    real = av.open
    monkeypatch.setattr(av, "open", lambda *args, **kw: opened.append(args) or real(*args, **kw))
    for name, pick in PICKS.items():
        frames, info = read_video(path, pick)
        assert np.array_equal(frames, every[list(pick(30))]), name
        assert info == known, name
        if made.codec == "libx264":
            assert info.decoded == picked[name] and len(opened) == 2, name
        else:
            assert "more than 32 MiB" in info.full_decoding, name
        opened.clear()


def test_a_file_of_too_many_packets_is_decoded_in_full(clip, monkeypatch):
    path, every, known = clip(named("long.mp4"))
    monkeypatch.setattr(proven, "_HELD", 0)
    monkeypatch.setattr(proven, "_MOST", 29)
    frames, info = read_video(path, uniform(6))
    assert np.array_equal(frames, every[list(uniform(6)(30))]) and info == known
    assert "more than 29 packets" in info.full_decoding
    monkeypatch.setattr(proven, "_MOST", 30)
    assert read_video(path, uniform(6))[1].decoded is not None
    monkeypatch.setattr(packet_headers, "_DIFFERENT", 2)
    frames, info = read_video(path, uniform(6))
    assert np.array_equal(frames, every[list(uniform(6)(30))]) and info == known
    assert "different pictures" in info.full_decoding


@pytest.mark.parametrize("name", ["closed.mp4", "b.mp4"])
def test_a_file_that_changes_while_it_is_read_is_decoded_in_full(clip, monkeypatch, tmp_path, name):
    """Between the look at its packets and their decoding it becomes another file."""
    path, _, _ = clip(named("long.mp4"))
    other, _, _ = clip(named(name))
    copy = tmp_path / "a.mp4"
    copy.write_bytes(path.read_bytes())
    monkeypatch.setattr(proven, "_HELD", 0)

    def pick(frames):
        copy.unlink(missing_ok=True)
        copy.write_bytes(other.read_bytes())
        return uniform(6)(frames)

    frames, info = read_video(copy, pick)
    full, _ = read_video(other, uniform(6), every_frame=True)
    assert np.array_equal(frames, full) and info.decoded is None
    assert "changed" in info.full_decoding


def test_wanted_frames_alone_are_changed_in_their_order(clip):
    path, every, _ = clip(named("pyramid.mp4"))
    seen = []

    def each(frame):
        seen.append(int(np.flatnonzero((every == frame).all((1, 2, 3)))[0]))
        return frame[:8, :8]

    frames, info = read_video(path, lambda n: [21, 4, 4, 9], each=each)
    assert seen == [4, 9, 21] and frames.shape == (4, 8, 8, 3) and info.decoded is not None
    with pytest.raises(ZeroDivisionError):
        read_video(path, lambda n: [3], each=lambda frame: 1 // 0)


@pytest.fixture
def started(monkeypatch):
    """Threads that decoders were given, also for the smallest files."""
    monkeypatch.setattr(needed_module, "FOR_THREADS", 0)
    counts = []
    real = needed_module._frames

    def frames(stream, packets):
        counts.append(stream.thread_count)
        return real(stream, packets)

    monkeypatch.setattr(needed_module, "_frames", frames)
    return counts


@pytest.mark.parametrize("name", ["closed.mp4", "pyramid.mp4", "slices.mp4", "weights.mp4"])
def test_several_threads_give_the_same(clip, started, name):
    path, every, known = clip(named(name))
    for pick in (uniform(6), PICKS["last"], range):
        frames, info = read_video(path, pick, threads=3)
        assert np.array_equal(frames, every[list(pick(30))]) and info == known
        assert info.decoded == read_video(path, pick)[1].decoded
    assert started[::2] == [3, 3, 3] and started[1::2] == [1, 1, 1]


def test_several_threads_tell_the_same_of_damage(clip, started, tmp_path):
    path, _, _ = clip(named("weights.mp4"))
    data, copy = path.read_bytes(), tmp_path / "a.mp4"
    packets = picture_packets(path)
    damaged = 0
    for packet in packets[1:20:3]:
        at = packet.pos + packet.size // 2
        copy.write_bytes(data[:at] + bytes(b ^ 0x5A for b in data[at : at + 8]) + data[at + 8 :])
        found = [read_or_why(copy, range, full) for full in (True, False)]
        frames, info = read_video(copy, range, threads=4)
        assert all(np.array_equal(frames, other) and info == known for other, known in found)
        damaged += info.damaged
    assert damaged > 2 and 4 in started


def test_files_of_mpeg4_take_one_thread(clip, started):
    path, _, _ = clip(named("packed.avi"))
    read_video(path, uniform(6), threads=4)
    assert started == [1]


def torn(packets):
    packet = av.Packet(bytes(packets[4])[: packets[4].size // 2])
    packet.pts, packet.time_base = packets[4].pts, packets[4].time_base
    packet.stream = packets[4].stream
    return [*packets[:4], packet, *packets[5:]]


UNEXPECTED = {
    "none": lambda packets: [],
    "a frame too few": lambda packets: packets[:-1],
    "a frame twice": lambda packets: [*packets, packets[-1]],
    "a torn one": torn,
}


@pytest.mark.parametrize("what", UNEXPECTED)
def test_what_comes_unexpected_is_decoded_in_full(clip, monkeypatch, what):
    path, every, known = clip(named("long.mp4"))
    real = Packets.needed
    asked = []

    def needed(self, wanted, reopen):
        asked.append(wanted)
        found = real(self, wanted, reopen)
        return replace(found, packets=UNEXPECTED[what](found.packets))

    monkeypatch.setattr(Packets, "needed", needed)
    frames, info = read_video(path, uniform(6))
    assert asked and info.decoded is None and "decode" in info.full_decoding
    assert np.array_equal(frames, every[list(uniform(6)(30))]) and info == known


def test_the_real_clips(shared):
    """Every clip of the corpus, as 16 frames and as one."""
    wrong, less = [], 0
    for path in sorted((shared / "clips").iterdir()):
        frames, info = read_or_why(path, lambda n: [*uniform(16)(n), n - 1], True)
        for pick, part in ((uniform(16), slice(16)), (PICKS["last"], slice(16, None))):
            short, found = read_or_why(path, pick, False)
            same = np.array_equal(frames[part], short) if frames is not None else short is None
            if not same or info != found:
                wrong.append(f"{path.name}: {found}")
            less += frames is not None and found.decoded is not None
    assert wrong == [] and less > 16
