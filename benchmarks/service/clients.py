"""Many clients at once, over the loopback: each sends a request and checks what comes back."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from benchmarks.service.bodies import GOOD, KILLED, RIGHT, SLOW, Body

TIMEOUT = 300.0
"""Seconds that a client waits for its answer."""
_ANSWERS = re.compile(r'^clipduet_requests_total\{route="/predict",[^}]*\} (\S+)$', re.M)


@dataclass(frozen=True)
class Outcome:
    """What one request came to.

    Attributes:
        body: what was sent.
        status: of HTTP; 0: there was no answer.
        seconds: from the first byte sent to the answer.
        verdict: RIGHT; KILLED: a good file whose process was killed; or what is wrong.
    """

    body: Body
    status: int
    seconds: float
    verdict: str


async def ask_all(address: str, plan: Sequence[Body], *, clients: int) -> list[Outcome]:
    """Send all requests of a plan, each once.

    Args:
        address: of the service.
        plan: what is sent, in about this order.
        clients: how many send at once.
    """
    import httpx

    _no_line_for_each_request()
    left = iter(plan)
    limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients)
    async with httpx.AsyncClient(limits=limits, timeout=TIMEOUT, trust_env=False) as client:
        each = await asyncio.gather(*(_ask(client, address, left) for _ in range(clients)))
    return [outcome for outcomes in each for outcome in outcomes]


def counted_answers(address: str) -> int:
    """Responses to /predict that the service has counted itself."""
    import httpx

    _no_line_for_each_request()
    page = httpx.get(f"{address}/metrics", timeout=TIMEOUT, trust_env=False).text
    return round(sum(map(float, _ANSWERS.findall(page))))


def _no_line_for_each_request() -> None:
    logging.getLogger("httpx").setLevel(logging.WARNING)


async def _ask(client: Any, address: str, left: Iterator[Body]) -> list[Outcome]:
    import httpx

    found = []
    for body in left:
        start = time.perf_counter()
        status, content = 0, None
        try:
            if body.group == SLOW:
                status = await _stop_sending(address, body)
            else:
                answer = await client.post(
                    f"{address}/predict", content=body.content, headers=dict(body.headers)
                )
                status, content = answer.status_code, answer.json()
        except (httpx.HTTPError, OSError, ValueError) as error:
            content = {"error": f"{type(error).__name__}: {error}"}
        seconds = time.perf_counter() - start
        found.append(Outcome(body, status, seconds, verdict(body, status, content)))
    return found


async def _stop_sending(address: str, body: Body) -> int:
    """The status that a client gets that sends half of what it has announced."""
    url = urlsplit(address)
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    try:
        head = f"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: {2 * len(body.content)}"
        writer.write(head.encode() + b"\r\n\r\n" + body.content)
        await writer.drain()
        line = await asyncio.wait_for(reader.readline(), TIMEOUT)
        return int(line.split()[1]) if line else 0
    finally:
        writer.close()


def verdict(body: Body, status: int, content: Any) -> str:
    """Whether an answer is right; see `Outcome.verdict`."""
    if not isinstance(content, dict):
        content = {}
    if status == 0:
        return f"no answer: {content.get('error', 'the connection was closed')}"
    results = content.get("results")
    first = results[0] if isinstance(results, list) and results else {}
    if body.result is not None and status == 422 and first.get("kind") == "crash":
        return KILLED if body.group == GOOD or "SIGKILL" in str(first["error"]) else "crash"
    if status not in body.statuses:
        return f"status {status}, not {' or '.join(map(str, body.statuses))}"
    if body.result is None:
        return RIGHT
    names = ("label", "index", "score", "topk", "warning", "error")
    if [first.get(name) for name in names] != [body.result.get(name) for name in names]:
        return "another answer than predict's"
    return RIGHT
