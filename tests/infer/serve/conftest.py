"""Services in this process, behind real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from infer.api import load
from infer.containers.limits import Limits
from infer.isolation.reading import IsolatedReading
from infer.serve.app import application
from infer.serve.limits import ServiceLimits
from infer.serve.server import address_of, configuration, listening
from infer.serve.service import Service
from infer.serve.tokens import Tokens
from tests.tiny_bundle import colour_frames, write_bundle


@pytest.fixture(autouse=True, scope="session")
def installed() -> None:
    pytest.importorskip("fastapi", reason="the extra serve is not installed")
    pytest.importorskip("uvicorn", reason="the extra serve is not installed")


@dataclass
class Running:
    """A service: its address, what is inside, and a client."""

    url: str
    service: Service
    client: httpx.Client
    server: Any

    def post(self, content: Any = None, path: str = "/predict", **options: Any) -> httpx.Response:
        return self.client.post(path, content=content, **options)

    def counted(self, name: str, **labels: str) -> float:
        value = self.service.metrics.registry.get_sample_value(name, labels)
        return 0.0 if value is None else value


@contextlib.contextmanager
def serving(
    bundle: Path,
    folder: Path,
    *,
    limits: ServiceLimits | None = None,
    videos: Limits | None = None,
    seconds: float = 60,
    memory: int = 2 << 30,
    tokens: Tokens | None = None,
) -> Iterator[Running]:
    import uvicorn

    limits = limits or ServiceLimits(workers=1)
    folder.mkdir(exist_ok=True)
    with contextlib.ExitStack() as opened:
        made = opened.enter_context(listening("127.0.0.1", 0))
        url = address_of(made)
        reading = opened.enter_context(
            IsolatedReading(
                limits.workers, limits=videos or Limits(), seconds=seconds, memory=memory
            )
        )
        model = opened.enter_context(load(bundle, backend="onnxruntime", threads=1))
        service = Service(model, reading, limits, folder)
        opened.callback(service.close)
        server = uvicorn.Server(configuration(application(service, tokens), 5))
        thread = threading.Thread(target=lambda: asyncio.run(server.serve([made])))
        thread.start()
        try:
            with httpx.Client(base_url=url, timeout=120, trust_env=False) as client:
                yield Running(url, service, client, server)
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="session")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny bundle for all tests of the service."""
    return write_bundle(tmp_path_factory.mktemp("colours") / "bundle")


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory, write_clip: Callable[..., Path]) -> Path:
    """A folder with red.mp4, green.mp4, blue.mkv, and some that give no answer."""
    folder = tmp_path_factory.mktemp("videos")
    for name in ("red.mp4", "green.mp4", "blue.mkv"):
        write_clip(folder / name, colour_frames(name.partition(".")[0], 6))
    (folder / "broken.mp4").write_bytes(b"no video at all")
    whole = write_clip(folder / "cut.mkv", colour_frames("green", 60, 64)).read_bytes()
    (folder / "cut.mkv").write_bytes(whole[: len(whole) * 2 // 3])
    return folder


@pytest.fixture(scope="module")
def running(colours: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service with the usual limits."""
    with serving(colours, tmp_path_factory.mktemp("uploads")) as service:
        yield service


@pytest.fixture
def serve(colours: Path, tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """`serve(limits=..., tokens=...)`: a service of one's own."""
    with contextlib.ExitStack() as opened:
        yield lambda **options: opened.enter_context(
            serving(options.pop("bundle", colours), tmp_path / "uploads", **options)
        )


def wait_until(holds: Callable[[], object]) -> None:
    until = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < until, "it never came to that"
        time.sleep(0.01)


# Takes PyAV's place in every process that is started: what happens is in the file's first bytes.
BROKEN_DECODER = """
import os, signal, time
import av

real = av.open

def opened(file, *args, **options):
    with open(str(file).removeprefix("file:"), "rb") as video:
        begin = video.read(4)
    if begin == b"segv":
        os.write(2, b"it crashed at /secret/path\\n")
        os.kill(os.getpid(), signal.SIGSEGV)
    if begin == b"hang":
        time.sleep(1000)
    if begin == b"eats":
        bytearray(8 << 30)
    if begin == b"slow":
        time.sleep(1)
    return real(file, *args, **options)

av.open = opened
"""


@pytest.fixture
def broken_decoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "path"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(BROKEN_DECODER)
    monkeypatch.setenv("PYTHONPATH", str(folder))
