"""What happens to a video before the network sees it, as one serialisable record.

Training, evaluation and deployment read the same `ClipSpec`; a bundle stores it complete.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from difflib import get_close_matches
from typing import Any

from ..system.errors import SpecError, listed
from ..system.strict_json import shown, shown_key
from ..system.whole_numbers import is_whole

KINDS = ("uniform", "dense")
RESIZES = ("area", "bilinear", "pil")
CROPS = (1, 3)
BY = ("frame", "time")
ADDED_LATER = ("crops", "by", "square_pixels")
"""Bundles of earlier versions do not say it: the default is what they did."""
SAID_WHERE_SET = {"sampling": ("by",), "preprocess": ("square_pixels",)}
"""Left out where they have their default, so that earlier versions read what they can follow."""


@dataclass(frozen=True)
class SamplingSpec:
    """Which frames of a video make a clip. All counts are frames.

    num_seg      segments of the video, one draw each
    seg_len      consecutive frames taken from each draw
    kind         "uniform": segments over the whole video; "dense": num_seg frames at a fixed
                 stride (window // num_seg) inside a window, as ppTSM's dense sampling
    select_left  uniform only. False: segments of frames // num_seg whole frames, the centre is
                 (frames // num_seg - 1) // 2 into each: what PaddleVideo's configs and its
                 inference path do. True: segments of equal real length over the whole video,
                 the centre is int(frames / num_seg * (k + 0.5)), as its `select_left`; the
                 better choice for videos with few frames a segment
    views        clips taken from one video in evaluation, each at another time; the scores of
                 all clips of a video are averaged
    window       dense only: length of the window
    by           "frame": frames count alike, however long each is shown. "time": so do moments; the
                 numbers above then count slots, of which a video has as many as frames, all
                 equally long, and the frame is taken that is shown in the middle of a slot. At a
                 constant frame rate both are the same
    """

    num_seg: int = 8
    seg_len: int = 1
    kind: str = "uniform"
    select_left: bool = False
    views: int = 1
    window: int = 64
    by: str = "frame"

    def __post_init__(self) -> None:
        _raise_if("sampling", _sampling_problems(asdict(self)))

    @property
    def length(self) -> int:
        """Frames in one clip."""
        return self.num_seg * self.seg_len


@dataclass(frozen=True)
class PreprocessSpec:
    """From decoded frames to the pixels of a clip. Sizes are pixels.

    short_size   what the shorter side becomes
    fixed_ratio  the longer side becomes int(short_size * 4 / 3), whatever the shape was
                 (PaddleVideo's default: it squashes)
    keep_ratio   with fixed_ratio False: None or True keep the shape, False squashes to a square
    do_round     with a kept shape: round the longer side instead of cutting it off
    resize       "area": area averaging where an axis shrinks, bilinear where it grows;
                 "bilinear": without antialiasing; "pil": Pillow's antialiased bilinear, exactly
                 what PaddleVideo does (needs Pillow)
    crop         side of the square that is cut out
    crops        squares in evaluation, each a clip: 1 from the centre; 3 from both ends and the
                 middle, as PaddleVideo's `GroupFullResSample` cuts them
    square_pixels  whether frames whose pixels are no squares are scaled from the shape in which
                 they are shown; False: from that in which they are stored
    mean, std    per RGB channel, of pixel / 255; applied inside the network's graph, not here
    """

    short_size: int = 256
    fixed_ratio: bool = True
    keep_ratio: bool | None = None
    do_round: bool = False
    resize: str = "area"
    crop: int = 224
    crops: int = 1
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    square_pixels: bool = False

    def __post_init__(self) -> None:
        _raise_if("preprocess", _preprocess_problems(asdict(self)))
        object.__setattr__(self, "mean", tuple(float(v) for v in self.mean))
        object.__setattr__(self, "std", tuple(float(v) for v in self.std))


@dataclass(frozen=True)
class ClipSpec:
    """Sampling and preprocessing together: everything between a file and a clip."""

    sampling: SamplingSpec = field(default_factory=SamplingSpec)
    preprocess: PreprocessSpec = field(default_factory=PreprocessSpec)

    @property
    def clip_shape(self) -> tuple[int, int, int, int]:
        """(time, height, width, 3) of one clip."""
        size = self.preprocess.crop
        return (self.sampling.length, size, size, 3)

    @property
    def clips(self) -> int:
        """Clips of one video in evaluation: views in time by crops in space."""
        return self.sampling.views * self.preprocess.crops

    def with_views(self, views: int | None) -> ClipSpec:
        """The same with so many views of a video; None: as it is."""
        if views is None:
            return self
        return replace(self, sampling=replace(self.sampling, views=views))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; `ClipSpec.from_dict` gives an equal spec back."""
        both = asdict(self)
        for name in ("mean", "std"):
            both["preprocess"][name] = list(both["preprocess"][name])
        for part, names in SAID_WHERE_SET.items():
            default = asdict(type(getattr(self, part))())
            for name in names:
                if both[part][name] == default[name]:
                    del both[part][name]
        return both

    @classmethod
    def from_dict(cls, data: object) -> ClipSpec:
        """Read what `to_dict` wrote, strictly.

        Raises:
            SpecError: missing or unknown keys, wrong types, impossible values: all at once.
        """
        problems = spec_problems(data)
        _raise_if("spec", problems)
        assert isinstance(data, Mapping)
        pre = dict(data["preprocess"])
        pre["mean"], pre["std"] = tuple(pre["mean"]), tuple(pre["std"])
        return cls(SamplingSpec(**data["sampling"]), PreprocessSpec(**pre))


def spec_problems(data: object) -> list[str]:
    """Everything wrong with a spec dictionary, one line each; empty if it can be followed."""
    if not isinstance(data, Mapping):
        return [f"expected a mapping with sampling and preprocess, got {shown(data)}"]
    problems = _key_problems(data, [f.name for f in fields(ClipSpec)], "")
    sections: list[tuple[str, type, Callable[[Mapping[str, Any]], list[str]]]] = [
        ("sampling", SamplingSpec, _sampling_problems),
        ("preprocess", PreprocessSpec, _preprocess_problems),
    ]
    for name, kind, check in sections:
        if name not in data:
            continue
        section = data[name]
        if not isinstance(section, Mapping):
            problems.append(f"{name}: expected a mapping, got {shown(section)}")
            continue
        names = [f.name for f in fields(kind)]
        problems += _key_problems(section, names, f"{name}.")
        problems += [f"{name}.{p}" for p in check(section)]
    return problems


def _raise_if(title: str, problems: list[str]) -> None:
    if problems:
        raise SpecError(listed(title, problems))


def _key_problems(data: Mapping[str, Any], names: list[str], where: str) -> list[str]:
    needed = [name for name in names if name not in ADDED_LATER]
    problems = [f"{where}{name} is missing" for name in needed if name not in data]
    for key in data:
        if key not in names:
            near = get_close_matches(str(key)[:80], names, n=1)
            hint = f"did you mean {near[0]}?" if near else f"allowed: {', '.join(names)}"
            problems.append(f"{where}{shown_key(key)} is unknown ({hint})")
    return problems


def _wrong(data: Mapping[str, Any], name: str, good: bool, allowed: str) -> list[str]:
    return [] if good else [f"{name} is {shown(data[name])}; allowed: {allowed}"]


def _sampling_problems(data: Mapping[str, Any]) -> list[str]:
    """What is wrong with the values that are there (missing ones are reported elsewhere)."""
    out: list[str] = []
    for name, high in (("num_seg", 1024), ("seg_len", 1024), ("views", 1024), ("window", 1 << 20)):
        if name in data:
            good = is_whole(data[name], 1, high)
            out += _wrong(data, name, good, f"a whole number from 1 to {high}")
    if "kind" in data:
        out += _wrong(data, "kind", data["kind"] in KINDS, ", ".join(KINDS))
    if "by" in data:
        out += _wrong(data, "by", data["by"] in BY, ", ".join(BY))
    if "select_left" in data:
        out += _wrong(data, "select_left", isinstance(data["select_left"], bool), "true, false")
    if not out and data.get("kind") == "dense":
        if data.get("seg_len", 1) != 1:
            out += _wrong(data, "seg_len", False, "1 with dense sampling")
        if {"window", "num_seg"} <= data.keys() and data["window"] < data["num_seg"]:
            allowed = f"at least num_seg ({data['num_seg']}) with dense sampling"
            out += _wrong(data, "window", False, allowed)
    return out


def _preprocess_problems(data: Mapping[str, Any]) -> list[str]:
    """What is wrong with the values that are there (missing ones are reported elsewhere)."""
    out: list[str] = []
    for name in ("short_size", "crop"):
        if name in data:
            good = is_whole(data[name], 1, 8192)
            out += _wrong(data, name, good, "a whole number from 1 to 8192")
    if "crops" in data:
        good = is_whole(data["crops"], 1, 3) and data["crops"] in CROPS
        out += _wrong(data, "crops", good, ", ".join(map(str, CROPS)))
    for name in ("fixed_ratio", "do_round", "square_pixels"):
        if name in data:
            out += _wrong(data, name, isinstance(data[name], bool), "true, false")
    if "keep_ratio" in data:
        good = data["keep_ratio"] is None or isinstance(data["keep_ratio"], bool)
        out += _wrong(data, "keep_ratio", good, "true, false, null")
    if "resize" in data:
        out += _wrong(data, "resize", data["resize"] in RESIZES, ", ".join(RESIZES))
    if "mean" in data:
        out += _wrong(data, "mean", _three(data["mean"], 0.0), "three numbers, R G B, 0 to 1")
    if "std" in data:
        good = _three(data["std"], 1e-6)
        out += _wrong(data, "std", good, "three positive numbers, R G B, up to 1")
    if not out and data.get("fixed_ratio") and data.get("keep_ratio"):
        out.append("keep_ratio and fixed_ratio are both true; set one of them to false")
    if not out and "crop" in data and "short_size" in data and data["crop"] > data["short_size"]:
        allowed = f"at most short_size ({data['short_size']})"
        out += _wrong(data, "crop", False, allowed)
    return out


def _three(value: object, low: float) -> bool:
    if not isinstance(value, (list, tuple)) or len(value) != 3:
        return False
    numbers = [v for v in value if isinstance(v, (int, float)) and not isinstance(v, bool)]
    return len(numbers) == 3 and all(math.isfinite(v) and low <= v <= 1 for v in numbers)
