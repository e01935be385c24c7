"""The real program: every verb is a process of its own, the engine is started on demand, in a home of its own."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

import mcp_scheduler
from mcp_scheduler.home import Home

LIMIT = 60.0  # seconds that a verb may take on a busy machine

TOOLS = '''
    import sys
    import threading

    from mcp_scheduler import current_task, function


    @function
    def add(a: int, b: int = 1) -> int:
        """Add two numbers."""
        return a + b


    @function
    def say(text: str) -> None:
        """Print to both streams."""
        print("out:", text)
        print("err:", text, file=sys.stderr)
        raise ValueError(text)


    @function
    def wait_for(file: str) -> str:
        """Print a line, then wait until a file is there."""
        print("begun", flush=True)
        import pathlib

        pause = threading.Event()
        while not pathlib.Path(file).exists():
            current_task().progress(0.5, "waiting")
            pause.wait(0.02)
        print("found")
        return file
'''


@dataclass
class Ran:
    """How a verb ended."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


class Program:
    """`mcp-scheduler` as a person starts it, in one folder and home."""

    def __init__(self, folder):
        self.folder = folder
        self.home = Home(str(folder / "h"))
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("MCP_SCHEDULER", "VIRTUAL_ENV"))
        }
        root = str(Path(mcp_scheduler.__file__).parents[1])
        self.environ = kept | {"MCP_SCHEDULER_HOME": self.home.path, "PYTHONPATH": root, "COLUMNS": "200"}

    def __call__(self, *words):
        ended = subprocess.run(
            self.command(*words), cwd=self.folder, env=self.environ, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=LIMIT, check=False,
        )  # fmt: skip
        return Ran(ended.returncode, ended.stdout, ended.stderr)

    def start(self, *words, **options):
        """A verb that is still under way: its process."""
        return subprocess.Popen(
            self.command(*words), cwd=self.folder, env=self.environ, stdin=subprocess.DEVNULL,
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options},
        )  # fmt: skip

    def submit(self, *words):
        ran = self("submit", "--functions", "tools.py", *words)
        assert ran.code == 0, ran.err
        return ran.out.strip()

    def end(self):
        """Stop the engine, cancelling what runs, and see it go."""
        pid = self.home.engine_record().get("pid")
        self("stop", "--force")
        if pid:
            self.until(lambda: not is_alive(pid), "the engine ends")

    @staticmethod
    def command(*words):
        return [sys.executable, "-m", "mcp_scheduler", *map(str, words)]

    @staticmethod
    def until(condition, what):
        """Wait for `condition`; the test fails after the limit."""
        end = time.monotonic() + LIMIT
        while not condition():
            assert time.monotonic() < end, f"not in time: {what}"
            threading.Event().wait(0.01)


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat").read_text()
    return stat.rpartition(")")[2].split()[0] != "Z"


@pytest.fixture(scope="module")
def program():
    folder = Path(tempfile.mkdtemp(prefix="cli-"))
    (folder / "tools.py").write_text(textwrap.dedent(TOOLS))
    found = Program(folder)
    yield found
    pid = found.home.engine_record().get("pid")
    found.end()
    if pid and is_alive(pid):
        os.kill(pid, signal.SIGKILL)
    shutil.rmtree(folder)
