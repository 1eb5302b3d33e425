"""From a video file to a label: read, sample, preprocess, run, rank. Deployable alone."""

import os
import sys

_COMMANDS = ("infer", "train", "export", "benchmarks")


def _leave_out_current_folder() -> None:
    """Where `python -m infer.predict` and the like run in another folder than the checkout's.

    Python puts the current folder first on the path: a numpy.py in it would be taken for the
    installed package. A program that imports this one keeps its own path.
    """
    given = sys.orig_argv
    if sys.argv[:1] != ["-m"] or "-m" not in given[:-1]:  # argv: while the module is looked for
        return
    if given[given.index("-m") + 1].partition(".")[0] not in _COMMANDS:
        return
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    if os.path.isdir(sys.path[0]) and os.path.samefile(sys.path[0], ".") and sys.path[0] != here:
        del sys.path[0]


_leave_out_current_folder()

from infer.telemetry import turn_off  # noqa: E402

# Here, because every room imports this package before it imports ONNX Runtime.
turn_off()
