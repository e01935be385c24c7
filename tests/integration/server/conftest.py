from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import mcp_types
import pytest
from mcp import Client, StdioServerParameters

ROOT = Path(__file__).parents[3]
TOOLS = '''
from pathlib import Path
import time

from mcp_scheduler import current_task, function


@function
def add(a: int, b: int = 2) -> int:
    """Add two numbers."""
    print("adding\\x1b[31m", a, b)
    return a + b


@function
def boom() -> None:
    raise ValueError("boom")


@function
def until(file: str) -> str:
    """Wait until a file is there."""
    current_task().progress(0.5, "half way")
    while not Path(file).exists():
        time.sleep(0.01)
    return "seen"
'''


@dataclass
class House:
    """A home folder with a module of functions, and the program that serves it."""

    folder: Path

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(ROOT), "MCP_SCHEDULER_HOME": str(self.home)}

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "mcp_scheduler", *words]

    def client(self, era: str, *words: str, name: str = "test") -> Client:
        command, *args = self.command("--functions", str(self.folder / "tools.py"), *words)
        parameters = StdioServerParameters(command=command, args=args, env=self.environment)
        return Client(parameters, mode=era, client_info=mcp_types.Implementation(name=name, version="1"))

    def engine(self) -> int:
        """The process id of the engine that holds the home."""
        return json.loads((self.home / "engine.lock").read_text())["pid"]

    def kill_engine(self) -> None:
        os.kill(self.engine(), signal.SIGKILL)

    def end(self) -> None:
        subprocess.run(
            self.command("stop", "--force"), env=self.environment, capture_output=True, timeout=60, check=False
        )
        with contextlib.suppress(OSError, ValueError, KeyError):
            self.kill_engine()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=["auto", "legacy"], ids=["modern", "legacy"])
def era(request: pytest.FixtureRequest) -> str:
    return request.param


@contextlib.contextmanager
def made_house() -> Iterator[House]:
    folder = Path(tempfile.mkdtemp(prefix="ms"))  # short: the addresses of unix sockets are
    (folder / "tools.py").write_text(TOOLS)
    made = House(folder)
    try:
        yield made
    finally:
        made.end()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    """One house for all tests of a module: its engine runs on between them, as on a user's machine."""
    with made_house() as made:
        yield made


@pytest.fixture
def empty_house() -> Iterator[House]:
    """A house where no engine runs."""
    with made_house() as made:
        yield made
