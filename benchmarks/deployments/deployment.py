"""Which deployments are compared: every backend that runs here, in every precision there is.

One way to deploy a network is a backend and a precision, written "backend:precision"; options and
result files call it a cell.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.common.errors import BenchmarkError
from infer.bundle.bundle import Bundle
from infer.bundle.engines import Stamp, choose_engine
from infer.runtimes.registry import (
    AUTO,
    BACKENDS,
    PRECISIONS,
    find_artifact,
    name_problem,
    precisions,
)
from infer.runtimes.status import Status
from infer.runtimes.statuses import statuses
from infer.system.errors import ClipDuetError, listed

# The first that can run is the reference: what was trained, as little changed as possible.
REFERENCES = ("paddle:fp32", "onnxruntime:fp32", "openvino:fp32")


@dataclass(frozen=True, order=True)
class Deployment:
    """One way to deploy: a backend and a precision."""

    backend: str
    precision: str

    @property
    def key(self) -> str:
        """`backend:precision`."""
        return f"{self.backend}:{self.precision}"

    @classmethod
    def parse(cls, text: str) -> Deployment:
        """The cell of a `backend:precision`.

        Raises:
            BenchmarkError: another form.
        """
        backend, colon, precision = text.partition(":")
        if not (backend and colon and precision):
            raise BenchmarkError(
                f"cell {text!r} is not of the form backend:precision, for example onnxruntime:fp32"
            )
        return cls(backend, precision)


@dataclass(frozen=True)
class SkippedDeployment:
    """A backend or cell that is not compared, and why."""

    what: str
    reason: str


@dataclass(frozen=True)
class Choice:
    """The cells to compare; `cells` begins with the reference, which is compared with itself.

    Attributes:
        cells: the reference first.
        left_out: what is not compared.
        instead_of: why the reference is not the one that comes first, or None.
    """

    cells: tuple[Deployment, ...]
    left_out: tuple[SkippedDeployment, ...]
    instead_of: str | None

    @property
    def reference(self) -> Deployment:
        """The cell that the others are compared with."""
        return self.cells[0]


def choose_deployments(
    bundles: Sequence[Bundle],
    *,
    backends: Sequence[str] = (),
    cells: Sequence[str] = (),
    references: Sequence[str] = REFERENCES,
) -> Choice:
    """Cells that every bundle has a file for, on backends that run here.

    Native TensorRT also needs an engine in every bundle, stamped for this machine and for the file
    that is there now. With neither `backends` nor `cells` everything that can run is taken, and
    the rest is named with its reason.

    Args:
        bundles: of all models.
        backends: names of those that were asked for.
        cells: `backend:precision` of those that were asked for; not together with `backends`.
        references: the first of them that can run is the reference, chosen or not; else the first
            fp32 that is chosen.

    Raises:
        BenchmarkError: everything that was asked for and cannot be had; nothing that can run.
    """
    if backends and cells:
        raise BenchmarkError("give --backends or --cells, not both: cells name their backends")
    wanted = [Deployment.parse(text) for text in cells]
    named = list(dict.fromkeys(backends or [cell.backend for cell in wanted]))
    firsts = [Deployment.parse(text) for text in references]
    needed = [*named, *(cell.backend for cell in firsts)]
    tried = [name for name in BACKENDS if not named or name in needed]
    known = {status.backend: status for status in statuses(tried)}
    there = {name: _shared(bundles, name) for name, status in known.items() if status.runs}
    problems = _problems(named, known)
    given = Counter(backends or cells)
    problems += [f"{key} is named more than once" for key, count in given.items() if count > 1]
    left_out: list[SkippedDeployment] = []
    if wanted:
        problems += [
            f"{cell.key}: {_lacking(bundles, cell)}"
            for cell in wanted
            if cell.precision not in there.get(cell.backend, (cell.precision,))
        ]
    else:
        names = [name for name in backends or there if name in there]
        wanted = [Deployment(name, precision) for name in names for precision in there[name]]
        for name in names:
            elsewhere = [cell for cell in _somewhere(bundles, name) if cell not in wanted]
            left_out += [SkippedDeployment(cell.key, _lacking(bundles, cell)) for cell in elsewhere]
            if not there[name] and not elsewhere:
                left_out.append(SkippedDeployment(name, "the bundles have no file for it"))
            if not there[name] and backends:
                reasons = [one.reason for one in left_out if one.what.startswith(f"{name}:")]
                found = "; ".join(reasons) or "the bundles have no file for it"
                problems.append(f"{name}: {found}")
    if not (backends or cells):
        absent = [status for status in known.values() if not status.runs]
        left_out += [SkippedDeployment(status.backend, status.reason) for status in absent]
    if problems:
        raise BenchmarkError(listed("these deployments cannot be compared", problems))
    reference, instead_of = _reference(bundles, known, there, firsts, wanted)
    others = (cell for cell in wanted if cell != reference)
    return Choice((reference, *others), tuple(left_out), instead_of)


def _problems(names: Sequence[str], known: Mapping[str, Status]) -> list[str]:
    """What is wrong with the backends that were asked for."""
    problems = []
    for name in names:
        if name == AUTO:
            problems.append(f"{AUTO} would choose one backend: name those to compare")
        elif name not in known:
            problems.append(str(name_problem(name)))
        elif not known[name].runs:
            status = known[name]
            remedy = f"; try: {status.remedy}" if status.remedy else ""
            problems.append(f"{name} cannot run here: {status.reason}{remedy}")
    return problems


def _reference(
    bundles: Sequence[Bundle],
    known: Mapping[str, Status],
    there: Mapping[str, Sequence[str]],
    firsts: Sequence[Deployment],
    chosen: Sequence[Deployment],
) -> tuple[Deployment, str | None]:
    """The cell whose gain counts as whole, whether it was asked for or not."""
    first = firsts[0]
    candidates = [*firsts, *(cell for cell in chosen if cell.precision == "fp32")]
    for cell in candidates:
        if cell.precision in there.get(cell.backend, ()):
            if cell == first:
                return cell, None
            status = known[first.backend]
            if not status.runs:
                return cell, f"{first.backend} cannot run here: {status.reason}"
            return cell, _lacking(bundles, first)
    raise BenchmarkError(
        "nothing to compare with: no backend that runs here has an fp32 file in every bundle; "
        "export them again, or install what infer/ needs"
    )


def _shared(bundles: Sequence[Bundle], backend: str) -> list[str]:
    """Precisions that every bundle can be run in by a backend, in the order of reports.

    By the same artefact: a student's symmetric int8 is no match for a baseline's unsigned one.
    """
    files = [set(precisions(bundle, backend).items()) for bundle in bundles]
    shared = {precision for precision, _ in set.intersection(*files)}
    if BACKENDS[backend].engines:
        shared = {one for one in shared if not any(engine_problem(b, one) for b in bundles)}
    return sorted(shared, key=_place)


def deployed_bytes(bundle: Bundle, cell: Deployment) -> int:
    """Size of what is deployed: of the artefact, or of the engine that was built from it."""
    if BACKENDS[cell.backend].engines:
        return _engine(bundle, cell.precision).engine_bytes
    return find_artifact(bundle, cell.backend, cell.precision).bytes


def engine_problem(bundle: Bundle, precision: str) -> str | None:
    """Why no TensorRT engine of a bundle may run on this machine's GPU; None if one may."""
    try:
        _engine(bundle, precision)
    except ClipDuetError as error:
        return " ".join(str(error).split())
    return None


def _engine(bundle: Bundle, precision: str) -> Stamp:
    """The stamp of the engine that this machine's GPU would run."""
    from infer.runtimes.tensorrt import engine
    from infer.runtimes.tensorrt.cuda_memory import Gpu

    return choose_engine(bundle, precision=precision, machine=engine.engine_machine(Gpu()))[1]


def _somewhere(bundles: Sequence[Bundle], backend: str) -> list[Deployment]:
    """Cells of a backend that at least one bundle has a file for."""
    found = {precision for bundle in bundles for precision in precisions(bundle, backend)}
    return [Deployment(backend, precision) for precision in sorted(found, key=_place)]


def _place(precision: str) -> tuple[int, str]:
    known = precision in PRECISIONS
    return (PRECISIONS.index(precision) if known else len(PRECISIONS), precision)


def _lacking(bundles: Sequence[Bundle], cell: Deployment) -> str:
    """Why a cell cannot be had of all bundles."""
    lacking = [b for b in bundles if cell.precision not in precisions(b, cell.backend)]
    if not lacking and BACKENDS[cell.backend].engines:
        found = [engine_problem(bundle, cell.precision) for bundle in bundles]
        return "; ".join(dict.fromkeys(problem for problem in found if problem))
    if not lacking:
        runs = {str(b.root): precisions(b, cell.backend)[cell.precision] for b in bundles}
        told = ", ".join(f"{key} in {root}" for root, key in runs.items())
        return f"{cell.key} runs other files in other bundles ({told}); export them the same way"
    names = ", ".join(dict.fromkeys(str(bundle.root) for bundle in lacking))
    there = ", ".join(sorted(lacking[0].artifacts))
    return f"no file for {cell.key} in {names} (there: {there}); export it again"
