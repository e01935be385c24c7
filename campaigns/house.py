"""A home folder under attack: how its clients reach it, and which processes it has."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import mcp_types
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client

ROOT = Path(__file__).resolve().parents[1]
ROLES = ("relay", "engine", "zygote", "shim", "worker", "other")
GONE = 20.0  # seconds that the last process may take to end after `stop`


class House:
    """Home, functions and witnesses in one short-named folder, which also is the TMPDIR of everything that was started
    here: by that mark every process of the house is found, whoever its parent has become."""

    def __init__(self, folder: Path, settings: dict[str, str] | None = None) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.settings = settings or {}
        self._errors = (folder / "relays.err").open("a")
        for name in ("alive", "runs", "ends", "gpus"):
            (folder / name).mkdir()
        for name in ("work.py", "witness.py", "errand.py", "victim.py"):
            shutil.copy(Path(__file__).with_name(name), folder / name)

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(self.folder), **self.settings}

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "mcp_scheduler", *words]

    def relay_command(self) -> list[str]:
        return self.command(
            "--home", str(self.home), "--functions", str(self.folder / "work.py"), "--python", sys.executable,
            "--allow-any-command",
        )  # fmt: skip

    def client(self, era: str, name: str) -> Client:
        """A real MCP client over stdio. `era` is "auto" (the newest protocol) or "legacy" (the one with handshake)."""
        command, *args = self.relay_command()
        server = StdioServerParameters(command=command, args=args, env=self.environment, cwd=self.folder)
        return Client(
            stdio_client(server, errlog=self._errors),
            mode=era,
            client_info=mcp_types.Implementation(name=name, version="1"),
        )

    def engine(self) -> int | None:
        """The process id that the home's lock record names, if that process lives."""
        try:
            pid = int(json.loads((self.home / "engine.lock").read_text())["pid"])
        except (OSError, ValueError, KeyError):
            return None
        return pid if pid in self.processes()["engine"] else None

    def processes(self) -> dict[str, list[int]]:
        """Every living process of this house, by its part."""
        mark = f"TMPDIR={self.folder}".encode()
        found: dict[str, list[int]] = {role: [] for role in ROLES}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            with contextlib.suppress(OSError):  # it ended meanwhile
                if mark in (entry / "environ").read_bytes().split(b"\0") and _is_alive(entry):
                    found[_role(entry)].append(int(entry.name))
        return found

    def everything(self) -> list[int]:
        return [pid for pids in self.processes().values() for pid in pids]

    def stop(self, *, force: bool = False) -> None:
        """End the engine in order, by its own verb."""
        subprocess.run(
            self.command("stop", *(["--force"] if force else []), "--home", str(self.home)),
            env=self.environment, capture_output=True, timeout=60, check=False,
        )  # fmt: skip

    def left_over(self, limit: float = GONE) -> list[str]:
        """What still lives after `limit` seconds though it should not, told by command line."""
        until = time.monotonic() + limit
        while (left := self.everything()) and time.monotonic() < until:
            time.sleep(0.05)
        return [f"{pid} {_words(Path(f'/proc/{pid}'))}" for pid in left]

    def end(self) -> None:
        """Kill whatever lives here."""
        while left := self.everything():
            for pid in left:
                strike(pid, signal.SIGKILL)
            time.sleep(0.02)
        self._errors.close()


@contextlib.contextmanager
def opened(settings: dict[str, str] | None = None, *, keep: bool = False) -> Iterator[House]:
    """A new house in a folder of its own, which goes away with everything in it (unless it is to be kept)."""
    folder = Path(tempfile.mkdtemp(prefix="ms", dir="/tmp"))  # short: the addresses of unix sockets are
    house = House(folder, settings)
    try:
        yield house
    finally:
        house.end()
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


def strike(pid: int, signum: int) -> bool:
    """Signal a process; whether it was there."""
    try:
        os.kill(pid, signum)
    except ProcessLookupError:
        return False
    return True


def _is_alive(entry: Path) -> bool:
    return (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()[0] not in "ZX"


def _words(entry: Path) -> str:
    with contextlib.suppress(OSError):
        return (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")[:200]
    return "(ended)"


def _role(entry: Path) -> str:
    words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
    if any(word.endswith("sdk/worker.py") for word in words):
        return "worker"
    if any(word.endswith("zygote.py") for word in words):
        return "shim" if _holds_a_lock(entry) else "zygote"  # forked from it, not started: told apart by what they hold
    if "engine" in words:
        return "engine"
    return "relay" if "--functions" in words else "other"


def _holds_a_lock(entry: Path) -> bool:
    for file in (entry / "fd").iterdir():
        with contextlib.suppress(OSError):
            if os.readlink(file).endswith(".lock"):
                return True
    return False
