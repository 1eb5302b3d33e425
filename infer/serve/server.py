"""The process around the application: sockets, slow connections, signals."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Iterator
from types import FrameType
from typing import Any

from ..system.errors import ClipDuetError, os_reason
from ..system.signals import SIGNALS, Stopped, handled
from .guard import Guard
from .service import Service

HEADERS = 10.0
"""Seconds in which the head of a request must arrive."""
SENDING = 30.0
"""Seconds that a client may leave a response unread."""
KEPT_ALIVE = 75
"""Seconds that a connection is kept without a request. Longer than clients and proxies keep theirs
(5 to 60 seconds): who closes first may close it under a request."""
CONNECTIONS = 512
"""Connections at once; more get 503."""
HEAD_BYTES = 16 << 10
"""Of the head of a request."""
CHUNKS, CHUNK_BYTES = 1000, 256
"""Chunks of a body that may be as small as can be, and what the others have on average. Each takes
as much time as the head of a request, and others wait meanwhile."""
_BACKLOG = 256


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens; clients are accepted later.

    Raises:
        ClipDuetError: the address cannot be taken.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        made = socket.socket(family, kind, protocol)
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind(address)
            made.listen(_BACKLOG)
        except BaseException:
            made.close()
            raise
    except OSError as error:
        why = os_reason(error)
        raise ClipDuetError(f"--host {host} --port {port} cannot be listened on: {why}") from None
    return made


def address_of(made: socket.socket) -> str:
    """The address of a listening socket, for a browser."""
    host, port = made.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def is_local(made: socket.socket) -> bool:
    """Whether only this machine reaches a listening socket."""
    host = str(made.getsockname()[0])
    return host == "::1" or host.startswith("127.")


def run(app: Guard, service: Service, made: socket.socket, *, grace: float) -> None:
    """Answer requests until a signal comes, then finish what was accepted.

    Args:
        app: the application.
        service: of the application.
        made: of `listening`.
        grace: seconds for what was accepted.

    Raises:
        Stopped: by SIGTERM or SIGHUP.
        KeyboardInterrupt: by SIGINT.
    """
    import uvicorn

    class Server(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield  # they are handled here

    server = Server(configuration(app, grace))
    stops: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        service.stopping = True
        stops.append(number)
        server.handle_exit(number, frame)

    with handled((signal.SIGINT, *SIGNALS), stop):
        asyncio.run(server.serve([made]))
    if stops and stops[0] != signal.SIGINT:
        raise Stopped(stops[0])
    if stops:
        raise KeyboardInterrupt


def configuration(app: Guard, grace: float) -> Any:
    """Settings of uvicorn."""
    import uvicorn

    return uvicorn.Config(
        app,
        http=_patient_protocol(),
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        log_level="error",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        limit_concurrency=CONNECTIONS,
        timeout_keep_alive=KEPT_ALIVE,
        timeout_graceful_shutdown=max(round(grace), 1),
        h11_max_incomplete_event_size=HEAD_BYTES,
    )


def _patient_protocol() -> type[asyncio.Protocol]:
    """The protocol of uvicorn, which gives up on clients that send or read nothing.

    By itself it waits for the head of a request, and for a client that does not read, for ever;
    also where the connection is to be closed and the client has not read the rest.
    """
    import h11
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class Connection(h11.Connection):
        _chunks = _bytes = 0

        def next_event(self) -> Any:
            event = super().next_event()
            if isinstance(event, h11.Request):
                self._chunks = self._bytes = 0
            elif isinstance(event, h11.Data) and event.chunk_end:
                self._chunks += 1
                self._bytes += len(event.data)
                if self._chunks > CHUNKS + self._bytes // CHUNK_BYTES:
                    raise h11.RemoteProtocolError("the body is in too many small chunks")
            return event

    class Patient(H11Protocol):
        _head: asyncio.TimerHandle | None = None
        _unread: asyncio.TimerHandle | None = None
        _closing: asyncio.TimerHandle | None = None

        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self.conn = Connection(h11.SERVER, HEAD_BYTES)

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._expect_head()
            self._look_for_the_end(False)

        def data_received(self, data: bytes) -> None:
            # A head that is too long is found before all of it is parsed.
            while self.conn.their_state is h11.IDLE and len(data) > HEAD_BYTES:
                super().data_received(data[:HEAD_BYTES])
                data = data[HEAD_BYTES:]
                if self.transport.is_closing():
                    return
            super().data_received(data)
            self._expect_rest()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            self._expect_rest()

        def connection_lost(self, exc: Exception | None) -> None:
            self._cancel()
            if self._closing is not None:
                self._closing.cancel()
            self.resume_writing()
            super().connection_lost(exc)

        def pause_writing(self) -> None:
            super().pause_writing()
            self._unread = self.loop.call_later(SENDING, self.transport.abort)

        def resume_writing(self) -> None:
            if self._unread is not None:
                self._unread.cancel()
                self._unread = None
            super().resume_writing()

        def _look_for_the_end(self, before: bool) -> None:
            """Abort a connection that was to be closed at the last look already."""
            closing = self.transport.is_closing()
            if closing and before:
                self.transport.abort()
            else:
                self._closing = self.loop.call_later(SENDING, self._look_for_the_end, closing)

        def _expect_rest(self) -> None:
            """Of a head that has begun to arrive."""
            if self.conn.their_state is not h11.IDLE:
                self._cancel()
            elif self._head is None and self.conn.trailing_data[0]:
                self._expect_head()

        def _expect_head(self) -> None:
            self._cancel()
            self._head = self.loop.call_later(HEADERS, self._give_up)

        def _give_up(self) -> None:
            if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
                self.transport.close()

        def _cancel(self) -> None:
            if self._head is not None:
                self._head.cancel()
                self._head = None

    return Patient
