"""Starting an engine: which program, with what environment, and what became of it.

Standard library only, and little of it: every client's start imports this file.
"""

from __future__ import annotations

import os
import signal
import sys

from mcp_scheduler._version import __version__
from mcp_scheduler.home import DoorError, Home, version_key

TYPE_CHECKING = False  # typing, too, is dear at a client's start
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ENGINE_VARIABLES = (
    "HOME",
    "PATH",
    "LANG",
    "TMPDIR",
    "USER",
    "LOGNAME",
    "TZ",
    "CUDA_VISIBLE_DEVICES",
    "LD_LIBRARY_PATH",
)
ENGINE_PREFIXES = ("LC_", "XDG_", "MCP_SCHEDULER_")
# An engine that carried the marks of an attempt or a lease would be taken for a part of it, and killed with an attempt.
ATTEMPT_VARIABLES = tuple(
    f"MCP_SCHEDULER_{name}" for name in ("ATTEMPT", "COOKIE", "WORKER", "RESULT", "FOLDER", "LEASE", "FENCE")
)


def package_folder() -> str:
    """The folder to import this package from, or "" if the interpreter finds it without help: a source tree that is
    used through PYTHONPATH, or a user's site folder, is unknown to an isolated interpreter."""
    parent = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    prefixes = {os.path.realpath(sys.prefix), os.path.realpath(sys.base_prefix)}
    installed = os.path.basename(parent) in ("site-packages", "dist-packages")
    return (
        "" if installed and any(os.path.realpath(parent).startswith(prefix + os.sep) for prefix in prefixes) else parent
    )


def engine_command(home: Home, python: str, folder: str) -> list[str]:
    """The command that serves `home` with the package in `folder` ("" = where `python` itself finds it)."""
    if not folder:
        return [python, "-I", "-m", "mcp_scheduler", "engine", "--home", home.path]
    code = "import sys; sys.path.append(sys.argv.pop(1)); from mcp_scheduler.__main__ import main; sys.exit(main())"
    return [python, "-I", "-c", code, folder, "engine", "--home", home.path]


def engine_commands(home: Home) -> list[list[str]]:
    """What to start, best first: the newest engine that has served this home, if it is newer than us, then our own."""
    commands = [engine_command(home, sys.executable, package_folder())]
    newest = home.newest()
    python = str(newest.get("python", ""))
    if version_key(str(newest.get("version", ""))) > version_key(__version__) and os.access(python, os.X_OK):
        commands.insert(0, engine_command(home, python, str(newest.get("folder", ""))))
    return commands


class Started:
    """An engine process that this process has started. It outlives us; while we live, we reap it."""

    __slots__ = ("_home", "_log_offset", "exit_code", "pid")

    def __init__(self, home: Home, pid: int, log_offset: int) -> None:
        self._home = home
        self._log_offset = log_offset
        self.pid = pid
        self.exit_code: int | None = None

    def ended(self) -> bool:
        """Whether the process is over. Its `exit_code` is then known: negative for a signal."""
        if self.exit_code is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:
                pid, status = self.pid, 0  # the program we live in ignores its children's ends
            if pid:
                self.exit_code = os.waitstatus_to_exitcode(status)
        return self.exit_code is not None

    def last_words(self) -> str:
        """The end of what it wrote to the log: at most 2,000 bytes."""
        return log_tail(self._home, self._log_offset)


def log_tail(home: Home, offset: int = 0) -> str:
    """The last lines of the engine's log after `offset`, at most 2,000 bytes."""
    try:
        with open(home.log_file, "rb") as file:
            start = max(offset, os.fstat(file.fileno()).st_size - 2000)
            file.seek(start)
            tail = file.read(2000).decode(errors="replace")
            begun = (
                tail if start == offset else tail.partition("\n")[2]
            )  # what begins in the middle of a line says nothing
            return begun.strip()
    except FileNotFoundError:
        return ""


def start_engine(home: Home, command: Sequence[str], environ: Mapping[str, str] = os.environ) -> Started:
    """Start an engine process that outlives us: own session, output to the log, a scrubbed environment.

    It changes to `/`, sets its umask and closes what it inherited by itself (`__main__.main`).
    """
    kept = {name: value for name, value in environ.items() if _is_for_engine(name)}
    log = home.open_log()
    try:
        offset = os.fstat(log).st_size
        pid = os.posix_spawn(
            command[0],
            list(command),
            kept,
            setsid=True,
            setsigmask=(),
            setsigdef=(signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGCHLD),
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, log, 1),
                (os.POSIX_SPAWN_DUP2, log, 2),
            ],
        )
    except OSError as error:
        raise DoorError(f"The engine cannot be started with {command[0]}: {error.strerror}.") from None
    finally:
        os.close(log)
    return Started(home, pid, offset)


def _is_for_engine(name: str) -> bool:
    return (name in ENGINE_VARIABLES or name.startswith(ENGINE_PREFIXES)) and name not in ATTEMPT_VARIABLES
