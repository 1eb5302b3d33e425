"""Choose a backend: by what the bundle holds, what runs here, and how much there is to run.

Each backend says its place (`Backend.preference`). The order, best first. On an NVIDIA GPU: a
TensorRT engine that was built for it, else ONNX Runtime on CUDA (its TensorRT provider builds an
engine for minutes at every start: only on demand). On a CPU: ONNX Runtime before OpenVINO for fp32,
where neither is clearly the faster and ONNX Runtime starts sooner; OpenVINO before ONNX Runtime for
int8, where it is the faster, unless only a few clips are expected, which would wait for it to load;
OpenVINO alone for bf16; Paddle last.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from ..bundle.bundle import Bundle
from ..bundle.engines import built_engines
from ..system.errors import AlteredError, BackendError, BundleError, listed
from ..system.hardware import gpu_problem
from ..system.log import logger
from .implementations import open_known
from .registry import AUTO, BACKENDS, artifact_keys, find_artifact, no_model

if TYPE_CHECKING:
    from .base import Runtime, RuntimeOptions

log = logger(__name__)

FASTEST = ("int8", "fp32")
"""Precisions that `--precision auto` tries, in this order."""


def order(precision: str, *, expected_clips: int | None = None) -> tuple[str, ...]:
    """The backends to try, best first, as if everything were installed."""
    places = {
        name: backend.preference(precision, expected_clips).place
        for name, backend in BACKENDS.items()
        if backend.preference is not None
    }
    return tuple(sorted(places, key=lambda name: places[name]))


def open_best(
    bundle: Bundle,
    precision: str,
    options: RuntimeOptions,
    expected_clips: int | None,
) -> Runtime:
    """Open the first backend of `order` that runs here; log what it is and why.

    With a `device` other than 0 only GPUs are considered, with `streams` only what has them.

    Raises:
        BackendError: the bundle lacks the precision; or none can run, and why each cannot.
        AlteredError: the artefact that would be run was altered.
    """
    backends = order(precision, expected_clips=expected_clips)
    wanted = {key for backend in backends for key in artifact_keys(backend, precision)}
    if wanted.isdisjoint(bundle.artifacts):
        raise BackendError(no_model(bundle, precision, *backends))
    passed: dict[str, str] = {}
    for backend in backends:
        problem = _ruled_out(bundle, backend, precision, options)
        if problem is None:
            try:
                runtime = open_known(bundle, backend, precision, options)
            except AlteredError:  # whoever ran it: this is not what was exported
                raise
            except (BackendError, BundleError) as error:
                problem = getattr(error, "reason", str(error))
            else:
                log.info(_line(bundle, backend, precision, passed, expected_clips))
                return runtime
        passed[backend] = problem
    raise BackendError(
        listed(
            f"no backend can run {bundle.root} in {precision} here",
            [f"{backend}: {reason}" for backend, reason in passed.items()],
        )
    )


def open_fastest(
    bundle: Bundle, backend: str, options: RuntimeOptions, expected_clips: int | None
) -> Runtime:
    """Open the first precision of `FASTEST` that the bundle has and that runs here; log which.

    The bundle has int8 if it lost no more than was allowed at export.

    Raises:
        BackendError, BundleError: the last one does not run either.
    """
    for precision in FASTEST:
        try:
            if backend == AUTO:
                runtime = open_best(bundle, precision, options, expected_clips)
            else:
                runtime = open_known(bundle, backend, precision, options)
        except AlteredError:
            raise
        except (BackendError, BundleError) as error:
            if precision == FASTEST[-1]:
                raise
            log.info(f"precision: not {precision}: {getattr(error, 'reason', str(error))}")
        else:
            log.info(f"precision: {precision}")
            return runtime
    raise AssertionError("the last one is opened or raises")


def _ruled_out(bundle: Bundle, backend: str, precision: str, options: RuntimeOptions) -> str | None:
    """Why a backend need not be tried; nothing heavy is imported to tell."""
    known = BACKENDS[backend]
    if options.device != 0 and not known.gpu:
        return f"runs on the CPU, and device is {options.device}"
    if options.streams != 1 and not known.streams:
        return f"has no streams, and streams is {options.streams}"
    try:
        find_artifact(bundle, backend, precision)
    except BackendError:
        return f"the bundle lacks {' and '.join(artifact_keys(backend, precision))}"
    if not _installed(known.import_name):
        return f"{known.import_name} is not installed"
    if known.engines and not built_engines(bundle):
        return "the bundle has no engine"
    return gpu_problem(options.device) if known.gpu else None


def _installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except (ImportError, ValueError):
        return False


def _line(
    bundle: Bundle,
    backend: str,
    precision: str,
    passed: dict[str, str],
    expected_clips: int | None,
) -> str:
    """What was taken, which file it runs, and why, on one line."""
    known = BACKENDS[backend]
    assert known.preference is not None  # `order` has no other
    why = known.preference(precision, expected_clips).why
    reasons: dict[str, list[str]] = {}
    for name, reason in passed.items():
        reasons.setdefault(" ".join(reason.split()), []).append(name)
    others = "".join(f"; not {', '.join(names)}: {said}" for said, names in reasons.items())
    file = find_artifact(bundle, backend, precision).files[0].file
    made_of = "built from " if known.engines else ""
    return f"backend: {backend}, {made_of}{file} ({why}{others})"
