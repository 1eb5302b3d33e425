"""What is known of a backend without importing it. Each one's folder says it in `backend.py`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

FEW_CLIPS = 16
"""Up to so many clips, what OpenVINO saves in running them is less than it takes to load."""


def is_few(clips: int | None) -> bool:
    """Whether so many expected clips are few; None, an unknown number, is not."""
    return clips is not None and clips <= FEW_CLIPS


@dataclass(frozen=True)
class Preference:
    """Where `--backend auto` tries a backend.

    place   the lowest is tried first; GPUs are below 100, CPUs from there on
    why     it was taken, for people
    """

    place: int
    why: str


@dataclass(frozen=True)
class Backend:
    """One way to run a network.

    Names:
    name            for users: on the command line and in result files
    title           in reports
    short_title     in tables and plots; "" if that is the title

    What it needs:
    gpu             whether it runs on an NVIDIA GPU; else on the CPU
    import_name     of the package; while it is not there, the backend need not be tried
    packages        names to install, of whatever can provide it; reports list those that are there
    oldest          the oldest version that was tested, of the first of `packages`; "" if any does
    rivals          those of `packages` that own the same files: the one installed last is there
    install         the command that installs what it needs
    cpu_features    for a precision: CPU features of which it needs one

    What it runs:
    format          of the artifacts it reads
    keys            from a precision to the artifacts that can run, the best first; None: the one
                    of its format
    engines         whether it runs engines, built on this machine from the artifact; else the
                    artifact itself
    streams         whether it takes more than one
    preference      from a precision, and how many clips are expected (None: unknown), to where
                    `--backend auto` tries it; None: it runs on demand only

    runtime         the module that opens and tries it: see `infer.runtimes.base.Implementation`
    """

    name: str
    title: str
    import_name: str
    packages: tuple[str, ...]
    install: str
    format: str
    runtime: str
    short_title: str = ""
    gpu: bool = False
    oldest: str = ""
    rivals: tuple[str, ...] = ()
    cpu_features: Mapping[str, frozenset[str]] = field(default_factory=dict)
    keys: Callable[[str], tuple[str, ...]] | None = None
    engines: bool = False
    streams: bool = False
    preference: Callable[[str, int | None], Preference] | None = None

    def artifact_keys(self, precision: str) -> tuple[str, ...]:
        """The artifacts that it can run in a precision, the best first."""
        return (f"{self.format}.{precision}",) if self.keys is None else self.keys(precision)
