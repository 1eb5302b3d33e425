"""Files of many encoders, each made and decoded in full once."""

from __future__ import annotations

import av
import pytest

from infer.clips.decode import read_video
from tests.infer.clips.made import make


@pytest.fixture(scope="session")
def clip(tmp_path_factory):
    """`clip(made) -> (path, all frames, info)` by full decoding, each file made once."""
    folder = tmp_path_factory.mktemp("made")
    known = {}

    def get(made):
        name = f"{made.codec}-{made.name}"
        if name not in known:
            try:
                path = make(folder, made)
            except av.codec.codec.UnknownCodecError:
                pytest.skip(f"no encoder {made.codec} in this FFmpeg")
            known[name] = (path, *read_video(path, range, every_frame=True))
        return known[name]

    return get
