"""GStreamer's RTSP server, for a Python that has its packages: `python FILE VIDEO PORT`.

It sends a Matroska file of H.264 at its own rate to each client that asks for /live, and prints the
port that it listens at (another one than 0 is used as it is).
"""

from __future__ import annotations

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

ELEMENTS = ("matroskademux", "rtph264pay")


def main(video: str, port: str) -> None:
    """Serve until a signal comes."""
    Gst.init(None)
    missing = [name for name in ELEMENTS if Gst.ElementFactory.find(name) is None]
    if missing:
        raise SystemExit(f"GStreamer has no {', '.join(missing)}")
    server = GstRtspServer.RTSPServer(address="127.0.0.1", service=port)
    factory = GstRtspServer.RTSPMediaFactory()
    read = f'filesrc location="{video}" ! matroskademux'
    factory.set_launch(f"( {read} ! rtph264pay name=pay0 pt=96 config-interval=-1 )")
    server.get_mount_points().add_factory("/live", factory)
    if not server.attach(None):
        raise SystemExit(f"port {port} is taken")
    print(server.get_bound_port(), flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main(*sys.argv[1:])
