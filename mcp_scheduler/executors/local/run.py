"""One run of a command under its shim: its start, its output, its limits, and the record of its end."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from mcp_scheduler.executors.local import command_end, process, tree
from mcp_scheduler.executors.local.cgroup import Leaf
from mcp_scheduler.executors.local.command_end import CommandEnd
from mcp_scheduler.executors.local.progress import ProgressReader
from mcp_scheduler.executors.local.pump import Pump
from mcp_scheduler.executors.local.spare import Spare
from mcp_scheduler.sdk import inputs
from mcp_scheduler.sdk.now import boot_time, wall_time


class Run:
    """Made of the engine's order. `child` is 0 until the program is started; `end` is set when its own process has
    ended, or never could be started. The rest of its tree may live on for a while."""

    def __init__(self, order: dict[str, Any], variables: dict[str, str], attempts: Path, results: Path) -> None:
        self.attempt: str = order["attempt"]
        self.cookie: str = order["cookie"]
        self.child = 0
        self.end: CommandEnd | None = None
        self.stopped = ""
        self.began = wall_time()
        self.news: tuple[float, str] | None = None  # progress that nobody was told yet
        self.progress: tuple[float, str] | None = None
        self._order, self._variables = order, variables
        self._results = results
        self._out, self._err = attempts / f"{self.attempt}.out", attempts / f"{self.attempt}.err"
        self._result = attempts / f"{self.attempt}.result"
        self.leaf = Leaf.of(self.attempt)
        self.stood = 0.0  # seconds for which it has stood still: no time of its own
        self._still_since: float | None = None
        self._booted = boot_time()
        self._sign_of_life = time.monotonic()
        self._oom_kills = process.oom_kills()
        caps = tuple(order["caps"])
        self.pumps = [
            Pump(lambda _: self._out, caps, self._listener()),
            Pump(lambda _: self._err, caps, self._listener()),
        ]

    def start(self, spare: Spare) -> None:
        """Start the program, with a folder of its task; `end` says it if that cannot be done."""
        order = self._order
        folder = order["folder"]
        env = {
            **self._variables,
            **order["env"],
            "MCP_SCHEDULER_ATTEMPT": self.attempt,
            "MCP_SCHEDULER_FOLDER": folder,
            "MCP_SCHEDULER_RESULT": str(self._result),
            tree.COOKIE: self.cookie,
        }
        stdin = _stdin(order["stdin"])
        try:
            if order.get("inputs") is not None:
                kept, files = order["inputs"]
                env[inputs.VARIABLE] = inputs.lay_out(kept, files, self.attempt)
        except (OSError, ValueError) as error:
            self.end = CommandEnd(failure=f"The inputs cannot be laid out: {error}.")
        try:
            if self.end is not None:
                return
            spare.lend(folder)
            stdio = (stdin, self.pumps[0].writing, self.pumps[1].writing)
            self.child = process.spawn_command(order["argv"], env, order["cwd"], stdio)
            self.leaf.enter(self.child)
        except (OSError, ValueError) as error:
            self.end = CommandEnd(failure=command_end.refusal(order["argv"][0], order["cwd"], error))
        finally:
            os.close(stdin)
            for pump in self.pumps:
                os.close(pump.writing)

    def ended(self, status: int, memory_peak: int) -> None:
        """The program's own process is gone."""
        self.end = CommandEnd.of(status, memory_peak, self.stopped, lambda: process.oom_kills() > self._oom_kills)

    def _listener(self) -> Any:
        """Output is a sign of life, and may tell how far the command is."""
        reader = ProgressReader()

        def heard(chunk: bytes) -> None:
            self._sign_of_life = time.monotonic()
            found = reader.feed(chunk)
            if found is not None and found != self.progress:
                self.news = self.progress = found

        return heard

    # -- its turns

    @property
    def is_still(self) -> bool:
        return self._still_since is not None

    def stand_still(self) -> None:
        """All that is below the shim stops. Repeated, it finds whoever was not there before."""
        tree.hold_below(os.getpid())
        if self._still_since is None:
            self._still_since = boot_time()

    def go_on(self) -> None:
        """Its time goes on from where it was."""
        if self._still_since is None:
            return
        seconds = max(0.0, boot_time() - self._still_since)
        self._still_since = None
        self.stood += seconds
        self._booted += seconds
        self._sign_of_life = time.monotonic()
        tree.strike(tree.descendants(os.getpid()), signal.SIGCONT)

    # -- its limits

    def overdue(self) -> str:
        """The limit that it has passed: "timeout", "idle_timeout" or "". A machine that slept has passed a timeout,
        and is no reason to call a command silent; one that stands still passes none."""
        if self.is_still:
            return ""
        timeout, idle = self._order["timeout"], self._order["idle_timeout"]
        if timeout is not None and boot_time() - self._booted >= timeout:
            return "timeout"
        if idle is not None and time.monotonic() - self._sign_of_life >= idle:
            return "idle_timeout"
        return ""

    def patience(self) -> float | None:
        """Seconds until a limit may be passed."""
        if self.is_still:
            return None
        timeout, idle = self._order["timeout"], self._order["idle_timeout"]
        left = [] if timeout is None else [self._booted + timeout - boot_time()]
        if idle is not None:
            left.append(self._sign_of_life + idle - time.monotonic())
        return max(0.0, min(left)) if left else None

    # -- its end

    def record(self) -> dict[str, Any]:
        """What became of it. The tree is gone: whatever it printed is in the pipes or in the files. Errors: OSError."""
        assert self.end is not None
        for pump in self.pumps:
            pump.carry(self.attempt)
            pump.release()
        self.go_on()  # somebody has killed it where it stood
        told = command_end.record(self.end, self._out, self._err, self._result, self._results)
        return {**told, "seconds": boot_time() - self._booted, "at": wall_time(), "attempt": self.attempt}

    def close(self, spare: Spare) -> None:
        """Let go of the pipes, of the control group, and of a folder that nothing was put into."""
        self.leaf.remove()
        for pump in self.pumps:
            os.close(pump.reading)
        spare.take_back(self._order["folder"])


def _stdin(text: str | None) -> int:
    if text is None:
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    fd = os.memfd_create("stdin")
    with open(fd, "wb", closefd=False) as file:
        file.write(text.encode(errors="surrogateescape"))
    os.lseek(fd, 0, os.SEEK_SET)
    return fd
