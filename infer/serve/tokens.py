"""Bearer tokens: who may use the service."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from pathlib import Path

from ..system.errors import ClipDuetError, listed, os_reason

SHORTEST = 16
"""Characters of a token; shorter ones can be guessed."""
_MOST_BYTES = 1 << 20


class Tokens:
    """The tokens that are allowed, as hashes."""

    def __init__(self, tokens: Iterable[str]) -> None:
        self._known = [_digest(token) for token in tokens]

    def __len__(self) -> int:
        return len(self._known)

    def allow(self, authorization: str) -> bool:
        """Whether a header `Authorization` has one of them.

        How long it takes says nothing about the tokens: hashes are compared, always all of them.
        """
        scheme, _, token = authorization.partition(" ")
        given = _digest(token.strip())
        found = False
        for known in self._known:
            found |= hmac.compare_digest(known, given)
        return found and scheme.lower() == "bearer"


def read_tokens(file: str | Path) -> Tokens:
    """The tokens of a file: one a line; empty lines and those that begin with # are left out.

    Raises:
        ClipDuetError: it cannot be read, has none, or has some that are no good.
    """
    path = Path(file)
    try:
        with path.open("rb") as opened:
            text = opened.read(_MOST_BYTES).decode()
    except OSError as error:
        raise ClipDuetError(f"--tokens {path}: {os_reason(error)}") from None
    except UnicodeDecodeError:
        raise ClipDuetError(f"--tokens {path} is no text file") from None
    tokens, problems = [], []
    for number, line in enumerate(text.splitlines(), 1):
        token = line.strip()
        if not token or token.startswith("#"):
            continue
        # The token itself is not quoted: messages end in logs.
        if len(token) < SHORTEST:
            problems.append(f"line {number} has {len(token)} characters, fewer than {SHORTEST}")
        elif not (token.isascii() and token.isprintable() and " " not in token):
            problems.append(f"line {number} has a space or characters that are not ASCII")
        tokens.append(token)
    if problems:
        raise ClipDuetError(listed(f"--tokens {path}", problems))
    if not tokens:
        raise ClipDuetError(f"--tokens {path} has no token; write one a line")
    return Tokens(tokens)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogateescape")).digest()
