"""What Ray runs, without Ray: videos to clips, and clips to answers."""

from __future__ import annotations

import os
from dataclasses import asdict, replace

import pytest

from infer.api import load
from infer.bundle.bundle import BUNDLE_JSON, Bundle
from infer.containers.limits import Limits
from infer.corpus.network import Network, NetworkSettings
from infer.corpus.reading import ReadSettings, read_videos, usual_block
from infer.system.errors import ClipDuetError
from infer.system.files import sha256_of


@pytest.fixture
def reading(colours):
    spec = Bundle.load(colours).spec
    return ReadSettings(spec, Limits(), isolate=False, seconds=60, memory=2 << 30, block=8)


@pytest.fixture
def network(colours):
    return NetworkSettings(
        str(colours), sha256_of(colours / BUNDLE_JSON), Bundle.load(colours).spec,
        backend="onnxruntime", precision="fp32", threads=1, max_batch=None, top_k=2,
    )  # fmt: skip


def block(rows):
    import pyarrow as pa

    return pa.Table.from_pylist(rows)


def by_path(paths):
    return block([{"video": str(p), "path": os.fsencode(p), "frames": None} for p in paths])


def by_content(paths):
    return block([{"video": str(p), "content": p.read_bytes()} for p in paths])


def by_address(paths):
    return block([{"video": str(p), "path": f"file://{p}".encode(), "frames": None} for p in paths])


def without_seconds(prediction):
    return {key: value for key, value in asdict(prediction).items() if key != "seconds"}


@pytest.mark.parametrize("rows", [by_path, by_content, by_address])
@pytest.mark.parametrize("isolate", [False, True])
@pytest.mark.parametrize("batch", [1, 4])
def test_answers_are_those_of_predict_to_the_bit(
    colours, videos, reading, network, rows, isolate, batch
):
    paths = sorted(videos.iterdir())
    with load(colours, backend="onnxruntime", threads=1) as model:
        expected = list(model.predict(paths, top_k=2))
    clips = read_videos(rows(paths), settings=replace(reading, isolate=isolate))
    run = Network(network)
    parts = [run(clips.slice(first, batch)) for first in range(0, len(clips), batch)]
    answers = [row for part in parts for row in part.to_pylist()]
    assert [row["video"] for row in answers] == list(map(str, paths))
    for row, prediction in zip(answers, expected, strict=True):
        assert row["topk"] == [asdict(one) for one in prediction.topk]
        assert (row["error"], row["warning"]) == (prediction.error, prediction.warning)
        assert (row["label"], row["score"]) == (prediction.label, prediction.score)
        assert row["bundle"] == network.sha256
        assert row["seconds"] > 0
    assert sum(row["error"] is not None for row in answers) == 2
    assert sum(row["warning"] is not None for row in answers) == 1


def test_what_cannot_be_fetched_is_an_error_of_its_own(videos, reading, tmp_path):
    rows = by_address([tmp_path / "none.mp4", videos / "red0.mp4"])
    first, second = read_videos(rows, settings=reading).to_pylist()
    assert "cannot be fetched" in first["error"] and second["error"] is None
    few = replace(reading, limits=Limits(bytes=100))
    first, second = read_videos(rows, settings=few).to_pylist()
    assert "--max-bytes" in second["error"]


def test_copies_are_removed(videos, reading, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    paths = sorted(videos.iterdir())
    for rows in (by_content, by_address):
        assert len(read_videos(rows(paths), settings=reading)) == len(paths)
    assert list(tmp_path.iterdir()) == []


def test_a_block_is_limited_by_its_bytes(reading):
    assert usual_block(reading.spec) == 32
    large = replace(
        reading.spec, preprocess=replace(reading.spec.preprocess, crop=1024, short_size=1024)
    )
    # 4 frames of 1024 x 1024 pixels are 12 MiB.
    assert usual_block(large) == 5
    assert usual_block(large.with_views(100)) == 1


def test_another_bundle_on_a_machine_is_noticed(network):
    with pytest.raises(ClipDuetError, match="another one"):
        Network(replace(network, sha256="0" * 64))
