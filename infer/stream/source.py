"""What a stream is read from: files, cameras and addresses. Only here are addresses opened."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av

from ..containers.decoder import check_decoder
from ..containers.formats import check_file, formats, limit_frames, max_pixels, open_video
from ..containers.limits import Limits
from ..system.addresses import is_address
from ..system.errors import ClipDuetError, VideoError, os_reason
from ..system.terminal import printable

PROTOCOLS = {
    "http": "http,https,tcp,tls",
    "https": "http,https,tcp,tls",
    "rtsp": "rtsp,rtp,udp,tcp",
    "rtsps": "rtsp,rtp,udp,tcp,tls",
    "tcp": "tcp",
    "udp": "udp",
}
"""Schemes of addresses that are opened, and what FFmpeg may use for each: never files."""
_CAMERA = re.compile(r"/dev/video\d+", re.ASCII)
_V4L2 = "video4linux2,v4l2"


class SourceError(ClipDuetError):
    """A source cannot be opened, or went away."""

    exit_status = 1


@dataclass(frozen=True)
class Source:
    """Where frames come from.

    Attributes:
        name: as it was given.
        kind: file, camera or address.
    """

    name: str
    kind: str

    @property
    def live(self) -> bool:
        """Whether frames come when they do, and do not wait."""
        return self.kind != "file"

    @property
    def shown(self) -> str:
        """The name for messages and results, without user name and password."""
        return printable(re.sub(r"(?<=://)[^/?#]*@", "", self.name))


def source_of(name: str) -> Source:
    """What a name is.

    Raises:
        ClipDuetError: an address with another scheme.
    """
    if is_address(name) and not os.path.lexists(name):
        scheme = name.partition(":")[0].lower()
        if scheme not in PROTOCOLS:
            allowed = ", ".join(f"{one}://" for one in PROTOCOLS)
            raise ClipDuetError(
                f"{name[:200]}: addresses with {scheme}:// are not opened; {allowed}"
            )
        return Source(name, "address")
    if _CAMERA.fullmatch(name):
        return Source(name, "camera")
    return Source(name, "file")


def check_source(source: Source, limits: Limits) -> None:
    """See that a file or a camera can be opened, before anything else is done.

    Addresses are not tried: some send what they have to the first who asks, and to nobody else.

    Raises:
        VideoError, SourceError: as `open_source`.
    """
    if source.kind == "file":
        container, _ = open_source(source, limits, seconds=0)
        container.close()
    elif source.kind == "camera":
        _check_camera(source)


def open_source(source: Source, limits: Limits, *, seconds: float) -> tuple[Any, Any]:
    """Container and video stream of PyAV.

    Args:
        source: what to open.
        limits: larger frames do not decode.
        seconds: that a camera or an address may be silent.

    Raises:
        VideoError: a file that is no video, and why.
        SourceError: a camera or an address that cannot be opened, and why.
    """
    if source.kind == "file":
        check_file(Path(source.name), limits)
        return open_video(Path(source.name), limits)
    check_decoder(str(av.__version__))
    options = {"max_pixels": max_pixels(limits)}
    form = None
    if source.kind == "camera":
        _check_camera(source)
        form, options["protocol_whitelist"] = _V4L2.split(",")[0], "file"
    else:
        scheme = source.name.partition(":")[0].lower()
        options["protocol_whitelist"] = PROTOCOLS[scheme]
        more = ",rtsp,rtp,sdp" if scheme.startswith("rtsp") else ""
        options["format_whitelist"] = formats() + more
        if more:
            options["rtsp_transport"] = "tcp"
    try:
        container: Any = av.open(
            source.name, format=form, options=options, metadata_errors="replace",
            timeout=(seconds, seconds),
        )  # fmt: skip
    except (av.FFmpegError, OSError, ValueError, MemoryError) as error:
        raise SourceError(
            f"{source.shown} cannot be opened: {reason_of(error, seconds=seconds)}"
        ) from None
    try:
        stream = container.streams.best("video")
        if stream is None or stream.codec_context is None:
            raise SourceError(f"{source.shown} has no video that can be decoded")
        stream.thread_count = 1
        limit_frames(stream, limits)
        limits.check_size(Path(source.shown), *_size(stream))
        return container, stream
    except BaseException:
        container.close()
        raise


def silent(seconds: float) -> str:
    """Why a source ended that sent nothing for so long."""
    return f"sent nothing for {seconds:g} s (--timeout)"


def reason_of(error: Exception, *, seconds: float) -> str:
    """Why a source failed, in a few words; `seconds`: that it may be silent."""
    if isinstance(error, VideoError):
        return own_reason(error)
    if isinstance(error, av.ExitError):
        return silent(seconds)
    if isinstance(error, av.FFmpegError):  # its text has the address, password and all
        return printable(str(error.strerror))
    if isinstance(error, OSError):
        return os_reason(error)
    return printable(str(error)) or type(error).__name__


def own_reason(error: VideoError) -> str:
    """The reason with the options that `clipduet stream` has, not those of `predict`."""
    reason = error.reason.replace("(--max-pixels of predict)", "(--max-pixels)")
    return re.sub(r" \(--[\w-]+ of predict\)", "", reason)


def _size(stream: Any) -> tuple[int, int]:
    return stream.codec_context.width, stream.codec_context.height


def _check_camera(source: Source) -> None:
    try:
        if not stat.S_ISCHR(os.stat(source.name).st_mode):
            raise SourceError(f"{source.name} is no camera")
    except OSError as error:
        raise SourceError(f"{source.name} cannot be opened: {os_reason(error)}") from None
    if _V4L2 not in av.formats_available:
        raise SourceError(f"{source.name}: the installed PyAV reads no cameras (Video4Linux)")
