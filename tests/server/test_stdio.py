from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from mcp import Client, StdioServerParameters
from service_double import ServiceDouble
from wires import META

from mcp_scheduler.server.callers import Guest
from mcp_scheduler.server.session import serve_wire
from mcp_scheduler.server.tools import Toolbox

HERE = Path(__file__).parent
MAIN = str(HERE / "stdio_main.py")
ENV = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parents[1])])}
CALL = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "tools/call",
    "params": {"name": "get_node_load", "arguments": {}, "_meta": META},
}


@pytest.mark.anyio
async def test_a_client_is_served_over_the_standard_streams(era: str):
    parameters = StdioServerParameters(command=sys.executable, args=[MAIN], env=ENV)
    async with Client(parameters, mode=era) as client:
        answer = await client.call_tool("get_node_load", {})
        assert answer.structured_content["policy"] == "balanced"


def test_a_file_as_input_is_answered_and_ends_the_server(tmp_path: Path):
    lines = tmp_path / "in"
    lines.write_text(json.dumps(CALL) + "\n")
    with lines.open() as stdin:
        done = subprocess.run(
            [sys.executable, MAIN], stdin=stdin, capture_output=True, text=True, env=ENV, timeout=30, check=True
        )
    (answer,) = done.stdout.splitlines()
    assert json.loads(answer)["id"] == 1
    assert "this print" in done.stderr


class SlowWire:
    """All the input at once, and a reader of the answers who takes his time."""

    def __init__(self, *messages: dict[str, object]) -> None:
        self._input = [b"".join(json.dumps(message).encode() + b"\n" for message in messages), b""]
        self.written: list[bytes] = []

    async def read(self) -> bytes:
        return self._input.pop(0) if len(self._input) > 1 else self._input[0]

    async def write(self, sent: bytes) -> None:
        for _ in range(100):
            await asyncio.sleep(0)  # everything else has its turn meanwhile
        self.written.append(sent)


@pytest.mark.anyio
async def test_the_stream_does_not_end_before_the_last_answer_is_written(service: ServiceDouble):
    wire = SlowWire(CALL, CALL | {"id": 2})
    await serve_wire(wire, Toolbox(service, clock=service.clock), Guest())
    assert sorted(json.loads(line)["id"] for line in wire.written) == [1, 2]
