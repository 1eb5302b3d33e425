"""Show which backends run here, and why the others cannot: `python -m infer.doctor [--bundle DIR]`.

Packages are tried in processes of their own, so that a broken one is a line of the report. Exit
status: 0 something can run (with --bundle: that bundle can), 1 nothing can, 2 wrong use.
"""

from __future__ import annotations

import json
import platform
import sys
import textwrap
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # run as a file: Python put infer/ first, the package is above it
    sys.path[0] = str(Path(__file__).resolve().parent.parent)
    import infer

    __package__ = infer.__name__

from .bundle.bundle import Bundle
from .command.parser import Parser
from .command.runner import command, run_and_exit
from .containers.decoder import NAMES, check_decoder, differing_libraries, shown_versions
from .libraries.install import pip_install
from .libraries.versions import OLDEST, is_older
from .runtimes.of_bundle import answer_lines, of_bundle
from .runtimes.registry import BACKENDS, backend_packages, oldest_packages, rival_packages
from .runtimes.statuses import statuses
from .system import subprocess_call
from .system.errors import ClipDuetError
from .system.hardware import cores, cpu, nvidia_gpus
from .system.subprocess_call import ask
from .system.terminal import counted, has_stdout, printable

PROG = f"python -m {__package__}.doctor"
BASE = ("numpy", "cv2", "av")
"""What every prediction imports."""
NAMES_TO_INSTALL = {"cv2": "opencv-python-headless"}
"""Of those packages that are not called as they are imported."""
PACKAGES = (
    *("clipduet", "numpy", "opencv-python-headless", "opencv-python", "av"),
    *backend_packages(),
    *("onnx", "paddle2onnx"),
)
RIVALS = (("opencv-python-headless", "opencv-python"), *rival_packages())
"""Packages that own the same files: those of the one installed last are there."""


def examine(folder: str | Path | None = None, *, seconds: float = 60) -> dict[str, Any]:
    """All that the report says, ready for JSON.

    Args:
        folder: a bundle's, to say what could run it; or None.
        seconds: a package that has not answered by then counts as broken.

    Raises:
        BundleError: no bundle there, or everything wrong with its description.
    """
    bundle = Bundle.load(folder) if folder is not None else None
    with ThreadPoolExecutor(max(2, cores())) as pool:
        asked = pool.map(
            lambda name: ask(subprocess_call.__name__, "version_of", [name], seconds=seconds),
            BASE,
        )
        gpus = pool.submit(ask, f"{__package__}.doctor", "gpus", seconds=seconds)
        decoder = pool.submit(
            ask, f"{__package__}.containers.decoder", "installed", seconds=seconds
        )
        found = statuses(seconds=seconds)
        base = dict(zip(BASE, asked, strict=True))
    packages = _packages()
    problems = [
        f"{name} {answer.problem}; without it nothing runs. To install it again: "
        + pip_install(NAMES_TO_INSTALL.get(name, name), options="--force-reinstall")
        for name, answer in base.items()
        if answer.problem is not None
    ]
    reads = not problems
    for first, second in RIVALS:
        if first in packages and second in packages:
            problems.append(
                f"{first} and {second} are both installed and own the same files; keep one: "
                f"pip uninstall {first} {second}, then install the one you want"
            )
    here: dict[str, str] = decoder.result().value or {}
    try:
        check_decoder(here.get("av", ""))
    except ClipDuetError as error:
        problems.append(str(error))
        reads = False
    problems += _too_old(packages)
    report: dict[str, Any] = {
        "python": platform.python_version(),
        "executable": sys.executable,
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": asdict(cpu()),
        "gpus": gpus.result().value
        or {"found": [], "cuda": None, "problem": gpus.result().problem},
        "packages": packages,
        "decoder": {"installed": here, "oldest": _oldest(), "reads": reads},
        "backends": [asdict(status) for status in found],
    }
    if bundle is not None:
        report["bundle"] = of_bundle(bundle, found, set(report["cpu"]["features"]), seconds=seconds)
        report["bundle"]["decoder"] = {
            "recorded": dict(bundle.decoder),
            "differs": differing_libraries(bundle.decoder, here),
        }
        problems += report["bundle"].pop("problems")
    report["problems"] = problems
    return report


def gpus() -> dict[str, Any]:
    """The GPUs, for a process that only JSON leaves."""
    return asdict(nvidia_gpus())


def can_run(report: dict[str, Any]) -> bool:
    """Whether a backend runs, and the bundle in it if one was given, and videos can be read."""
    if not report["decoder"]["reads"]:
        return False
    if "bundle" in report:
        return any(report["bundle"]["runs"].values())
    return any(status["runs"] for status in report["backends"])


def _oldest() -> dict[str, str]:
    """The oldest versions of what reads and resizes, named as by `installed`."""
    return {"av": OLDEST["av"], "opencv": OLDEST["opencv-python-headless"]}


def _too_old(packages: dict[str, str]) -> list[str]:
    """Packages older than any that was tested; PyAV is refused elsewhere."""
    return [
        f"{name} {packages[name]} is older than {oldest}, the oldest that was tested: answers may "
        f"differ or be wrong. To change that: {pip_install(name)}"
        for name, oldest in {**OLDEST, **oldest_packages()}.items()
        if name != "av" and name in packages and is_older(packages[name], oldest)
    ]


def _packages() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = str(version(name) or "unknown version")
        except PackageNotFoundError:
            continue
        except Exception as error:  # metadata may hold anything
            found[name] = f"broken metadata ({type(error).__name__})"
    return found


def report_lines(report: dict[str, Any]) -> Iterator[str]:
    """The report for people."""
    yield f"Python    {report['python']} ({report['executable']}), {report['system']}"
    processor = report["cpu"]
    yield from _wrapped(
        f"CPU       {processor['name']}, {counted(processor['cores'], 'core')} to use: "
        f"{' '.join(processor['features']) or 'no features told'}"
    )
    gpus = report["gpus"]
    cuda = f"; the driver supports CUDA {gpus['cuda']}" if gpus["cuda"] else ""
    for gpu in gpus["found"]:
        size = f"{gpu['memory'] / 2**30:.1f} GiB"
        yield f"GPU       {gpu['number']}: {gpu['name']}, {gpu['capability']}, {size}{cuda}"
    if not gpus["found"]:
        yield from _wrapped(f"GPU       none: {gpus['problem']}{cuda}")
    shown = ", ".join(f"{name} {number}" for name, number in report["packages"].items())
    yield from _wrapped(f"packages  {shown or 'none'}")
    decoder = report["decoder"]
    if decoder["installed"]:
        here = shown_versions(decoder["installed"])
        needed = ", ".join(f"{NAMES[name]} {oldest}" for name, oldest in decoder["oldest"].items())
        yield from _wrapped(f"decoder   {here}; needed: {needed} or newer")
    yield ""
    yield "backends"
    for status in report["backends"]:
        head = f"  {status['backend']:<21}"
        if status["runs"]:
            yield f"{head}runs  {status['version'] or ''}".rstrip()
            continue
        yield from _wrapped(f"{head}no    {status['reason']}", 29)
        if status["remedy"]:
            later = BACKENDS[status["backend"]].gpu and not gpus["found"]
            yield f"{'':29}{'with a GPU' if later else 'try'}: {status['remedy']}"
    if "bundle" in report:
        yield ""
        yield from _bundle_lines(report["bundle"])
    for problem in report["problems"]:
        yield ""
        yield from _wrapped(f"problem   {problem}")


def _bundle_lines(bundle: dict[str, Any]) -> Iterator[str]:
    yield f"bundle    {bundle['folder']} ({bundle['name']})"
    for backend, cells in bundle["runs"].items():
        shown = ", ".join(f"{precision} ({key})" for precision, key in cells.items())
        engines = BACKENDS[backend].engines
        lacks = "engine of its files" if engines else "artefact for it"
        yield from _wrapped(f"  {backend:<21}{shown or f'nothing: it has no {lacks}'}", 23)
        if engines:
            command = f"python -m export.tensorrt --bundle {bundle['folder']} --precision fp16"
            yield f"{'':23}engines: {', '.join(bundle['engines']) or f'none yet: {command}'}"
    if not bundle["runs"]:
        yield "  nothing can run it here"
    for line in answer_lines(bundle["known_answers"]):
        yield from _wrapped(f"  {'known answers':<21}{line}", 23)
    for key, reason in bundle["left_out"].items():
        text = " ".join(f"{key}: {reason}".split())
        yield from _wrapped(f"  {'left out at export':<21}{text}", 23)
    recorded = shown_versions(bundle["decoder"]["recorded"]) or "not recorded"
    differs = bundle["decoder"]["differs"]
    note = f"; another major version: {', '.join(differs)}: pixels may differ" if differs else ""
    yield from _wrapped(f"  {'decoder at export':<21}{recorded}{note}", 23)


def _wrapped(text: str, indent: int = 10) -> list[str]:
    return textwrap.wrap(
        text,
        width=100,
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
        replace_whitespace=False,
    )


@command()
def main(argv: Sequence[str] | None = None, *, prog: str = PROG) -> int:
    """The command line, which calls itself `prog`; returns the exit status."""
    parser = Parser(
        prog=prog,
        description="Show what is installed, which devices are seen, what can run and what cannot.",
        epilog="Exit status: 0 something can run (with --bundle: that bundle can), 1 nothing can, "
        "2 wrong use.",
    )
    parser.add_argument("--bundle", metavar="DIR", help="say also what could run this bundle")
    parser.add_argument("--format", choices=("text", "json"), default="text")
    args = parser.parse_args(argv)
    if not has_stdout():
        raise ClipDuetError("standard output is closed")
    report = examine(args.bundle)
    text = (
        json.dumps(report, indent=2) if args.format == "json" else "\n".join(report_lines(report))
    )
    print(printable(text, keep="\n"), flush=True)
    return 0 if can_run(report) else 1


if __name__ == "__main__":
    run_and_exit(main)
