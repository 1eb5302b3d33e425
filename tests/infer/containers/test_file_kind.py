"""A file that is no video says what it looks like, and what to do about it."""

from __future__ import annotations

import gzip
import zipfile

import pytest

from infer.clips.decode import read_video
from infer.system.errors import VideoError

POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 123456\n"


def write_zip(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.mp4", b"x" * 100)


CONTENTS = {
    "pointer": (POINTER.encode(), "git lfs pull"),
    "html": (b"\n<!DOCTYPE html>\n<html><body>404</body></html>", "HTML page"),
    "html after a mark": (b"\xef\xbb\xbf<HTML>\n<head></head>", "HTML page"),
    "xhtml": (b'<?xml version="1.0"?>\n<html xmlns="x"><body/></html>', "HTML page"),
    "xml": (b'<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code></Error>', "XML document"),
    "json": (b'{"message": "rate limit exceeded"}', "text file"),
    "text cut off in a letter": (("grün, " * 3000).encode()[: 7 * 585 + 3], "text file"),
    "zeros": (bytes(10_000), "zeros"),
    "gzip": (gzip.compress(b"x" * 1000), "gzip archive"),
    "noise": (bytes(range(1, 256)) * 20, "damaged beyond reading"),
}


@pytest.mark.parametrize("name", CONTENTS)
def test_the_reason_names_what_the_file_looks_like(tmp_path, name, capfd):
    content, reason = CONTENTS[name]
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    with pytest.raises(VideoError) as caught:
        read_video(path, lambda n: [0])
    assert reason in caught.value.reason and caught.value.reason.startswith("not a video")
    assert "\n" not in caught.value.reason
    assert capfd.readouterr() == ("", "")


def test_an_archive_is_named(tmp_path):
    write_zip(tmp_path / "clip.mp4")
    with pytest.raises(VideoError, match="ZIP archive"):
        read_video(tmp_path / "clip.mp4", lambda n: [0])
