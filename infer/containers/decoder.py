"""What reads videos and resizes frames here, and whether it is what a bundle was made with."""

from __future__ import annotations

from collections.abc import Mapping

from ..libraries.install import pip_install
from ..libraries.versions import OLDEST, is_older, major
from ..system.errors import ClipDuetError

LIBRARIES = ("libavcodec", "libavformat", "libavutil", "libswscale")
"""Those of FFmpeg that pixels depend on."""
NAMES = {"av": "PyAV", "opencv": "OpenCV"}


def installed() -> dict[str, str]:
    """Versions of `av`, of FFmpeg's libraries in it, and of `opencv`."""
    import av
    import cv2

    libraries = {name: av.library_versions.get(name) for name in LIBRARIES}
    return {
        "av": str(av.__version__),
        **{name: ".".join(map(str, found)) for name, found in libraries.items() if found},
        "opencv": str(cv2.__version__),
    }


def check_decoder(version: str) -> None:
    """See that PyAV is none that is known to read wrong.

    Args:
        version: of PyAV, as it says.

    Raises:
        ClipDuetError: it is older than the oldest one that was tested.
    """
    oldest = OLDEST["av"]
    if is_older(version, oldest):
        raise ClipDuetError(
            f"PyAV {version} is installed, and {oldest} or newer is needed: older versions crash "
            f"on some files and read others in wrong colours. To change that: "
            f"{pip_install('av')}"
        )


def differing_libraries(recorded: Mapping[str, str], here: Mapping[str, str]) -> list[str]:
    """The libraries of FFmpeg whose major versions differ, a text each.

    Smaller steps of theirs do not change pixels. Versions of PyAV and OpenCV are not compared:
    those that may be installed give the same pixels (`infer.libraries.versions`).

    Args:
        recorded: `Bundle.decoder`.
        here: `installed()`.
    """
    return [
        f"{name} {recorded[name]} (here {here[name]})"
        for name in LIBRARIES
        if name in recorded and name in here and major(recorded[name]) != major(here[name])
    ]


def decoder_warning(recorded: Mapping[str, str], here: Mapping[str, str]) -> str | None:
    """One line about `differing_libraries`, if there are any."""
    found = differing_libraries(recorded, here)
    if not found:
        return None
    return (
        f"warning: the bundle was verified with {', '.join(found)}: "
        "pixels, and so answers and accuracy, may differ from those at export"
    )


def shown_versions(versions: Mapping[str, str]) -> str:
    """Versions on one line for people."""
    return ", ".join(f"{NAMES.get(name, name)} {found}" for name, found in versions.items())
