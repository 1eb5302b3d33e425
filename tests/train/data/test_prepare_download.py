"""Downloads from a server on this machine that breaks off, changes its mind, or is wrong."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.train.http_server import Server
from train.data.prepare import download
from train.data.prepare.download import DownloadError, check_space, fetch, file_name, sizes

CONTENT = np.random.default_rng(0).bytes(300_000)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(download, "PAUSE", 0.001)
    monkeypatch.setattr(download, "TIMEOUT", 10.0)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    made = Server()
    made.files["/a/clips.zip"] = CONTENT
    yield made
    made.close()


def md5(content: bytes) -> str:
    return f"md5:{hashlib.md5(content).hexdigest()}"


def test_a_broken_connection_is_taken_up_where_it_broke(server: Server, tmp_path: Path) -> None:
    server.breaks = [100_000, 0, 50_000]
    target = tmp_path / "new/clips.zip"
    fetch(server.url("/a/clips.zip"), target, checksum=md5(CONTENT))
    assert target.read_bytes() == CONTENT
    starts = [wanted for _, _, wanted in server.asked]
    assert starts == ["", "bytes=100000-", "bytes=100000-", "bytes=150000-"]
    assert [path.name for path in target.parent.iterdir()] == ["clips.zip"]
    fetch(server.url("/a/clips.zip"), target, checksum=md5(CONTENT))
    assert len(server.asked) == 4


def test_a_later_call_goes_on_too(server: Server, tmp_path: Path) -> None:
    server.breaks = [120_000, *[0] * download.TRIES]
    target = tmp_path / "clips.zip"
    with pytest.raises(DownloadError, match=r"attempts brought nothing.*120,000 bytes are kept"):
        fetch(server.url("/a/clips.zip"), target)
    assert not target.exists()
    server.asked.clear()
    fetch(server.url("/a/clips.zip"), target)
    assert target.read_bytes() == CONTENT
    assert server.asked == [("GET", "/a/clips.zip", "bytes=120000-")]


def test_a_file_that_was_whole_but_not_renamed_yet(server: Server, tmp_path: Path) -> None:
    target = tmp_path / "clips.zip"
    server.breaks = [100, *[0] * download.TRIES]
    with pytest.raises(DownloadError):
        fetch(server.url("/a/clips.zip"), target)
    (tmp_path / "clips.zip.part").write_bytes(CONTENT)
    fetch(server.url("/a/clips.zip"), target)
    assert target.read_bytes() == CONTENT
    target.rename(tmp_path / "clips.zip.part")
    (tmp_path / "clips.zip.part").write_bytes(CONTENT + b"more")
    version = json.dumps({"version": f'"{hashlib.md5(CONTENT).hexdigest()}"'})
    (tmp_path / "clips.zip.part.json").write_text(version)
    fetch(server.url("/a/clips.zip"), target)
    assert target.read_bytes() == CONTENT


def test_another_version_of_the_file_is_not_glued_to_the_old_one(
    server: Server, tmp_path: Path
) -> None:
    server.breaks = [100_000, *[0] * download.TRIES]
    with pytest.raises(DownloadError):
        fetch(server.url("/a/clips.zip"), tmp_path / "clips.zip")
    server.files["/a/clips.zip"] = CONTENT[::-1]
    fetch(server.url("/a/clips.zip"), tmp_path / "clips.zip")
    assert (tmp_path / "clips.zip").read_bytes() == CONTENT[::-1]


def test_a_server_without_ranges_begins_anew(server: Server, tmp_path: Path) -> None:
    server.ranges = False
    server.breaks = [100_000, 200_000]
    fetch(server.url("/a/clips.zip"), tmp_path / "clips.zip")
    assert (tmp_path / "clips.zip").read_bytes() == CONTENT


def test_a_server_without_ranges_that_never_gets_further_is_given_up(
    server: Server, tmp_path: Path
) -> None:
    server.ranges = False
    server.breaks = [100_000, 200_000] * 50
    with pytest.raises(DownloadError, match="nothing new"):
        fetch(server.url("/a/clips.zip"), tmp_path / "clips.zip")
    assert len(server.asked) == 2 + download.TRIES


def test_busy_servers_are_asked_again_and_wrong_addresses_are_not(
    server: Server, tmp_path: Path
) -> None:
    server.statuses = [503, 429]
    fetch(server.url("/a/clips.zip"), tmp_path / "clips.zip")
    assert (tmp_path / "clips.zip").read_bytes() == CONTENT
    server.asked.clear()
    with pytest.raises(DownloadError, match="404"):
        fetch(server.url("/a/nothing.zip"), tmp_path / "nothing.zip")
    assert len(server.asked) == 1
    server.close()
    with pytest.raises(DownloadError, match="attempts brought nothing"):
        fetch(server.url("/a/clips.zip"), tmp_path / "again.zip")


def test_sizes_that_a_busy_server_does_not_tell_are_unknown(server: Server) -> None:
    url = server.url("/a/clips.zip")
    server.statuses = [503, 429]
    assert sizes([url]) == {url: len(CONTENT)}
    # One that tells nothing is not asked about every file as often again.
    server.asked.clear()
    server.statuses = [503] * 1000
    other = server.url("/a/other.zip")
    assert sizes([url, other]) == {url: None, other: None}
    assert server.asked == [("HEAD", "/a/clips.zip", "")] * download.TRIES
    server.close()
    assert sizes([url]) == {url: None}


def test_a_wrong_checksum_is_not_kept(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="expected 123"):
        fetch(server.url("/a/clips.zip"), tmp_path / "clips.zip", checksum="sha256:123")
    assert not list(tmp_path.iterdir())


def test_space_is_checked_before_anything_is_written(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sizes([server.url("/a/clips.zip")]) == {server.url("/a/clips.zip"): len(CONTENT)}
    with pytest.raises(DownloadError, match="404"):
        sizes([server.url("/b")])
    check_space(tmp_path, 1)
    with pytest.raises(DownloadError, match=r"GB are needed"):
        check_space(tmp_path, 1 << 60)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://x/y", "http://host/", "clips.zip"])
def test_only_web_addresses_of_files(url: str) -> None:
    with pytest.raises(DownloadError, match="no web address"):
        file_name(url)
