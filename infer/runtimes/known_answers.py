"""See that an engine computes on this processor what an 8-bit file says.

Without VNNI, x86 CPUs add products of unsigned and signed bytes in pairs of 16 bits, which
saturates: answers are wrong, and nothing says so. When such a file is opened for the first time on
a machine, the bundle's known clips are run through it. How far their logits are from those of the
file is remembered for this processor, version of the engine and file.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..bundle.bundle import Artifact, ArtifactFile, Bundle
from ..bundle.known_answers import KNOWN_ANSWERS, KnownAnswers
from ..system.cache import cache_folder
from ..system.errors import BackendUnavailable
from ..system.files import WriteError, write_text
from ..system.hardware import cpu
from .backend import Backend
from .base import Runtime
from .registry import precisions

MOST = 1000.0
"""The largest difference that is told; NaN counts as that."""
X86 = ("x86_64", "amd64")
VNNI = frozenset({"avx_vnni", "avx512_vnni", "amx_int8"})
FORMAT = 1


class AnswersDiffer(BackendUnavailable):
    """A file that an engine computes wrong on this processor."""


@dataclass(frozen=True)
class Probe:
    """How far an engine is from what a file says.

    difference   of the logits, as a share of their size, both as root mean squares; at most `MOST`
    limit        what is allowed
    clips        how many were run
    remembered   whether they were run by an earlier process
    """

    difference: float
    limit: float
    clips: int
    remembered: bool = False


def refusal(
    bundle: Bundle, artifact: Artifact, backend: Backend, probe: Probe
) -> AnswersDiffer | None:
    """Why an artifact must not be run here, and what to take instead; None: it may.

    Args:
        bundle: of the artifact.
        artifact: what was run.
        backend: that ran it.
        probe: what came out.
    """
    if probe.difference <= probe.limit:
        return None
    others = precisions(bundle, backend.name)
    others.pop(artifact.precision, None)
    instead = [
        f"take {bundle.artifacts[key].files[0].file} (precision {name})"
        for name, key in list(others.items())[:1]
    ]
    reason = (
        f"{artifact.files[0].file} gives other logits on this processor than it says: for "
        f"{probe.clips} known clips they differ by {probe.difference:.0%} of their size, "
        f"{probe.limit:.0%} is allowed"
    )
    if saturates():
        reason += "; without VNNI, sums of products of 8 bits saturate"
        instead.append("export again with --reduce-range")
    return AnswersDiffer(backend.name, reason, ", or ".join(instead))


def saturates() -> bool:
    """Whether this processor adds products of unsigned and signed bytes in 16 bits."""
    return platform.machine().lower() in X86 and VNNI.isdisjoint(cpu().features)


def probe_answers(
    bundle: Bundle, artifact: Artifact, runtime: Runtime, backend: Backend, version: str | None
) -> Probe | None:
    """Run the known clips, unless it is remembered what came out; None: there are none.

    Args:
        bundle: of the artifact; one without known answers of it is not checked.
        artifact: what the runtime runs.
        runtime: open.
        backend: of the runtime; those on GPUs are not checked.
        version: of the backend's package.

    Raises:
        BundleError: the known clips are not those that were exported.
    """
    known = bundle.known_answers
    if known is None or artifact.key not in known.logits or backend.gpu:
        return None
    file = _memory(artifact, known, backend, version)
    expected = np.asarray(known.logits[artifact.key], np.float64)
    limit = known.limits[artifact.key]
    earlier = None if file is None else _remembered(file)
    if earlier is not None:
        return Probe(earlier, limit, len(expected), remembered=True)
    # One at a time: memory for a larger batch would stay with the runtime.
    found = np.concatenate([runtime.run(clip[None]) for clip in _clips(bundle, known)])
    probe = Probe(_difference(found, expected), limit, len(expected))
    if file is not None:
        # A full disk or a home that cannot be written: it is run again the next time.
        with contextlib.suppress(WriteError):
            write_text(file, json.dumps(asdict(probe)) + "\n")
    return probe


def _difference(found: np.ndarray, expected: np.ndarray) -> float:
    error = float(np.square(found - expected).mean())
    size = float(np.square(expected).mean())
    share = math.sqrt(error / size) if size else math.inf
    return 0.0 if not error else min(share, MOST) if math.isfinite(share) else MOST


def _clips(bundle: Bundle, known: KnownAnswers) -> np.ndarray:
    """uint8 [n, T, H, W, 3]. Raises BundleError: they are not those that were exported."""
    file = ArtifactFile(known.file, known.bytes, known.sha256)
    Artifact(KNOWN_ANSWERS, "rgb", "", (file,), {}, {}, bundle.root).verify()
    values = np.fromfile(bundle.root / known.file, np.uint8)
    return values.reshape(-1, *bundle.spec.clip_shape)


def _memory(
    artifact: Artifact, known: KnownAnswers, backend: Backend, version: str | None
) -> Path | None:
    """The file that remembers the difference; None: there is no place for it."""
    here = cpu()
    about: list[Any] = [
        *(FORMAT, here.name, here.features),
        *(backend.name, version),
        *([file.sha256 for file in artifact.files], known.sha256, known.logits[artifact.key]),
    ]
    name = hashlib.sha256(json.dumps(about).encode()).hexdigest()[:32]
    try:
        return cache_folder("known-answers") / f"{name}.json"
    except RuntimeError:
        return None


def _remembered(file: Path) -> float | None:
    """The difference that an earlier process met; None where there is nothing that can be read."""
    try:
        found = json.loads(file.read_bytes())["difference"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    valid = type(found) in (int, float) and found >= 0
    return float(found) if valid else None
