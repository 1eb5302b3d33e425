"""Requests that are not answered with a prediction, and what the client is told instead."""

from __future__ import annotations

import errno
import re
from collections.abc import Mapping

FAILED = "the service failed; its log says why"
"""The reason where it is no fault of the client."""
STATUS = {"stopped": 503, "network": 500}
"""Of HTTP, for the kinds of failures of a video; 422 for all others."""

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_OPTION = re.compile(r" \(--[\w-]+(?: of predict)?\)")


class Refused(Exception):
    """A request that ends with an error.

    Attributes:
        status: of HTTP.
        kind: a word for programs.
        reason: a sentence for people.
        headers: of the response, beside the usual ones.
    """

    def __init__(
        self, status: int, kind: str, reason: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(reason)
        self.status, self.kind, self.reason = status, kind, reason
        self.headers = dict(headers or {})

    def body(self) -> dict[str, str]:
        """The response as JSON."""
        return {"error": self.reason, "kind": self.kind}


def of_system(error: OSError) -> Refused:
    """What a client is told where the system refuses something to the service."""
    if error.errno in _NO_ROOM:
        again = {"Retry-After": "10"}  # other uploads are removed
        return Refused(503, "storage", "there is no room for the upload; try again later", again)
    return Refused(500, "service", FAILED)


class ClientGone(Exception):
    """The client has closed the connection: nobody waits for an answer."""


def told_to_client(reason: str) -> str:
    """Why a video gives no answer, without what is only for the one who runs the service.

    Args:
        reason: of a `VideoError`: it may name options of commands, or quote what a process that
            crashed wrote.
    """
    return _OPTION.sub("", reason).partition("; it said: ")[0]
