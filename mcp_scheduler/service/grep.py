"""Searching printed text with a client's regular expression, in a process of its own.

Python's `re` holds the interpreter lock while it matches, and some expressions take for ever: in a thread such a one
would stop the engine. A child can be ended.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Final

from mcp_scheduler import errors

_LIMIT: Final = 3.0  # seconds
_CHILD: Final = """
import re, sys
try:
    wanted = re.compile(sys.argv[1].encode())
except re.error as error:
    sys.exit(f"{error}")
lines = sys.stdin.buffer.read().split(b"\\n")
sys.stdout.buffer.write(b"\\n".join(line for line in lines if wanted.search(line)))
"""


async def matching_lines(content: bytes, pattern: str) -> bytes:
    """The lines in which the expression is found. `InvalidRequest` for one that is none, or that takes too long."""
    if "\0" in pattern:
        raise errors.InvalidRequest("`grep` holds a NUL.", hint="Give a regular expression, such as `loss|error`.")
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-S", "-c", _CHILD, pattern,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(_LIMIT):
            found, complaint = await child.communicate(content)
    except TimeoutError:
        raise errors.InvalidRequest(
            f"The search for '{pattern[:80]}' took more than {_LIMIT:.0f} s.", hint="Use a simpler expression."
        ) from None
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode:
        raise errors.InvalidRequest(
            f"'{pattern[:80]}' is no regular expression: {complaint.decode(errors='replace').strip()}."
        )
    return found
