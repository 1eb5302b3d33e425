"""Specs: they survive JSON, and mistakes are found all at once."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infer.clips.spec import ClipSpec, PreprocessSpec, SamplingSpec
from infer.system.errors import SpecError

samplings = st.builds(
    SamplingSpec,
    num_seg=st.integers(1, 64),
    seg_len=st.integers(1, 8),
    select_left=st.booleans(),
    views=st.integers(1, 10),
)
preprocesses = st.builds(
    PreprocessSpec,
    short_size=st.integers(224, 512),
    do_round=st.booleans(),
    resize=st.sampled_from(["area", "bilinear", "pil"]),
    crop=st.integers(1, 224),
    crops=st.sampled_from([1, 3]),
    mean=st.tuples(*[st.floats(0, 1)] * 3),
    std=st.tuples(*[st.floats(0.01, 1)] * 3),
)


@given(st.builds(ClipSpec, samplings, preprocesses))
def test_a_spec_survives_json(spec):
    assert ClipSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


def test_defaults_are_the_recipe():
    spec = ClipSpec()
    assert spec.clip_shape == (8, 224, 224, 3)
    assert spec.to_dict()["preprocess"] == {
        "short_size": 256,
        "fixed_ratio": True,
        "keep_ratio": None,
        "do_round": False,
        "resize": "area",
        "crop": 224,
        "crops": 1,
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
    }


def test_a_bundle_from_before_there_were_crops_can_be_read():
    data = ClipSpec().to_dict()
    del data["preprocess"]["crops"]
    assert ClipSpec.from_dict(data) == ClipSpec()
    data["preprocess"]["crops"] = 2
    with pytest.raises(SpecError, match="crops is 2; allowed: 1, 3"):
        ClipSpec.from_dict(data)


def test_all_mistakes_in_one_message():
    data = ClipSpec().to_dict()
    data["sampling"]["num_segs"] = data["sampling"].pop("num_seg")
    data["sampling"]["kind"] = "random"
    data["preprocess"]["crop"] = True
    data["preprocess"]["std"] = [0.2, 0, 0.2]
    data["extra"] = 1
    with pytest.raises(SpecError) as caught:
        ClipSpec.from_dict(data)
    message = str(caught.value)
    for part in (
        "sampling.num_seg is missing",
        "num_seg?",
        "kind is 'random'; allowed: uniform, dense",
        "crop is True",
        "std is [0.2, 0, 0.2]",
        "extra is unknown",
    ):
        assert part in message


@pytest.mark.parametrize("section", ["sampling", "preprocess"])
def test_every_missing_key_is_named(section):
    for name in ClipSpec().to_dict()[section].keys() - {"crops"}:
        data = ClipSpec().to_dict()
        data["sampling"] |= {"kind": "dense", "num_seg": 100, "window": 100}
        del data[section][name]
        with pytest.raises(SpecError, match=f"{section}.{name} is missing"):
            ClipSpec.from_dict(data)


@pytest.mark.parametrize(
    "make",
    [
        lambda: SamplingSpec(num_seg=0),
        lambda: SamplingSpec(views=2.0),
        lambda: SamplingSpec(kind="dense", seg_len=2),
        lambda: SamplingSpec(kind="dense", num_seg=65),
        lambda: PreprocessSpec(short_size=128),
        lambda: PreprocessSpec(keep_ratio=True),
        lambda: PreprocessSpec(resize="lanczos"),
        lambda: PreprocessSpec(mean=(0.5, 0.5)),
        lambda: PreprocessSpec(mean=(0.5, 0.5, float("nan"))),
    ],
)
def test_impossible_specs_cannot_be_made(make):
    with pytest.raises(SpecError):
        make()


@pytest.mark.parametrize("data", [None, [], "spec", {}, {"sampling": 1, "preprocess": None}])
def test_what_is_no_spec_is_said(data):
    with pytest.raises(SpecError):
        ClipSpec.from_dict(data)
