"""Verbs against a stand-in engine, each run in the test's own process."""

import shutil
import sys
import tempfile
from pathlib import Path

import pytest
from owner_standin import Ran, StandIn

from mcp_scheduler.cli.app import main
from mcp_scheduler.home import Home


@pytest.fixture
def home_folder():
    """A short path: a socket's address has about 100 bytes."""
    folder = tempfile.mkdtemp(prefix="cli-")
    yield Path(folder, "home")
    shutil.rmtree(folder)


@pytest.fixture
def standin(home_folder):
    with StandIn(Home(str(home_folder))) as engine:
        yield engine


@pytest.fixture
def cli(home_folder, capsys, monkeypatch):
    """Run a verb in this process, in the test's home."""
    monkeypatch.setenv("MCP_SCHEDULER_HOME", str(home_folder))
    for name in ("VIRTUAL_ENV", "PYTHONPATH", "MCP_SCHEDULER_ATTEMPT", "MCP_SCHEDULER_COOKIE"):
        monkeypatch.delenv(name, raising=False)

    def run(*words):
        code = main([str(word) for word in words])
        out, err = capsys.readouterr()
        return Ran(code, out, err)

    return run


@pytest.fixture
def terminal(monkeypatch):
    """Let verbs believe that a person looks, at a terminal of that many columns."""

    def of(columns):
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("NO_COLOR", "1")

    return of
