"""Bearer tokens of the HTTP transport: a generated one in the home, or whatever an authenticator accepts."""

from __future__ import annotations

import hmac
import os
import secrets
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path

from mcp_scheduler.errors import NotAllowed

Authenticator = Callable[[str], Awaitable[str | None]]
"""A token → its subject, the principal of the request; None if the token is not good."""


def read_or_make_token(file: Path) -> str:
    """The token in `file` (mode 0600), generated at first use. Errors: `NotAllowed` if others could read it."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        return _read(file)
    token = secrets.token_urlsafe(32)
    with os.fdopen(descriptor, "w") as written:
        written.write(token + "\n")
    return token


def token_authenticator(token: str, subject: str = "http") -> Authenticator:
    """Accepts one token, which stands for one subject."""
    expected = token.encode()

    async def authenticate(given: str) -> str | None:
        return subject if hmac.compare_digest(given.encode("utf-8", "replace"), expected) else None

    return authenticate


def _read(file: Path) -> str:
    found = file.lstat()
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise NotAllowed(
            f"{file} holds the token of the HTTP transport, but it is not a file that only you can read.",
            hint="Delete it: a new one is made at the next start.",
        )
    token = file.read_text().strip()
    if not token:
        raise NotAllowed(f"{file} is empty.", hint="Delete it: a new one is made at the next start.")
    return token
