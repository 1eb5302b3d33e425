"""What could run a bundle on this machine, and whether its known answers come out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ..bundle.bundle import Bundle
from ..bundle.engines import built_engines, built_precisions
from ..system.errors import ClipDuetError
from ..system.hardware import cores
from ..system.subprocess_call import ask
from .backend import Backend
from .registry import BACKENDS, precisions
from .status import Status
from .statuses import PROBE


def of_bundle(
    bundle: Bundle, found: Sequence[Status], features: set[str], *, seconds: float
) -> dict[str, Any]:
    """What doctor says of a bundle, ready for JSON.

    Args:
        bundle: to be run.
        found: what runs here.
        features: of this CPU.
        seconds: a network that has not answered by then is not run.

    Returns:
        `runs` maps backends to precisions to artefacts; `known_answers` has a row for each that
        the bundle has known answers of, those included that give others here and are refused.
    """
    problems, altered = [], set()
    for key, artifact in bundle.artifacts.items():
        try:
            artifact.verify()
        except ClipDuetError as error:
            problems.append(str(error))
            altered.add(key)
    runs, built = {}, built_precisions(bundle)
    for status in found:
        if status.runs:
            backend = BACKENDS[status.backend]
            runs[backend.name] = {
                precision: key
                for precision, key in precisions(bundle, backend.name).items()
                if key not in altered
                and (not backend.engines or precision in built)
                and _has_features(backend, precision, features)
            }
    answers = _answers(bundle, runs, seconds)
    for row in answers:
        if row["refused"]:
            del runs[row["backend"]][row["precision"]]
    return {
        "folder": str(bundle.root),
        "name": bundle.name,
        "runs": runs,
        "known_answers": answers,
        "left_out": dict(bundle.left_out),
        "engines": [path.name for path in built_engines(bundle)],
        "problems": problems,
    }


def _has_features(backend: Backend, precision: str, features: set[str]) -> bool:
    """Whether this CPU has one of those that a backend needs for a precision."""
    needed = backend.cpu_features.get(precision)
    return needed is None or not needed.isdisjoint(features)


def _answers(
    bundle: Bundle, runs: dict[str, dict[str, str]], seconds: float
) -> list[dict[str, Any]]:
    """Run the known clips through all that has known answers, each in a process of its own."""
    known = bundle.known_answers
    asked = [
        (backend, precision, key)
        for backend, cells in runs.items()
        if not BACKENDS[backend].gpu
        for precision, key in cells.items()
        if known is not None and key in known.logits
    ]

    def one(asking: tuple[str, str, str]) -> dict[str, Any]:
        backend, precision, key = asking
        arguments = [str(bundle.root), backend, precision]
        answer = ask(PROBE, "answers_json", arguments, seconds=seconds)
        row = {"backend": backend, "precision": precision, "artifact": key}
        if answer.problem is not None:
            return {**row, "difference": None, "refused": f"trying it failed: {answer.problem}"}
        return {**row, **answer.value}

    with ThreadPoolExecutor(max(2, cores())) as pool:
        return list(pool.map(one, asked))


def answer_lines(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Lines for people."""
    for row in rows:
        head = f"{row['artifact']} in {row['backend']}"
        if row["refused"]:
            yield f"{head} is refused: {row['refused']}"
            continue
        yield (
            f"{head}: logits of {row['clips']} clips differ by {row['difference']:.1%} of their "
            f"size, {row['limit']:.0%} is allowed"
        )
