"""What a stream is read from: files, cameras and addresses. Only here are addresses opened."""

from __future__ import annotations

import errno
import os
import re
import socket
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

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
_PLAYLISTS = (".m3u8", ".m3u", ".mpd")
_NOT_FOLLOWED = "playlists (HLS, DASH) and redirections to files are refused"


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
        ClipDuetError: an address with another scheme, or one that lacks its host or port.
    """
    if is_address(name) and not os.path.lexists(name):
        source = Source(name, "address")
        _check_address(source)
        return source
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
            f"{source.shown} cannot be opened: {_why_unopened(source, error, seconds)}"
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


def _why_unopened(source: Source, error: Exception, seconds: float) -> str:
    why = reason_of(error, seconds=seconds)
    if source.kind != "address":
        return why
    # FFmpeg says only "Invalid argument" of a format or protocol that it may not open, and
    # "Input/output error" where no format fits what comes, and where the host has no address.
    refused = isinstance(error, av.ArgumentError)
    unknown = isinstance(error, OSError) and error.errno == errno.EIO
    if unknown and not _is_found(source):
        return "its host was not found: no address is known by this name"
    path = source.name.partition("?")[0].partition("#")[0].lower()
    if refused or (unknown and path.endswith(_PLAYLISTS)):
        return f"{why}; {_NOT_FOLLOWED}"
    return f"{why}; it sends no video of a known format" if unknown else why


def _is_found(source: Source) -> bool:
    """Whether the host of an address has an address of the network."""
    host = urlsplit(source.name).hostname
    try:
        return not host or bool(socket.getaddrinfo(host, None))
    except (OSError, UnicodeError):
        return False


def _check_address(source: Source) -> None:
    """Raises ClipDuetError where an address is none that can be opened."""
    scheme, shown = source.name.partition(":")[0].lower(), source.shown[:200]
    allowed = ", ".join(f"{one}://" for one in PROTOCOLS)
    if scheme not in PROTOCOLS:
        raise ClipDuetError(f"{shown}: addresses with {scheme}:// are not opened; {allowed}")
    needs_port = scheme in ("tcp", "udp")
    example = f"{scheme}://HOST{':PORT' if needs_port else '/PATH'}"
    try:
        parts = urlsplit(source.name)
        host, port = parts.hostname, parts.port
    except ValueError as error:  # its text may have a part of the address, password and all
        what = "port is no number from 1 to 65535" if "ort" in str(error) else "host is not valid"
        raise ClipDuetError(f"{shown}: its {what}: {example}") from None
    if port == 0:
        raise ClipDuetError(f"{shown}: its port is no number from 1 to 65535: {example}")
    if not host and scheme != "udp":  # without one, datagrams for any address of this machine
        raise ClipDuetError(f"{shown}: the address lacks its host: {example}")
    if needs_port and port is None:
        raise ClipDuetError(f"{shown}: the address lacks its port: {example}")


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
