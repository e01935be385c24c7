"""The engine imports the MCP SDK in a thread; a client that comes meanwhile must not meet halves of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import asyncio, sys
from mcp_scheduler.server.callers import Guest
from mcp_scheduler.server.rehearsal import scripts
from mcp_scheduler.server.session import preload, serve_wire
from mcp_scheduler.server.tools import Toolbox

async def client():
    await asyncio.sleep(float(sys.argv[1]))
    for script in scripts():
        await serve_wire(script, Toolbox(None), Guest())

async def main():
    await asyncio.gather(preload(), client())

asyncio.run(main())
"""


@pytest.mark.parametrize("delay", [0.0, 0.1])
def test_a_client_that_comes_while_the_sdk_is_imported_is_served(delay):
    told = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(delay)],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
