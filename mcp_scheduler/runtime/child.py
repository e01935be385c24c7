"""A question to a module of ours that runs in a process of its own: JSON in, JSON out, within a limit."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import sys
from collections.abc import Mapping
from typing import Any

log = logging.getLogger("mcp_scheduler.child")


async def ask(
    module: str, question: Any, limit: float, what: str, variables: Mapping[str, str] | None = None
) -> Any | None:
    """What `python -m module` answers within `limit` seconds. None, and a line in the log that begins with `what`, if
    it fails; whatever happens, the process is gone when this returns."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env=os.environ | dict(variables or {}),
    )  # fmt: skip
    try:
        async with asyncio.timeout(limit):
            out, err = await child.communicate(json.dumps(question).encode())
    except TimeoutError:
        log.warning("%s took more than %.0f s and was ended.", what, limit)
        return None
    finally:
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await child.wait()
    if child.returncode:
        log.warning("%s failed: %s", what, err.decode(errors="replace")[-500:])
        return None
    return json.loads(out)
