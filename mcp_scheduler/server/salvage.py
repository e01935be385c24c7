"""A line that is no valid message may still name the request it was meant to be: then it is answered, not dropped."""

from __future__ import annotations

import json
import re
from typing import Any, Final

_READ: Final = 256 * 1024  # bytes of a line that are looked at from its beginning: a scan must not hold up the loop
_TAIL: Final = 400  # bytes looked at from the end, where some clients put the id
_LAST_ID: Final = re.compile(
    rb',\s*"id"\s*:\s*("(?:[^"\\]|\\.)*"|-?\d{1,30})\s*(?:,\s*"jsonrpc"\s*:\s*"2\.0"\s*)?\}\s*$'
)
_TOKEN: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\]:,]|[^\s{}\[\]:,"]+')


def request_of(line: bytes) -> tuple[int | str | None, str]:
    """The id and the method of the request in `line`, as far as they can be made out: (None, "") if not at all.

    Reads the outermost object only, without building anything: depth and odd characters further in do not matter.
    """
    outer = _outermost(line[:_READ])
    ident = _value(outer.get(b'"id"'))
    if ident is None and len(line) > _READ and (last := _LAST_ID.search(line[-_TAIL:])):
        ident = _value(last[1])
    method = _value(outer.get(b'"method"'))
    if isinstance(ident, bool) or not isinstance(ident, (int, str)):
        ident = None
    return ident, method if isinstance(method, str) else ""


def _outermost(line: bytes) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    depth = 0
    key = b""
    before = b""
    for match in _TOKEN.finditer(line):
        token = match[0]
        if token in (b"{", b"["):
            depth += 1
        elif token in (b"}", b"]"):
            depth -= 1
        elif depth == 1 and token == b":":
            key = before
        elif depth == 1 and key:
            found[key] = token
            key = b""
        if depth == 1 and token == b",":
            key = b""
        before = token
    return found


def _value(token: bytes | None) -> Any:
    try:
        return None if token is None else json.loads(token)
    except ValueError:
        return None
