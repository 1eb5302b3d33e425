"""A real Triton server as a process of its own, of the wheel `nvidia-pytriton`.

The wheel holds the server and its Python backend, and no other backend. It is installed in an
environment of its own, `make triton-server`: that backend needs NumPy 1, ClipDuet has NumPy 2.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import infer
from benchmarks.common.errors import BenchmarkError

VARIABLE = "CLIPDUET_TRITON"
"""Names the environment, where it is another than `make triton-server` makes."""
STUB = "triton_python_backend_stub"
_ABOUT = """
import json, sysconfig
print(json.dumps([sysconfig.get_python_version(), *map(str, (
    sysconfig.get_config_var("LIBDIR"), sysconfig.get_path("purelib")))]))
"""
_START = 540.0
"""Seconds until it must be ready, on a machine that is busy."""


@dataclass(frozen=True)
class Installed:
    """An environment with a Triton server.

    Attributes:
        python: its interpreter, which runs the models, and has the client.
        server: folder of the server, with its backends.
        stub: of the Python backend, for this interpreter.
        libraries: folders of shared libraries that the stub needs.
    """

    python: Path
    server: Path
    stub: Path
    libraries: tuple[Path, ...]


@dataclass(frozen=True)
class TritonServer:
    """A running server.

    Attributes:
        http: its address for HTTP, host and port.
        grpc: the same for gRPC.
        metrics: the address of its counters.
        process: its number.
        log: the file with what it says.
    """

    http: str
    grpc: str
    metrics: str
    process: int
    log: Path


def installed() -> Installed:
    """The environment with the server.

    Raises:
        BenchmarkError: there is none here.
    """
    folder = Path(os.environ.get(VARIABLE) or Path(sys.prefix) / "triton")
    python = folder / "bin" / "python3"
    if not python.exists():
        raise BenchmarkError(f"no Triton server here, {folder} is missing: make triton-server")
    done = subprocess.run([python, "-I", "-c", _ABOUT], capture_output=True, text=True, check=True)
    version, libdir, packages = json.loads(done.stdout)
    server = Path(packages) / "pytriton" / "tritonserver"
    stub = server / "python_backend_stubs" / version / STUB
    if not stub.is_file():
        raise BenchmarkError(
            f"{folder} has no Triton server for Python {version} (nvidia-pytriton)"
        )
    libraries = (Path(libdir), Path(packages) / "nvidia_pytriton.libs")
    return Installed(python, server, stub, libraries)


def environment(where: Installed, folder: Path) -> dict[str, str]:
    """For a server whose models run in that interpreter, with their temporary files in `folder`."""
    libraries = [*map(str, where.libraries), os.environ.get("LD_LIBRARY_PATH", "")]
    # Python in the server finds its environment by the `python3` that comes first.
    programs = [str(where.python.parent), os.environ.get("PATH", "")]
    return {
        **os.environ,
        "LD_LIBRARY_PATH": os.pathsep.join(filter(None, libraries)),
        "TMPDIR": str(folder),
        "PATH": os.pathsep.join(filter(None, programs)),
    }


def write_backends(where: Installed, folder: Path) -> Path:
    """Make a folder of backends: Python, with the stub of that interpreter and this ClipDuet."""
    python = folder / "backends" / "python"
    python.mkdir(parents=True, exist_ok=True)
    for file in [*(where.server / "backends" / "python").glob("*.*"), where.stub]:
        shutil.copyfile(file, python / file.name)
        os.chmod(python / file.name, 0o755)
    # Models import from this folder; PYTHONPATH is not looked at.
    with contextlib.suppress(FileExistsError):
        (python / "clipduet").symlink_to(Path(str(infer.__file__)).parent)
    return folder / "backends"


def server_command(where: Installed, folder: Path, ports: Sequence[int]) -> list[str]:
    """The command line of a server on the loopback, but for its models.

    Args:
        where: its environment.
        folder: where its backends are put.
        ports: for HTTP, gRPC and metrics.
    """
    http, grpc, metrics = map(str, ports)
    return [
        str(where.server / "bin" / "tritonserver"),
        f"--backend-directory={write_backends(where, folder)}",
        # The usual 30 seconds are short on a busy machine, and this server crashes after them.
        "--backend-config=python,stub-timeout-seconds=300",
        *("--http-address=127.0.0.1", f"--http-port={http}"),
        *("--grpc-address=127.0.0.1", f"--grpc-port={grpc}"),
        *("--metrics-address=127.0.0.1", f"--metrics-port={metrics}", "--allow-gpu-metrics=false"),
    ]


@contextlib.contextmanager
def triton_server(
    repositories: Sequence[Path], folder: Path, options: Sequence[str] = ()
) -> Iterator[TritonServer]:
    """Start a server on free ports of the loopback, wait until it is ready, and end it.

    Args:
        repositories: of models.
        folder: for its backends, its log and temporary files.
        options: further ones of `tritonserver`.

    Raises:
        BenchmarkError: there is no server, it does not become ready, or does not end in order.
    """
    where, ports = installed(), free_ports(3)
    command = [
        *server_command(where, folder, ports),
        *(f"--model-repository={one}" for one in repositories),
        *options,
    ]
    log = folder / "tritonserver.log"
    with log.open("wb") as said:
        process = subprocess.Popen(
            command,
            stdout=said,
            stderr=said,
            stdin=subprocess.DEVNULL,
            env=environment(where, folder),
        )
    http, grpc, metrics = (f"127.0.0.1:{port}" for port in ports)
    server = TritonServer(http, grpc, metrics, process.pid, log)
    try:
        _wait_ready(server, process)
        yield server
        process.send_signal(signal.SIGTERM)
        if process.wait(120) != 0:
            raise BenchmarkError(f"the server ended with {process.returncode}: {_end_of(log)}")
    finally:
        # Its Python processes end with it: they watch it.
        process.kill()
        process.wait()


def http_response(
    server: TritonServer, path: str, *, data: bytes | None = None, timeout: float
) -> Any:
    """The response of a server to a request, as of `urlopen`; proxies are not asked."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    return opener.open(f"http://{server.http}/v2/{path}", data, timeout)


def _wait_ready(server: TritonServer, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + _START
    while time.monotonic() < until:
        if process.poll() is not None:
            raise BenchmarkError(
                f"the server ended with {process.returncode}: {_end_of(server.log)}"
            )
        with contextlib.suppress(OSError), http_response(server, "health/ready", timeout=10):
            return
        time.sleep(0.2)
    raise BenchmarkError(f"the server is not ready: {_end_of(server.log)}")


def _end_of(log: Path) -> str:
    lines = log.read_text("utf-8", "replace").splitlines()
    return "\n".join(line for line in lines if not line.startswith(("|", "+")))[-4000:]


def free_ports(count: int) -> list[int]:
    """Different ports of the loopback that nobody uses now."""
    with contextlib.ExitStack() as opened:
        made = [opened.enter_context(socket.socket()) for _ in range(count)]
        for one in made:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in made]
