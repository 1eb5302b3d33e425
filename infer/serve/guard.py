"""Around all routes: tokens, headers, refused bodies that are still arriving, counts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from ..system.log import logger
from .metrics import Metrics
from .tokens import Tokens
from .uploads import Receive

log = logger(__name__)

Scope = MutableMapping[str, Any]
Send = Callable[[Any], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

OPEN = (
    "/",
    "/page.css",
    "/page.js",
    "/health/live",
    "/health/ready",
    "/v2/health/live",
    "/v2/health/ready",
)
"""Paths that need no token: they tell nothing about the model."""
DRAINED, DRAINING = 32 << 20, 5.0
"""Bytes, and seconds, of a refused body that are read before its connection is closed: a client
that is still sending when the connection is closed may lose the response."""
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src data:; media-src blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


class Guard:
    """The outermost application (ASGI)."""

    def __init__(self, app: App, metrics: Metrics, tokens: Tokens | None) -> None:
        self._app, self._metrics, self._tokens = app, metrics, tokens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send, self._metrics)
        try:
            if not self._is_allowed(scope):
                again = [(b"www-authenticate", b"Bearer")]
                why = "a token is needed: Authorization: Bearer TOKEN"
                await exchange.refuse(401, "token", why, again)
            elif _is_of_another_site(scope):
                await exchange.refuse(403, "site", "a page of another site may not send requests")
            else:
                if scope["method"] == "HEAD":  # the answer of GET; the server leaves its body out
                    scope = exchange.scope = {**scope, "method": "GET"}
                await self._app(scope, exchange.receive, exchange.send)
        except asyncio.CancelledError:
            # The grace time is over: what was accepted is answered all the same.
            if exchange.status:
                raise
            await exchange.refuse(503, "stopped", "the service was stopped before the answer")

    def _is_allowed(self, scope: Scope) -> bool:
        if self._tokens is None or scope["path"] in OPEN:
            return True
        found = [value for name, value in scope["headers"] if name == b"authorization"]
        return len(found) == 1 and self._tokens.allow(found[0].decode("latin-1"))


def _is_of_another_site(scope: Scope) -> bool:
    """Whether a browser sends this for a page of another site; a link to this one is no harm."""
    return scope["method"] == "POST" and (b"sec-fetch-site", b"cross-site") in scope["headers"]


def _has_body(scope: Scope) -> bool:
    """Whether a body is announced; one of GET must arrive as well, or its connection is closed."""
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value != b"0")
        for name, value in scope["headers"]
    )


class _Exchange:
    """One request and its response; `scope`: of the application, which names the route there."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, metrics: Metrics) -> None:
        self.status = 0
        self.scope = scope
        self._receive, self._send, self._metrics = receive, send, metrics
        self._arrived = not _has_body(scope)
        self._asked = False

    async def receive(self) -> Any:
        self._asked = True
        message = await self._receive()
        self._arrived = not message.get("more_body")  # of a disconnection too
        return message

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            close = [] if await self._drained() else [(b"connection", b"close")]
            headers = [(name.lower().encode(), text.encode()) for name, text in HEADERS.items()]
            message = {**message, "headers": [*message.get("headers", ()), *headers, *close]}
            route = getattr(self.scope.get("route"), "path", "other")
            self._metrics.request(route, self.status)
        await self._send(message)

    async def refuse(
        self, status: int, kind: str, reason: str, headers: list[tuple[bytes, bytes]] | None = None
    ) -> None:
        self._metrics.refused(kind)
        body = json.dumps({"error": reason, "kind": kind}).encode()
        about = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        start = {"type": "http.response.start", "status": status}
        await self.send({**start, "headers": about + (headers or [])})
        await self.send({"type": "http.response.body", "body": body})

    async def _drained(self) -> bool:
        """Whether the whole body has arrived, after a while."""
        waits = any(name == b"expect" for name, _ in self.scope["headers"])
        if waits and not self._asked:
            return self._arrived  # the client sends nothing before it is told to
        until = asyncio.get_running_loop().time() + DRAINING
        left = DRAINED
        while not self._arrived and left > 0:
            try:
                seconds = max(until - asyncio.get_running_loop().time(), 0)
                message = await asyncio.wait_for(self.receive(), seconds)
            except asyncio.TimeoutError:
                break
            left -= len(message.get("body", b""))
        return self._arrived
