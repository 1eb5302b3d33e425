"""No library that is used here reports to its maker, unless the user lets it.

Three would: ONNX Runtime 1.32 writes an identifier of the device to ~/.cache/Microsoft and calls
its maker, from a thread that starts when it is imported; OpenVINO writes one to ~/intel and calls
an analytics service each time it is imported; Ray sends statistics of use once an hour from the
machine that it was started on.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

VARIABLE = "CLIPDUET_TELEMETRY"
"""Set to 1 in the environment, the libraries do what they do by themselves."""
ORT_VARIABLE = "ORT_DISABLE_TELEMETRY"
RAY_VARIABLE = "RAY_USAGE_STATS_ENABLED"
OPENVINO_PACKAGE = "openvino_telemetry"


def telemetry_allowed() -> bool:
    """Whether the user turned telemetry on."""
    return os.environ.get(VARIABLE) == "1"


def turn_off() -> None:
    """Tell ONNX Runtime and Ray, before their import, in this process and those that it starts."""
    if not telemetry_allowed():
        os.environ[ORT_VARIABLE] = "1"
        os.environ[RAY_VARIABLE] = "0"


def turn_off_loaded(ort: Any) -> None:
    """Tell an ONNX Runtime that may have been imported before `turn_off`."""
    disable = getattr(ort, "disable_telemetry_events", None)
    if disable is not None and not telemetry_allowed():
        disable()


@contextmanager
def hidden_from_openvino() -> Iterator[None]:
    """While OpenVINO is imported in the body, its telemetry is not there: it then does without."""
    if telemetry_allowed() or OPENVINO_PACKAGE in sys.modules:
        yield
        return
    sys.modules[OPENVINO_PACKAGE] = None  # type: ignore[assignment]  # Python's way to refuse one
    try:
        yield
    finally:
        sys.modules.pop(OPENVINO_PACKAGE, None)
