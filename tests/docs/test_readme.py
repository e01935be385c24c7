"""The agent's session in the README is held with a real server, over stdio, and the replies are as they are shown."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from doc_pages import ROOT, blocks
from doc_shell import Shell
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp_types import Implementation

README = ROOT / "README.md"
SHOWN_HOME = "/home/me"  # stands for a temporary folder
_ID = re.compile(r"[a-z]+-[a-z2-9]{8}")


def session() -> list[tuple[str, str, str]]:
    """Tool, arguments as JSON, and the reply as it is shown."""
    text = next(block.text for block in blocks(README) if block.title == "session")
    calls: list[tuple[str, str, str]] = []
    for call, reply in zip(*[iter(text.splitlines())] * 2, strict=True):
        assert call.startswith("→ ")
        assert reply.startswith("← ")
        tool, _, arguments = call.removeprefix("→ ").partition(" ")
        calls.append((tool, arguments, reply.removeprefix("← ")))
    return calls


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def shell() -> Iterator[Shell]:
    with Shell() as made:
        yield made


@pytest.mark.anyio
async def test_the_session_goes_as_it_is_shown(shell: Shell):
    notes = shell.folder / "notes"
    notes.mkdir()
    (notes / "one.txt").write_text("a rose is a rose\n")
    (notes / "two.txt").write_text("sugar\n")
    words = ["-m", "mcp_scheduler", "--functions", str(ROOT / "examples" / "tools.py")]
    elsewhere = ("XDG_DATA_HOME", "MCP_SCHEDULER_HOME")
    environment = {name: value for name, value in os.environ.items() if name not in elsewhere}
    environment |= {"PYTHONPATH": str(ROOT), "HOME": str(shell.folder)}
    server = StdioServerParameters(command=sys.executable, args=words, cwd=shell.folder, env=environment)
    agent = Implementation(name="claude-code", version="2")
    ids: dict[str, str] = {}  # as shown → as they are
    async with Client(stdio_client(server), client_info=agent) as client:
        for tool, arguments, shown in session():
            answer = await client.call_tool(tool, json.loads(_real(arguments, shell.folder, ids)))
            told = answer.content[0].text
            _learn(shown, told, ids)
            assert _fits(_real(shown, shell.folder, ids), told), f"{tool} {arguments}\nshown: {shown}\ntold:  {told}"


def _real(text: str, folder: Path, ids: dict[str, str]) -> str:
    for shown, real in ids.items():
        text = text.replace(shown, real)
    return text.replace(SHOWN_HOME, str(folder))


def _learn(shown: str, told: str, ids: dict[str, str]) -> None:
    """The first id of a reply is the one that later calls name."""
    example, real = _ID.match(shown), _ID.match(told)
    if example is not None and real is not None:
        ids.setdefault(example[0], real[0])


def _fits(shown: str, told: str) -> bool:
    pattern = ".*".join(re.escape(" ".join(part.split())) for part in shown.split("…"))
    return re.fullmatch(pattern.replace(".*", r"\s?.*\s?"), " ".join(told.split())) is not None
