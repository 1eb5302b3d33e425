"""TensorRT engines of a bundle: what each was built from and for, and which one may run here.

An engine is a plain TensorRT plan, `BUNDLE/engines/NAME.engine`, that runs on one kind of GPU with
one version of TensorRT. `NAME.engine.json` beside it, its stamp, says which, and of which ONNX
file it was made. Nothing here needs TensorRT: an engine is refused before it is loaded.
"""

from __future__ import annotations

import json
import re
import shlex
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from pathlib import Path
from typing import Any

from ..system.errors import BackendError, BundleError, listed, os_reason
from ..system.strict_json import JsonProblem, read_json, shown, value_problems
from .bundle import Bundle

FOLDER = "engines"
STAMP_VERSION = 1


@dataclass(frozen=True)
class Machine:
    """What an engine is tied to: TensorRT's full version, the GPU's name, its "major.minor"."""

    tensorrt: str
    gpu: str
    compute_capability: str


@dataclass(frozen=True)
class Profile:
    """Clips in a batch: the fewest an engine takes, how many it is tuned for, the most."""

    min_batch: int
    opt_batch: int
    max_batch: int

    def __post_init__(self) -> None:
        if not 1 <= self.min_batch <= self.opt_batch <= self.max_batch:
            raise BackendError(
                f"the batches are {self} (fewest-tuned for-most); "
                "allowed: 1 <= min-batch <= opt-batch <= max-batch"
            )

    def __str__(self) -> str:
        return f"{self.min_batch}-{self.opt_batch}-{self.max_batch}"


@dataclass(frozen=True)
class Stamp:
    """What lies beside an engine.

    engine_bytes, engine_sha256   the plan itself
    onnx_file, onnx_sha256        the artefact it was made of, as bundle.json lists it
    precision                     of that artefact: fp32, fp16, int8
    options                       how TensorRT was told to build it
    build_seconds                 what that took
    parity                        how far its logits are from ONNX Runtime's with the same file
    """

    engine_bytes: int
    engine_sha256: str
    onnx_file: str
    onnx_sha256: str
    precision: str
    machine: Machine
    profile: Profile
    options: Mapping[str, Any]
    build_seconds: float
    parity: Mapping[str, Any]

    def to_json(self) -> str:
        """Text that `read_stamp` reads."""
        return json.dumps({"stamp_version": STAMP_VERSION, **asdict(self)}, indent=2) + "\n"


def engine_path(bundle: Bundle, precision: str, machine: Machine, profile: Profile) -> Path:
    """Where an engine for that machine and those batches belongs; others can lie beside it."""
    gpu = re.sub(r"[^a-z0-9]+", "-", machine.gpu.lower()).strip("-")
    capability = machine.compute_capability.replace(".", "")
    name = f"{precision}-b{profile}-{gpu}-sm{capability}-trt{machine.tensorrt}.engine"
    return bundle.root / FOLDER / name


def built_engines(bundle: Bundle) -> list[Path]:
    """The engines beside a bundle, whatever they were built for; not the locks and caches there."""
    return sorted((bundle.root / FOLDER).glob("*.engine"))


def built_precisions(bundle: Bundle) -> set[str]:
    """The precisions of engines that were built, on whatever machine, of the bundle's own files."""
    found = set()
    for engine in built_engines(bundle):
        with suppress(BundleError, BackendError):
            stamp = read_stamp(engine)
            if stamp.onnx_sha256 == onnx_sha256(bundle, stamp.precision):
                found.add(stamp.precision)
    return found


def stamp_path(engine: Path) -> Path:
    """The stamp's place beside an engine."""
    return engine.with_name(engine.name + ".json")


def build_command(bundle: Bundle, precision: str, profile: Profile | None = None) -> str:
    """The command that builds an engine on the machine it is typed on."""
    command = ["python", "-m", "export.tensorrt", "--bundle", str(bundle.root)]
    command += ["--precision", precision]
    if profile is not None:
        for name, value in asdict(profile).items():
            command += [f"--{name.replace('_', '-')}", str(value)]
    return shlex.join(command)


def read_stamp(engine: Path) -> Stamp:
    """The stamp of an engine.

    Raises:
        BundleError: there is none, or everything that is wrong with it.
    """
    path = stamp_path(engine)
    try:
        data = read_json(path)
    except (FileNotFoundError, NotADirectoryError):
        raise BundleError(f"{engine.name} has no stamp ({path.name}): not built here") from None
    except JsonProblem as error:
        raise BundleError(f"{path.name} {error}") from None
    if not isinstance(data, dict) or data.pop("stamp_version", None) != STAMP_VERSION:
        raise BundleError(
            f"{path.name} is not a stamp of version {STAMP_VERSION}: build the engine again"
        )
    problems = value_problems(data) + _problems(data, Stamp, "")
    if problems:
        raise BundleError(listed(path.name, problems))
    try:
        profile = Profile(**data.pop("profile"))
    except BackendError as error:
        raise BundleError(f"{path.name}: {error}") from None
    return Stamp(machine=Machine(**data.pop("machine")), profile=profile, **data)


def read_engine(engine: Path, stamp: Stamp) -> bytes:
    """The plan, if it is the one that was stamped.

    Raises:
        BundleError: it cannot be read, was cut off or changed.
    """
    try:
        if not stat.S_ISREG(engine.stat().st_mode):  # a pipe or a device may never end
            raise BundleError(f"{engine} is not a regular file: build it again")
        plan = engine.read_bytes()
    except OSError as error:
        raise BundleError(f"{engine} cannot be read: {os_reason(error)}") from None
    if len(plan) != stamp.engine_bytes:
        what = f"has {len(plan)} bytes instead of {stamp.engine_bytes}"
    elif sha256(plan).hexdigest() != stamp.engine_sha256:
        what = "was changed after it was built (SHA-256 differs)"
    else:
        return plan
    raise BundleError(f"{engine} {what}: build it again")


def engine_mismatches(
    stamp: Stamp, *, onnx_sha256: str, machine: Machine, max_batch: int | None = None
) -> list[str]:
    """Why an engine may not run: for each thing that differs, what it has and what it should.

    Args:
        stamp: what the engine was built from and for.
        onnx_sha256: of the artefact in the bundle.
        machine: the one to run on.
        max_batch: clips that may go through the network at once; None: any number.
    """
    out = []
    for name, has, should in (
        ("TensorRT", stamp.machine.tensorrt, machine.tensorrt),
        ("GPU", stamp.machine.gpu, machine.gpu),
        ("compute capability", stamp.machine.compute_capability, machine.compute_capability),
        (stamp.onnx_file, f"SHA-256 {stamp.onnx_sha256[:12]}", f"SHA-256 {onnx_sha256[:12]}"),
    ):
        if has != should:
            out.append(f"{name}: built for {has}, here {should}")
    if max_batch is not None and stamp.profile.min_batch > max_batch:
        out.append(f"batch: built for at least {stamp.profile.min_batch}, wanted {max_batch}")
    return out


def onnx_sha256(bundle: Bundle, precision: str) -> str:
    """SHA-256 of the ONNX file that an engine of that precision is made of, from bundle.json.

    Raises:
        BackendError: the bundle has none; says which it has.
    """
    artifact = bundle.artifacts.get(f"onnx.{precision}")
    if artifact is None:
        there = sorted(key for key, a in bundle.artifacts.items() if a.format == "onnx")
        raise BackendError(
            f"{bundle.root} has no onnx.{precision} to run with TensorRT; "
            f"it has: {', '.join(there) or 'no ONNX file'}"
        )
    return artifact.files[0].sha256


def choose_engine(
    bundle: Bundle, *, precision: str, machine: Machine, max_batch: int | None = None
) -> tuple[Path, Stamp]:
    """The engine to run: of those that fit, the one whose largest batch is nearest to `max_batch`.

    One that takes larger batches comes before one that takes smaller ones. None: the largest.

    Raises:
        BackendError: none fits; says what differs for each, and the command to build one.
    """
    sha = onnx_sha256(bundle, precision)
    fits: list[tuple[Path, Stamp]] = []
    refused: list[str] = []
    wanted = None
    for path in built_engines(bundle):
        try:
            stamp = read_stamp(path)
        except BundleError as error:
            refused.append(str(error))
            continue
        if stamp.precision != precision:
            refused.append(f"{path.name}: precision: built for {stamp.precision}, not {precision}")
            continue
        wrong = engine_mismatches(stamp, onnx_sha256=sha, machine=machine, max_batch=max_batch)
        if wrong:
            refused.append(f"{path.name}: {'; '.join(wrong)}")
            wanted = stamp.profile
        else:
            fits.append((path, stamp))
    if not fits:
        if wanted is not None and max_batch is not None and wanted.min_batch > max_batch:
            wanted = Profile(1, max_batch, max_batch)
        title = f"no {precision} engine in {bundle.root / FOLDER} may run here"
        raise BackendError(
            listed(title, refused or ["there is none"])
            + f"\nBuild one on this machine: {build_command(bundle, precision, wanted)}"
        )
    limit = max_batch or max(stamp.profile.max_batch for _, stamp in fits)

    def distance(fit: tuple[Path, Stamp]) -> tuple[bool, int]:
        most = fit[1].profile.max_batch
        return most < limit, abs(most - limit)

    return min(fits, key=distance)


def _problems(data: Mapping[str, Any], kind: type, where: str) -> list[str]:
    """What is missing, unknown or of the wrong type in the dictionary of a dataclass."""
    types = {f.name: str(f.type) for f in fields(kind)}
    out = [f"{where}{name} is missing" for name in types if name not in data]
    out += [f"{where}{name} is unknown" for name in data if name not in types]
    for name in [name for name in types if name in data]:
        value, want = data[name], types[name]
        nested = {"Machine": Machine, "Profile": Profile}.get(want)
        allowed = {"int": int, "float": (int, float), "str": str}.get(want, Mapping)
        if not isinstance(value, allowed) or isinstance(value, bool):  # type: ignore[arg-type]
            out.append(f"{where}{name} is {shown(value)}")
        elif nested is not None:
            out += _problems(value, nested, f"{where}{name}.")
    return out
