"""Damaged and changed files give the same frames whether all is decoded or what is needed."""

from __future__ import annotations

import contextlib
import random
import struct
from collections import Counter
from dataclasses import replace

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infer.clips.decode import read_video
from infer.clips.rgb import ToRgb
from infer.containers import proven
from infer.containers.bits import NotProven
from infer.containers.h264.pictures import looks_whole, picture
from infer.containers.h264.sets import parameter_sets
from tests.infer.clips.choices import PICKS, read_or_why, uniform
from tests.infer.clips.made import (
    LESS,
    Made,
    make,
    middle_of_a_b_frame,
    named,
    picture_packets,
    with_wrong_bits_in_a_b_frame,
)
from tests.infer.mutated import damaged


def remuxed(path, copy, change):
    """A copy whose packets were changed: `change(packets)` gives those that are written."""
    with av.open(str(path)) as source, av.open(str(copy), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in change([packet for packet in source.demux(video=0) if packet.size]):
            packet.stream = stream
            target.mux(packet)
    return copy


def without(packets):
    del packets[next(k for k in range(8, 20) if bytes(packets[k])[4] & 0x60)]
    return packets


def swapped(packets):
    def is_spare(k):
        return not bytes(packets[k])[4] & 0x60

    k = next(k for k in range(5, 25) if is_spare(k) and is_spare(k + 1))
    one, other = packets[k : k + 2]
    (one.pts, one.dts), (other.pts, other.dts) = (other.pts, other.dts), (one.pts, one.dts)
    packets[k : k + 2] = other, one
    return packets


def one_group_is_missing_its_start(packets):
    del packets[next(k for k in range(8, 20) if packets[k].is_keyframe)]
    return packets


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("closed.mkv", without),
        ("flat.mp4", without),
        ("flat.mp4", swapped),
        ("closed.mkv", one_group_is_missing_its_start),
        ("open.mkv", one_group_is_missing_its_start),
    ],
)
def test_packets_that_do_not_follow_one_another_are_decoded_in_full(clip, tmp_path, name, change):
    path, _, _ = clip(named(name))
    copy = remuxed(path, tmp_path / name, change)
    for pick in (range, PICKS["last"], uniform(6)):
        frames, known = read_video(copy, pick, every_frame=True)
        short, info = read_video(copy, pick)
        assert np.array_equal(short, frames) and info == known
        assert info.decoded is None or pick is range


def unpadded(packet):
    """A picture of MPEG-4 without the zero and ones that end it."""
    data = bytes(packet)
    changed = av.Packet(data[:-1] + bytes((data[-1] & (data[-1] + 1),)))
    changed.pts, changed.dts, changed.time_base = packet.dts, packet.dts, packet.time_base
    changed.is_keyframe = packet.is_keyframe
    return changed


def test_a_picture_that_ends_wrong_is_shown_as_after_all_others(tmp_path):
    """FFmpeg takes it as it is or conceals it, by how those that it decoded before it ended."""

    def change(packets):
        wrong = [unpadded(packet) for packet in packets]
        last = next(k for k in range(50, 60) if bytes(wrong[k]) != bytes(packets[k]))
        shown.append(last)
        return [*wrong[:20], *packets[20:last], wrong[last], *packets[last + 1 :]]

    shown = []
    copy = remuxed(make(tmp_path, named("p.avi"), frames=60), tmp_path / "a.avi", change)
    frames, known = read_video(copy, lambda n: shown, every_frame=True)
    assert known.damaged and known.frames == 60
    short, info = read_video(copy, lambda n: shown)
    assert np.array_equal(short, frames) and info == known


def test_a_damaged_picture_changes_no_frame_that_does_not_need_it(clip, tmp_path):
    """FFmpeg's guess about the encoder, from the pictures before, would."""
    path, every, _ = clip(named("b.mp4"))
    data = path.read_bytes()
    copy = tmp_path / "a.mp4"
    first = next(p for p in picture_packets(path) if bytes(p)[4] >> 6 == 2)
    shown = sorted(p.pts for p in picture_packets(path)).index(first.pts)
    changed = 0
    for bit in range(8 * 16, 8 * first.size, 11):
        wrong = bytearray(data)
        wrong[first.pos + bit // 8] ^= 1 << bit % 8
        copy.write_bytes(wrong)
        frames, _ = read_video(copy, range, every_frame=True)
        differ = [k for k in range(len(every)) if not np.array_equal(frames[k], every[k])]
        assert differ in ([], [shown]), bit
        changed += bool(differ)
    assert changed > 24


@pytest.mark.parametrize("flags", ["+ilme+ildct", "+ilme+ildct+qpel", "+qpel"])
@pytest.mark.parametrize("encoder", [b"DivX503b1393p", b"DivX412b1", b"XviD0012", b"Lavc52.72.2"])
def test_undamaged_files_are_decoded_as_ffmpeg_does_by_itself(tmp_path, flags, encoder):
    """By what it knows and guesses of their encoders, bugs of fields included."""
    made = Made("a.avi", "mpeg4", {"flags": flags, "bf": "0"}, encoder=encoder)
    path = make(tmp_path, made, frames=12)
    with av.open(str(path)) as container:
        container.streams.video[0].thread_count = 1
        decoded = list(container.decode(video=0))
    rgb = ToRgb(path, decoded[0])
    frames, info = read_video(path, range, every_frame=True)
    assert not info.damaged
    np.testing.assert_array_equal(frames, [rgb(frame) for frame in decoded])


def test_every_bit_of_a_slice_header_may_be_wrong(clip, tmp_path):
    path, _, _ = clip(named("weights.mp4"))
    data = bytearray(path.read_bytes())
    copy = tmp_path / "a.mp4"
    ways = Counter()
    referred = [p.pos for p in picture_packets(path) if bytes(p)[4] & 0x60]
    spare = [p.pos for p in picture_packets(path) if not bytes(p)[4] & 0x60]
    for place in referred[5], referred[7], spare[5]:
        for bit in range(8 * 4, 8 * 12):
            data[place + bit // 8] ^= 1 << bit % 8
            copy.write_bytes(data)
            data[place + bit // 8] ^= 1 << bit % 8
            frames, known = read_or_why(copy, uniform(6), True)
            short, info = read_or_why(copy, uniform(6), False)
            assert np.array_equal(short, frames), bit
            assert info == known or (info.decoded and replace(info, damaged=True) == known), bit
            ways[info.decoded is None] += 1
    assert ways[True] > 20 and ways[False] > 10


def test_edit_lists_that_leave_frames_out_are_followed(clip, tmp_path):
    path, every, _ = clip(named("long.mp4"))
    data = bytearray(path.read_bytes())
    at = data.index(b"elst") + 4 + 8
    length, start = struct.unpack_from(">Ii", data, at)
    struct.pack_into(">Ii", data, at, length - 5 * 40, start + 5 * 512)
    copy = tmp_path / "a.mp4"
    copy.write_bytes(data)
    full, known = read_video(copy, range, every_frame=True)
    frames, info = read_video(copy, lambda n: [0, n - 1])
    assert np.array_equal(frames, full[[0, -1]]) and info == known
    assert known.frames < 30 and np.array_equal(full[0], every[5])


def test_a_structure_that_cannot_be_followed_is_told_as_by_full_decoding(clip, tmp_path):
    """A piece of a file that claims a picture of two gigabytes."""
    path, _, _ = clip(named("pieces.mp4"))
    data = bytearray(path.read_bytes())
    at = data.rindex(b"trun") + 4
    flags, count = struct.unpack_from(">II", data, at)
    first = at + 8 + 4 * (flags & 1) + (flags & 4)
    each = 4 * (flags >> 8 & 15).bit_count()
    size = first + each * (count - 1) + (flags >> 8 & 1) * 4
    assert flags & 0x200
    struct.pack_into(">I", data, size, 0x7FFFFFF0)
    copy = tmp_path / "a.mp4"
    copy.write_bytes(data)
    for pick in (range, PICKS["first"]):
        full, known = read_or_why(copy, pick, True)
        frames, info = read_or_why(copy, pick, False)
        assert (full is None) == (frames is None) and info == known
        assert frames is None or (np.array_equal(frames, full) and known.damaged)


def test_lost_parts_of_frames_that_nobody_asked_for_are_told(clip, tmp_path):
    path, every, _ = clip(named("long.mp4"))
    data = bytearray(path.read_bytes())
    at = middle_of_a_b_frame(path)
    data[at : at + 16] = bytes(16)  # as a hole in a file reads
    copy = tmp_path / "a.mp4"
    copy.write_bytes(data)
    frames, info = read_video(copy, lambda n: [0])
    assert np.array_equal(frames[0], every[0])
    assert info.damaged and info.decoded is None and "holes" in info.full_decoding


def test_wrong_bits_inside_frames_that_nobody_asked_for_are_told_by_full_decoding(clip, tmp_path):
    path, every, _ = clip(named("long.mp4"))
    copy = tmp_path / "a.mp4"
    with_wrong_bits_in_a_b_frame(path, copy)
    frames, info = read_video(copy, lambda n: [0], every_frame=True)
    assert info.damaged
    short, less = read_video(copy, lambda n: [0])
    assert np.array_equal(short, frames) and np.array_equal(frames[0], every[0])
    assert not less.damaged and replace(less, damaged=True) == info


def in_pictures(data, places, seed):
    """Damage to pictures alone: bits of headers and contents, zeros, noise."""
    rng = random.Random(seed)
    copy = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        place, size = rng.choice(places)
        here = place + rng.randrange(min(size, rng.choice((16, size))))
        length = min(rng.choice((1, 2, 4, 16, 256)), place + size - here)
        match rng.randrange(4):
            case 0 | 1:
                copy[here] ^= 1 << rng.randrange(8)
            case 2:
                copy[here : here + length] = bytes(length)
            case _:
                copy[here : here + length] = rng.randbytes(length)
    return bytes(copy)


def compare_mutants(path, folder, seeds):
    """Full and selective decoding of damaged copies; counts what they were."""
    data, places = path.read_bytes(), [(p.pos, p.size) for p in picture_packets(path)]
    copy = folder / f"copy{path.suffix}"
    seen = Counter()
    for seed in seeds:
        copy.write_bytes(in_pictures(data, places, seed) if seed % 4 else damaged(data, seed))
        for pick in (uniform(6), PICKS["one, twice"], range):
            frames, info = read_or_why(copy, pick, True)
            short, less = read_or_why(copy, pick, False)
            if frames is None:
                assert short is None and less == info, f"seed {seed}"
                seen["refused"] += 1
                continue
            assert np.array_equal(short, frames), f"seed {seed}"
            if less == info:
                seen["full" if less.decoded is None else "short"] += 1
                continue
            # Wrong bits inside a picture that was not decoded.
            assert less.decoded is not None and not less.damaged, f"seed {seed}"
            assert replace(less, damaged=True) == info, f"seed {seed}"
            seen["untold"] += 1
    return seen


@pytest.mark.parametrize("held", [1 << 25, 0])
def test_damaged_copies_give_the_same_frames(clip, tmp_path, monkeypatch, held):
    """Also where packets are read again."""
    monkeypatch.setattr(proven, "_HELD", held)
    seen = Counter()
    for k, made in enumerate(LESS[::2]):
        seen += compare_mutants(clip(made)[0], tmp_path, range(16 * k, 16 * k + 16))
    assert {"refused", "full", "short", "untold"} == seen.keys()


@pytest.mark.torture
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("held", [1 << 25, 0])
@pytest.mark.parametrize("made", LESS, ids=lambda made: f"{made.codec}-{made.name}")
def test_a_thousand_damaged_copies_give_the_same_frames(clip, tmp_path, monkeypatch, made, held):
    monkeypatch.setattr(proven, "_HELD", held)
    seen = compare_mutants(clip(made)[0], tmp_path, range(10_000, 11_000))
    print(made.name, dict(seen))
    assert seen["short"] > 20


@given(st.binary(max_size=80), st.integers(0, 5))
def test_no_bytes_are_too_wrong_for_headers(clip, noise, start):
    path, _, _ = clip(named("weights.mp4"))
    with av.open(str(path)) as container:
        extradata = container.streams.video[0].codec_context.extradata
        packet = bytes(next(container.demux(video=0)))
    sets = parameter_sets(extradata)
    for data in (noise, extradata[:start] + noise, extradata[: len(extradata) - start] + noise):
        with contextlib.suppress(NotProven):
            parameter_sets(data)
    for data in (noise, packet[: 4 + start] + noise, len(noise).to_bytes(4, "big") + noise):
        try:
            picture(memoryview(data), sets)
        except NotProven:
            continue
        assert looks_whole(memoryview(data), sets) in (True, False)
